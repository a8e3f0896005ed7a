//! The group engine by example: each test is named after what it shows.

mod failing;
mod forecast;
mod gates;
mod healing;
mod operators;
mod pets;
mod removal;
mod restart;
mod rolling;

use std::time::Duration;

use super::{Control, ControlError, Setting};
use crate::execute::Outcome;
use crate::ledger::{Pause, RolloutStatus, Turn};
use crate::observed::{Health, InstanceState};
use crate::outcome::{ErrorCode, PluginError};
use crate::plan::Waiting;
use crate::spec::{Allocation, Amount, GroupSpec, Healing, OnFailure, Ratio, RollOrder, Updating};
use crate::testing::{World, group, pets, reasons};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// So many alike, with what they are made from in one word.
fn cattle(size: u32, init: &str) -> GroupSpec {
    group(Allocation::Size(size), init)
}

fn updated(mut spec: GroupSpec, updating: Updating) -> GroupSpec {
    spec.properties.updating = updating;
    spec
}

fn healed(mut spec: GroupSpec, healing: Healing) -> GroupSpec {
    spec.properties.healing = healing;
    spec
}

/// The hash of the config that a spec brings.
fn hash(spec: &GroupSpec) -> String {
    crate::hash::config_hash(&spec.properties.instance, &spec.properties.flavor)
}

fn error(code: ErrorCode) -> Outcome {
    Outcome::of(PluginError { code, message: "no".into(), path: None, retry_after: None })
}

impl World {
    fn status(&self) -> &RolloutStatus {
        &self.machine.ledger().memory.rollout.as_ref().expect("there is a rollout").status
    }

    fn pause(&self) -> Option<&Pause> {
        match self.status() {
            RolloutStatus::Paused { why, .. } => Some(why),
            _ => None,
        }
    }

    fn reasons(&self) -> Vec<Waiting> {
        reasons(self.machine.report())
    }

    /// How the instances of a config are from now on.
    fn ails(&mut self, spec: &GroupSpec, health: Health) {
        self.healths.insert(hash(spec), health);
    }

    /// How the instance of a slot is from now on.
    fn slot_is(&mut self, slot: u32, health: Health) {
        let id = self.slot(slot).id.clone();
        self.healths.insert(id, health);
    }
}
