//! What happened, as a line.

use std::time::{Duration, UNIX_EPOCH};

use homeostat_core::ledger::{RolloutKind, Turn};
use homeostat_core::plan::Report;
use homeostat_core::step::{Action, Step};
use homeostat_core::time::Timestamp;
use homeostat_server::event::{Event, What};

use super::{count, tame};

/// Names that are told one by one.
const NAMES: usize = 5;

/// What `events` shows of one: its number, when it was, the group, and what.
pub(crate) fn line(event: &Event) -> String {
    let group = event.group.as_deref().map(|it| tame(it) + ": ").unwrap_or_default();
    format!("{} {} {group}{}", event.seq, time(event.at), what(&event.what))
}

/// A time of day in UTC, as RFC 3339 writes it.
pub(crate) fn time(at: Timestamp) -> String {
    // RFC 3339 ends with the year 9999.
    const LAST: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0.min(LAST))).to_string()
}

/// What happened, in one sentence.
pub(crate) fn what(it: &What) -> String {
    match it {
        What::Committed { revision, plan } => format!("committed revision {revision}: {}", tame(plan)),
        What::StepStarted { step: it } => {
            format!("begins to {} {}: {}", verb(it), tame(it.action.subject()), tame(&it.why))
        }
        What::StepDone { step: it } => step(it, None),
        What::StepFailed { step: it, error } => step(it, Some(&error.message)),
        What::Report { report } => standing(report),
        What::Rollout { turn: it } => turn(it),
        What::Vanished { names } => vanished(names),
        What::Control { text } => tame(text),
        What::Gone => "gone".into(),
        What::PluginLoaded { plugin } => format!("plugin {} loaded", tame(plugin)),
        What::PluginSwapped { plugin, from, to } => {
            let from = from.as_ref().map(|it| format!(" from sha256:{it:.12}")).unwrap_or_default();
            format!("plugin {} swapped{from} to sha256:{to:.12}", tame(plugin))
        }
        What::PluginRefused { plugin, reason } => {
            format!("plugin {} not swapped, the version in use goes on: {}", tame(plugin), tame(reason))
        }
        What::PluginRolledBack { plugin, to, reason } => {
            format!("plugin {} rolled back to sha256:{to:.12}: {}", tame(plugin), tame(reason))
        }
        What::PluginDegraded { plugin, function, reason } => {
            format!("plugin {} degraded, {} is not called for a while: {}", tame(plugin), tame(function), tame(reason))
        }
    }
}

/// A step that was carried out, or was not.
pub(crate) fn step(it: &Step, error: Option<&str>) -> String {
    let subject = tame(it.action.subject());
    match (error, &it.action) {
        (Some(error), _) => format!("could not {} {subject}: {}", verb(it), tame(error)),
        (None, Action::Provision(_)) => format!("provisioned {subject}: {}", tame(&it.why)),
        (None, Action::Destroy(_)) => format!("destroyed {subject}: {}", tame(&it.why)),
        (None, Action::Label(_)) => format!("labelled {subject}: {}", tame(&it.why)),
    }
}

fn verb(step: &Step) -> &'static str {
    match step.action {
        Action::Provision(_) => "provision",
        Action::Destroy(_) => "destroy",
        Action::Label(_) => "label",
    }
}

/// How a group stands.
pub(crate) fn standing(report: &Report) -> String {
    let counts = report.counts;
    let status = match report.waiting.first() {
        _ if report.converged => "converged".into(),
        Some(reason) => tame(&format!("waiting: {reason}")),
        None => "converging".into(),
    };
    format!("{}/{} running, {} healthy: {status}", counts.running, counts.desired, counts.healthy)
}

/// What happened to a rollout.
fn turn(it: &Turn) -> String {
    match it {
        Turn::Started { revision, kind: RolloutKind::Create } => {
            format!("rollout of revision {revision} began: the first")
        }
        Turn::Started { revision, kind: RolloutKind::Update } => format!("rollout of revision {revision} began"),
        Turn::Started { revision, kind: RolloutKind::Rollback } => {
            format!("rollout of revision {revision} began: a rollback")
        }
        Turn::Failed { id: Some(id), how } => format!("rollout: {} failed: {}", tame(id), tame(how)),
        Turn::Failed { id: None, how } => format!("rollout: a new instance failed: {}", tame(how)),
        Turn::CanariesReady => "rollout: all canaries are ready".into(),
        Turn::Promoted => "rollout: the canaries were promoted".into(),
        Turn::Baking { ready } => format!("rollout: rests at a checkpoint, {ready} ready"),
        Turn::Paused { why } => format!("rollout paused: {}", tame(&why.to_string())),
        Turn::Resumed => "rollout resumed".into(),
        Turn::RollingBack { to, why } => {
            format!("rollout failed, going back to revision {to}: {}", tame(&why.to_string()))
        }
        Turn::Succeeded { revision } => format!("rollout of revision {revision} succeeded"),
    }
}

/// Instances that are gone although the host did not destroy them.
fn vanished(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES).map(|it| tame(it)).collect();
    let more = match names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} vanished: {}{more}", count(names.len(), "instance"), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use homeostat_core::ledger::Pause;
    use homeostat_core::outcome::{ErrorCode, PluginError};
    use homeostat_core::plan::{Counts, Reason, Waiting};

    use super::super::plan::example::{destroy, provision};
    use super::*;

    #[test]
    fn every_event_is_one_line_that_a_person_understands() {
        let error =
            PluginError { code: ErrorCode::Internal, message: "no\npower".into(), path: None, retry_after: None };
        let why = || Pause::Failures { failed: 2, total: 5, last: "web-0002-new: it is failed".into() };
        let counts = Counts { desired: 5, running: 4, healthy: 3, ..Counts::default() };
        let waiting = vec![Reason { waiting: Waiting::Incomplete, since: Timestamp(0), next: None }];
        let turns = [
            Turn::Started { revision: 4, kind: RolloutKind::Update },
            Turn::Started { revision: 5, kind: RolloutKind::Rollback },
            Turn::Failed { id: Some("web-0002-new".into()), how: "it is failed".into() },
            Turn::Failed { id: None, how: "it vanished before it was proven".into() },
            Turn::CanariesReady,
            Turn::Promoted,
            Turn::Baking { ready: 3 },
            Turn::Paused { why: why() },
            Turn::Resumed,
            Turn::RollingBack { to: 3, why: why() },
            Turn::Succeeded { revision: 4 },
        ];
        let names = |n: usize| (1..=n).map(|it| format!("web-{it:04}")).collect();
        let mut all = vec![
            What::Committed { revision: 4, plan: "Noop".into() },
            What::StepStarted { step: provision(1, "0 of 5 exist".into()) },
            What::StepDone { step: provision(1, "0 of 5 exist".into()) },
            What::StepFailed { step: destroy(2, "too many".into()), error },
            What::Report { report: Report { converged: false, counts, waiting } },
            What::Report { report: Report { converged: true, counts, waiting: Vec::new() } },
            What::Vanished { names: names(1) },
            What::Vanished { names: names(7) },
            What::Control { text: "Paused the rollout of revision 4".into() },
            What::Gone,
        ];
        all.extend(turns.map(|turn| What::Rollout { turn }));
        let web = |(index, what): (usize, What)| Event {
            seq: 98 + index as u64,
            at: Timestamp(1_700_000_000_000 + index as u64),
            group: Some("web".into()),
            what,
        };
        let mut lines: Vec<String> = all.into_iter().enumerate().map(|it| line(&web(it))).collect();
        let loaded = What::PluginLoaded { plugin: "file".into() };
        lines.push(line(&Event { seq: 1, at: Timestamp(u64::MAX), group: None, what: loaded }));
        expect![[r#"
            98 2023-11-14T22:13:20.000Z web: committed revision 4: Noop
            99 2023-11-14T22:13:20.001Z web: begins to provision web-0001-new: 0 of 5 exist
            100 2023-11-14T22:13:20.002Z web: provisioned web-0001-new: 0 of 5 exist
            101 2023-11-14T22:13:20.003Z web: could not destroy web-0002-old: no power
            102 2023-11-14T22:13:20.004Z web: 4/5 running, 3 healthy: waiting: the provider's list is incomplete, so nothing is created or destroyed until it is whole
            103 2023-11-14T22:13:20.005Z web: 4/5 running, 3 healthy: converged
            104 2023-11-14T22:13:20.006Z web: 1 instance vanished: web-0001
            105 2023-11-14T22:13:20.007Z web: 7 instances vanished: web-0001, web-0002, web-0003, web-0004, web-0005 and 2 more
            106 2023-11-14T22:13:20.008Z web: Paused the rollout of revision 4
            107 2023-11-14T22:13:20.009Z web: gone
            108 2023-11-14T22:13:20.010Z web: rollout of revision 4 began
            109 2023-11-14T22:13:20.011Z web: rollout of revision 5 began: a rollback
            110 2023-11-14T22:13:20.012Z web: rollout: web-0002-new failed: it is failed
            111 2023-11-14T22:13:20.013Z web: rollout: a new instance failed: it vanished before it was proven
            112 2023-11-14T22:13:20.014Z web: rollout: all canaries are ready
            113 2023-11-14T22:13:20.015Z web: rollout: the canaries were promoted
            114 2023-11-14T22:13:20.016Z web: rollout: rests at a checkpoint, 3 ready
            115 2023-11-14T22:13:20.017Z web: rollout paused: 2 of 5 new instances failed, last web-0002-new: it is failed
            116 2023-11-14T22:13:20.018Z web: rollout resumed
            117 2023-11-14T22:13:20.019Z web: rollout failed, going back to revision 3: 2 of 5 new instances failed, last web-0002-new: it is failed
            118 2023-11-14T22:13:20.020Z web: rollout of revision 4 succeeded
            1 9999-12-31T23:59:59.999Z plugin file loaded"#]].assert_eq(&lines.join("\n"));
    }
}
