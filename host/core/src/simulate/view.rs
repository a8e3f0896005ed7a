//! What a host could know of its instances: the judge's own account of what was listed and judged, kept apart from the
//! engine's tracks so that a fault in those is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::observed::{Health, HealthReport, Instance, InstanceState};
use crate::plan::Desired;
use crate::tags;
use crate::time::Timestamp;

/// What was seen of one instance in this life of the host.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) state: InstanceState,
    pub(super) group: Option<String>,
    pub(super) hash: Option<String>,
    pub(super) logical_id: Option<String>,
    pub(super) slot: Option<u32>,
    since: Timestamp,
    /// None before the first judgement.
    pub(super) health: Option<Health>,
    run: Option<(Timestamp, u32)>,
    first_healthy: Option<Timestamp>,
    /// Since when it has been unhealthy, or dead.
    unwell: Option<Timestamp>,
    checks: Vec<bool>,
    checked: Option<Timestamp>,
}

/// The instances of the last list, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) seen: BTreeMap<String, Seen>,
}

impl View {
    /// Take in a whole list. `asked` says when the host asked for an instance, if it did.
    pub(super) fn listed(&mut self, list: &[Instance], at: Timestamp, asked: impl Fn(&str) -> Option<Timestamp>) {
        let mut old = std::mem::take(&mut self.seen);
        for it in list {
            let known = old.remove(&it.id).filter(|known| known.name == it.name);
            let mut seen = known.unwrap_or_else(|| Seen {
                name: it.name.clone(),
                state: it.state,
                group: None,
                hash: None,
                logical_id: None,
                slot: None,
                since: it
                    .created_at_ms
                    .map_or(at, |created| Timestamp(created).max(asked(&it.name).unwrap_or_default()).min(at)),
                health: None,
                run: None,
                first_healthy: None,
                unwell: None,
                checks: Vec::new(),
                checked: None,
            });
            seen.state = it.state;
            if it.state != InstanceState::Running {
                seen.run = None;
                seen.unwell.get_or_insert(at);
            }
            seen.group = it.tags.get(tags::GROUP).cloned();
            seen.hash = it.config_hash().map(str::to_owned);
            seen.logical_id = it.logical_id().map(str::to_owned);
            seen.slot = it.slot();
            self.seen.insert(it.id.clone(), seen);
        }
    }

    /// Take in judgements.
    pub(super) fn judged(&mut self, reports: &[(String, HealthReport)], at: Timestamp, interval: Duration) {
        for (id, report) in reports {
            let Some(seen) = self.seen.get_mut(id) else { continue };
            let status = if seen.state == InstanceState::Running { report.status } else { Health::Unknown };
            // What the flavor said is remembered as it said it; what counts is what it said of one that runs.
            seen.health = Some(report.status);
            match status {
                Health::Healthy => {
                    seen.first_healthy.get_or_insert(at);
                    seen.unwell = None;
                    seen.run = Some(seen.run.map_or((at, 1), |(since, checks)| (since, checks + 1)));
                }
                Health::Unhealthy => {
                    seen.run = None;
                    seen.unwell.get_or_insert(at);
                }
                Health::Unknown => seen.run = None,
            }
            if status != Health::Unknown && seen.checked.is_none_or(|it| at.since(it) >= interval) {
                seen.checks.push(status == Health::Unhealthy);
                seen.checked = Some(at);
            }
        }
    }

    /// Whether the instance counts as available to an update.
    pub(super) fn is_available(&self, id: &str, desired: &Desired, now: Timestamp) -> bool {
        let Some(seen) = self.seen.get(id).filter(|it| it.is_of(desired) && it.state == InstanceState::Running) else {
            return false;
        };
        let updating = &desired.spec.properties.updating;
        match seen.is_current(desired) {
            false => seen.health == Some(Health::Healthy),
            true => seen.run.is_some_and(|(since, checks)| {
                now.since(since) >= updating.ready_after() && checks >= updating.ready_checks()
            }),
        }
    }

    /// Whether the instance is unhealthy beyond doubt.
    pub(super) fn is_sick(&self, id: &str, desired: &Desired, now: Timestamp) -> bool {
        let Some(seen) = self.seen.get(id).filter(|it| it.is_of(desired) && it.state.is_live()) else { return false };
        let healing = &desired.spec.properties.healing;
        let (unhealthy, checks) = healing.hysteresis();
        let last = seen.checks.iter().rev().take(checks as usize).filter(|it| **it).count();
        seen.health == Some(Health::Unhealthy)
            && seen.checks.last() == Some(&true)
            && last >= unhealthy as usize
            && (seen.first_healthy.is_some() || now.since(seen.since) >= healing.startup_grace())
    }

    /// How many are available, those in `without` not counted: for pets, declared identities.
    pub(super) fn available(&self, desired: &Desired, without: impl Fn(&str) -> bool, now: Timestamp) -> usize {
        let there = self.seen.iter().filter(|(id, _)| !without(id) && self.is_available(id, desired, now));
        match &desired.spec.properties.allocation {
            crate::spec::Allocation::Size(_) => there.count(),
            crate::spec::Allocation::LogicalIds(ids) => {
                let held: BTreeSet<&str> = there.filter_map(|(_, it)| it.logical_id.as_deref()).collect();
                ids.iter().filter(|id| held.contains(id.as_str())).count()
            }
        }
    }
}

impl Seen {
    /// Whether it did well for so long before it fell ill or died.
    pub(super) fn is_proven(&self, least: Duration, now: Timestamp) -> bool {
        self.first_healthy.is_some_and(|since| self.unwell.unwrap_or(now).since(since) >= least)
    }

    pub(super) fn is_of(&self, desired: &Desired) -> bool {
        self.group.as_deref() == Some(&desired.spec.id)
    }

    pub(super) fn is_current(&self, desired: &Desired) -> bool {
        self.hash.as_deref().is_some_and(|it| it == desired.config.hash || it == tags::BOOTSTRAP)
    }
}
