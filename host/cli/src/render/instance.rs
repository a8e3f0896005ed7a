//! What plugins answer when they are called by hand.

use homeostat_core::observed::{HealthReport, Instance};

use super::table::table;
use super::{NOTHING, age, cell, tags};

/// What `instance list` shows.
pub(crate) fn list(instances: &[Instance], properties: bool, now_ms: u64) -> String {
    let row = |it: &Instance| {
        [
            cell(&it.id),
            cell(&it.name),
            cell(it.logical_id().unwrap_or_default()),
            it.state.name().into(),
            age(it.created_at_ms, now_ms),
            cell(&it.addresses.join(",")),
            tags(it.tags.iter()),
        ]
    };
    let header = ["ID", "NAME", "LOGICAL", "STATE", "AGE", "ADDRESSES", "TAGS"];
    if !properties {
        return table(header, instances.iter().map(row));
    }
    let [a, b, c, d, e, f, g] = header;
    let rows = instances.iter().map(|it| {
        let [a, b, c, d, e, f, g] = row(it);
        let properties = it.properties.as_ref().map_or_else(|| NOTHING.into(), |it| cell(&it.to_string()));
        [a, b, c, d, e, f, g, properties]
    });
    table([a, b, c, d, e, f, g, "PROPERTIES"], rows)
}

/// What `flavor health` shows: a report for each instance, in their order.
pub(crate) fn reports(instances: &[Instance], reports: &[HealthReport]) -> String {
    let rows = instances
        .iter()
        .zip(reports)
        .map(|(instance, report)| [cell(&instance.id), report.status.name().into(), cell(&report.message)]);
    table(["ID", "HEALTH", "MESSAGE"], rows)
}
