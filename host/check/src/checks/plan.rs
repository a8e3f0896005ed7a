//! The host's own planner, on what the plugin lists.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use homeostat_core::execute::Outcome;
use homeostat_core::ledger::Ledger;
use homeostat_core::machine::{Machine, Setting};
use homeostat_core::observed::{Health, HealthReport, Observation};
use homeostat_core::record::GroupRecord;
use homeostat_core::spec::{Allocation, GroupProperties, GroupSpec, InstanceSpec, PluginUse};
use homeostat_core::step::Action;
use homeostat_core::tags;
use homeostat_core::time::Timestamp;
use serde_json::Value;

use crate::NAME;
use crate::kit::Kit;
use crate::outcome::{Checked, Expect, Stop, fail};

/// Instances of the group.
const SIZE: u32 = 2;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A group as a host keeps it, with the plugin and no flavor.
pub(super) async fn is_empty(kit: &Kit) -> Checked {
    let used = |plugin: &str, properties: Value| PluginUse { plugin: plugin.into(), digest: None, properties };
    let group = format!("check-{}", kit.run);
    let spec = GroupSpec {
        id: group.clone(),
        properties: GroupProperties {
            allocation: Allocation::Size(SIZE),
            instance: used(NAME, kit.samples.sample().clone()),
            flavor: used("none", Value::Null),
            updating: Default::default(),
            healing: Default::default(),
            removal: Default::default(),
        },
    };
    let setting = Setting { parallel: SIZE as usize, host: None, list_lag: kit.options.config.limits.list_lag };
    // The names that it draws are the same in each run with a tape.
    let mut draw = Rng::with_seed(kit.run.bytes().fold(0, |seed, it| seed.wrapping_mul(31).wrapping_add(it.into())));
    let record = Arc::new(GroupRecord::new(spec, now()));
    let mut machine = Machine::new(record, Ledger::default(), setting, false, now());
    look(kit, &mut machine, &group, &mut draw).await?;
    let mut made = 0;
    while let Some(step) = machine.start(now()) {
        let Action::Provision(it) = &step.action else {
            return fail("a new group begins with making its instances", step.why);
        };
        // The run's tag is beside the group's, so that what is made here is found again.
        let tags = it.tags.iter().map(|(key, value)| (key.clone(), value.clone())).chain(kit.tags(&[])).collect();
        let spec = InstanceSpec { tags, ..kit.spec() };
        kit.provision(&it.name, &spec).await.expect_call("the group's instances are made")?;
        machine.finish(&step, &Outcome::Done, now(), draw.u64(..));
        made += 1;
    }
    if made != SIZE {
        return fail(format!("the plan of a new group makes {SIZE} instances"), format!("it makes {made}"));
    }
    tokio::time::sleep(kit.options.config.limits.list_lag).await;
    let looks = kit.repeat().clamp(2, 5);
    for _ in 0..looks {
        look(kit, &mut machine, &group, &mut draw).await?;
        let steps: Vec<_> =
            machine.executor().queued().map(|it| format!("{} ({})", verb(&it.action), it.why)).collect();
        if !steps.is_empty() {
            return fail("nothing is left to do", steps.join("; "));
        }
        // The clock has to move between two looks.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(format!("{looks} looks"))
}

fn verb(action: &Action) -> String {
    format!("{} {}", action.work(), action.subject())
}

/// List the group, judge all that runs as healthy, and plan.
async fn look(kit: &Kit, machine: &mut Machine, group: &str, draw: &mut Rng) -> Result<(), Stop> {
    let started = now();
    let listing = kit.list(&tags::of_group(group), false).await.expect_call("the group's instances are listed")?;
    let healthy = HealthReport { status: Health::Healthy, message: String::new() };
    let reports: Vec<_> = listing.instances.iter().map(|it| (it.id.clone(), healthy.clone())).collect();
    let observation = Observation {
        started,
        instances: listing.instances,
        complete: listing.complete,
        findings: listing.findings,
        ranking: None,
    };
    machine.observed(observation, now(), draw.u64(..));
    machine.judged(&reports, started, now(), draw.u64(..));
    Ok(())
}
