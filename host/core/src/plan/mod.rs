//! The planner: from what was declared and observed to what to do about it.
//!
//! [`plan`] is synchronous and deterministic. It makes every choice (which instance, which name, which tags, which
//! order), so that executing has none to make, and it is called anew after every observation: nothing it decided before
//! binds it. Scaling, replacing, rolling and removing are decided in one pass over one picture, so they cannot race.

mod allocation;
mod explain;
mod report;
mod rollout;
mod scene;

use std::collections::BTreeSet;

use crate::ledger::Ledger;
use crate::observed::Observation;
use crate::outcome::DestroyReason;
use crate::spec::GroupSpec;
use crate::step::{Action, Drain, Step, Work};
use crate::time::Timestamp;

pub use explain::{Refusal, explain};
pub use report::{Counts, Report, Waiting};
use scene::Scene;

/// What a group is to become.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The spec in force.
    pub spec: GroupSpec,
    /// Its [config hash](crate::hash).
    pub hash: String,
    /// Kept, or destroyed.
    pub goal: Goal,
    /// Instances that an operator asked to be destroyed, by id.
    pub condemned: BTreeSet<String>,
}

/// What is to become of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Goal {
    /// Keep it as declared.
    #[default]
    Keep,
    /// Destroy all its instances.
    Destroy,
}

/// Steps that may run at the same time, in the order in which they should start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub steps: Vec<Step>,
}

/// Decide what to do now.
///
/// `entropy` is a random number of the caller's, from which the names of new instances are made: the same input gives
/// the same plan. The report says why nothing is done where nothing is.
pub fn plan(
    desired: &Desired,
    observed: &Observation,
    ledger: &Ledger,
    now: Timestamp,
    entropy: u64,
) -> (Plan, Report) {
    let mut scene = Scene::new(desired, observed, ledger, now, entropy);
    if scene.may_act() {
        match desired.goal {
            Goal::Destroy => scene.destroy_all(),
            Goal::Keep => {
                scene.remove_condemned();
                scene.remove_dead();
                match &desired.spec.properties.allocation {
                    crate::spec::Allocation::Size(size) => scene.keep_size(*size as usize),
                    crate::spec::Allocation::LogicalIds(ids) => scene.keep_identities(ids),
                }
                scene.adopt();
                scene.roll();
            }
        }
    }
    scene.finish()
}

impl Scene<'_> {
    /// Whether the observation is good enough to act upon at all.
    fn may_act(&mut self) -> bool {
        if let Some(failure) = self.ledger.backoff.get(&Work::Observe) {
            self.wait(Waiting::ListFailed { error: failure.error.clone(), since: failure.since, until: failure.until });
            return false;
        }
        if !self.observed.complete {
            self.wait(Waiting::Incomplete);
            return false;
        }
        if let Some(since) = self.ledger.empty_since {
            self.wait(Waiting::ConfirmingEmpty { known: self.ledger.known, since });
            return false;
        }
        true
    }

    /// Instances tagged for adoption get the tags of an instance that is up to date (InfraKit's `bootstrap` rule). Only
    /// those that stay: what is on its way out is not touched twice.
    fn adopt(&mut self) {
        let adopted: Vec<_> = self
            .living
            .iter()
            .filter(|it| it.config_hash() == Some(crate::tags::BOOTSTRAP))
            .map(|it| it.id.clone())
            .collect();
        for id in adopted {
            let action = Action::Label(crate::step::Label { id, tags: self.host_tags(None) });
            self.push(action, "it is tagged for adoption".into());
        }
    }

    /// Every instance goes, whatever its state.
    fn destroy_all(&mut self) {
        for instance in std::mem::take(&mut self.living) {
            self.destroy(&instance.id, DestroyReason::Terminate, Drain::Try, "the group is being destroyed");
        }
        for instance in std::mem::take(&mut self.dead) {
            self.destroy(&instance.id, DestroyReason::Terminate, Drain::Skip, "the group is being destroyed");
        }
    }

    fn remove_condemned(&mut self) {
        let condemned = &self.desired.condemned;
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.living).into_iter().partition(|it| condemned.contains(&it.id));
        self.living = stay;
        for instance in gone {
            self.destroy(&instance.id, DestroyReason::Terminate, Drain::Try, "an operator asked for it");
            self.leaving.push(instance);
        }
    }

    /// What has stopped or failed is taken away; what takes its place is the allocation's business.
    fn remove_dead(&mut self) {
        for instance in self.dead.clone() {
            let why = if instance.message.is_empty() {
                format!("it is {}", instance.state.name())
            } else {
                format!("it is {}: {}", instance.state.name(), instance.message)
            };
            self.destroy(&instance.id, DestroyReason::Unhealthy, Drain::Skip, &why);
        }
    }
}

#[cfg(test)]
mod tests;
