//! Pets: one instance for each identity, and never two.
//!
//! A new one is made when the old one is gone, one after the other in the order of the list (unless `Updating.Start` says
//! otherwise). One that does not get ready holds up the others until its `HealthyDeadline`, not for ever, which is what
//! stateful sets are blamed for (kubernetes#67250).

use std::collections::{BTreeMap, BTreeSet};

use super::report::Waiting;
use super::rollout::Scope;
use super::scene::{Member, Scene, Wanted, order};
use crate::mutant::{self, Mutant};
use crate::outcome::DestroyReason;
use crate::spec::PetStart;
use crate::step::{Action, Drain, Label};
use crate::tags;

impl<'a> Scene<'a> {
    /// Keep one instance for each identity.
    pub(super) fn keep_identities(&mut self, ids: &[String]) {
        self.settle_identities(ids);
        let allocation = &self.desired.spec.properties.allocation;
        let of = |id: Option<&str>| allocation.names(id);
        let new = self.living.iter().filter(|it| it.current && of(it.instance.logical_id())).count()
            + self.opening.iter().filter(|it| it.current && of(it.logical_id)).count();
        let old = self.living.iter().filter(|it| !it.current).count();
        let scope = Scope::new(self.desired, self.ledger, new, old);
        let places: BTreeMap<&str, u64> = ids.iter().enumerate().map(|(at, id)| (id.as_str(), at as u64)).collect();
        let place = |it: &Member<'_>| it.instance.logical_id().and_then(|id| places.get(id).copied());
        self.roll(scope, ids.len(), |it| place(it).unwrap_or(u64::MAX));
        self.fill_identities(ids, scope);
    }

    /// One holder for each identity; what has none, or one that is not declared, goes or is left alone.
    fn settle_identities(&mut self, ids: &[String]) {
        let mut holders: BTreeMap<&str, Vec<Member<'a>>> = BTreeMap::new();
        let (mut stay, mut strays) = (Vec::new(), Vec::new());
        for member in std::mem::take(&mut self.living) {
            match member.instance.logical_id() {
                Some(id) => holders.entry(id).or_default().push(member),
                None => strays.push(member),
            }
        }
        for id in ids {
            let Some(mut rivals) = holders.remove(id.as_str()) else { continue };
            rivals.sort_by_cached_key(|it| (!it.protected, !it.current, !it.available, order(it.instance)));
            stay.push(rivals[0]);
            let why = format!("{id} is held by {} already", rivals[0].instance.id);
            for rival in &rivals[1..] {
                self.dismiss(rival, &why, &mut stay);
            }
        }
        for member in holders.into_values().flatten() {
            self.dismiss(&member, "its logical id is not declared", &mut stay);
        }
        if self.desired.converting {
            self.name_strays(ids, strays, &mut stay);
        } else {
            for stray in strays {
                self.wait(Waiting::Stray { id: stray.instance.id.clone() });
                stay.push(stray);
            }
        }
        stay.sort_by_cached_key(|it| order(it.instance));
        self.living = stay;
    }

    fn dismiss(&mut self, member: &Member<'a>, why: &str, stay: &mut Vec<Member<'a>>) {
        if self.is_protected(member) {
            stay.push(*member);
            return;
        }
        self.destroy(member, DestroyReason::Terminate, Drain::Try, None, why);
        self.leave(member, DestroyReason::Terminate);
    }

    /// Cattle become pets: those without an identity take over those that nobody holds, in the order of their slots.
    fn name_strays(&mut self, ids: &[String], strays: Vec<Member<'a>>, stay: &mut Vec<Member<'a>>) {
        let held = self.held_identities(stay);
        let mut free = ids.iter().enumerate().filter(|(_, id)| !held.contains(id.as_str()));
        for stray in strays {
            match free.next() {
                Some((at, id)) => {
                    let mut tags = tags::of_group(&self.desired.spec.id);
                    tags.insert(tags::LOGICAL_ID.into(), id.clone());
                    tags.insert(tags::SLOT.into(), (at + 1).to_string());
                    let action = Action::Label(Label { id: stray.instance.id.clone(), tags });
                    self.push(action, format!("it becomes {id}"));
                    stay.push(stray);
                }
                None => self.dismiss(&stray, "there are more instances than logical ids", stay),
            }
        }
    }

    /// Identities that an instance holds or will: until it is gone there is no other.
    fn held_identities(&self, living: &[Member<'a>]) -> BTreeSet<&'a str> {
        if mutant::is(Mutant::IdentityShared) {
            return living.iter().filter_map(|it| it.instance.logical_id()).collect();
        }
        let listed = living.iter().chain(&self.held).map(|it| it.instance);
        let leaving = self.leaving.iter().map(|it| it.instance);
        let named = listed.chain(leaving).filter_map(|it| it.logical_id());
        named.chain(self.opening.iter().filter_map(|it| it.logical_id)).collect()
    }

    fn fill_identities(&mut self, ids: &[String], scope: Scope) {
        let held = self.held_identities(&self.living);
        let taking = self.desired.converting && self.living.iter().any(|it| it.instance.logical_id().is_none());
        if taking {
            return;
        }
        let updating = &self.desired.spec.properties.updating;
        // Being made, or made and not ready within its time.
        let starting = self.opening.len()
            + self
                .living
                .iter()
                .filter(|it| it.current && !it.available)
                .filter(|it| it.track.is_none_or(|it| self.now.since(it.seen) < updating.healthy_deadline()))
                .count();
        let mut room = match updating.start() {
            PetStart::Parallel => usize::MAX,
            PetStart::Ordered => self.desired.budget().unavailable.max(1).saturating_sub(starting),
        };
        let repeating: BTreeMap<&str, (&str, &str)> = self
            .repeating
            .iter()
            .filter_map(|(name, it)| Some((it.logical_id.as_deref()?, (name.as_str(), it.hash.as_str()))))
            .collect();
        // What is not declared, and stays because it is protected, fills no place.
        let allocation = &self.desired.spec.properties.allocation;
        let of = |id: Option<&str>| allocation.names(id);
        let mut new = self.living.iter().filter(|it| it.current && of(it.instance.logical_id())).count()
            + self.opening.iter().filter(|it| it.current && of(it.logical_id)).count();
        let (mut wanted, mut in_turn) = (Vec::new(), Vec::new());
        for (at, id) in ids.iter().enumerate() {
            if held.contains(id.as_str()) {
                continue;
            }
            let again = repeating.get(id.as_str());
            // What was cut off may exist: it is settled under its own name before anything else.
            let config = match again {
                Some((_, hash)) => match &self.desired.base {
                    Some(base) if base.hash == *hash => base.clone(),
                    _ => self.desired.config.clone(),
                },
                None => self.filling(scope, new),
            };
            if room == 0 {
                in_turn.push(id.clone());
                continue;
            }
            room -= 1;
            new += usize::from(config.hash == self.desired.config.hash);
            wanted.push(Wanted {
                name: again.map(|(name, _)| (*name).to_owned()),
                slot: at as u32 + 1,
                logical_id: Some(id.clone()),
                config,
                why: format!("{id} is missing"),
            });
        }
        let leaving = self.leaving.iter().map(|it| it.instance).filter_map(|it| it.logical_id());
        let leaving: Vec<String> = leaving.filter(|id| of(Some(id))).map(str::to_owned).collect();
        for logical_id in leaving {
            self.wait(Waiting::IdentityHeld { logical_id });
        }
        if !in_turn.is_empty() {
            self.wait(Waiting::InTurn { logical_ids: in_turn });
        }
        self.provision(wanted);
    }
}
