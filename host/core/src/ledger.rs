//! What the host has set in motion and not yet seen the end of.
//!
//! The provider's list is the truth, but it lags, and calls are lost. The ledger holds what the list cannot show yet:
//! creations and removals under way, and what failed lately. It is a pure fold of step starts, step outcomes and
//! observations; nothing in it is needed to find instances again.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::observed::{Health, InstanceState, Observation};
use crate::outcome::DestroyReason;
use crate::step::Work;
use crate::time::Timestamp;

/// How long an instance that was reported as made may be missing from the list before it is taken as gone.
pub const LIST_LAG: Duration = Duration::from_secs(30);
/// How long an instance that was reported as destroyed may stay in the list before it is destroyed again.
pub const REMOVAL_LAG: Duration = Duration::from_secs(120);
/// How long after the first empty list a second one counts as confirmation.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// Work under way for one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ledger {
    /// Instances being made, by name.
    pub creating: BTreeMap<String, Creation>,
    /// Instances being destroyed, by id.
    pub removing: BTreeMap<String, Removal>,
    /// What failed lately, by kind of work.
    pub backoff: BTreeMap<Work, Backoff>,
    /// Since when, and in how many checks in a row, each instance has been healthy.
    pub healthy: BTreeMap<String, HealthyRun>,
    /// How many instances the last accepted list had.
    pub known: usize,
    /// When a list first came back empty although instances were known.
    pub empty_since: Option<Timestamp>,
}

/// An instance being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Creation {
    /// The slot it will fill.
    pub slot: u32,
    /// The identity of a pet.
    #[serde(rename = "LogicalID")]
    pub logical_id: Option<String>,
    /// The config hash it is made from.
    pub hash: String,
    /// When it was asked for.
    pub since: Timestamp,
    /// How far it is.
    pub status: Status,
}

/// An instance being destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Removal {
    /// Why.
    pub reason: DestroyReason,
    /// When it was asked for.
    pub since: Timestamp,
    /// How far it is.
    pub status: Status,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The call runs.
    InFlight,
    /// The provider accepted it at that time; the list does not show it yet.
    Accepted(Timestamp),
    /// The call was cut off at that time: its effect may or may not exist.
    Unknown(Timestamp),
    /// It was cut off, and a later list did not show its effect: it may be repeated under the same name.
    Absent,
}

/// A run of good health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthyRun {
    /// When the run began.
    pub since: Timestamp,
    /// Checks in the run.
    pub checks: u32,
}

impl Ledger {
    /// Take in an observation of the group's instances, made from the spec with this config hash.
    pub fn absorb(&mut self, observed: &Observation, hash: &str) {
        self.backoff.remove(&Work::Observe);
        if !observed.complete {
            return;
        }
        let at = observed.started;
        let names: HashSet<&str> = observed.instances.iter().map(|it| it.name.as_str()).collect();
        let ids: HashSet<&str> = observed.instances.iter().map(|it| it.id.as_str()).collect();
        self.creating.retain(|name, creation| {
            if names.contains(name.as_str()) {
                return creation.status == Status::InFlight;
            }
            match creation.status {
                Status::InFlight => true,
                Status::Accepted(since) => at.since(since) < LIST_LAG,
                Status::Unknown(since) if at > since => {
                    creation.status = Status::Absent;
                    creation.hash == hash
                }
                Status::Unknown(_) => true,
                // Repeating it would ask for the same name with another spec.
                Status::Absent => creation.hash == hash,
            }
        });
        let under_way = self.removing.len();
        self.removing.retain(|id, removal| match removal.status {
            Status::InFlight => true,
            _ if !ids.contains(id.as_str()) => false,
            Status::Accepted(since) => at.since(since) < REMOVAL_LAG,
            Status::Unknown(since) => at <= since,
            Status::Absent => false,
        });
        // What the host destroyed itself is no surprise.
        self.known = self.known.saturating_sub(under_way - self.removing.len());
        if observed.instances.is_empty() && self.known > 0 && self.removing.is_empty() {
            let since = *self.empty_since.get_or_insert(at);
            if at.since(since) >= CONFIRM_AFTER {
                self.known = 0;
                self.empty_since = None;
            }
        } else {
            self.known = observed.instances.len();
            self.empty_since = None;
        }
        self.healthy.retain(|id, _| ids.contains(id.as_str()));
    }

    /// Take in the health of the instances observed. Instances without a report keep their run.
    pub fn absorb_health(&mut self, observed: &Observation) {
        for instance in &observed.instances {
            let Some(report) = observed.health.get(&instance.id) else { continue };
            if report.status == Health::Healthy && instance.state == InstanceState::Running {
                match self.healthy.get_mut(&instance.id) {
                    Some(run) => run.checks += 1,
                    None => {
                        let run = HealthyRun { since: observed.started, checks: 1 };
                        self.healthy.insert(instance.id.clone(), run);
                    }
                }
            } else {
                self.healthy.remove(&instance.id);
            }
        }
    }

    /// Note a list that failed.
    pub fn observation_failed(&mut self, error: crate::outcome::PluginError, now: Timestamp, jitter: u64) {
        let next = Backoff::after(self.backoff.get(&Work::Observe), error, now, jitter);
        // A list changes nothing, so even what looks hopeless is asked again: a swapped plugin may answer.
        let until = next.until.unwrap_or(now.after(Duration::from_secs(30)));
        self.backoff.insert(Work::Observe, Backoff { until: Some(until), ..next });
    }

    /// Forget what failed: the spec or a plugin changed, so that it is worth trying again at once.
    pub fn forget_failures(&mut self) {
        self.backoff.clear();
    }

    /// Whether anything is under way.
    pub fn is_quiet(&self) -> bool {
        self.creating.is_empty() && self.removing.is_empty()
    }
}
