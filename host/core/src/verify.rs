//! The plan linter: it knows the safety rules and nothing of how plans are made.
//!
//! It runs over every plan before anything is executed. A plan that breaks a rule is thrown away whole, and the group
//! says so: the fault is homeostat's, and doing nothing is the safe side of it.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use crate::ledger::Ledger;
use crate::observed::{Instance, Observation};
use crate::outcome::DestroyReason;
use crate::plan::{Desired, Goal, Plan};
use crate::spec::Allocation;
use crate::step::Action;
use crate::tags;

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
    /// More instances than declared.
    #[error("would lead to {would} instances where {declared} are declared")]
    TooMany {
        /// How many there would be.
        would: usize,
        /// How many are declared.
        declared: usize,
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
    /// Taking more than one out of service for an update, or while the group is short.
    #[error("a rolling update would leave {left} of {declared} instances")]
    TooFew {
        /// How many would be left in service.
        left: usize,
        /// How many are declared.
        declared: usize,
    },
}

/// Check a plan against the safety rules.
///
/// # Errors
/// The first rule that it breaks.
pub fn verify(desired: &Desired, observed: &Observation, ledger: &Ledger, plan: &Plan) -> Result<(), Violation> {
    if plan.steps.is_empty() {
        return Ok(());
    }
    if !observed.complete || ledger.empty_since.is_some() {
        return Err(Violation::Blind);
    }
    let ours: HashMap<&str, &Instance> = observed
        .instances
        .iter()
        .filter(|it| it.tags.get(tags::GROUP) == Some(&desired.spec.id))
        .map(|it| (it.id.as_str(), it))
        .collect();
    let names: HashSet<&str> = observed.instances.iter().map(|it| it.name.as_str()).collect();
    let mut touched = HashSet::new();
    let mut destroyed = HashSet::new();
    let mut rolled = 0;
    let mut made = 0;
    let mut identities: HashSet<&str> = HashSet::new();
    for step in &plan.steps {
        let subject = step.action.subject();
        if !touched.insert(subject) {
            return Err(Violation::Twice(subject.into()));
        }
        match &step.action {
            Action::Provision(it) => {
                if desired.goal == Goal::Destroy {
                    return Err(Violation::Destroyed);
                }
                if names.contains(it.name.as_str()) {
                    return Err(Violation::NameTaken(it.name.clone()));
                }
                if it.tags.get(tags::GROUP) != Some(&desired.spec.id)
                    || it.tags.get(tags::CONFIG_HASH) != Some(&desired.hash)
                {
                    return Err(Violation::Untagged(it.name.clone()));
                }
                if let Some(id) = &it.logical_id
                    && !identities.insert(id)
                {
                    return Err(Violation::IdentityTwice(id.clone()));
                }
                made += 1;
            }
            Action::Destroy(it) => {
                if !ours.contains_key(it.id.as_str()) {
                    return Err(Violation::NotOurs(it.id.clone()));
                }
                rolled += usize::from(it.reason == DestroyReason::RollingUpdate);
                destroyed.insert(it.id.as_str());
            }
            Action::Label(it) if !ours.contains_key(it.id.as_str()) => return Err(Violation::NotOurs(it.id.clone())),
            Action::Label(_) => {}
        }
    }
    let declared = desired.spec.properties.allocation.len();
    let in_service: Vec<&Instance> = ours
        .values()
        .filter(|it| it.state.is_live())
        .filter(|it| !ledger.removing.contains_key(&it.id) && !destroyed.contains(it.id.as_str()))
        .copied()
        .collect();
    if made > 0 {
        match &desired.spec.properties.allocation {
            Allocation::Size(_) => {
                let opening = ledger
                    .creating
                    .keys()
                    .filter(|name| !names.contains(name.as_str()) && !touched.contains(name.as_str()));
                let would = in_service.len() + opening.count() + made;
                if would > declared {
                    return Err(Violation::TooMany { would, declared });
                }
            }
            // An identity is held until its instance is gone from the list, whatever its state.
            Allocation::LogicalIds(_) => {
                let held: HashSet<&str> = ours.values().filter_map(|it| it.logical_id()).collect();
                if let Some(id) = identities.iter().find(|id| held.contains(*id)) {
                    return Err(Violation::IdentityTwice((*id).to_owned()));
                }
            }
        }
    }
    if rolled > 0 && (in_service.len() + 1 < declared || rolled > 1) {
        return Err(Violation::TooFew { left: in_service.len(), declared });
    }
    Ok(())
}
