//! Groups as tables.

use homeostat_core::plan::Goal;
use homeostat_server::view::{GroupSummary, GroupView, InstanceView};

use super::table::{fields, table};
use super::{age, cell, count, tame, users_tags};

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
            tame(&it.status),
        ]
    });
    table(["ID", "SIZE", "RUNNING", "HEALTHY", "REVISION", "INSTANCE", "FLAVOR", "STATUS"], rows)
}

/// What `group describe` shows.
pub(crate) fn describe(view: &GroupView, now_ms: u64) -> String {
    let GroupSummary { id, revision, instance_plugin, flavor_plugin, goal, report, status } = &view.summary;
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
    if !view.waiting.is_empty() {
        lines.push(("Waiting", view.waiting.iter().map(|it| tame(it)).collect::<Vec<_>>().join("\n")));
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
            tame(&it.message),
        ]
    });
    let header = ["SLOT", "ID", "LOGICAL", "STATE", "HEALTH", "SPEC", "AGE", "ADDRESSES", "TAGS", "MESSAGE"];
    table(header, rows)
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
