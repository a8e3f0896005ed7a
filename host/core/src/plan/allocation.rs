//! How many, and which: cattle by size, pets by identity.

use std::collections::{BTreeMap, BTreeSet};

use crate::observed::{Health, Instance, InstanceState};
use crate::outcome::DestroyReason;
use crate::plan::report::Waiting;
use crate::plan::scene::{Scene, Wanted, order};
use crate::step::Drain;

impl Scene<'_> {
    /// Keep `size` instances alike. What is being made counts, so that a list that lags leads to no surplus.
    pub(super) fn keep_size(&mut self, size: usize) {
        let filled = self.living.len() + self.opening.len();
        if filled > size {
            self.remove_excess(filled - size);
            return;
        }
        let mut wanted: Vec<Wanted> = self
            .repeating
            .iter()
            .take(size - filled)
            .map(|(name, creation)| Wanted {
                name: Some((*name).clone()),
                slot: creation.slot,
                logical_id: None,
                why: "an earlier attempt was cut off and left nothing behind".into(),
            })
            .collect();
        let missing = size - filled - wanted.len();
        if missing > 0 {
            let mut taken: BTreeSet<u32> = self.living.iter().filter_map(|it| it.slot()).collect();
            taken.extend(self.opening.iter().chain(&self.repeating).map(|(_, it)| it.slot));
            // An instance without a slot of its own (adopted from InfraKit) holds the lowest free one.
            let mut free = (1..).filter(|slot| !taken.contains(slot));
            let slotless = self.living.iter().filter(|it| it.slot().is_none()).count();
            let why = format!("{filled} of {size} exist");
            wanted.extend(free.by_ref().skip(slotless).take(missing).map(|slot| Wanted {
                name: None,
                slot,
                logical_id: None,
                why: why.clone(),
            }));
        }
        self.provision(wanted);
    }

    /// Victims in this order: out of date, unhealthy, not running, newest, highest slot, highest id.
    fn remove_excess(&mut self, excess: usize) {
        let mut victims = std::mem::take(&mut self.living);
        victims.sort_by_cached_key(|it| {
            (
                self.is_current(it),
                self.observed.health_of(&it.id) != Health::Unhealthy,
                it.state == InstanceState::Running,
                std::cmp::Reverse((it.created_at_ms.unwrap_or(0), it.slot().unwrap_or(u32::MAX), it.id.as_str())),
            )
        });
        let stay = victims.split_off(excess.min(victims.len()));
        self.living = stay;
        self.living.sort_by_cached_key(|it| order(it));
        for instance in victims {
            self.destroy(&instance.id, DestroyReason::Terminate, Drain::Try, "there are more than declared");
            self.leaving.push(instance);
        }
    }

    /// Keep one instance for each identity, and never two at once: a new one waits until the old one is gone.
    pub(super) fn keep_identities(&mut self, ids: &[String]) {
        let mut holders: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
        let mut stay = Vec::new();
        for instance in std::mem::take(&mut self.living) {
            match instance.logical_id() {
                Some(id) => holders.entry(id).or_default().push(instance),
                None => {
                    self.wait(Waiting::Stray { id: instance.id.clone() });
                    stay.push(instance);
                }
            }
        }
        let still_held: BTreeSet<&str> =
            self.dead.iter().chain(&self.leaving).filter_map(|it| it.logical_id()).collect();
        let opening: BTreeSet<&str> = self.opening.iter().filter_map(|(_, it)| it.logical_id.as_deref()).collect();
        let repeating: BTreeMap<&str, &str> =
            self.repeating.iter().filter_map(|(name, it)| Some((it.logical_id.as_deref()?, name.as_str()))).collect();
        let mut wanted = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            match holders.remove(id.as_str()) {
                Some(mut rivals) => {
                    rivals.sort_by_cached_key(|it| {
                        (!self.is_current(it), self.observed.health_of(&it.id) != Health::Healthy, order(it))
                    });
                    stay.push(rivals[0]);
                    for rival in &rivals[1..] {
                        let why = format!("{id} is held by {} already", rivals[0].id);
                        self.destroy(&rival.id, DestroyReason::Terminate, Drain::Try, &why);
                        self.leaving.push(rival);
                    }
                }
                None if opening.contains(id.as_str()) => {}
                None if still_held.contains(id.as_str()) => self.wait(Waiting::IdentityHeld { logical_id: id.clone() }),
                None => wanted.push(Wanted {
                    name: repeating.get(id.as_str()).map(|name| (*name).to_owned()),
                    slot: index as u32 + 1,
                    logical_id: Some(id.clone()),
                    why: format!("{id} is missing"),
                }),
            }
        }
        for instance in holders.into_values().flatten() {
            self.destroy(&instance.id, DestroyReason::Terminate, Drain::Try, "its logical id is not declared");
            self.leaving.push(instance);
        }
        self.living = stay;
        self.provision(wanted);
    }
}
