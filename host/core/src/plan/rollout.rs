//! Replacing what is out of date, within what the rollout may spend.
//!
//! The arithmetic is that of Kubernetes' deployments: the old goes only so far as enough is available without it, and what
//! is not available of the old goes first, since nothing is lost with it. That is also why a broken revision never keeps
//! the next one out. How far the rollout may go at all (canaries, checkpoints, a pause) is [`Rollout::cap`]'s to say.
//!
//! [`Rollout::cap`]: crate::ledger::Rollout::cap

use std::collections::HashSet;

use super::report::Waiting;
use super::scene::{Member, Scene};
use super::{ConfigRef, Desired};
use crate::ledger::{Ledger, RolloutStatus};
use crate::mutant::{self, Mutant};
use crate::outcome::DestroyReason;
use crate::spec::{SkipStep, Updating};
use crate::step::Drain;
use crate::time::Timestamp;

/// How far the rollout may go in this pass.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    /// Whether old instances may be replaced.
    pub(super) running: bool,
    /// How many new instances there may be.
    pub(super) cap: usize,
    /// How many more than declared there may be.
    pub(super) surge: usize,
    /// How many must be available.
    pub(super) floor: usize,
}

impl Scope {
    pub(super) fn new(desired: &Desired, ledger: &Ledger, new: usize, old: usize) -> Self {
        let (size, budget) = (desired.size(), desired.budget());
        let rollout = ledger.memory.rollout.as_ref().filter(|it| it.revision == desired.config.revision);
        let (running, cap) = match rollout {
            Some(it) => match &it.status {
                RolloutStatus::Running => (true, it.cap(&desired.spec.properties.updating, size)),
                RolloutStatus::Succeeded { .. } => (true, size),
                RolloutStatus::Paused { .. } if mutant::is(Mutant::PauseIgnored) => (true, size),
                RolloutStatus::Paused { .. } | RolloutStatus::RollingBack { .. } => (false, new.min(size)),
            },
            None => (true, size),
        };
        let surge = if old > 0 { budget.surge } else { 0 } + if mutant::is(Mutant::SurgeIgnored) { 2 } else { 0 };
        let floor = if mutant::is(Mutant::FloorIgnored) { 0 } else { size.saturating_sub(budget.unavailable) };
        Self { running, cap, surge, floor }
    }
}

impl<'a> Scene<'a> {
    /// Which config fills a place that is free, where `new` of the config in force exist already.
    pub(super) fn filling(&self, scope: Scope, new: usize) -> ConfigRef {
        match &self.desired.base {
            Some(base) if new >= scope.cap => base.clone(),
            _ => self.desired.config.clone(),
        }
    }

    /// Take old instances away, as many as may go now. `candidates` gives the order among equals.
    pub(super) fn roll(&mut self, scope: Scope, size: usize, order: impl Fn(&Member<'_>) -> u64) {
        // In a group of pets, what has no declared identity stands in for none that is: it is left alone, and not counted.
        let allocation = &self.desired.spec.properties.allocation;
        let serves = |it: &Member<'_>| !allocation.is_pets() || allocation.names(it.instance.logical_id());
        let outdated: Vec<Member<'a>> = self.living.iter().copied().filter(|it| !it.current && serves(it)).collect();
        if !scope.running {
            self.say_why_it_stands(outdated.len());
            return;
        }
        if outdated.is_empty() {
            return;
        }
        // Of the old, so many stay until the cap is lifted; protected ones and the host's own count among them.
        let kept = size.saturating_sub(scope.cap);
        let total = self.living.iter().filter(|it| serves(it)).count() + self.opening.len() + self.held.len();
        let available = self.living.iter().filter(|it| serves(it) && it.available).count();
        let unready =
            self.living.iter().filter(|it| serves(it) && it.current && !it.available).count() + self.opening.len();
        let spare = total.saturating_sub(scope.floor + unready + self.held.len());
        let mut room = spare.min(outdated.len().saturating_sub(kept));
        let mut dispensable = available.saturating_sub(scope.floor);
        let mut candidates: Vec<Member<'a>> = Vec::with_capacity(outdated.len());
        for member in outdated.iter().copied() {
            if !self.is_protected(&member) {
                candidates.push(member);
            }
        }
        candidates.sort_by_cached_key(|it| (it.host, it.available, order(it), super::scene::order(it.instance)));
        let drain = match self.desired.spec.properties.updating.skip_before_instance_destroy {
            Some(SkipStep::Drain) => Drain::Skip,
            None => Drain::Must,
        };
        let others = candidates.iter().filter(|it| !it.host).count();
        let mut gone = Vec::new();
        for member in candidates {
            let counts = member.available || member.unjudged && scope.floor > 0;
            if room == 0 || counts && dispensable == 0 {
                break;
            }
            if member.host && others > 0 {
                self.wait(Waiting::HostLast { id: member.instance.id.clone() });
                break;
            }
            room -= 1;
            dispensable -= usize::from(counts);
            let more = outdated.len() - gone.len() - 1;
            let why = format!("its config is out of date ({more} more to go)");
            self.destroy(&member, DestroyReason::RollingUpdate, drain, None, &why);
            gone.push(member);
        }
        if gone.is_empty() && outdated.iter().any(|it| !it.protected) {
            self.say_what_it_awaits(scope, outdated.len(), kept);
        }
        for member in &gone {
            self.leave(member, DestroyReason::RollingUpdate);
        }
        let gone: HashSet<&str> = gone.iter().map(|it| it.instance.id.as_str()).collect();
        self.living.retain(|it| !gone.contains(it.instance.id.as_str()));
    }

    /// When the next of the new instances will be ready, where all of them only have to stay healthy until then.
    fn ready_at(&self, updating: &Updating) -> Option<Timestamp> {
        let mut first = None;
        for member in self.living.iter().filter(|it| it.current && !it.available) {
            let run = member.track.and_then(|it| it.healthy).filter(|it| it.checks >= updating.ready_checks())?;
            let ready = run.since.after(updating.ready_after());
            first = Some(first.map_or(ready, |it: Timestamp| it.min(ready)));
        }
        first
    }

    fn say_why_it_stands(&mut self, outdated: usize) {
        let Some(rollout) = &self.ledger.memory.rollout else { return };
        let revision = rollout.revision;
        match &rollout.status {
            RolloutStatus::Paused { why, since } => {
                let why = why.clone();
                self.wait_until(Waiting::RolloutPaused { revision, why, outdated }, *since, None);
            }
            RolloutStatus::RollingBack { to, why, since } => {
                let waiting = Waiting::RollingBack { from: revision, to: *to, why: why.clone() };
                self.wait_until(waiting, *since, None);
            }
            _ => {}
        }
    }

    fn say_what_it_awaits(&mut self, scope: Scope, outdated: usize, kept: usize) {
        let updating = &self.desired.spec.properties.updating;
        if outdated <= kept {
            let Some(rollout) = self.ledger.memory.rollout.as_ref().filter(|_| scope.cap > 0) else { return };
            if let Some(since) = rollout.baking {
                let until = since.after(updating.bake());
                self.wait_until(Waiting::Baking { ready: rollout.ready, outdated }, since, Some(until));
                return;
            }
            if rollout.awaits_promotion(updating, self.desired.size()) {
                let group = self.desired.spec.id.clone();
                self.wait(Waiting::AwaitsPromotion { group, canaries: scope.cap, outdated });
                return;
            }
        }
        let unready = |it: &&Member<'_>| it.current && !it.available;
        let unproven: Vec<String> = self.living.iter().filter(unready).map(|it| it.instance.id.clone()).collect();
        if !unproven.is_empty() {
            let next = self.ready_at(updating);
            self.wait_until(Waiting::RollAwaitsHealth { outdated, unproven }, self.now, next);
        } else if !self.leaving.is_empty() || !self.opening.is_empty() {
            self.wait(Waiting::RollAfterMotion { outdated });
        } else {
            let available = self.living.iter().filter(|it| it.available).count();
            self.wait(Waiting::RollAwaitsRoom { outdated, available, floor: scope.floor });
        }
    }
}
