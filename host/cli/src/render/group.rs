//! Groups as tables.

use homeostat_core::plan::Goal;
use homeostat_server::view::{GroupSummary, GroupView, InstanceView};

use super::table::{fields, table};
use super::{age, cell, count, rollout, tame, users_tags, why};

/// What `group ls` shows.
pub(crate) fn list(groups: &[GroupSummary]) -> String {
    let rows = groups.iter().map(|it| {
        let counts = it.report.counts;
        let desired = if it.goal == Goal::Destroy { 0 } else { counts.desired };
        [
            it.id.clone(),
            desired.to_string(),
            counts.running.to_string(),
            counts.healthy.to_string(),
            it.revision.to_string(),
            tame(&it.instance_plugin),
            tame(&it.flavor_plugin),
            status(it),
        ]
    });
    table(["ID", "SIZE", "RUNNING", "HEALTHY", "REVISION", "INSTANCE", "FLAVOR", "STATUS"], rows)
}

/// How a group stands, and its rollout where one is under way.
pub(crate) fn status(it: &GroupSummary) -> String {
    let status = tame(&it.status);
    match it.rollout.as_ref().and_then(rollout::short) {
        // The reason to wait says it already, and more.
        Some(_) if status.contains("is paused") || status.contains("goes back") => status,
        Some(rollout) => format!("{rollout}; {status}"),
        None => status,
    }
}

/// What `group describe` shows.
pub(crate) fn describe(view: &GroupView, now_ms: u64) -> String {
    let GroupSummary { id, revision, instance_plugin, flavor_plugin, goal, report, status, rollout } = &view.summary;
    let counts = report.counts;
    let mut lines = vec![
        ("ID", id.clone()),
        ("Status", tame(status)),
        ("Goal", if *goal == Goal::Keep { "keep".into() } else { "destroy".into() }),
        ("Instances", format!("{} declared, {} listed, {} running", counts.desired, counts.actual, counts.running)),
        ("Health", format!("{} healthy, {} unhealthy", counts.healthy, counts.unhealthy)),
        ("Out of date", counts.outdated.to_string()),
        ("Under way", under_way(view)),
        ("Instance plugin", tame(instance_plugin)),
        ("Flavor plugin", tame(flavor_plugin)),
        ("Spec", format!("revision {revision}, config hash {}", view.config_hash)),
        ("Listed", view.observed_at.map_or("not yet".into(), |at| format!("{} ago", age(Some(at.0), now_ms)))),
    ];
    if !view.revisions.is_empty() {
        lines.push(("Revisions", rollout::revisions(&view.revisions, now_ms)));
    }
    if let Some(rollout) = rollout {
        lines.push(("Rollout", rollout::full(rollout, now_ms)));
    }
    if !view.retries.is_empty() {
        lines.push(("Healed", rollout::retries(&view.retries, now_ms)));
    }
    if !view.waiting.is_empty() {
        let reasons = view.waiting.iter().map(|it| why::reason(it, now_ms));
        lines.push(("Waiting", reasons.collect::<Vec<_>>().join("\n")));
    }
    if !view.findings.is_empty() {
        let finding = view.findings.iter().map(|it| format!("{}: {}", tame(&it.subject), tame(&it.message)));
        lines.push(("Not counted", finding.collect::<Vec<_>>().join("\n")));
    }
    let mut text = fields(lines);
    if !view.instances.is_empty() {
        text.push_str("\n\n");
        text.push_str(&instances(&view.instances, now_ms));
    }
    text
}

fn under_way(view: &GroupView) -> String {
    let counts = view.summary.report.counts;
    let mut text = format!("{} being made, {} being destroyed", counts.creating, counts.removing);
    if view.progress.total > 0 {
        let progress = view.progress;
        text.push_str(&format!(" ({} of {} done)", progress.done, count(progress.total, "step")));
    }
    text
}

/// Instances of a group.
pub(crate) fn instances(instances: &[InstanceView], now_ms: u64) -> String {
    let rows = instances.iter().map(|it| {
        [
            it.slot.map_or_else(|| super::NOTHING.into(), |slot| slot.to_string()),
            cell(id(it)),
            cell(it.logical_id.as_deref().unwrap_or_default()),
            life(it).into(),
            it.health.name().into(),
            if it.current { "current".into() } else { "outdated".into() },
            age(it.created_at.map(|at| at.0), now_ms),
            cell(&it.addresses.join(",")),
            users_tags(&it.tags),
            message(it),
        ]
    });
    let header = ["SLOT", "ID", "LOGICAL", "STATE", "HEALTH", "SPEC", "AGE", "ADDRESSES", "TAGS", "MESSAGE"];
    table(header, rows)
}

/// What is to be said of an instance beside its state.
pub(crate) fn message(it: &InstanceView) -> String {
    match (it.protected, it.message.as_str()) {
        (false, message) => tame(message),
        (true, "") => "protected".into(),
        (true, message) => format!("protected; {}", tame(message)),
    }
}

/// The provider's id of an instance, or else its name: it is being made.
pub(crate) fn id(it: &InstanceView) -> &str {
    if it.id.is_empty() { &it.name } else { &it.id }
}

/// Where an instance is in its life, in one word.
pub(crate) fn life(it: &InstanceView) -> &'static str {
    match it {
        _ if it.removing => "removing",
        _ if it.id.is_empty() => "creating",
        _ => it.state.name(),
    }
}

/// Groups for tests.
#[cfg(test)]
pub(crate) mod example {
    use homeostat_core::ledger::{RolloutKind, RolloutStatus};
    use homeostat_core::observed::{Health, InstanceState};
    use homeostat_core::plan::{Counts, Report};
    use homeostat_core::time::Timestamp;
    use homeostat_server::view::{Progress, RolloutView};

    use super::*;

    /// A group of so many running instances; the others are missing.
    pub(crate) fn summary(id: &str, desired: usize, running: usize) -> GroupSummary {
        let counts = Counts { desired, actual: running, running, healthy: running, ..Counts::default() };
        let converged = desired == running;
        GroupSummary {
            id: id.into(),
            revision: 1,
            instance_plugin: "file".into(),
            flavor_plugin: "vanilla".into(),
            goal: Goal::Keep,
            report: Report { converged, counts, waiting: Vec::new() },
            status: if converged { "converged".into() } else { "converging".into() },
            rollout: None,
        }
    }

    /// The same in full: the missing ones are being made.
    pub(crate) fn group(id: &str, desired: usize, running: usize) -> GroupView {
        let progress = Progress { total: desired, done: running, running: 1 };
        GroupView {
            summary: summary(id, desired, running),
            config_hash: "hash".into(),
            observed_at: None,
            waiting: Vec::new(),
            revisions: Vec::new(),
            retries: Vec::new(),
            instances: (1..=desired).map(|slot| instance(id, slot, slot <= running)).collect(),
            progress: if desired == running { Progress::default() } else { progress },
            findings: Vec::new(),
        }
    }

    fn instance(group: &str, slot: usize, runs: bool) -> InstanceView {
        InstanceView {
            id: if runs { format!("{group}-{slot:04}") } else { String::new() },
            name: format!("{group}-{slot:04}"),
            slot: u32::try_from(slot).ok(),
            logical_id: None,
            state: if runs { InstanceState::Running } else { InstanceState::Pending },
            health: if runs { Health::Healthy } else { Health::Unknown },
            message: if runs { String::new() } else { "being made".into() },
            current: true,
            removing: false,
            protected: false,
            created_at: None,
            addresses: Vec::new(),
            tags: Default::default(),
        }
    }

    /// A group of three, of which two run.
    pub(crate) fn view() -> GroupView {
        group("web", 3, 2)
    }

    /// A rollout of five instances that began at 0.
    pub(crate) fn rollout(revision: u64, kind: RolloutKind, status: RolloutStatus) -> RolloutView {
        RolloutView {
            revision,
            kind,
            status,
            text: format!("revision {revision} is being rolled out"),
            since: Timestamp(0),
            total: 5,
            ready: 3,
            failed: 0,
            last_failure: String::new(),
            deadline: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use homeostat_core::ledger::{Pause, RolloutKind, RolloutStatus};
    use homeostat_core::time::Timestamp;
    use homeostat_server::view::{RetryView, RevisionView, Why};

    use super::*;

    fn paused() -> GroupView {
        let mut view = example::view();
        let why = Pause::Failures { failed: 2, total: 5, last: "web-0002: it is failed".into() };
        let status = RolloutStatus::Paused { why, since: Timestamp(60_000) };
        let mut rollout = example::rollout(4, RolloutKind::Update, status);
        rollout.text = "paused: 2 of 5 new instances failed".into();
        (rollout.failed, rollout.last_failure) = (2, "web-0002: it is failed".into());
        view.summary.rollout = Some(rollout);
        view.summary.revision = 4;
        view
    }

    #[test]
    fn describe_answers_what_how_and_why() {
        let mut view = paused();
        let revision = |revision, stable| RevisionView {
            revision,
            hash: "h".into(),
            at: Timestamp(revision * 10_000),
            stable,
            rollback_of: None,
        };
        view.observed_at = Some(Timestamp(238_000));
        view.revisions = vec![revision(1, true), revision(4, false)];
        view.retries = vec![RetryView { slot: "2".into(), failures: 3, last: Timestamp(220_000) }];
        view.waiting = vec![
            Why { text: "the rollout of revision 4 is paused".into(), since: Some(Timestamp(60_000)), next: None },
            Why {
                text: "to provision failed (3 in a row), waiting before the next attempt: no room".into(),
                since: Some(Timestamp(200_000)),
                next: Some(Timestamp(260_000)),
            },
        ];
        view.instances[0].protected = true;
        view.instances[1].current = false;
        view.instances[2].protected = true;
        expect![[r#"
            ID:               web
            Status:           converging
            Goal:             keep
            Instances:        3 declared, 2 listed, 2 running
            Health:           2 healthy, 0 unhealthy
            Out of date:      0
            Under way:        0 being made, 0 being destroyed (2 of 3 steps done)
            Instance plugin:  file
            Flavor plugin:    vanilla
            Spec:             revision 4, config hash hash
            Listed:           2s ago
            Revisions:        1 (3m ago, stable), 4 (3m ago, in force)
            Rollout:          paused: 2 of 5 new instances failed (since 3m)
            Healed:           slot 2 replaced 3 times in a row, last 20s ago
            Waiting:          the rollout of revision 4 is paused (since 3m)
                              to provision failed (3 in a row), waiting before the next attempt: no room (since 40s, next in 20s)

            SLOT  ID        LOGICAL  STATE     HEALTH   SPEC      AGE  ADDRESSES  TAGS  MESSAGE
            1     web-0001  -        running   healthy  current   -    -          -     protected
            2     web-0002  -        running   healthy  outdated  -    -          -
            3     web-0003  -        creating  unknown  current   -    -          -     protected; being made"#]].assert_eq(&describe(&view, 240_000));
    }

    #[test]
    fn the_list_shows_rollouts_in_the_status() {
        let mut waits = paused().summary;
        waits.status = "waiting: the rollout of revision 4 is paused with 1 out of date".into();
        let mut rolls = example::summary("api", 5, 4);
        rolls.rollout = Some(example::rollout(7, RolloutKind::Update, RolloutStatus::Running));
        let groups = [paused().summary, waits, rolls, example::summary("db", 2, 2)];
        expect![[r#"
            ID   SIZE  RUNNING  HEALTHY  REVISION  INSTANCE  FLAVOR   STATUS
            web  3     2        2        4         file      vanilla  rollout of revision 4 paused; converging
            web  3     2        2        4         file      vanilla  waiting: the rollout of revision 4 is paused with 1 out of date
            api  5     4        4        1         file      vanilla  rolling out revision 7, 3/5 ready; converging
            db   2     2        2        1         file      vanilla  converged"#]]
        .assert_eq(&list(&groups));
    }
}
