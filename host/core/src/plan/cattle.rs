//! Cattle: so many alike. What is too many goes, what is out of date is replaced, what is missing is made.

use std::collections::{BTreeSet, HashSet};

use super::rollout::Scope;
use super::scene::{Scene, Wanted};

impl Scene<'_> {
    /// Keep `size` instances alike. What is being made counts, so that a list that lags leads to no surplus.
    pub(super) fn keep_size(&mut self, size: usize) {
        let new = self.renewed();
        let old = self.living.len() + self.opening.len() - new;
        let scope = Scope::new(self.desired, self.ledger, new, old);
        let most = size + if self.living.iter().any(|it| !it.current) { scope.surge } else { 0 };
        let excess = (self.living.len() + self.held.len()).saturating_sub(most).min(self.living.len());
        if excess > 0 {
            self.remove_excess(excess, scope);
        }
        // Slots that hold a new instance already are the first from which an old one may go.
        let renewed: BTreeSet<u32> =
            self.living.iter().filter(|it| it.current && it.available).filter_map(|it| it.instance.slot()).collect();
        self.roll(scope, size, |it| u64::from(!it.instance.slot().is_some_and(|slot| renewed.contains(&slot))));
        self.fill(size, scope);
    }

    /// How many of the config in force there are, or are being made.
    fn renewed(&self) -> usize {
        self.living.iter().filter(|it| it.current).count() + self.opening.iter().filter(|it| it.current).count()
    }

    /// Make what is missing, and as many more as the rollout may have.
    fn fill(&mut self, size: usize, scope: Scope) {
        let outgoing = self.leaving.iter().filter(|it| it.wanted).count();
        // What was cut off may yet be there, whether it is repeated or not.
        let there = self.living.len() + self.opening.len() + self.held.len() + outgoing + self.repeating.len();
        let new = self.renewed();
        let outdated = self.living.iter().any(|it| !it.current);
        let most = size + if outdated && scope.running { scope.surge } else { 0 };
        let mut wanted = if there <= most { self.repeat(scope, new) } else { Vec::new() };
        let new = new + wanted.iter().filter(|it| it.config == self.desired.config).count();
        let renewals = scope.cap.saturating_sub(new).min(most.saturating_sub(there));
        let fillers = size.saturating_sub(there + renewals);
        let mut slots = self.free_slots(size, renewals + fillers).into_iter();
        let why = format!("{} of {size} exist", self.living.len() + self.opening.len() + self.held.len());
        for nth in 0..renewals + fillers {
            let config = match nth < renewals {
                true => self.desired.config.clone(),
                false => self.filling(scope, new + renewals),
            };
            let Some((slot, replaces)) = slots.next() else { break };
            let why = match replaces {
                Some(id) => format!("it takes the place of {id}, whose config is out of date"),
                None => why.clone(),
            };
            wanted.push(Wanted { name: None, slot, logical_id: None, config, why });
        }
        self.provision(wanted);
    }

    /// Creations that were cut off, to be repeated under their names: those of a config that would be made now. The others
    /// are waited for. `new` of the config in force exist.
    fn repeat(&self, scope: Scope, mut new: usize) -> Vec<Wanted> {
        let mut wanted = Vec::with_capacity(self.repeating.len());
        for (name, creation) in &self.repeating {
            let config = self.filling(scope, new);
            if creation.hash == config.hash {
                new += usize::from(config == self.desired.config);
                wanted.push(Wanted {
                    name: Some((*name).clone()),
                    slot: creation.slot,
                    logical_id: None,
                    config,
                    why: "an earlier attempt was cut off and left nothing behind".into(),
                });
            }
        }
        wanted
    }

    /// Slots for new instances: those that nothing holds, then those that an old one holds which is to be replaced.
    fn free_slots(&self, size: usize, count: usize) -> Vec<(u32, Option<String>)> {
        let listed = self.living.iter().chain(&self.held).filter_map(|it| it.instance.slot());
        // Most slots are the declared ones, of which there may be many.
        let mut taken = Slots::up_to(size);
        taken.extend(listed);
        taken.extend(self.leaving.iter().filter(|it| it.wanted).filter_map(|it| it.instance.slot()));
        taken.extend(self.opening.iter().filter_map(|it| it.slot));
        taken.extend(self.repeating.iter().map(|(_, it)| it.slot));
        // An instance without a slot of its own (adopted from InfraKit) holds the lowest free one.
        let slotless = self.living.iter().filter(|it| it.instance.slot().is_none()).count();
        let mut free: Vec<_> = (1..=u32::try_from(size).unwrap_or(u32::MAX))
            .filter(|slot| !taken.contains(*slot))
            .skip(slotless)
            .take(count)
            .map(|slot| (slot, None))
            .collect();
        if free.len() >= count {
            return free;
        }
        let renewed: HashSet<u32> = self
            .living
            .iter()
            .filter(|it| it.current)
            .filter_map(|it| it.instance.slot())
            .chain(self.opening.iter().filter(|it| it.current).filter_map(|it| it.slot))
            .collect();
        let old = self.living.iter().filter(|it| !it.current && !it.protected);
        for member in old {
            if free.len() >= count {
                return free;
            }
            let slot = member.instance.slot().unwrap_or(0);
            if slot > 0 && !renewed.contains(&slot) {
                free.push((slot, Some(member.instance.id.clone())));
            }
        }
        // Slots that are freed at this moment, and numbers beyond the declared ones, are better than none.
        let mut beyond = (1..).filter(|slot| !taken.contains(*slot) && !free.iter().any(|(it, _)| it == slot));
        let more: Vec<_> = beyond.by_ref().take(count - free.len()).map(|slot| (slot, None)).collect();
        free.extend(more);
        free
    }
}

/// Numbers of slots: a mark for each that is declared, and a set for those beyond.
struct Slots {
    declared: Vec<bool>,
    beyond: HashSet<u32>,
}

impl Slots {
    fn up_to(size: usize) -> Self {
        Self { declared: vec![false; size + 1], beyond: HashSet::new() }
    }

    fn contains(&self, slot: u32) -> bool {
        self.declared.get(slot as usize).copied().unwrap_or_else(|| self.beyond.contains(&slot))
    }
}

impl Extend<u32> for Slots {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, slots: T) {
        for slot in slots {
            match self.declared.get_mut(slot as usize) {
                Some(mark) => *mark = true,
                None => {
                    self.beyond.insert(slot);
                }
            }
        }
    }
}
