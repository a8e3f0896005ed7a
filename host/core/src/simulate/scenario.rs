//! What a seed is about: which groups there are, what is committed, and how instances of each config do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::fault::{Fault, Faults};
use super::random::Random;
use crate::hash::config_hash;
use crate::spec::{
    Allocation, Amount, GroupProperties, GroupSpec, Healing, OnFailure, PetStart, PluginUse, Ratio, Removal, RollOrder,
    SkipStep, Updating, VictimOrder,
};

/// How the instances of a config do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// Healthy within so many milliseconds.
    Good(u64),
    /// Never healthy.
    Broken,
    /// Never to be told.
    Mute,
    /// Healthy for so many milliseconds, and then it stops.
    Crashing(u64),
    /// Healthy for so many milliseconds, and then unhealthy.
    Sickly(u64),
    /// Healthy and unhealthy in turns of so many milliseconds.
    Flapping(u64),
    /// The provider refuses to make it.
    Unmakeable,
}

impl Quality {
    /// Whether a group of such instances comes to rest, all healthy.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::Good(_))
    }

    /// Whether they do well for a while, and then do not.
    pub(super) fn is_erratic(self) -> bool {
        matches!(self, Self::Crashing(_) | Self::Sickly(_) | Self::Flapping(_))
    }
}

/// What makes specs.
#[derive(Clone, Debug, Default)]
pub(super) struct Scenario {
    qualities: BTreeMap<String, Quality>,
    configs: u64,
}

const SECOND: u64 = 1000;

fn millis(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

impl Scenario {
    pub(super) fn quality(&self, hash: &str) -> Quality {
        self.qualities.get(hash).copied().unwrap_or(Quality::Good(0))
    }

    /// The first spec of a group.
    pub(super) fn first(&mut self, id: &str, faults: &mut Faults, random: &mut Random) -> GroupSpec {
        let pets = random.permille(350);
        let size = random_size(random, if pets { 5 } else { 9 });
        let allocation = match pets {
            true => Allocation::LogicalIds(identities(random, size)),
            false => Allocation::Size(size as u32),
        };
        let mut spec = GroupSpec {
            id: id.into(),
            properties: GroupProperties {
                allocation,
                instance: PluginUse { plugin: "simulated".into(), digest: None, properties: json!({}) },
                flavor: PluginUse { plugin: "simulated".into(), digest: None, properties: json!({}) },
                updating: updating(random),
                healing: healing(random),
                removal: removal(random),
            },
        };
        self.configure(&mut spec, faults, random, false);
        spec
    }

    /// Give the spec a config that was never there.
    pub(super) fn configure(&mut self, spec: &mut GroupSpec, faults: &mut Faults, random: &mut Random, good: bool) {
        self.configs += 1;
        spec.properties.flavor.properties = json!({ "Config": self.configs });
        let hash = config_hash(&spec.properties.instance, &spec.properties.flavor);
        let interval = spec.properties.healing.interval().as_millis() as u64;
        let quality = if good || !faults.may(Fault::BadConfig) || random.permille(450) {
            match faults.may(Fault::SlowStart) && random.permille(400) {
                true => Quality::Good(random.between(5, 90) * SECOND),
                false => Quality::Good(random.below(3 * SECOND)),
            }
        } else {
            match random.below(7) {
                0 | 1 => Quality::Broken,
                2 => Quality::Mute,
                3 => Quality::Crashing(random.between(1, 300) * SECOND),
                4 => Quality::Sickly(random.between(1, 200) * SECOND),
                5 if faults.may(Fault::Flapping) => {
                    let half = random.pick(&[interval, interval / 2, interval * 2]);
                    Quality::Flapping(half.max(500))
                }
                6 if faults.may(Fault::Unmakeable) => Quality::Unmakeable,
                _ => Quality::Broken,
            }
        };
        if !quality.is_good() {
            faults.note(Fault::BadConfig);
        }
        if matches!(quality, Quality::Flapping(_)) {
            faults.note(Fault::Flapping);
        }
        self.qualities.insert(hash, quality);
    }

    /// The spec after an operator's change.
    pub(super) fn change(&mut self, spec: &GroupSpec, faults: &mut Faults, random: &mut Random) -> GroupSpec {
        let mut spec = spec.clone();
        let kind = random.below(10);
        if matches!(kind, 0..=3 | 8) {
            resize(&mut spec, random);
        }
        if matches!(kind, 3..=6 | 9) {
            self.configure(&mut spec, faults, random, false);
        }
        if matches!(kind, 7..=9) {
            match random.below(3) {
                0 => spec.properties.updating = updating(random),
                1 => spec.properties.healing = healing(random),
                _ => spec.properties.removal = removal(random),
            }
        }
        spec
    }
}

fn random_size(random: &mut Random, most: u64) -> usize {
    match random.once_in(25) {
        true => 0,
        false => random.between(1, most) as usize,
    }
}

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn identities(random: &mut Random, count: usize) -> Vec<String> {
    let mut names = NAMES;
    random.shuffle(&mut names);
    names[..count.min(NAMES.len())].iter().map(|it| (*it).to_owned()).collect()
}

fn resize(spec: &mut GroupSpec, random: &mut Random) {
    match &mut spec.properties.allocation {
        Allocation::Size(size) => *size = random_size(random, 9) as u32,
        Allocation::LogicalIds(ids) => {
            if !ids.is_empty() && random.permille(500) {
                ids.remove(random.index(ids.len()));
            }
            let more: Vec<&str> = NAMES.into_iter().filter(|name| !ids.iter().any(|it| it == name)).collect();
            if ids.len() < 6 && !more.is_empty() && random.permille(600) {
                ids.push(random.pick(&more).to_owned());
            }
        }
    }
}

fn amount(random: &mut Random) -> Option<Amount> {
    match random.below(4) {
        0 => Some(Amount::Count(random.between(1, 3) as u32)),
        1 => Some(Amount::Percent(random.pick(&[10, 25, 34, 50, 100]))),
        _ => None,
    }
}

fn updating(random: &mut Random) -> Updating {
    let mut it = Updating::default();
    if random.permille(200) {
        return it;
    }
    it.max_unavailable = amount(random);
    it.max_surge = amount(random);
    it.order = random.pick(&[None, None, None, Some(RollOrder::StartFirst), Some(RollOrder::StopFirst)]);
    match it.order {
        // The reader of documents refuses what contradicts itself.
        Some(RollOrder::StartFirst) => it.max_unavailable = None,
        Some(RollOrder::StopFirst) => it.max_surge = None,
        None => {}
    }
    if random.permille(300) {
        it.min_ready = millis(random.between(1, 40) * SECOND);
    }
    if random.permille(200) {
        it.duration = millis(random.between(1, 30) * SECOND);
    }
    if random.permille(200) {
        it.count = Some(random.between(1, 4) as u32);
    }
    if random.permille(150) {
        it.skip_before_instance_destroy = Some(SkipStep::Drain);
    }
    // Policies must leave a slow instance its time.
    it.healthy_deadline = random.pick(&[None, millis(180 * SECOND), millis(240 * SECOND)]);
    it.progress_deadline = random.pick(&[None, millis(500 * SECOND), millis(900 * SECOND)]);
    it.max_failure_ratio = Ratio::new(random.pick(&[0.0, 0.0, 0.2, 0.5, 1.0]));
    it.monitor = random.pick(&[None, millis(0), millis(20 * SECOND), millis(90 * SECOND)]);
    it.on_failure = random.pick(&[
        None,
        Some(OnFailure::Pause),
        Some(OnFailure::Continue),
        Some(OnFailure::Rollback),
        Some(OnFailure::Rollback),
    ]);
    if random.permille(250) {
        it.canary = Some(random.pick(&[Amount::Count(1), Amount::Count(2), Amount::Percent(25)]));
        it.auto_promote = Some(random.permille(500));
    }
    if random.permille(200) {
        it.checkpoints = random
            .pick(&[
                &[Amount::Percent(50)][..],
                &[Amount::Percent(10), Amount::Percent(60)],
                &[Amount::Count(1), Amount::Count(3)],
            ])
            .to_vec();
        it.bake = millis(random.between(0, 60) * SECOND);
    }
    it.keep_revisions = random.pick(&[None, None, Some(2), Some(3)]);
    it.start = random.pick(&[None, Some(PetStart::Ordered), Some(PetStart::Parallel)]);
    it
}

fn healing(random: &mut Random) -> Healing {
    let mut it = Healing::default();
    if random.permille(250) {
        return it;
    }
    it.enabled = random.pick(&[None, None, None, Some(true), Some(false)]);
    it.interval = random.pick(&[None, millis(2 * SECOND), millis(5 * SECOND)]);
    it.unhealthy_checks = random.pick(&[None, Some(1), Some(2)]);
    it.checks = random.pick(&[None, Some(4)]);
    it.startup_grace = random.pick(&[millis(100 * SECOND), millis(120 * SECOND), None]);
    it.max_unhealthy = random.pick(&[
        None,
        Some(Amount::Count(0)),
        Some(Amount::Count(1)),
        Some(Amount::Count(2)),
        Some(Amount::Percent(60)),
        Some(Amount::Percent(100)),
    ]);
    it.max_in_flight = random.pick(&[None, Some(Amount::Count(2)), Some(Amount::Percent(50))]);
    it.max_retries = random.pick(&[None, Some(1), Some(2), Some(3)]);
    it.retry_delay = random.pick(&[None, millis(SECOND), millis(30 * SECOND)]);
    it.min_healthy = random.pick(&[millis(60 * SECOND), millis(120 * SECOND), millis(300 * SECOND)]);
    it
}

fn removal(random: &mut Random) -> Removal {
    let order =
        random.pick(&[None, None, Some(VictimOrder::Newest), Some(VictimOrder::Oldest), Some(VictimOrder::Plugin)]);
    Removal { order, drain_deadline: None }
}
