//! Replacing what is broken: what stopped or failed, and what is unhealthy beyond doubt.
//!
//! Destroying is decided here; what takes the place of the destroyed is the allocation's business. A slot whose instances
//! keep breaking waits longer each time, and in the end for an operator. Many unhealthy instances at once are more likely a
//! broken check or an overload than so many broken instances, and replacing them all would make it worse: past
//! `MaxUnhealthy` none is touched (Cluster API's short circuit, on by default here).

use std::collections::BTreeSet;

use super::report::Waiting;
use super::scene::{Member, Scene};
use crate::ledger::SlotKey;
use crate::ledger::healing::{Verdict, judge};
use crate::mutant::{self, Mutant};
use crate::observed::Instance;
use crate::outcome::DestroyReason;
use crate::spec::Allocation;
use crate::step::{Drain, Work};

impl Scene<'_> {
    /// What has stopped or failed is taken away. If its place is to be filled again, its slot's retries allow it or not.
    pub(super) fn remove_dead(&mut self) {
        for member in std::mem::take(&mut self.dead) {
            if self.is_protected(&member) {
                self.held.push(member);
                continue;
            }
            let retry = match self.is_surplus(&member) {
                true => None,
                false => match self.verdict(&member) {
                    Some(failures) => Some(failures),
                    None => {
                        self.held.push(member);
                        continue;
                    }
                },
            };
            let instance = member.instance;
            let why = match instance.message.as_str() {
                "" => format!("it is {}", instance.state.name()),
                message => format!("it is {}: {message}", instance.state.name()),
            };
            self.destroy(&member, DestroyReason::Unhealthy, Drain::Skip, retry, &why);
            self.leave(&member, DestroyReason::Unhealthy);
        }
    }

    /// Whether nothing takes its place when it is gone.
    fn is_surplus(&self, member: &Member<'_>) -> bool {
        match &self.desired.spec.properties.allocation {
            Allocation::Size(size) => {
                let others = self.living.len() + self.opening.len() + self.held.len();
                others >= *size as usize || self.desired.condemned.contains(&member.instance.id)
            }
            pets @ Allocation::LogicalIds(_) => {
                let identity = member.instance.logical_id();
                identity.is_some() && !pets.names(identity)
            }
        }
    }

    /// The number of the replacement, if there may be one now. Where not, the report says why.
    fn verdict(&mut self, member: &Member<'_>) -> Option<u32> {
        let healing = &self.desired.spec.properties.healing;
        let recovered = member.track.is_some_and(|it| it.was_healthy_for(healing.min_healthy(), self.now));
        let slot = SlotKey::new(member.instance.slot(), member.instance.logical_id());
        match judge(&self.ledger.memory.retries, &slot, recovered, healing, self.now) {
            Verdict::Replace(failures) => Some(failures),
            Verdict::Wait { failures, until } => {
                let id = member.instance.id.clone();
                self.wait_until(Waiting::RetryDelay { id, slot: slot.0, failures }, self.now, Some(until));
                None
            }
            Verdict::Exhausted { failures, since } => {
                let id = member.instance.id.clone();
                self.wait_until(Waiting::RetriesExhausted { id, slot: slot.0, failures }, since, None);
                None
            }
        }
    }

    /// What is unhealthy beyond doubt is drained and destroyed, a few at a time, unless too much is.
    pub(super) fn heal(&mut self) {
        let healing = &self.desired.spec.properties.healing;
        let sick = self.living.iter().filter(|it| it.sick).count();
        if sick == 0 || !healing.enabled() {
            return;
        }
        let (size, retries) = (self.desired.size(), &self.ledger.memory.retries);
        let allowed = healing.max_unhealthy(size);
        if sick + self.held.len() > allowed && !mutant::is(Mutant::BreakerOff) {
            self.wait(Waiting::TooManyUnhealthy { unhealthy: sick + self.held.len(), allowed, size });
            return;
        }
        // Its place is free when it is on its way out, not before.
        if !self.may(Work::Destroy) {
            return;
        }
        // A replacement that is not ready yet is under way; one that is sick itself is about to be replaced again.
        // During a surge two share a slot: what is on its way out of it is not what is about to be replaced.
        let slot = |it: &Instance| SlotKey::new(it.slot(), it.logical_id());
        let broken: Vec<SlotKey> = self.leaving.iter().filter(|it| !it.wanted).map(|it| slot(it.instance)).collect();
        let going: BTreeSet<&SlotKey> = broken.iter().collect();
        let sick = self.living.iter().filter(|it| it.sick).map(|it| slot(it.instance));
        let renewed = |it: &SlotKey| retries.get(it).is_some_and(|it| it.in_flight) && !going.contains(it);
        let again = sick.filter(renewed).collect::<BTreeSet<_>>().len();
        let in_flight =
            broken.len() + retries.iter().filter(|(slot, it)| it.in_flight && !going.contains(slot)).count();
        let mut room = healing.max_in_flight(size).saturating_sub(in_flight.saturating_sub(again));
        if mutant::is(Mutant::HealingAtOnce) {
            room = usize::MAX;
        }
        let (mut stay, mut postponed) = (Vec::with_capacity(self.living.len()), 0);
        let mut living = std::mem::take(&mut self.living);
        living.sort_by_key(|it| it.host);
        for member in living {
            if !member.sick || self.is_protected(&member) {
                stay.push(member);
            } else if room == 0 {
                postponed += 1;
                stay.push(member);
            } else if let Some(failures) = self.verdict(&member) {
                room -= 1;
                let why = match member.track.map(|it| it.health.message.as_str()) {
                    None | Some("") => "it is unhealthy".into(),
                    Some(message) => format!("it is unhealthy: {message}"),
                };
                self.destroy(&member, DestroyReason::Unhealthy, Drain::Try, Some(failures), &why);
                self.leave(&member, DestroyReason::Unhealthy);
            } else {
                stay.push(member);
            }
        }
        stay.sort_by_cached_key(|it| super::scene::order(it.instance));
        self.living = stay;
        if postponed > 0 {
            self.wait(Waiting::HealingInTurn { postponed, allowed: healing.max_in_flight(size) });
        }
    }
}
