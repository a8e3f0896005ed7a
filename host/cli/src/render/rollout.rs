//! How a config comes into a group.

use homeostat_core::ledger::{RolloutKind, RolloutStatus};
use homeostat_server::view::{RetryView, RevisionView, RolloutView};

use super::{age, ahead, count, tame};

/// A rollout in full: how it stands, since when, and when it fails.
pub(crate) fn full(it: &RolloutView, now_ms: u64) -> String {
    let mut when = vec![format!("since {}", age(Some(since(it)), now_ms))];
    if let Some(at) = it.deadline {
        when.push(format!("fails {} unless another instance becomes healthy", ahead(at.0, now_ms)));
    }
    let mut text = format!("{} ({})", tame(&it.text), when.join(", "));
    // Why it is paused or goes back is in its sentence.
    if it.failed > 0 && it.status == RolloutStatus::Running {
        text.push_str(&format!("\n{} failed", count(it.failed, "new instance")));
        if !it.last_failure.is_empty() {
            text.push_str(&format!(", the last: {}", tame(&it.last_failure)));
        }
    }
    text
}

/// Since when a rollout stands as it does.
fn since(it: &RolloutView) -> u64 {
    match it.status {
        RolloutStatus::Running => it.since.0,
        RolloutStatus::Paused { since, .. } | RolloutStatus::RollingBack { since, .. } => since.0,
        RolloutStatus::Succeeded { at } => at.0,
    }
}

/// A rollout in a few words; none where there is nothing to say beside how the group stands.
pub(crate) fn short(it: &RolloutView) -> Option<String> {
    let revision = it.revision;
    match (&it.status, it.kind) {
        (RolloutStatus::Running, RolloutKind::Create) | (RolloutStatus::Succeeded { .. }, _) => None,
        (RolloutStatus::Running, RolloutKind::Update) => {
            Some(format!("rolling out revision {revision}, {}/{} ready", it.ready, it.total))
        }
        (RolloutStatus::Running, RolloutKind::Rollback) => {
            Some(format!("rolling back as revision {revision}, {}/{} ready", it.ready, it.total))
        }
        (RolloutStatus::Paused { .. }, _) => Some(format!("rollout of revision {revision} paused")),
        (RolloutStatus::RollingBack { to, .. }, _) => Some(format!("revision {revision} failed, rolling back to {to}")),
    }
}

/// The configs of a group in one line, oldest first.
pub(crate) fn revisions(all: &[RevisionView], now_ms: u64) -> String {
    let last = all.len().saturating_sub(1);
    let one = |(index, it): (usize, &RevisionView)| {
        let mut marks = vec![format!("{} ago", age(Some(it.at.0), now_ms))];
        if let Some(other) = it.rollback_of {
            marks.push(format!("in place of {other}"));
        }
        if it.stable {
            marks.push("stable".into());
        }
        if index == last {
            marks.push("in force".into());
        }
        format!("{} ({})", it.revision, marks.join(", "))
    };
    all.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

/// Slots that were healed lately, one a line.
pub(crate) fn retries(all: &[RetryView], now_ms: u64) -> String {
    let one = |it: &RetryView| {
        let times = if it.failures == 1 { "once".into() } else { format!("{} times in a row", it.failures) };
        format!("slot {} replaced {times}, last {} ago", tame(&it.slot), age(Some(it.last.0), now_ms))
    };
    all.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use homeostat_core::ledger::Pause;
    use homeostat_core::time::Timestamp;

    use super::*;
    use crate::render::group::example::rollout;

    #[test]
    fn a_rollout_in_a_few_words() {
        let why = || Pause::Failures { failed: 2, total: 5, last: "web-1: it is failed".into() };
        let statuses = [
            RolloutStatus::Running,
            RolloutStatus::Paused { why: why(), since: Timestamp(0) },
            RolloutStatus::RollingBack { to: 3, why: why(), since: Timestamp(0) },
            RolloutStatus::Succeeded { at: Timestamp(0) },
        ];
        let kinds = [RolloutKind::Create, RolloutKind::Update, RolloutKind::Rollback];
        let all = statuses.iter().flat_map(|status| kinds.map(|kind| short(&rollout(4, kind, status.clone()))));
        let text: Vec<String> = all.map(|it| it.unwrap_or_else(|| "-".into())).collect();
        expect![[r#"
            -
            rolling out revision 4, 3/5 ready
            rolling back as revision 4, 3/5 ready
            rollout of revision 4 paused
            rollout of revision 4 paused
            rollout of revision 4 paused
            revision 4 failed, rolling back to 3
            revision 4 failed, rolling back to 3
            revision 4 failed, rolling back to 3
            -
            -
            -"#]]
        .assert_eq(&text.join("\n"));
    }

    #[test]
    fn a_rollout_in_full_says_when_it_fails() {
        let mut running = rollout(4, RolloutKind::Update, RolloutStatus::Running);
        running.deadline = Some(Timestamp(400_000));
        (running.failed, running.last_failure) = (1, "web-0002-aaaa: it is failed (exit\n1)".into());
        expect![[r#"
            revision 4 is being rolled out (since 1m, fails in 5m unless another instance becomes healthy)
            1 new instance failed, the last: web-0002-aaaa: it is failed (exit 1)"#]]
        .assert_eq(&full(&running, 100_000));
        let done = rollout(4, RolloutKind::Update, RolloutStatus::Succeeded { at: Timestamp(40_000) });
        expect!["revision 4 is being rolled out (since 60s)"].assert_eq(&full(&done, 100_000));
    }

    #[test]
    fn revisions_and_retries_are_compact() {
        let revision = |revision, stable, rollback_of| RevisionView {
            revision,
            hash: "h".into(),
            at: Timestamp(revision * 10_000),
            stable,
            rollback_of,
        };
        let all = [revision(2, true, None), revision(3, false, None), revision(4, false, Some(3))];
        expect!["2 (40s ago, stable), 3 (30s ago), 4 (20s ago, in place of 3, in force)"]
            .assert_eq(&revisions(&all, 60_000));
        let retry = |slot: &str, failures| RetryView { slot: slot.into(), failures, last: Timestamp(10_000) };
        expect![[r#"
            slot 3 replaced once, last 50s ago
            slot db-a replaced 4 times in a row, last 50s ago"#]]
        .assert_eq(&retries(&[retry("3", 1), retry("db-a", 4)], 60_000));
    }
}
