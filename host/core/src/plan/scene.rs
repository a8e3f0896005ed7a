//! What the planner sees and has decided so far in one pass.

use std::collections::HashSet;

use crate::ledger::{Creation, Ledger, Status};
use crate::observed::{Health, Instance, InstanceState, Observation};
use crate::outcome::DestroyReason;
use crate::plan::report::{Counts, Report, Waiting};
use crate::plan::{Desired, Goal, Plan};
use crate::step::{Action, Destroy, Drain, Provision, Step, Work};
use crate::tags::{self, Tags};
use crate::time::Timestamp;

/// One pass of the planner.
pub(super) struct Scene<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observation,
    pub(super) ledger: &'a Ledger,
    pub(super) now: Timestamp,
    entropy: u64,
    /// Instances that are or soon will be of use, in the order of their slots.
    pub(super) living: Vec<&'a Instance>,
    /// Instances that stopped or failed.
    pub(super) dead: Vec<&'a Instance>,
    /// Instances on their way out.
    pub(super) leaving: Vec<&'a Instance>,
    /// Creations that the list does not show yet.
    pub(super) opening: Vec<(&'a String, &'a Creation)>,
    /// Creations to repeat under the same name: they were cut off, and the list shows no effect.
    pub(super) repeating: Vec<(&'a String, &'a Creation)>,
    steps: Vec<Step>,
    waiting: Vec<Waiting>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        desired: &'a Desired,
        observed: &'a Observation,
        ledger: &'a Ledger,
        now: Timestamp,
        entropy: u64,
    ) -> Self {
        let mut scene = Self {
            desired,
            observed,
            ledger,
            now,
            entropy,
            living: Vec::with_capacity(observed.instances.len()),
            dead: Vec::new(),
            leaving: Vec::new(),
            opening: Vec::new(),
            repeating: Vec::new(),
            steps: Vec::new(),
            waiting: Vec::new(),
        };
        for instance in &observed.instances {
            // The plugin was asked for this group's alone; one that answers with others' is not trusted with them.
            if !scene.is_ours(instance) {
                scene.waiting.push(Waiting::Foreign { id: instance.id.clone() });
            } else if instance.state == InstanceState::Stopping || ledger.removing.contains_key(&instance.id) {
                scene.leaving.push(instance);
            } else if instance.state.is_live() {
                scene.living.push(instance);
            } else {
                scene.dead.push(instance);
            }
        }
        scene.living.sort_by_cached_key(|it| order(it));
        if !ledger.creating.is_empty() {
            let listed: HashSet<&str> = observed.instances.iter().map(|it| it.name.as_str()).collect();
            for (name, creation) in ledger.creating.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
                match creation.status {
                    Status::Absent => scene.repeating.push((name, creation)),
                    _ => scene.opening.push((name, creation)),
                }
            }
        }
        scene
    }

    pub(super) fn wait(&mut self, reason: Waiting) {
        self.waiting.push(reason);
    }

    pub(super) fn push(&mut self, action: Action, why: String) {
        if self.may(action.work()) {
            self.steps.push(Step { action, why });
        }
    }

    pub(super) fn destroy(&mut self, id: &str, reason: DestroyReason, drain: Drain, why: &str) {
        self.push(Action::Destroy(Destroy { id: id.to_owned(), reason, drain }), why.to_owned());
    }

    /// Provision new instances, or as few as a probe while the provider is failing.
    pub(super) fn provision(&mut self, mut wanted: Vec<Wanted>) {
        if wanted.is_empty() || !self.may(Work::Provision) {
            return;
        }
        if let Some(failing) = self.ledger.backoff.get(&Work::Provision) {
            // One probe at a time, and not always the same: one bad identity must not hold up the others.
            let probe = failing.failures as usize % wanted.len();
            wanted = vec![wanted.swap_remove(probe)];
        }
        for (nth, it) in wanted.into_iter().enumerate() {
            let mut tags = self.host_tags(it.logical_id.as_deref());
            tags.insert(tags::SLOT.into(), it.slot.to_string());
            let name = it.name.unwrap_or_else(|| self.fresh_name(it.slot, it.logical_id.as_deref(), nth as u64));
            let provision =
                Provision { name, slot: it.slot, logical_id: it.logical_id, hash: self.desired.hash.clone(), tags };
            self.steps.push(Step { action: Action::Provision(provision), why: it.why });
        }
    }

    /// The tags that every instance of the group carries.
    pub(super) fn host_tags(&self, logical_id: Option<&str>) -> Tags {
        let mut tags = tags::of_group(&self.desired.spec.id);
        tags.insert(tags::CONFIG_HASH.into(), self.desired.hash.clone());
        if let Some(id) = logical_id {
            tags.insert(tags::LOGICAL_ID.into(), id.into());
        }
        tags
    }

    /// Whether work of this kind is not held back by a failure. Where it is, the report says so.
    fn may(&mut self, work: Work) -> bool {
        let Some(failure) = self.ledger.backoff.get(&work).filter(|it| !it.allows(self.now)) else { return true };
        let reason = Waiting::Backoff {
            work,
            error: failure.error.clone(),
            failures: failure.failures,
            since: failure.since,
            until: failure.until,
        };
        if !self.waiting.contains(&reason) {
            self.waiting.push(reason);
        }
        false
    }

    /// A name never used before: 40 bits of the caller's entropy, spread by SplitMix64 (Steele et al., 2014).
    fn fresh_name(&self, slot: u32, logical_id: Option<&str>, nth: u64) -> String {
        let mut bits = self.entropy.wrapping_add(nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let group = &self.desired.spec.id;
        match logical_id {
            Some(id) => {
                let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
                let id: String = id.chars().take(48).map(safe).collect();
                format!("{group}-{id}-{:010x}", bits >> 24)
            }
            None => format!("{group}-{slot}-{:010x}", bits >> 24),
        }
    }

    fn is_ours(&self, instance: &Instance) -> bool {
        instance.tags.get(tags::GROUP) == Some(&self.desired.spec.id)
    }

    pub(super) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    pub(super) fn is_current(&self, instance: &Instance) -> bool {
        instance.is_current(&self.desired.hash)
    }

    pub(super) fn finish(self) -> (Plan, Report) {
        // What this very plan takes away is still there.
        let useful: Vec<&Instance> = self
            .observed
            .instances
            .iter()
            .filter(|it| it.state.is_live() && !self.ledger.removing.contains_key(&it.id) && self.is_ours(it))
            .collect();
        let health = |wanted| useful.iter().filter(|it| self.observed.health_of(&it.id) == wanted).count();
        let counts = Counts {
            desired: match self.desired.goal {
                Goal::Keep => self.desired.spec.properties.allocation.len(),
                Goal::Destroy => 0,
            },
            actual: self.observed.instances.iter().filter(|it| self.is_ours(it)).count(),
            running: useful.iter().filter(|it| it.state == InstanceState::Running).count(),
            healthy: health(Health::Healthy),
            unhealthy: health(Health::Unhealthy),
            outdated: useful.iter().filter(|it| !self.is_current(it)).count(),
            creating: self.opening.len() + self.repeating.len(),
            removing: self.leaving.len(),
        };
        let settled = self.observed.complete
            && self.steps.is_empty()
            && self.ledger.is_quiet()
            && self.dead.is_empty()
            && self.waiting.iter().all(Waiting::is_harmless);
        let converged = settled
            && counts.outdated == 0
            && counts.actual == counts.desired
            && counts.running == counts.desired
            && counts.healthy == counts.desired;
        let mut waiting = self.waiting;
        if self.steps.is_empty() && waiting.is_empty() && !self.ledger.is_quiet() {
            waiting.push(Waiting::UnderWay { creating: counts.creating, removing: counts.removing });
        }
        if settled && !converged && waiting.is_empty() {
            waiting.push(Waiting::NotHealthy { healthy: counts.healthy, desired: counts.desired });
        }
        (Plan { steps: self.steps }, Report { converged, counts, waiting })
    }
}

/// A place to fill.
pub(super) struct Wanted {
    /// The name to repeat, where a creation was cut off.
    pub(super) name: Option<String>,
    pub(super) slot: u32,
    pub(super) logical_id: Option<String>,
    pub(super) why: String,
}

/// Slots first, then age, then id: an order that does not depend on the provider's.
pub(super) fn order(instance: &Instance) -> (u32, u64, &str) {
    (instance.slot().unwrap_or(u32::MAX), instance.created_at_ms.unwrap_or(0), &instance.id)
}
