//! What the planner sees and has decided so far in one pass.

use std::collections::HashSet;

use super::report::{Reason, Waiting};
use super::{ConfigRef, Desired, Goal, Plan, Report};
use crate::ledger::{Creation, Ledger, Status, Track};
use crate::mutant::{self, Mutant};
use crate::observed::{Health, Instance, InstanceState, Observation};
use crate::outcome::DestroyReason;
use crate::plan::report::Counts;
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
    census: Census,
    /// Instances that are or soon will be of use, in the order of their slots.
    pub(super) living: Vec<Member<'a>>,
    /// Instances that stopped or failed.
    pub(super) dead: Vec<Member<'a>>,
    /// Dead instances that stay for now, and hold their slots.
    pub(super) held: Vec<Member<'a>>,
    /// Instances on their way out.
    pub(super) leaving: Vec<Leaving<'a>>,
    /// Creations that the list does not show yet, and instances that it does not show any more but may again.
    pub(super) opening: Vec<Opening<'a>>,
    /// Creations to repeat under the same name: they were cut off, and the list shows no effect.
    pub(super) repeating: Vec<(&'a String, &'a Creation)>,
    steps: Vec<Step>,
    waiting: Vec<Reason>,
    named: u64,
}

/// An instance of the group, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) instance: &'a Instance,
    pub(super) track: Option<&'a Track>,
    /// Made from the config in force.
    pub(super) current: bool,
    /// Counts as available to an update.
    pub(super) available: bool,
    /// It runs, and was not judged yet: it may be in service for all that is known.
    pub(super) unjudged: bool,
    /// Unhealthy beyond doubt.
    pub(super) sick: bool,
    pub(super) protected: bool,
    /// The host runs on it.
    pub(super) host: bool,
}

/// An instance on its way out.
pub(super) struct Leaving<'a> {
    pub(super) instance: &'a Instance,
    /// The host takes it away although it works: its place is not free before it is gone.
    pub(super) wanted: bool,
}

/// An instance that counts although the list does not show it.
pub(super) struct Opening<'a> {
    pub(super) slot: Option<u32>,
    pub(super) logical_id: Option<&'a str>,
    pub(super) current: bool,
}

/// What one scan of the list counts.
#[derive(Clone, Copy, Default)]
struct Census {
    ours: usize,
    live: usize,
    running: usize,
    healthy: usize,
    unhealthy: usize,
    outdated: usize,
    /// What needs a closer look than counting.
    odd: usize,
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
            census: Census::default(),
            living: Vec::new(),
            dead: Vec::new(),
            held: Vec::new(),
            leaving: Vec::new(),
            opening: Vec::new(),
            repeating: Vec::new(),
            steps: Vec::new(),
            waiting: Vec::new(),
            named: 0,
        };
        scene.count();
        if !scene.is_at_rest() {
            scene.look_closer();
        }
        scene
    }

    /// One scan: enough to see that there is nothing to do.
    fn count(&mut self) {
        let mut census = Census::default();
        let quiet = self.ledger.removing.is_empty();
        let group = &self.desired.spec.id;
        let (hash, healing) = (&self.desired.config.hash, &self.desired.spec.properties.healing);
        for (index, instance) in self.observed.instances.iter().enumerate() {
            if instance.tags.get(tags::GROUP) != Some(group) {
                census.odd += 1;
                continue;
            }
            census.ours += 1;
            if !instance.state.is_live() || !quiet && self.ledger.removal_of(instance).is_some() {
                census.odd += 1;
                continue;
            }
            census.live += 1;
            census.running += usize::from(instance.state == InstanceState::Running);
            if let Some(track) = self.ledger.tracks.get(index) {
                match track.health.status {
                    Health::Healthy => census.healthy += 1,
                    Health::Unhealthy => {
                        census.unhealthy += 1;
                        census.odd += usize::from(track.is_sick(healing, self.now));
                    }
                    Health::Unknown => {}
                }
            }
            match instance.config_hash() {
                Some(it) if it == hash => {}
                Some(tags::BOOTSTRAP) => census.odd += 1,
                _ => census.outdated += 1,
            }
        }
        self.census = census;
    }

    /// Whether counting has shown that there is nothing to do. Identities cannot be counted; they are looked at closer.
    pub(super) fn is_at_rest(&self) -> bool {
        let ledger = self.ledger;
        self.desired.goal == Goal::Keep
            && self.observed.complete
            && self.census.odd == 0
            && self.census.outdated == 0
            && !self.desired.spec.properties.allocation.is_pets()
            && self.census.live == self.desired.size()
            && self.desired.condemned.is_empty()
            && ledger.is_quiet()
            && ledger.missing.is_empty()
            && ledger.doubt.is_none()
            && ledger.memory.backoff.is_empty()
    }

    fn look_closer(&mut self) {
        self.living.reserve(self.observed.instances.len());
        for (index, instance) in self.observed.instances.iter().enumerate() {
            // The plugin was asked for this group's alone; one that answers with others' is not trusted with them.
            if !self.desired.owns(instance) {
                self.wait(Waiting::Foreign { id: instance.id.clone() });
                continue;
            }
            if let Some(removal) = self.ledger.removal_of(instance) {
                self.leaving.push(Leaving { instance, wanted: removal.reason != DestroyReason::Unhealthy });
            } else if instance.state == InstanceState::Stopping {
                self.leaving.push(Leaving { instance, wanted: false });
            } else {
                let member = self.member(index, instance);
                if instance.state.is_live() { self.living.push(member) } else { self.dead.push(member) }
            }
        }
        if !mutant::is(Mutant::OrderOfTheList) {
            self.living.sort_by_cached_key(|it| order(it.instance));
        }
        self.dead.sort_by_cached_key(|it| order(it.instance));
        let current = |hash: &str| hash == self.desired.config.hash;
        if !self.ledger.creating.is_empty() && !mutant::is(Mutant::CreationsForgotten) {
            let listed: HashSet<&str> = self.observed.instances.iter().map(|it| it.name.as_str()).collect();
            for (name, creation) in self.ledger.creating.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
                match creation.status {
                    Status::Absent(_) if self.desired.makes(&creation.hash) => self.repeating.push((name, creation)),
                    _ => self.opening.push(Opening {
                        slot: Some(creation.slot),
                        logical_id: creation.logical_id.as_deref(),
                        current: current(&creation.hash),
                    }),
                }
            }
        }
        self.opening.extend(self.ledger.missing.values().map(|it| Opening {
            slot: it.slot,
            logical_id: it.logical_id.as_deref(),
            current: it.hash.as_deref().is_some_and(current),
        }));
    }

    fn member(&self, index: usize, instance: &'a Instance) -> Member<'a> {
        let properties = &self.desired.spec.properties;
        let track = self.ledger.tracks.get(index).filter(|it| it.id == instance.id);
        let current = instance.is_current(&self.desired.config.hash);
        let running = instance.state == InstanceState::Running;
        let available = running
            && track.is_some_and(|it| match current {
                true => it.is_ready(&properties.updating, self.now),
                false => it.health.status == Health::Healthy,
            });
        Member {
            instance,
            track,
            current,
            available,
            unjudged: running && !mutant::is(Mutant::UnjudgedIsUnavailable) && track.is_none_or(|it| !it.judged),
            sick: track.is_some_and(|it| it.is_sick(&properties.healing, self.now)),
            protected: self.desired.protected.contains(&instance.id) && !mutant::is(Mutant::ProtectedIgnored),
            host: self.desired.is_host(instance),
        }
    }

    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.wait_until(waiting, self.now, None);
    }

    pub(super) fn wait_until(&mut self, waiting: Waiting, since: Timestamp, next: Option<Timestamp>) {
        if !self.waiting.iter().any(|it| it.waiting == waiting) {
            self.waiting.push(Reason { waiting, since, next });
        }
    }

    /// Whether nothing may destroy it. Where that is so, the report says it.
    pub(super) fn is_protected(&mut self, member: &Member<'_>) -> bool {
        if member.protected {
            self.wait(Waiting::Protected { id: member.instance.id.clone() });
        }
        member.protected
    }

    pub(super) fn push(&mut self, action: Action, why: String) {
        let labelled = matches!(&action, Action::Label(it) if self.ledger.labelling.contains_key(&it.id));
        if !labelled && self.may(action.work()) {
            self.steps.push(Step { action, why });
        }
    }

    pub(super) fn destroy(
        &mut self,
        member: &Member<'_>,
        reason: DestroyReason,
        drain: Drain,
        retry: Option<u32>,
        why: &str,
    ) {
        let instance = member.instance;
        let destroy = Destroy {
            id: instance.id.clone(),
            reason,
            drain,
            name: instance.name.clone(),
            slot: instance.slot(),
            logical_id: instance.logical_id().map(str::to_owned),
            retry,
        };
        self.push(Action::Destroy(destroy), why.to_owned());
    }

    /// Count an instance as on its way out from now on.
    pub(super) fn leave(&mut self, member: &Member<'a>, reason: DestroyReason) {
        self.leaving.push(Leaving { instance: member.instance, wanted: reason != DestroyReason::Unhealthy });
    }

    /// Provision new instances, or as few as a probe while the provider is failing.
    pub(super) fn provision(&mut self, mut wanted: Vec<Wanted>) {
        if wanted.is_empty() || !self.may(Work::Provision) {
            return;
        }
        // Only a list that began later shows it all.
        if let Some(until) = self.ledger.settling.filter(|until| self.observed.started < *until) {
            self.wait_until(Waiting::Settling { missing: wanted.len() }, self.now, Some(until));
            return;
        }
        if let Some(failing) = self.ledger.memory.backoff.get(&Work::Provision) {
            // The one before it has to end first.
            if self.ledger.creating.values().any(|it| it.status == Status::InFlight) {
                return;
            }
            // One probe at a time, and not always the same: one bad identity must not hold up the others.
            let probe = failing.failures as usize % wanted.len();
            wanted = vec![wanted.swap_remove(probe)];
        }
        for it in wanted {
            let mut tags = self.host_tags(&it.config, it.logical_id.as_deref());
            tags.insert(tags::SLOT.into(), it.slot.to_string());
            let name = it.name.unwrap_or_else(|| self.fresh_name(it.slot, it.logical_id.as_deref()));
            let ConfigRef { revision, hash } = it.config;
            let provision = Provision { name, slot: it.slot, logical_id: it.logical_id, revision, hash, tags };
            self.steps.push(Step { action: Action::Provision(provision), why: it.why });
        }
    }

    /// The tags that every instance of the group carries.
    pub(super) fn host_tags(&self, config: &ConfigRef, logical_id: Option<&str>) -> Tags {
        let mut tags = tags::of_group(&self.desired.spec.id);
        tags.insert(tags::CONFIG_HASH.into(), config.hash.clone());
        if let Some(id) = logical_id {
            tags.insert(tags::LOGICAL_ID.into(), id.into());
        }
        tags
    }

    /// Whether work of this kind is not held back by a failure. Where it is, the report says so.
    pub(super) fn may(&mut self, work: Work) -> bool {
        let failure =
            self.ledger.memory.backoff.get(&work).filter(|it| !it.allows(self.now) && !mutant::is(Mutant::BackoffOff));
        let Some(failure) = failure else { return true };
        let waiting = Waiting::Backoff { work, error: failure.error.clone(), failures: failure.failures };
        let (since, until) = (failure.since, failure.until);
        self.wait_until(waiting, since, until);
        false
    }

    /// A name never used before: 40 bits of the caller's entropy, spread by SplitMix64 (Steele et al., 2014).
    fn fresh_name(&mut self, slot: u32, logical_id: Option<&str>) -> String {
        self.named += 1;
        let mut bits = self.entropy.wrapping_add(self.named.wrapping_mul(0x9e37_79b9_7f4a_7c15));
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

    pub(super) fn finish(self) -> (Plan, Report) {
        let census = self.census;
        let listed = self.observed.instances.iter().filter(|it| self.desired.owns(it));
        let removing = match self.is_at_rest() {
            true => 0,
            false => {
                listed.filter(|it| it.state == InstanceState::Stopping || self.ledger.removal_of(it).is_some()).count()
            }
        };
        let counts = Counts {
            desired: match self.desired.goal {
                Goal::Keep => self.desired.size(),
                Goal::Destroy => 0,
            },
            actual: census.ours,
            running: census.running,
            healthy: census.healthy,
            unhealthy: census.unhealthy,
            outdated: census.outdated,
            creating: self.opening.len() + self.repeating.len(),
            removing,
        };
        let settled = self.observed.complete
            && self.steps.is_empty()
            && self.ledger.is_quiet()
            && self.ledger.missing.is_empty()
            && self.waiting.iter().all(|it| it.waiting.is_harmless());
        let converged = settled
            && counts.outdated == 0
            && counts.actual == counts.desired
            && counts.running == counts.desired
            && counts.healthy == counts.desired;
        let mut waiting = self.waiting;
        let under_way = !self.ledger.is_quiet() || !self.ledger.missing.is_empty();
        if self.steps.is_empty() && under_way && counts.creating + counts.removing > 0 {
            let waiting_for = Waiting::UnderWay { creating: counts.creating, removing: counts.removing };
            waiting.push(Reason { waiting: waiting_for, since: self.now, next: self.ledger.settled_by(self.desired) });
        }
        if settled && !converged && waiting.iter().all(|it| it.waiting.is_harmless()) {
            let waiting_for = Waiting::NotHealthy { healthy: counts.healthy, desired: counts.desired };
            waiting.push(Reason { waiting: waiting_for, since: self.now, next: None });
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
    pub(super) config: ConfigRef,
    pub(super) why: String,
}

/// Slots first, then age, then id: an order that does not depend on the provider's.
pub(super) fn order(instance: &Instance) -> (u32, u64, &str) {
    (instance.slot().unwrap_or(u32::MAX), instance.created_at_ms.unwrap_or(0), &instance.id)
}
