//! A provider's account: what exists in it, since when, and what its list says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;
use super::scenario::{Quality, Scenario};
use crate::observed::{Health, Instance, InstanceState};
use crate::outcome::{ErrorCode, PluginError};
use crate::step::Provision;
use crate::tags::{self, Tags};

/// How long something that is gone is remembered, so that a stale list can show it.
const REMEMBERED: u64 = 180_000;

/// Something that the provider made.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// What the list says of it, its state aside.
    pub(super) instance: Instance,
    /// Its states, each with the time from which it holds; none when it is gone.
    timeline: Vec<(u64, Option<InstanceState>)>,
    /// It is there, or there again, by nobody's doing: the host could not know.
    pub(super) outside: bool,
    /// The host has begun to take it away for being broken; its place is free.
    pub(super) replaced: bool,
    running: Option<u64>,
    ill: Option<(u64, u64)>,
    quality: Quality,
}

impl Unit {
    pub(super) fn state(&self) -> Option<InstanceState> {
        self.timeline.last().and_then(|(_, state)| *state)
    }

    fn state_at(&self, at: u64) -> Option<InstanceState> {
        self.timeline.iter().rev().find(|(since, _)| *since <= at).and_then(|(_, state)| *state)
    }

    pub(super) fn is_live(&self) -> bool {
        self.state().is_some_and(InstanceState::is_live)
    }

    pub(super) fn is_of(&self, group: &str) -> bool {
        self.instance.tags.get(tags::GROUP).is_some_and(|it| it == group)
    }

    /// Whether it will not get well by itself.
    pub(super) fn is_ill_for_good(&self) -> bool {
        self.ill.is_some_and(|(_, until)| until == u64::MAX)
    }

    /// How it does at that time, as its flavor finds.
    pub(super) fn health(&self, now: u64) -> Health {
        let Some(running) = self.running.filter(|_| self.state() == Some(InstanceState::Running)) else {
            return Health::Unknown;
        };
        if self.ill.is_some_and(|(from, until)| (from..until).contains(&now)) {
            return Health::Unhealthy;
        }
        let age = now.saturating_sub(running);
        let well = match self.quality {
            Quality::Good(after) => age >= after,
            Quality::Mute => return Health::Unknown,
            Quality::Broken | Quality::Unmakeable => false,
            Quality::Crashing(_) => true,
            Quality::Sickly(until) => age < until,
            Quality::Flapping(half) => (age / half).is_multiple_of(2),
        };
        if well { Health::Healthy } else { Health::Unhealthy }
    }
}

/// An account: units by serial number.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) units: BTreeMap<u64, Unit>,
    holders: BTreeMap<String, u64>,
    names: BTreeSet<String>,
    free: Vec<(String, String)>,
    serial: u64,
    /// Names of what is gone are never made again.
    tombstones: bool,
}

/// How a list is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// How old what it shows may be, in milliseconds.
    pub(super) lag: u64,
    /// Whether each instance is as old as it likes, and not the whole list.
    pub(super) torn: bool,
    /// Whether the order is another each time.
    pub(super) shuffled: bool,
    /// Whether others' instances are in it.
    pub(super) foreign: bool,
}

fn error(code: ErrorCode, message: &str) -> PluginError {
    PluginError { code, message: message.into(), path: None, retry_after: None }
}

impl Provider {
    pub(super) fn new(tombstones: bool) -> Self {
        let (units, holders, names) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { units, holders, names, free: Vec::new(), serial: 0, tombstones }
    }

    pub(super) fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.get(self.holders.get(id)?).filter(|it| it.state().is_some())
    }

    pub(super) fn serial(&self, id: &str) -> Option<u64> {
        self.holders.get(id).copied().filter(|it| self.units.get(it).is_some_and(|it| it.state().is_some()))
    }

    pub(super) fn of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (u64, &'a Unit)> {
        let there = self.units.iter().filter(move |(_, it)| it.state().is_some() && it.is_of(group));
        there.map(|(serial, it)| (*serial, it))
    }

    /// Whether something of that name was ever made.
    pub(super) fn has_made(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Unit> {
        self.units.values().find(|it| it.instance.name == name && it.state().is_some())
    }

    /// Make an instance, or find the one of that name. Answers with the serial number of what is new.
    pub(super) fn provision(
        &mut self,
        it: &Provision,
        scenario: &Scenario,
        reuse: bool,
        now: u64,
    ) -> Result<Option<u64>, PluginError> {
        let quality = scenario.quality(&it.hash);
        if quality == Quality::Unmakeable {
            return Err(error(ErrorCode::InvalidArgument, "there is no such machine type"));
        }
        if let Some(taken) = self.named(&it.name) {
            return match taken.instance.config_hash() == Some(&it.hash) {
                true => Ok(None),
                false => Err(error(ErrorCode::AlreadyExists, "the name is taken")),
            };
        }
        let again = !self.names.insert(it.name.clone());
        if again && self.tombstones {
            return Ok(None);
        }
        let group = it.tags.get(tags::GROUP).cloned().unwrap_or_default();
        let freed = self.free.iter().position(|(of, _)| *of == group).filter(|_| reuse);
        let id = match freed {
            Some(at) => self.free.swap_remove(at).1,
            None => format!("i-{}", self.serial + 1),
        };
        let instance = Instance {
            id,
            name: it.name.clone(),
            logical_id: it.logical_id.clone(),
            state: InstanceState::Pending,
            message: String::new(),
            created_at_ms: Some(now),
            addresses: Vec::new(),
            tags: it.tags.clone(),
            properties: None,
        };
        Ok(Some(self.add(instance, quality, again, now)))
    }

    /// Put something there.
    pub(super) fn add(&mut self, instance: Instance, quality: Quality, outside: bool, now: u64) -> u64 {
        self.serial += 1;
        self.holders.insert(instance.id.clone(), self.serial);
        let timeline = vec![(now, Some(InstanceState::Pending))];
        let unit = Unit { instance, timeline, outside, replaced: false, running: None, ill: None, quality };
        self.units.insert(self.serial, unit);
        self.serial
    }

    /// Let it be in that state from now on; none is gone.
    pub(super) fn set(&mut self, serial: u64, state: Option<InstanceState>, now: u64) {
        let Some(unit) = self.units.get_mut(&serial) else { return };
        if unit.state() == state || unit.state().is_none() {
            return;
        }
        unit.timeline.push((now, state));
        if state == Some(InstanceState::Running) {
            unit.running = Some(now);
        }
        if state.is_none() {
            let group = unit.instance.tags.get(tags::GROUP).cloned().unwrap_or_default();
            self.free.push((group, unit.instance.id.clone()));
            self.units
                .retain(|_, it| it.state().is_some() || it.timeline.last().is_some_and(|it| it.0 + REMEMBERED > now));
        }
    }

    /// Let something that is gone be there again. Whether it could.
    pub(super) fn revive(&mut self, serial: u64, now: u64) -> bool {
        let Some(unit) = self.units.get(&serial).filter(|it| it.state().is_none()) else { return false };
        let id = unit.instance.id.clone();
        if self.named(&unit.instance.name.clone()).is_some() || self.holders.get(&id) != Some(&serial) {
            return false;
        }
        self.free.retain(|(_, it)| *it != id);
        let Some(unit) = self.units.get_mut(&serial) else { return false };
        unit.timeline.push((now, Some(InstanceState::Running)));
        unit.running = Some(now);
        unit.outside = true;
        true
    }

    pub(super) fn fall_ill(&mut self, serial: u64, from: u64, until: u64) {
        if let Some(unit) = self.units.get_mut(&serial) {
            unit.ill = Some((from, until));
        }
    }

    pub(super) fn label(&mut self, id: &str, tags: &Tags) -> Result<(), PluginError> {
        let serial = self.serial(id).ok_or_else(|| error(ErrorCode::NotFound, "it does not exist"))?;
        if let Some(unit) = self.units.get_mut(&serial) {
            unit.instance.tags.extend(tags.clone());
        }
        Ok(())
    }

    /// The list of a group.
    pub(super) fn list(&self, group: &str, how: Reading, random: &mut Random, now: u64) -> Vec<Instance> {
        let at = now - random.below(how.lag + 1);
        let mut list = Vec::with_capacity(self.units.len());
        for unit in self.units.values() {
            if !unit.is_of(group) && !how.foreign {
                continue;
            }
            let at = if how.torn { now - random.below(how.lag + 1) } else { at };
            let Some(state) = unit.state_at(at) else { continue };
            // An id that had another holder before is shown once.
            if let Some(before) = list.iter_mut().find(|it: &&mut Instance| it.id == unit.instance.id) {
                *before = Instance { state, ..unit.instance.clone() };
            } else {
                list.push(Instance { state, ..unit.instance.clone() });
            }
        }
        if how.shuffled {
            random.shuffle(&mut list);
        }
        list
    }
}
