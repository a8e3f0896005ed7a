//! The plan linter: it knows the safety rules and nothing of how plans are made.
//!
//! It runs over every plan before anything is executed. A plan that breaks a rule is thrown away whole, and the group
//! says so: the fault is homeostat's, and doing nothing is the safe side of it.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use crate::ledger::{Ledger, Rollout, Track};
use crate::observed::{Health, Instance, InstanceState, Observation};
use crate::outcome::DestroyReason;
use crate::plan::{Desired, Goal, Plan};
use crate::spec::Allocation;
use crate::step::{Action, Destroy, Work};
use crate::tags;
use crate::time::Timestamp;

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// Acting on a picture that is not whole.
    #[error("acts on an observation that is incomplete or waits for confirmation")]
    Blind,
    /// Touching what was not observed, or is not the group's.
    #[error("acts on {0}, which was not observed with this group's tag")]
    NotOurs(String),
    /// Two steps for one instance or name.
    #[error("acts twice on {0}")]
    Twice(String),
    /// Making an instance under a name that exists.
    #[error("provisions {0}, which exists")]
    NameTaken(String),
    /// More instances than declared, and than an update may have too many.
    #[error("would lead to {would} instances where at most {allowed} may be")]
    TooMany {
        /// How many there would be.
        would: usize,
        /// How many there may be.
        allowed: usize,
    },
    /// Two instances of one identity.
    #[error("would lead to two instances of logical id {0}")]
    IdentityTwice(String),
    /// Making instances for a group that is being destroyed.
    #[error("provisions for a group that is being destroyed")]
    Destroyed,
    /// Tags that would not be found again.
    #[error("provisions {0} without the group's tags")]
    Untagged(String),
    /// An update that takes more out of service than it may.
    #[error("an update would leave {left} available, and {floor} have to be")]
    TooFew {
        /// How many would be left.
        left: usize,
        /// How many have to be.
        floor: usize,
    },
    /// Taking away what is protected.
    #[error("destroys {0}, which is protected")]
    Protected(String),
    /// Replacing old instances while the rollout is paused.
    #[error("replaces {0} although the rollout stands still")]
    Paused(String),
    /// Healing more than may be healed.
    #[error("replaces {healed} unhealthy instances where at most {allowed} may be")]
    Storm {
        /// How many.
        healed: usize,
        /// How many may be.
        allowed: usize,
    },
    /// Work that is held back.
    #[error("is to {0}, which is held back by a failure")]
    HeldBack(Work),
    /// The host's own instance, while others could go.
    #[error("destroys {0}, which the host runs on, before others")]
    Host(String),
}

/// Check a plan against the safety rules.
///
/// # Errors
/// The first rule that it breaks.
pub fn verify(
    desired: &Desired,
    observed: &Observation,
    ledger: &Ledger,
    plan: &Plan,
    now: Timestamp,
) -> Result<(), Violation> {
    if plan.steps.is_empty() || crate::mutant::skips_linter() {
        return Ok(());
    }
    if !observed.complete || ledger.doubt.is_some() || ledger.memory.backoff.contains_key(&Work::Observe) {
        return Err(Violation::Blind);
    }
    let mut touched = HashSet::new();
    for step in &plan.steps {
        let (subject, work) = (step.action.subject(), step.action.work());
        if !touched.insert(subject) {
            return Err(Violation::Twice(subject.into()));
        }
        if ledger.memory.backoff.get(&work).is_some_and(|it| !it.allows(now)) {
            return Err(Violation::HeldBack(work));
        }
    }
    let check = Check::new(desired, observed, ledger, &touched, now);
    check.creations(plan, &touched)?;
    check.destructions(plan)
}

/// The world before the plan.
struct Check<'a> {
    desired: &'a Desired,
    ledger: &'a Ledger,
    now: Timestamp,
    /// The group's instances, with what was seen of them.
    ours: Vec<(&'a Instance, Option<&'a Track>)>,
    /// Those that the plan touches, by id.
    touched: HashMap<&'a str, (&'a Instance, Option<&'a Track>)>,
    /// Names that the plan, or a creation under way, shares with what exists.
    names: HashSet<&'a str>,
}

impl<'a> Check<'a> {
    fn new(
        desired: &'a Desired,
        observed: &'a Observation,
        ledger: &'a Ledger,
        touched: &HashSet<&str>,
        now: Timestamp,
    ) -> Self {
        let tracked = observed.instances.iter().enumerate();
        let ours: Vec<_> = tracked
            .filter(|(_, it)| it.tags.get(tags::GROUP) == Some(&desired.spec.id))
            .map(|(index, it)| (it, ledger.tracks.get(index)))
            .collect();
        let is_touched = |it: &&(&Instance, Option<&Track>)| touched.contains(it.0.id.as_str());
        let touched_ones = ours.iter().filter(is_touched).map(|it| (it.0.id.as_str(), *it)).collect();
        let names = observed.instances.iter().map(|it| it.name.as_str());
        let names = names.filter(|it| touched.contains(it) || ledger.creating.contains_key(*it)).collect();
        Self { desired, ledger, now, ours, touched: touched_ones, names }
    }

    fn creations(&self, plan: &Plan, touched: &HashSet<&str>) -> Result<(), Violation> {
        let mut made = 0;
        let mut identities: HashSet<&str> = HashSet::new();
        for step in &plan.steps {
            let Action::Provision(it) = &step.action else { continue };
            if self.desired.goal == Goal::Destroy {
                return Err(Violation::Destroyed);
            }
            if self.names.contains(it.name.as_str()) {
                return Err(Violation::NameTaken(it.name.clone()));
            }
            let tagged = it.tags.get(tags::GROUP) == Some(&self.desired.spec.id)
                && it.tags.get(tags::CONFIG_HASH) == Some(&it.hash);
            if !tagged || !self.desired.makes(&it.hash) {
                return Err(Violation::Untagged(it.name.clone()));
            }
            if let Some(id) = &it.logical_id
                && !identities.insert(id)
            {
                return Err(Violation::IdentityTwice(id.clone()));
            }
            made += 1;
        }
        if made == 0 {
            return Ok(());
        }
        let opening = self
            .ledger
            .creating
            .iter()
            .filter(|(name, _)| !self.names.contains(name.as_str()) && !touched.contains(name.as_str()));
        match &self.desired.spec.properties.allocation {
            Allocation::Size(size) => {
                let destroyed: HashSet<&str> = destructions(plan).map(|it| it.id.as_str()).collect();
                let stays = |it: &&(&Instance, Option<&Track>)| {
                    self.is_in_service(it.0) && !destroyed.contains(it.0.id.as_str())
                };
                let staying: Vec<_> = self.ours.iter().filter(stays).collect();
                let outdated = staying.iter().any(|it| !it.0.is_current(&self.desired.config.hash));
                let allowed = *size as usize + if outdated { self.desired.budget().surge } else { 0 };
                let would = staying.len() + opening.count() + self.ledger.missing.len() + made;
                if would > allowed {
                    return Err(Violation::TooMany { would, allowed });
                }
            }
            // An identity is held until its instance is gone from the list, whatever its state.
            Allocation::LogicalIds(_) => {
                let listed = self.ours.iter().filter_map(|it| it.0.logical_id());
                let unseen = self.ledger.missing.values().filter_map(|it| it.logical_id.as_deref());
                let held: HashSet<&str> =
                    listed.chain(unseen).chain(opening.filter_map(|(_, it)| it.logical_id.as_deref())).collect();
                if let Some(id) = identities.iter().find(|id| held.contains(*id)) {
                    return Err(Violation::IdentityTwice((*id).to_owned()));
                }
            }
        }
        Ok(())
    }

    fn destructions(&self, plan: &Plan) -> Result<(), Violation> {
        let mut healed = 0;
        let mut rolled: HashSet<&str> = HashSet::new();
        let mut gone: HashSet<&str> = HashSet::new();
        for it in destructions(plan) {
            let Some((instance, track)) = self.touched.get(it.id.as_str()) else {
                return Err(Violation::NotOurs(it.id.clone()));
            };
            if self.desired.protected.contains(&it.id) {
                return Err(Violation::Protected(it.id.clone()));
            }
            gone.insert(&it.id);
            match it.reason {
                DestroyReason::RollingUpdate if self.is_paused() => return Err(Violation::Paused(it.id.clone())),
                DestroyReason::RollingUpdate => {
                    rolled.insert(&it.id);
                }
                DestroyReason::Unhealthy if instance.state.is_live() => {
                    healed += 1;
                    let sick = track.is_some_and(|it| it.is_sick(&self.desired.spec.properties.healing, self.now));
                    if !sick {
                        return Err(Violation::Storm { healed, allowed: 0 });
                    }
                }
                _ => {}
            }
        }
        for step in &plan.steps {
            if let Action::Label(it) = &step.action
                && !self.touched.contains_key(it.id.as_str())
            {
                return Err(Violation::NotOurs(it.id.clone()));
            }
        }
        let healing = &self.desired.spec.properties.healing;
        let size = self.desired.size();
        let allowed = healing.max_in_flight(size).min(healing.max_unhealthy(size));
        if healed > allowed {
            return Err(Violation::Storm { healed, allowed });
        }
        let host = gone.iter().filter_map(|id| self.touched.get(id)).find(|it| self.desired.is_host(it.0));
        if let Some((host, _)) = host
            && self.desired.goal == Goal::Destroy
            && self.ours.iter().any(|it| !gone.contains(it.0.id.as_str()) && !self.desired.protected.contains(&it.0.id))
        {
            return Err(Violation::Host(host.id.clone()));
        }
        if rolled.is_empty() { Ok(()) } else { self.availability(&gone, &rolled) }
    }

    /// An update leaves so many available, if there are so many.
    fn availability(&self, gone: &HashSet<&str>, rolled: &HashSet<&str>) -> Result<(), Violation> {
        let floor = self.desired.size().saturating_sub(self.desired.budget().unavailable);
        let available: Vec<&str> =
            self.ours.iter().filter(|it| self.is_available(it.0, it.1)).map(|it| it.0.id.as_str()).collect();
        let left = available.iter().filter(|id| !gone.contains(*id)).count();
        // What goes for other reasons is not the update's fault.
        if left < floor && available.iter().any(|id| rolled.contains(id)) {
            return Err(Violation::TooFew { left, floor });
        }
        let service = self.ours.iter().filter(|it| self.is_in_service(it.0));
        let left = service.filter(|it| !gone.contains(it.0.id.as_str())).count();
        if left < floor {
            return Err(Violation::TooFew { left, floor });
        }
        Ok(())
    }

    fn is_in_service(&self, instance: &Instance) -> bool {
        instance.state.is_live() && self.ledger.removal_of(instance).is_none()
    }

    fn is_available(&self, instance: &Instance, track: Option<&Track>) -> bool {
        let current = instance.is_current(&self.desired.config.hash);
        self.is_in_service(instance)
            && instance.state == InstanceState::Running
            && track.is_some_and(|it| match current {
                true => it.is_ready(&self.desired.spec.properties.updating, self.now),
                false => it.health.status == Health::Healthy,
            })
    }

    fn is_paused(&self) -> bool {
        let rollout = self.ledger.memory.rollout.as_ref();
        let stands =
            |it: &&Rollout| it.revision == self.desired.config.revision && !it.is_running() && !it.has_succeeded();
        rollout.filter(stands).is_some()
    }
}

fn destructions(plan: &Plan) -> impl Iterator<Item = &Destroy> {
    plan.steps.iter().filter_map(|it| match &it.action {
        Action::Destroy(it) => Some(it),
        _ => None,
    })
}
