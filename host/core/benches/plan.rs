//! How fast a group is looked at and planned when nothing changes, and when a little does.
//!
//! Each figure is the best of several runs, in one process: the machine's own noise only ever adds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use homeostat_core::ledger::Ledger;
use homeostat_core::machine::{Machine, Setting};
use homeostat_core::observed::{Health, HealthReport, Instance, InstanceState, Observation};
use homeostat_core::record::GroupRecord;
use homeostat_core::spec::{Allocation, GroupProperties, GroupSpec, PluginUse};
use homeostat_core::tags::{self, Tags};
use homeostat_core::time::Timestamp;

const RUNS: usize = 7;

fn record(size: u32) -> GroupRecord {
    let plugin = |plugin: &str| PluginUse { plugin: plugin.into(), digest: None, properties: serde_json::Value::Null };
    let properties = GroupProperties {
        allocation: Allocation::Size(size),
        instance: plugin("instance"),
        flavor: plugin("flavor"),
        updating: Default::default(),
        healing: Default::default(),
        removal: Default::default(),
    };
    GroupRecord::new(GroupSpec { id: "web".into(), properties }, Timestamp(0))
}

fn observation(size: u32, hash: &str) -> Observation {
    let instance = |slot: u32| {
        let mut tags = Tags::new();
        tags.insert(tags::GROUP.into(), "web".into());
        tags.insert(tags::CONFIG_HASH.into(), hash.into());
        tags.insert(tags::SLOT.into(), slot.to_string());
        let name = format!("web-{slot}-0123456789");
        Instance {
            id: name.clone(),
            name,
            logical_id: None,
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: Some(1),
            addresses: Vec::new(),
            tags,
            properties: None,
        }
    };
    Observation { instances: (1..=size).map(instance).collect(), complete: true, ..Observation::default() }
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|it| it == "--test");
    let sizes: &[u32] = if quick { &[1_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    println!("{:>12} {:>14} {:>16} {:>14} {:>14}", "instances", "no change", "a second", "1% vanished", "with health");
    for &size in sizes {
        let record = Arc::new(record(size));
        let setting = Setting { parallel: 128, ..Setting::default() };
        let mut machine = Machine::new(Arc::clone(&record), Ledger::default(), setting, false, Timestamp(0));
        let whole = observation(size, &record.config().hash);
        let healthy = HealthReport { status: Health::Healthy, message: String::new() };
        let reports: Vec<_> = whole.instances.iter().map(|it| (it.id.clone(), healthy.clone())).collect();
        let mut now = 1_000;
        // Wholly rolled out and stable.
        for _ in 0..3 {
            now += 10_000;
            machine.observed(Observation { started: Timestamp(now), ..whole.clone() }, Timestamp(now), 1);
            machine.judged(&reports, Timestamp(now), Timestamp(now), 1);
        }
        assert!(machine.report().converged, "{:?}", machine.report());
        let mut best = [Duration::MAX; 3];
        for _ in 0..RUNS {
            now += 10_000;
            let seen = Observation { started: Timestamp(now), ..whole.clone() };
            // The picture that a host publishes holds the list before; it is not planning that lets go of it.
            let before = machine.observation().cloned();
            let began = Instant::now();
            machine.observed(seen, Timestamp(now), 1);
            best[0] = best[0].min(began.elapsed());
            drop(before);
            assert!(machine.report().converged);
            let began = Instant::now();
            machine.judged(&reports, Timestamp(now), Timestamp(now), 1);
            best[2] = best[2].min(began.elapsed());
            now += 10_000;
            let mut fewer = Observation { started: Timestamp(now), ..whole.clone() };
            let mut index = 0;
            fewer.instances.retain(|_| {
                index += 1;
                index % 100 != 0
            });
            let began = Instant::now();
            machine.observed(fewer, Timestamp(now), 1);
            best[1] = best[1].min(began.elapsed());
            assert_eq!(machine.executor().queued().count(), (size / 100) as usize);
            now += 10_000;
            machine.observed(Observation { started: Timestamp(now), ..whole.clone() }, Timestamp(now), 1);
            machine.judged(&reports, Timestamp(now), Timestamp(now), 1);
        }
        let rate = f64::from(size) / best[0].as_secs_f64() / 1e6;
        println!("{size:>12} {:>14.2?} {rate:>14.1} M {:>14.2?} {:>14.2?}", best[0], best[1], best[2]);
    }
}
