//! A plan: what changes in the spec, and every step with its reason. What is alike is told once, with a number.

#[cfg(test)]
pub(crate) mod example;

use std::collections::{HashMap, HashSet};

use homeostat_core::step::{Action, Step};
use homeostat_server::view::{GroupPlan, PlanReply};

use super::table::table;
use super::{cell, count, spec, tame};

/// Steps of one round that are alike are shown one by one up to this number.
const ALIKE: usize = 4;
/// Of more than that, so many are shown.
const OF_MANY: usize = 2;
/// The longest series of rounds whose repetition is seen. To replace an instance takes two rounds, or three.
const SERIES: usize = 4;
/// Rounds that a repetition has to stand for. In a small group every step is shown.
const SAVED: usize = 10;
/// Lines that are shown of one group's steps.
const LINES: usize = 200;

/// What `group plan` shows: the words of a commit, and below them each group in full.
pub(crate) fn text(words: &str, reply: &PlanReply, colour: bool) -> String {
    let mut parts = Vec::new();
    if !words.is_empty() {
        parts.push(words.to_owned());
    }
    for group in &reply.groups {
        let old = group.old.as_ref().map(|old| (old, group.revision));
        let difference = spec::difference(old, &group.new, colour);
        if !difference.is_empty() {
            parts.push(difference);
        }
        parts.push(steps(group));
    }
    parts.join("\n\n")
}

/// The steps of one group.
fn steps(group: &GroupPlan) -> String {
    let total: usize = group.rounds.iter().map(Vec::len).sum();
    let mut text = match total {
        0 => format!("No steps for {}", group.id),
        _ => {
            let mut rows = rows(&group.rounds);
            let left = rows.len().saturating_sub(LINES);
            if left > 0 {
                rows.truncate(LINES);
                let more = format!("{} more; -o json shows all steps", count(left, "line"));
                rows.push([String::new(), "...".into(), String::new(), more]);
            }
            let head = format!("{} for {}, in {}:", count(total, "step"), group.id, count(group.rounds.len(), "round"));
            format!("{head}\n{}", table(["ROUND", "STEP", "INSTANCE", "WHY"], rows))
        }
    };
    if !group.complete {
        text.push_str(&format!(
            "\nThese are not all the steps of {}: an operator has to say how to go on after them, something holds up the \
             others, or there are too many to show",
            group.id
        ));
    }
    text
}

/// What a step is told apart by: what it does, and its reason without the names and numbers in it.
type Kind = (&'static str, String);

/// Steps of one round that are alike, and the number of their kind.
type Alike<'a> = (usize, Vec<&'a Step>);

fn rows(rounds: &[Vec<Step>]) -> Vec<[String; 4]> {
    let names: HashSet<&str> = rounds.iter().flatten().flat_map(|it| names(&it.action)).collect();
    let mut known: HashMap<Kind, usize> = HashMap::new();
    let mut kind = |step: &Step| {
        let next = known.len();
        *known.entry((verb(&step.action), outline(&step.why, &names))).or_insert(next)
    };
    let grouped: Vec<Vec<Alike<'_>>> = rounds.iter().map(|round| grouped(round, &mut kind)).collect();
    let shape = |round: &Vec<Alike<'_>>| round.iter().map(|(kind, steps)| (*kind, steps.len())).collect::<Vec<_>>();
    let shapes: Vec<_> = grouped.iter().map(shape).collect();
    let mut rows = Vec::new();
    let mut at = 0;
    while at < shapes.len() {
        let (series, times) = repetition(&shapes[at..]);
        for (number, round) in (at + 1..).zip(&grouped[at..at + series]) {
            round_rows(number, round, &mut rows);
        }
        let first = at + series + 1;
        let last = at + series * (times + 1);
        if times > 0 {
            let like = match series {
                1 => format!("like round {}", at + 1),
                _ => format!("like rounds {} to {}, {}", at + 1, at + series, count(times, "more time")),
            };
            rows.push([format!("{first}-{last}"), "...".into(), String::new(), like]);
        }
        at = last;
    }
    rows
}

/// The steps of a round by their kinds, in the order in which these first come.
fn grouped<'a>(round: &'a [Step], mut kind: impl FnMut(&Step) -> usize) -> Vec<Alike<'a>> {
    let mut groups: Vec<Alike<'a>> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    for step in round {
        let kind = kind(step);
        let place = *places.entry(kind).or_insert_with(|| {
            groups.push((kind, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(step);
    }
    groups
}

/// How many rounds from the first on make a series that repeats itself, and how often it does: 1 and 0 where none does.
fn repetition<T: PartialEq>(rounds: &[T]) -> (usize, usize) {
    for series in 1..=SERIES.min(rounds.len()) {
        let times = rounds.chunks_exact(series).skip(1).take_while(|it| **it == rounds[..series]).count();
        if series * times >= SAVED {
            return (series, times);
        }
    }
    (1, 0)
}

fn round_rows(number: usize, kinds: &[Alike<'_>], rows: &mut Vec<[String; 4]>) {
    let mut number = number.to_string();
    for (_, steps) in kinds {
        let shown = if steps.len() > ALIKE { OF_MANY } else { steps.len() };
        for step in &steps[..shown] {
            let number = std::mem::take(&mut number);
            rows.push([number, verb(&step.action).into(), subject(&step.action), cell(&step.why)]);
        }
        if shown < steps.len() {
            rows.push([String::new(), "...".into(), String::new(), format!("{} more like this", steps.len() - shown)]);
        }
    }
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Provision(_) => "provision",
        Action::Destroy(_) => "destroy",
        Action::Label(_) => "label",
    }
}

/// The instance that a step is about. One that is to be made has no name before it is; where the provider calls one
/// otherwise than it was named, both are told.
fn subject(action: &Action) -> String {
    let (id, other) = match action {
        Action::Provision(it) => {
            return match &it.logical_id {
                Some(identity) => tame(&format!("new {identity}")),
                None => format!("new in slot {}", it.slot),
            };
        }
        Action::Destroy(it) => (&it.id, it.logical_id.as_deref().unwrap_or(&it.name)),
        Action::Label(it) => (&it.id, ""),
    };
    if other.is_empty() || other == id { tame(id) } else { tame(&format!("{id} ({other})")) }
}

fn names(action: &Action) -> Vec<&str> {
    let (name, logical_id) = match action {
        Action::Provision(it) => (it.name.as_str(), it.logical_id.as_deref()),
        Action::Destroy(it) => (it.name.as_str(), it.logical_id.as_deref()),
        Action::Label(_) => ("", None),
    };
    [action.subject(), name].into_iter().chain(logical_id).filter(|it| !it.is_empty()).collect()
}

/// A reason without the names and the numbers in it.
fn outline(why: &str, names: &HashSet<&str>) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| matches!(c, ',' | '.' | ':' | ';' | '(' | ')' | '"' | '\''));
        let is_own = names.contains(bare) || bare.contains(|c: char| c.is_ascii_digit());
        if is_own { word.replace(bare, "#") } else { word.to_owned() }
    };
    why.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::example::{destroy, plan, provision, spec};
    use super::*;

    #[track_caller]
    fn check(reply: &PlanReply, expected: &Expect) {
        expected.assert_eq(&text("Committing web would involve: ...", reply, false));
    }

    #[test]
    fn an_update_shows_the_difference_and_every_step() {
        check(
            &plan(2),
            &expect![[r#"
                Committing web would involve: ...

                --- web, revision 3
                +++ web, as planned
                @@ -5,6 +5,6 @@
                   Flavor:
                     Plugin: vanilla
                     Properties:
                -      Init: a
                +      Init: b
                   Instance:
                     Plugin: file

                4 steps for web, in 4 rounds:
                ROUND  STEP       INSTANCE       WHY
                1      destroy    web-0001-old   its config is out of date (1 more to go)
                2      provision  new in slot 1  it takes the place of web-0001-old, whose config is out of date
                3      destroy    web-0002-old   its config is out of date (0 more to go)
                4      provision  new in slot 2  it takes the place of web-0002-old, whose config is out of date"#]],
        );
    }

    #[test]
    fn rounds_that_repeat_themselves_are_told_once() {
        check(
            &plan(100),
            &expect![[r#"
                Committing web would involve: ...

                --- web, revision 3
                +++ web, as planned
                @@ -5,6 +5,6 @@
                   Flavor:
                     Plugin: vanilla
                     Properties:
                -      Init: a
                +      Init: b
                   Instance:
                     Plugin: file

                200 steps for web, in 200 rounds:
                ROUND  STEP       INSTANCE       WHY
                1      destroy    web-0001-old   its config is out of date (99 more to go)
                2      provision  new in slot 1  it takes the place of web-0001-old, whose config is out of date
                3-200  ...                       like rounds 1 to 2, 99 more times"#]],
        );
    }

    #[test]
    fn steps_that_are_alike_are_told_once() {
        let mut reply = plan(0);
        let group = &mut reply.groups[0];
        (group.old, group.revision, group.new) = (None, 0, spec(100, "a"));
        let mut round: Vec<Step> =
            (1..=100).map(|slot| provision(slot, format!("{} of 100 exist", slot - 1))).collect();
        round.insert(7, destroy(200, "it is unhealthy: no answer".into()));
        round.push(destroy(201, "it is unhealthy: the disk is full".into()));
        group.rounds = vec![round];
        check(
            &reply,
            &expect![[r#"
                Committing web would involve: ...

                --- nothing
                +++ web, as planned
                @@ -0,0 +1,10 @@
                +ID: web
                +Properties:
                +  Allocation:
                +    Size: 100
                +  Flavor:
                +    Plugin: vanilla
                +    Properties:
                +      Init: a
                +  Instance:
                +    Plugin: file

                102 steps for web, in 1 round:
                ROUND  STEP       INSTANCE       WHY
                1      provision  new in slot 1  0 of 100 exist
                       provision  new in slot 2  1 of 100 exist
                       ...                       98 more like this
                       destroy    web-0200-old   it is unhealthy: no answer
                       destroy    web-0201-old   it is unhealthy: the disk is full"#]],
        );
    }

    #[test]
    fn a_plan_without_steps_and_one_that_is_not_whole_say_so() {
        let mut reply = plan(0);
        reply.groups[0].old = Some(reply.groups[0].new.clone());
        check(
            &reply,
            &expect![[r#"
            Committing web would involve: ...

            No steps for web"#]],
        );
        let mut reply = plan(1);
        reply.groups[0].old = Some(reply.groups[0].new.clone());
        reply.groups[0].complete = false;
        check(
            &reply,
            &expect![[r#"
                Committing web would involve: ...

                2 steps for web, in 2 rounds:
                ROUND  STEP       INSTANCE       WHY
                1      destroy    web-0001-old   its config is out of date (0 more to go)
                2      provision  new in slot 1  it takes the place of web-0001-old, whose config is out of date
                These are not all the steps of web: an operator has to say how to go on after them, something holds up the others, or there are too many to show"#]],
        );
    }

    #[test]
    fn an_instance_that_the_provider_calls_otherwise_has_its_name_too() {
        let mut step = destroy(1, String::new());
        if let Action::Destroy(it) = &mut step.action {
            it.id = "i-0\u{1b}".into();
        }
        assert_eq!(subject(&step.action), "i-0\u{fffd} (web-0001-old)");
        if let Action::Destroy(it) = &mut step.action {
            it.logical_id = Some("db-a".into());
        }
        assert_eq!(subject(&step.action), "i-0\u{fffd} (db-a)");
        let mut step = provision(1, String::new());
        if let Action::Provision(it) = &mut step.action {
            it.logical_id = Some("db-a".into());
        }
        assert_eq!(subject(&step.action), "new db-a");
    }

    #[test]
    fn a_series_is_the_shortest_that_repeats_and_saves_lines() {
        assert_eq!(repetition(&[7; 10]), (1, 0), "nine lines are few");
        assert_eq!(repetition(&[7; 11]), (1, 10));
        let pairs: Vec<u8> = [1, 2].repeat(6).into_iter().chain([1, 3]).collect();
        assert_eq!(repetition(&pairs), (2, 5));
        let all_different: Vec<u8> = (0..50).collect();
        assert_eq!(repetition(&all_different), (1, 0));
        assert_eq!(repetition::<u8>(&[1]), (1, 0));
    }

    #[test]
    fn a_plan_in_which_nothing_is_alike_is_cut() {
        let mut reply = plan(0);
        let word = |n: usize| "abcdefghij".chars().cycle().skip(n % 10).take(n / 10 + 1).collect::<String>();
        reply.groups[0].rounds = (0..300).map(|n| vec![destroy(n, format!("it said {}", word(n)))]).collect();
        let shown = steps(&reply.groups[0]);
        assert_eq!(shown.lines().count(), LINES + 3);
        assert!(shown.ends_with("100 lines more; -o json shows all steps"), "{shown}");
    }

    #[test]
    fn the_largest_plan_is_short_and_soon_written() {
        let began = std::time::Instant::now();
        let shown = text("", &plan(50_000), false);
        assert!(shown.lines().count() < 40, "{shown}");
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
