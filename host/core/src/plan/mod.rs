//! The planner: from what was declared and observed to what to do about it.
//!
//! [`plan`] is synchronous and deterministic. It makes every choice (which instance, which name, which tags, which
//! order), so that executing has none to make, and it is called anew after every observation: nothing it decided before
//! binds it. Scaling, replacing, rolling and removing are decided in one pass over one picture, so they cannot race.

mod cattle;
mod explain;
mod forecast;
mod healing;
mod pets;
mod report;
mod rollout;
mod scene;
mod victims;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ledger::Ledger;
use crate::mutant::{self, Mutant};
use crate::observed::{Instance, Observation};
use crate::outcome::DestroyReason;
use crate::record::{Config, GroupRecord};
use crate::spec::{Allocation, Budget, GroupSpec};
use crate::step::{Action, Drain, Step, Work};
use crate::tags;
use crate::time::Timestamp;

pub use crate::record::Goal;
pub use explain::{Refusal, explain};
pub use forecast::{Forecast, forecast};
pub use report::{Counts, Reason, Report, Waiting};
use scene::Scene;

/// What a group is to become.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The spec in force.
    pub spec: GroupSpec,
    /// Kept, or destroyed.
    pub goal: Goal,
    /// Instances that an operator asked to be destroyed, by id.
    pub condemned: BTreeSet<String>,
    /// Instances that nothing may destroy, by id.
    pub protected: BTreeSet<String>,
    /// Whether instances without an identity take over those that nobody holds.
    pub converting: bool,
    /// The config that instances are made from.
    pub config: ConfigRef,
    /// The last config that was stable, if that is another one: what is replaced while a rollout stands still is made from
    /// it.
    pub base: Option<ConfigRef>,
    /// The revision that the config took the place of, where it is a return to an older one.
    pub rollback_of: Option<u64>,
    /// The instance that the host itself runs on, by id or logical id: it goes last.
    pub host: Option<String>,
    /// How long the provider's list may lag behind what was done.
    pub list_lag: Duration,
}

/// A config by its revision and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRef {
    /// The revision that brought it.
    pub revision: u64,
    /// Its config hash.
    pub hash: String,
}

impl From<&Config> for ConfigRef {
    fn from(config: &Config) -> Self {
        Self { revision: config.revision, hash: config.hash.clone() }
    }
}

impl Desired {
    /// What a group is to become, from what is remembered of it.
    pub fn new(record: &GroupRecord, stable: &BTreeSet<u64>, host: Option<String>, list_lag: Duration) -> Self {
        Self {
            spec: record.spec.clone(),
            goal: record.goal,
            condemned: record.condemned.clone(),
            protected: record.protected.clone(),
            converting: record.converting,
            config: record.config().into(),
            base: record.last_stable(stable).map(ConfigRef::from),
            rollback_of: record.config().rollback_of,
            host,
            list_lag,
        }
    }

    /// Whether the instance carries the group's tag.
    pub fn owns(&self, instance: &Instance) -> bool {
        instance.tags.get(tags::GROUP) == Some(&self.spec.id) || mutant::is(Mutant::TagIgnored)
    }

    /// Whether instances of a config with this hash may be made now.
    pub fn makes(&self, hash: &str) -> bool {
        self.config.hash == hash || self.base.as_ref().is_some_and(|it| it.hash == hash)
    }

    /// How many are declared.
    pub fn size(&self) -> usize {
        self.spec.properties.allocation.len()
    }

    /// What a rollout may spend.
    pub fn budget(&self) -> Budget {
        self.spec.properties.updating.budget(self.size(), self.spec.properties.allocation.is_pets())
    }

    /// Whether the host runs on this instance.
    pub fn is_host(&self, instance: &Instance) -> bool {
        self.host.as_deref().is_some_and(|it| it == instance.id || instance.logical_id() == Some(it))
    }
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
    if !scene.is_at_rest() && scene.may_act() {
        match desired.goal {
            Goal::Destroy => scene.destroy_all(),
            Goal::Keep => {
                scene.remove_condemned();
                scene.remove_dead();
                scene.heal();
                match &desired.spec.properties.allocation {
                    Allocation::Size(size) => scene.keep_size(*size as usize),
                    Allocation::LogicalIds(ids) => scene.keep_identities(ids),
                }
                scene.adopt();
            }
        }
    }
    scene.finish()
}

impl Scene<'_> {
    /// Whether the observation is good enough to act upon at all.
    fn may_act(&mut self) -> bool {
        let failed = self.ledger.memory.backoff.get(&Work::Observe).filter(|_| !mutant::is(Mutant::ListErrorIgnored));
        if let Some(failure) = failed {
            let (error, since, until) = (failure.error.clone(), failure.since, failure.until);
            self.wait_until(Waiting::ListFailed { error }, since, until);
            return false;
        }
        if !self.observed.complete && !mutant::is(Mutant::IncompleteIsWhole) {
            self.wait(Waiting::Incomplete);
            return false;
        }
        if let Some(doubt) = self.ledger.doubt {
            let waiting = Waiting::ConfirmingLoss { known: self.ledger.memory.known, seen: doubt.seen };
            self.wait_until(waiting, doubt.since, Some(doubt.since.after(crate::ledger::CONFIRM_AFTER)));
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
            .filter(|it| it.instance.config_hash() == Some(tags::BOOTSTRAP))
            .map(|it| it.instance.id.clone())
            .collect();
        for id in adopted {
            let action = Action::Label(crate::step::Label { id, tags: self.host_tags(&self.desired.config, None) });
            self.push(action, "it is tagged for adoption".into());
        }
    }

    /// Every instance goes, whatever its state; the one that the host runs on when all others are gone.
    fn destroy_all(&mut self) {
        const WHY: &str = "the group is being destroyed";
        // A list that lags may not show yet what the host before this one made.
        if let Some(until) = self.ledger.settling.filter(|until| self.observed.started < *until) {
            self.wait_until(Waiting::Settling { missing: 0 }, self.now, Some(until));
        }
        let all: Vec<_> = self.living.drain(..).map(|it| (it, Drain::Try)).collect();
        let dead = self.dead.drain(..).map(|it| (it, Drain::Skip));
        let all: Vec<_> = all.into_iter().chain(dead).collect();
        let others = all.iter().any(|(it, _)| !it.host && !it.protected)
            || !self.leaving.is_empty()
            || !self.ledger.creating.is_empty();
        for (member, drain) in all {
            if self.is_protected(&member) {
            } else if member.host && others {
                self.wait(Waiting::HostLast { id: member.instance.id.clone() });
            } else {
                self.destroy(&member, DestroyReason::Terminate, drain, None, WHY);
            }
        }
    }

    fn remove_condemned(&mut self) {
        let condemned = &self.desired.condemned;
        if condemned.is_empty() {
            return;
        }
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.living).into_iter().partition(|it| condemned.contains(&it.instance.id));
        self.living = stay;
        for member in gone {
            if self.is_protected(&member) {
                self.living.push(member);
            } else {
                self.destroy(&member, DestroyReason::Terminate, Drain::Try, None, "an operator asked for it");
                self.leave(&member, DestroyReason::Terminate);
            }
        }
    }
}

#[cfg(test)]
mod tests;
