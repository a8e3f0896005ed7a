//! A picture of the groups that is drawn over and over on a terminal.

use console::{Style, measure_text_width, pad_str, truncate_str};
use homeostat_core::observed::Health;
use homeostat_core::plan::Goal;
use homeostat_server::view::{GroupSummary, InstanceView};

use super::picture::Picture;
use crate::render::group::{id, life, message, status};
use crate::render::{count, tame};
use crate::screen;

/// Instances shown of a group.
const SHOWN: usize = 10;
/// Columns of a bar.
const BAR: usize = 30;
/// Draw the groups as they are now.
pub(crate) fn draw(pictures: &[Picture]) {
    let (width, height) = screen::size();
    screen::draw(&frame(pictures, width, height));
}

/// The lines of a picture, no wider and no higher than the terminal.
fn frame(pictures: &[Picture], width: usize, height: usize) -> String {
    let heads: Vec<Vec<String>> = pictures.iter().map(head).collect();
    // The last line of a terminal stays empty, or drawing would scroll it.
    let mut room = height.saturating_sub(1).max(1);
    let mut shown = heads.len();
    let mut needed: usize = heads.iter().map(Vec::len).sum();
    while needed > room && shown > 1 {
        shown -= 1;
        needed = heads[..shown].iter().map(Vec::len).sum::<usize>() + 1;
    }
    room = room.saturating_sub(needed);
    let mut lines = Vec::new();
    for (index, (picture, head)) in pictures.iter().zip(heads).take(shown).enumerate() {
        lines.extend(head);
        // What groups before this one left over is this one's to use.
        let share = room / (shown - index);
        let below = instances(picture, share.min(SHOWN + 1));
        room -= below.len();
        lines.extend(below);
    }
    if shown < pictures.len() {
        lines.push(format!("... and {} more", count(pictures.len() - shown, "group")));
    }
    lines.truncate(height.saturating_sub(1).max(1));
    // One column stays empty, since a full line makes some terminals wrap.
    lines.iter().map(|it| truncate_str(it, width.saturating_sub(1), "…")).collect::<Vec<_>>().join("\n")
}

/// A group's own lines: how it stands, and a bar while there is something to do.
fn head(picture: &Picture) -> Vec<String> {
    let summary = match picture {
        Picture::Gone(id) => {
            return vec![format!("{} {}  gone", style().dim().apply_to("○"), style().bold().apply_to(id))];
        }
        Picture::Large(summary, _) => summary.as_ref(),
        Picture::Small(view) => &view.summary,
    };
    let counts = summary.report.counts;
    let mut parts = vec![style().bold().apply_to(tame(&summary.id)).to_string()];
    match summary.goal {
        Goal::Keep => parts.push(format!("{}/{} running", counts.running, counts.desired)),
        Goal::Destroy => parts.push(format!("{} left", counts.actual.saturating_sub(destroyed(picture)))),
    }
    if summary.goal == Goal::Keep {
        parts.push(format!("{} healthy", counts.healthy));
    }
    if counts.unhealthy > 0 {
        parts.push(style().red().apply_to(format!("{} unhealthy", counts.unhealthy)).to_string());
    }
    if counts.outdated > 0 {
        parts.push(style().yellow().apply_to(format!("{} out of date", counts.outdated)).to_string());
    }
    let (mark, status) = match summary {
        it if it.report.converged => (style().green().apply_to("●"), style().green().apply_to(status(it))),
        it if it.goal == Goal::Destroy => (style().red().apply_to("◌"), style().apply_to(status(it))),
        it => (style().yellow().apply_to("◌"), style().apply_to(status(it))),
    };
    let mut lines = vec![format!("{mark} {}  {status}", parts.join("  "))];
    lines.extend(work(picture, summary));
    lines
}

fn destroyed(picture: &Picture) -> usize {
    match picture {
        Picture::Large(_, steps) => steps.destroyed,
        Picture::Gone(_) | Picture::Small(_) => 0,
    }
}

/// A bar while there is something to do.
fn work(picture: &Picture, summary: &GroupSummary) -> Option<String> {
    if summary.report.converged {
        return None;
    }
    let counts = summary.report.counts;
    let (done, total, what) = match picture {
        Picture::Small(view) if view.progress.total > 0 => (view.progress.done, view.progress.total, "steps"),
        Picture::Large(_, steps) if summary.goal == Goal::Keep => {
            ((counts.running + steps.made).min(counts.desired), counts.desired, "made")
        }
        Picture::Large(_, steps) => (steps.destroyed.min(counts.actual), counts.actual, "destroyed"),
        _ => return None,
    };
    if total == 0 {
        return None;
    }
    let full = BAR * done.min(total) / total;
    let (done_part, left_part) = ("█".repeat(full), "░".repeat(BAR - full));
    Some(format!("  {}{left_part} {done}/{total} {what}", style().cyan().apply_to(done_part)))
}

/// The instances of a small group, on at most so many lines.
fn instances(picture: &Picture, lines: usize) -> Vec<String> {
    let Picture::Small(view) = picture else { return Vec::new() };
    let all = &view.instances;
    if all.is_empty() || lines == 0 {
        return Vec::new();
    }
    // One more than fits is told as a number, which takes a line itself.
    let shown = if all.len() <= lines.min(SHOWN) { all.len() } else { (lines - 1).min(SHOWN) };
    let widest = |text: &dyn Fn(&InstanceView) -> String| {
        all[..shown].iter().map(|it| measure_text_width(&text(it))).max().unwrap_or_default()
    };
    let name = |it: &InstanceView| match &it.logical_id {
        Some(logical) => format!("{} ({})", tame(id(it)), tame(logical)),
        None => tame(id(it)),
    };
    let width = widest(&name);
    let line = |it: &InstanceView| {
        let slot = it.slot.map_or_else(|| "-".into(), |slot| slot.to_string());
        let health = match it.health {
            Health::Healthy => style().green(),
            Health::Unhealthy => style().red(),
            Health::Unknown => style().dim(),
        }
        .apply_to(it.health.name());
        let mut line = format!(
            "  {slot:>4}  {}  {:8}  {health}",
            pad_str(&name(it), width, console::Alignment::Left, None),
            life(it)
        );
        if !it.current {
            line.push_str("  out of date");
        }
        let message = message(it);
        if !message.is_empty() {
            line.push_str(&format!("  {message}"));
        }
        line
    };
    let mut text: Vec<String> = all[..shown].iter().map(line).collect();
    if shown < all.len() {
        text.push(format!("        ... and {} more", all.len() - shown));
    }
    text
}

/// A style that is seen where standard error shows colours.
fn style() -> Style {
    Style::new().for_stderr()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::picture::Steps;
    use super::*;
    use crate::render::group::example::{group, summary};

    fn small(id: &str, desired: usize, running: usize) -> Picture {
        Picture::Small(Box::new(group(id, desired, running)))
    }

    #[test]
    fn a_small_group_shows_its_instances_and_a_large_one_a_bar() {
        let pictures = [
            small("collabnix", 3, 2),
            small("done", 1, 1),
            Picture::Large(Box::new(summary("fleet", 5000, 1000)), Steps { made: 250, destroyed: 0 }),
            Picture::Gone("old".into()),
        ];
        expect![[r#"
            ◌ collabnix  2/3 running  2 healthy  converging
              ████████████████████░░░░░░░░░░ 2/3 steps
                 1  collabnix-0001  running   healthy
                 2  collabnix-0002  running   healthy
                 3  collabnix-0003  creating  unknown  being made
            ● done  1/1 running  1 healthy  converged
                 1  done-0001  running   healthy
            ◌ fleet  1000/5000 running  1000 healthy  converging
              ███████░░░░░░░░░░░░░░░░░░░░░░░ 1250/5000 made
            ○ old  gone"#]]
        .assert_eq(&frame(&pictures, 80, 24));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        expect![[r#"
            ● web  12/12 running  12 healthy  converged
                 1  web-0001  running   healthy
                 2  web-0002  running   healthy
                 3  web-0003  running   healthy
                 4  web-0004  running   healthy
                 5  web-0005  running   healthy
                 6  web-0006  running   healthy
                 7  web-0007  running   healthy
                 8  web-0008  running   healthy
                 9  web-0009  running   healthy
                10  web-0010  running   healthy
                    ... and 2 more"#]]
        .assert_eq(&frame(&[small("web", 12, 12)], 60, 40));
        expect![[r#"
            ● a  9/9 running  9 healthy  converged
                 1  a-0001  running   healthy
                 2  a-0002  running   healthy
                    ... and 7 more
            ● b  2/2 running  2 healthy  converged
                 1  b-0001  running   healthy
                 2  b-0002  running   healthy"#]]
        .assert_eq(&frame(&[small("a", 9, 9), small("b", 2, 2)], 60, 10));
    }

    #[test]
    fn a_picture_is_never_higher_or_wider_than_the_terminal() {
        let many: Vec<Picture> = (0..40).map(|i| small(&format!("group-{i}"), 20, i % 20)).collect();
        for (width, height) in [(80, 24), (10, 5), (1, 2), (200, 1), (30, 90), (80, 200)] {
            let frame = frame(&many, width, height);
            let lines: Vec<&str> = frame.lines().collect();
            assert!(lines.len() <= height.saturating_sub(1).max(1), "{} lines in {height}", lines.len());
            assert!(lines.iter().all(|it| measure_text_width(it) < width.max(2)), "too wide for {width}");
        }
    }

    #[test]
    fn what_a_provider_says_stays_on_its_line() {
        let mut picture = small("web", 1, 1);
        if let Picture::Small(view) = &mut picture {
            view.instances[0].message = "a\nb\u{1b}[2J".into();
            view.instances[0].id = "i\n1".into();
        }
        let frame = frame(&[picture], 80, 24);
        assert_eq!(frame.lines().count(), 2, "{frame}");
        assert!(!frame.contains('\u{1b}'), "{frame:?}");
    }
}
