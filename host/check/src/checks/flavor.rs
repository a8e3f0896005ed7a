//! What a flavor prepares, judges, drains and orders.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use homeostat_core::observed::{Health, Instance, InstanceState};
use homeostat_core::spec::{Allocation, Attachment, InstanceSpec};
use homeostat_core::tags;
use serde_json::json;

use crate::kit::Kit;
use crate::outcome::{Checked, Expect, Stop, fail, skip};

/// A member of the instance's properties that no flavor knows.
const UNKNOWN: &str = "HomeostatCheckUnknown";

/// Instances judged in one call, as a host asks for them.
const JUDGED: usize = 1000;

/// The group that the flavor is asked about.
const GROUP: &str = "check";

/// The identity of a place in the group, where it has any.
fn logical_id(kit: &Kit) -> Option<String> {
    match &kit.samples.allocation {
        Allocation::LogicalIds(ids) => ids.first().cloned(),
        Allocation::Size(_) => None,
    }
}

/// A spec as the host hands it to `prepare`.
pub(super) fn spec(kit: &Kit) -> InstanceSpec {
    let mut own = kit.tags(&[("check.user", "kept"), ("check.empty", ""), (tags::SLOT, "1"), (tags::GROUP, GROUP)]);
    own.extend(logical_id(kit).map(|id| (tags::LOGICAL_ID.to_owned(), id)));
    InstanceSpec {
        properties: json!({ UNKNOWN: {"deep": [1, 2.5, "x", null, {"a": true}]}, "Size": "small" }),
        tags: own,
        init: String::new(),
        logical_id: logical_id(kit),
        attachments: Vec::new(),
    }
}

/// A running instance of the group.
pub(super) fn instance(kit: &Kit, what: &str) -> Instance {
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    Instance {
        id: kit.name(what),
        name: kit.name(what),
        logical_id: logical_id(kit),
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: created.and_then(|it| u64::try_from(it.as_millis()).ok()),
        addresses: vec!["192.0.2.1".into(), "2001:db8::1".into()],
        tags: spec(kit).tags,
        properties: None,
    }
}

/// Have the sample prepared for the first place of the group.
pub(super) async fn prepared(kit: &Kit, spec: &InstanceSpec) -> Result<InstanceSpec, Stop> {
    let plugin = kit.flavor()?;
    let (properties, allocation) = (kit.samples.sample(), &kit.samples.allocation);
    plugin.prepare(properties, spec, allocation, GROUP, 1).await.expect_call("prepare answers with a spec")
}

pub(super) async fn prepares_the_same(kit: &Kit) -> Checked {
    let plain = spec(kit);
    let with_more = InstanceSpec {
        init: "#!/bin/sh\necho given\n".into(),
        attachments: vec![Attachment { id: "check-volume".into(), kind: "check".into() }],
        ..plain.clone()
    };
    for given in [&plain, &with_more] {
        let first = prepared(kit, given).await?;
        for _ in 1..kit.repeat().max(3) {
            let again = prepared(kit, given).await?;
            if first != again {
                let text = |it| serde_json::to_string(it).unwrap_or_default();
                return fail(text(&first), text(&again));
            }
        }
        let unknown = &given.properties[UNKNOWN];
        if first.properties.get(UNKNOWN) != Some(unknown) {
            let expected = format!("the member {UNKNOWN:?} of the instance's properties is kept: {unknown}");
            return fail(expected, first.properties.to_string());
        }
        if !first.init.contains(given.init.trim_end()) {
            return fail(
                format!("the init script that is given is kept: {:?}", given.init),
                format!("{:?}", first.init),
            );
        }
        if let Some(lost) = given.attachments.iter().find(|it| !first.attachments.contains(it)) {
            return fail(format!("the attachment {:?} is kept", lost.id), format!("{:?}", first.attachments));
        }
    }
    Ok(format!("{}x", kit.repeat().max(3)))
}

pub(super) async fn keeps_tags(kit: &Kit) -> Checked {
    let given = spec(kit);
    let prepared = prepared(kit, &given).await?;
    for (key, value) in &given.tags {
        match prepared.tags.get(key) {
            Some(found) if found == value => {}
            found => return fail(format!("the tag {key:?} is kept as {value:?}"), format!("{found:?}")),
        }
    }
    Ok(format!("{} tags", given.tags.len()))
}

pub(super) async fn judges(kit: &Kit) -> Checked {
    let plugin = kit.flavor()?;
    let properties = kit.samples.sample();
    let all = [
        InstanceState::Running,
        InstanceState::Pending,
        InstanceState::Stopping,
        InstanceState::Stopped,
        InstanceState::Failed,
    ];
    let mut instances: Vec<_> = all.iter().map(|state| Instance { state: *state, ..instance(kit, "judged") }).collect();
    // One that nobody made, and of which little is known.
    let missing = Instance { tags: Default::default(), addresses: vec![], ..instance(kit, "missing") };
    instances.push(Instance { created_at_ms: None, logical_id: None, ..missing });
    let expected = "health answers with a report for each instance";
    let reports = plugin.health(properties, &instances).await.expect_call(expected)?;
    if reports.len() != instances.len() {
        return fail(format!("{} reports", instances.len()), reports.len().to_string());
    }
    for (instance, report) in instances.iter().zip(&reports) {
        let down = matches!(instance.state, InstanceState::Stopped | InstanceState::Failed);
        if down && report.status == Health::Healthy {
            let state = instance.state.name();
            return fail(format!("an instance that is {state} is unhealthy, or unknown"), "healthy");
        }
    }
    let none = plugin.health(properties, &[]).await.expect_call("no instances give no reports")?;
    if !none.is_empty() {
        return fail("no reports for no instances", none.len().to_string());
    }
    let many: Vec<_> = (0..JUDGED).map(|_| instance(kit, "judged")).collect();
    let reports = plugin.health(properties, &many).await.expect_call(expected)?;
    if reports.len() != JUDGED {
        return fail(format!("{JUDGED} reports"), reports.len().to_string());
    }
    Ok(format!("{} instances", instances.len() + JUDGED))
}

pub(super) async fn drains_twice(kit: &Kit) -> Checked {
    let plugin = kit.flavor()?;
    let instance = instance(kit, "drained");
    let properties = kit.samples.sample();
    let begun = Instant::now();
    plugin.drain(properties, &instance).await.expect_call("an instance is drained")?;
    let took = begun.elapsed();
    for _ in 1..kit.repeat().max(2) {
        plugin.drain(properties, &instance).await.expect_call("draining again succeeds")?;
    }
    // What is down has nothing left to do.
    let stopped = Instance { state: InstanceState::Stopped, ..instance };
    plugin.drain(properties, &stopped).await.expect_call("draining what is stopped succeeds")?;
    Ok(format!("{}x, the first took {} ms", kit.repeat().max(2), took.as_millis()))
}

pub(super) async fn orders(kit: &Kit) -> Checked {
    if !kit.info.exports.iter().any(|it| it.starts_with("homeostat:plugin/removal@")) {
        return skip("removal not exported");
    }
    let plugin = kit.flavor()?;
    let properties = kit.samples.sample();
    let instances: Vec<_> = (0..5).map(|_| instance(kit, "ordered")).collect();
    let given: BTreeSet<_> = instances.iter().map(|it| it.id.as_str()).collect();
    let expected = "order answers with ids that were given, each once";
    let first = plugin.removal_order(properties, &instances).await.expect_call(expected)?;
    let named: BTreeSet<_> = first.iter().map(String::as_str).collect();
    if named.len() != first.len() || !named.is_subset(&given) {
        return fail(expected, first.join(", "));
    }
    for few in [&instances[..0], &instances[..1]] {
        plugin.removal_order(properties, few).await.expect_call(format!("order of {} instances", few.len()))?;
    }
    Ok(format!("{} of {} ranked", first.len(), instances.len()))
}
