//! `--wait`: return when the instances are as declared, or as soon as it is clear that they will not be.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use homeostat_core::ledger::{Pause, RolloutKind, RolloutStatus};
use homeostat_server::view::{GroupSummary, GroupView, RolloutView};

use super::at;
use crate::args::{Globals, duration};
use crate::client::{Client, ClientError, Until};
use crate::failure::Refused;
use crate::out;
use crate::render::{count, now_ms, tame, why};

/// How often it is looked whether the rollout still goes on.
const LOOK: Duration = Duration::from_secs(2);

/// Whether to wait until a group is as declared.
#[derive(Args)]
pub(super) struct Waiting {
    /// Return when the instances are as declared; fail when the rollout is paused or rolled back
    #[arg(long)]
    pub(super) wait: bool,
    /// The longest time to wait
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m", requires = "wait")]
    pub(super) timeout: Duration,
}

/// How waiting for a group ended.
enum End {
    Converged,
    /// In time, but not as it was committed.
    Failed(String),
    Late(String),
}

impl Waiting {
    /// Wait for all of these groups at these revisions, where that was asked for.
    ///
    /// # Errors
    /// Where one does not converge in time, its rollout is paused, or it went back to an earlier revision.
    pub(super) async fn converged(
        &self,
        globals: &Globals,
        host: &Client,
        targets: &[(&str, u64)],
        deadline: Instant,
    ) -> Result<()> {
        if !self.wait {
            return Ok(());
        }
        let (mut failed, mut late) = (Vec::new(), Vec::new());
        for (id, revision) in targets {
            match one(host, id, *revision, deadline).await? {
                End::Converged if globals.json() => {}
                End::Converged => out::print(&format!("{id} is converged"))?,
                End::Failed(why) => failed.push(format!("{id}: {why}")),
                End::Late(why) => late.push(format!("{id}: {why}")),
            }
        }
        let mut parts = Vec::new();
        if !failed.is_empty() {
            parts.push(format!("{} not rolled out\n  {}", count(failed.len(), "group"), failed.join("\n  ")));
        }
        if !late.is_empty() {
            let (noun, time) = (count(late.len(), "group"), homeostat_core::duration::format(self.timeout));
            let late = late.join("\n  ");
            parts.push(format!("{noun} not converged within {time}; the host goes on trying\n  {late}"));
        }
        if parts.is_empty() { Ok(()) } else { Err(Refused(parts.join("\n")).into()) }
    }
}

async fn one(host: &Client, id: &str, revision: u64, deadline: Instant) -> Result<End, ClientError> {
    loop {
        let converged = host.wait(id, Until::Converged, deadline.min(Instant::now() + LOOK)).await?;
        // A group in full may be 100,000 instances; it is asked for where there is something to find out.
        let groups: Vec<GroupSummary> = host.get("/v1/groups").await?;
        let rollout = groups.into_iter().find(|it| it.id == id).and_then(|it| it.rollout);
        if rollout.is_some_and(|it| may_have_failed(&it)) {
            let view: GroupView = host.get(&at(id, "")).await?;
            if let Some(why) = verdict(&view, revision) {
                return Ok(End::Failed(why));
            }
        }
        if converged {
            return Ok(End::Converged);
        }
        if Instant::now() >= deadline {
            let view: GroupView = host.get(&at(id, "")).await?;
            return Ok(End::Late(why_late(&view, now_ms())));
        }
    }
}

fn may_have_failed(it: &RolloutView) -> bool {
    match it.status {
        RolloutStatus::Paused { .. } | RolloutStatus::RollingBack { .. } => true,
        RolloutStatus::Running | RolloutStatus::Succeeded { .. } => it.kind == RolloutKind::Rollback,
    }
}

/// Why this revision will not be rolled out, where that is certain.
fn verdict(view: &GroupView, revision: u64) -> Option<String> {
    let back = view.revisions.iter().rev().find(|it| it.revision > revision && it.rollback_of.is_some());
    if let Some(back) = back {
        let history = format!("`homeostat events --group {}` shows why", view.summary.id);
        return Some(format!("it went back to an earlier config as revision {}; {history}", back.revision));
    }
    let rollout = view.summary.rollout.as_ref()?;
    // A rollout that a newer commit takes over at this moment is not the one that is waited for.
    let in_force = view.revisions.last().is_none_or(|it| it.revision == rollout.revision);
    match &rollout.status {
        // What an operator stopped, one may let go on.
        RolloutStatus::Paused { why: Pause::Operator, .. } => None,
        RolloutStatus::Paused { why, .. } if in_force => Some(format!(
            "the rollout of revision {} is paused: {}; commit a spec that works, or use `homeostat group resume` or \
             `group rollback`",
            rollout.revision,
            tame(&why.to_string())
        )),
        RolloutStatus::RollingBack { to, why, .. } if in_force => {
            Some(format!("revision {} failed and goes back to {to}: {}", rollout.revision, tame(&why.to_string())))
        }
        _ => None,
    }
}

fn why_late(view: &GroupView, now_ms: u64) -> String {
    match view.waiting.as_slice() {
        [] => tame(&view.summary.status),
        reasons => reasons.iter().map(|it| why::reason(it, now_ms)).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use homeostat_core::time::Timestamp;
    use homeostat_server::view::RevisionView;

    use super::*;
    use crate::render::group::example;

    fn revision(revision: u64, rollback_of: Option<u64>) -> RevisionView {
        RevisionView { revision, hash: "h".into(), at: Timestamp(0), stable: false, rollback_of }
    }

    fn paused(why: Pause) -> GroupView {
        let mut view = example::view();
        let status = RolloutStatus::Paused { why, since: Timestamp(0) };
        view.summary.rollout = Some(example::rollout(4, RolloutKind::Update, status));
        view.revisions = vec![revision(3, None), revision(4, None)];
        view
    }

    fn failures() -> Pause {
        Pause::Failures { failed: 2, total: 5, last: "web-1: it is failed".into() }
    }

    #[test]
    fn a_rollout_that_failed_is_not_waited_for() {
        let why = verdict(&paused(failures()), 4).unwrap();
        assert!(why.starts_with("the rollout of revision 4 is paused: 2 of 5 new instances failed"), "{why}");
    }

    #[test]
    fn what_may_have_failed_is_looked_at_in_full() {
        let rollout = |kind, status| example::rollout(4, kind, status);
        let paused = RolloutStatus::Paused { why: failures(), since: Timestamp(0) };
        let done = || RolloutStatus::Succeeded { at: Timestamp(0) };
        assert!(may_have_failed(&rollout(RolloutKind::Update, paused)));
        assert!(may_have_failed(&rollout(RolloutKind::Rollback, done())));
        assert!(!may_have_failed(&rollout(RolloutKind::Update, RolloutStatus::Running)));
        assert!(!may_have_failed(&rollout(RolloutKind::Create, done())));
    }

    #[test]
    fn a_pause_that_an_operator_asked_for_may_end() {
        assert_eq!(verdict(&paused(Pause::Operator), 4), None);
    }

    #[test]
    fn a_pause_of_the_rollout_before_says_nothing_of_the_commit_that_takes_over() {
        let mut view = paused(failures());
        view.revisions.push(revision(5, None));
        assert_eq!(verdict(&view, 5), None);
    }

    #[test]
    fn a_group_that_went_back_is_converged_and_yet_not_as_committed() {
        let mut view = example::view();
        view.revisions = vec![revision(3, None), revision(4, None), revision(5, Some(4))];
        assert!(verdict(&view, 4).unwrap().starts_with("it went back to an earlier config as revision 5"));
        // The rollback itself is waited for too.
        assert_eq!(verdict(&view, 5), None);
    }
}
