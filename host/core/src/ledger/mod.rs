//! What the host has set in motion and not yet seen the end of, and what it must not forget.
//!
//! The provider's list is the truth, but it lags, and calls are lost. The ledger holds what the list cannot show: intents
//! (creations and removals under way), what failed lately, how far a rollout is, and how often each slot was healed. It is
//! a pure fold of step starts, step outcomes and observations. Intents and [`Memory`] are stored; [`Track`]s are not.
//! Nothing in it is needed to find instances again.

mod follow;
pub mod healing;
pub mod intent;
mod rollout;
mod track;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::mutant::{self, Mutant};
use crate::observed::{Health, HealthReport, Instance, InstanceState, Observation};
use crate::plan::Desired;
use crate::step::Work;
use crate::time::Timestamp;

pub use healing::{Retries, Retry, SlotKey};
pub use intent::{Creation, Intent, Removal, Status};
pub(crate) use rollout::failure;
pub use rollout::{Picture, Rollout, RolloutKind, RolloutStatus};
pub use track::{HealthyRun, Track};
pub use turn::{Pause, Turn};

/// How long an instance that was reported as made, or whose making was cut off, may be missing from the list before it is
/// taken as gone.
pub const LIST_LAG: Duration = Duration::from_secs(30);
/// How long an instance that was reported as destroyed may stay in the list before it is destroyed again.
pub const REMOVAL_LAG: Duration = Duration::from_secs(120);
/// How long after an implausible list a second one counts as confirmation.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// Work under way for one group, and what is remembered of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Instances being made, by name.
    pub creating: BTreeMap<String, Creation>,
    /// Instances being destroyed, by id.
    pub removing: BTreeMap<String, Removal>,
    /// Instances being labelled, by id, and since when it is done: until a list of later shows the tags.
    pub labelling: BTreeMap<String, Option<Timestamp>>,
    /// What must not be forgotten.
    pub memory: Memory,
    /// What was seen of each instance, in the order of the last list.
    pub tracks: Vec<Track>,
    /// An implausible list that waits for confirmation.
    pub doubt: Option<Doubt>,
    /// Instances that were listed a moment ago and are not now, by name: they may be back.
    pub missing: BTreeMap<String, Missing>,
    /// Before then nothing is made: the list may lag behind what a host before this one did.
    pub settling: Option<Timestamp>,
    /// New instances that vanished before they were proven, since the last look.
    vanished: usize,
    /// Names of instances that vanished, for the record.
    pub(crate) lost: Vec<String>,
    /// Which intents changed since they were last written down.
    dirty: BTreeSet<(bool, String)>,
}

/// What a group must not forget, beside its intents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Memory {
    /// What failed lately, by kind of work.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub backoff: BTreeMap<Work, Backoff>,
    /// How many live instances the last accepted list had.
    pub known: usize,
    /// The revisions whose configs were stable: wholly rolled out, and healthy.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub stable: BTreeSet<u64>,
    /// The rollout under way, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How often the slots were healed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retries: Retries,
}

/// A list that shows implausibly few live instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When the first such list came.
    pub since: Timestamp,
    /// How many it showed.
    pub seen: usize,
}

/// An instance that the last list did not show, and that may yet exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its slot.
    pub slot: Option<u32>,
    /// Its identity.
    pub logical_id: Option<String>,
    /// The hash of its config.
    pub hash: Option<String>,
    /// Until when it is counted as there.
    pub until: Timestamp,
}

impl Ledger {
    /// The ledger of a host that starts: what was under way when the last one ended was cut off.
    pub fn restore(intents: impl IntoIterator<Item = (String, Intent)>, memory: Memory, now: Timestamp) -> Self {
        let mut ledger = Self { memory, ..Self::default() };
        for (key, intent) in intents {
            if mutant::is(Mutant::IntentsLostAtRestart) {
                continue;
            }
            let Some(key) = key.get(1..).map(str::to_owned) else { continue };
            match intent {
                Intent::Create(it) => {
                    let (since, status) = (it.since.min(now), it.status.recovered(now));
                    let tried = it.tried.map(|_| now);
                    ledger.creating.insert(key, Creation { since, status, tried, ..it });
                }
                Intent::Destroy(it) => {
                    let (since, status) = (it.since.min(now), it.status.recovered(now));
                    ledger.removing.insert(key, Removal { since, status, ..it });
                }
            }
        }
        if mutant::is(Mutant::ClockTrusted) {
            return ledger;
        }
        for backoff in ledger.memory.backoff.values_mut() {
            backoff.recover(now);
        }
        if let Some(rollout) = &mut ledger.memory.rollout {
            rollout.recover(now);
        }
        healing::recover(&mut ledger.memory.retries, now);
        ledger
    }

    /// Take in an observation that follows `before`. What the list settles is no longer under way.
    pub fn absorb(&mut self, desired: &Desired, before: Option<&Observation>, observed: &Observation) {
        self.memory.backoff.remove(&Work::Observe);
        if !observed.complete {
            return;
        }
        let at = observed.started;
        self.labelling.retain(|_, done| done.is_none_or(|done| at < done));
        self.vanished = 0;
        // Most looks show what the last one did, in its order: then there is nothing to miss and nothing to sort out.
        let same = self.tracks.len() == observed.instances.len()
            && self.tracks.iter().zip(&observed.instances).all(|(track, it)| track.is_of(it));
        let places = if same { Vec::new() } else { follow::places(&self.tracks, &observed.instances) };
        if let Some(before) = before.filter(|_| !same) {
            self.miss(desired, before, observed, &places);
        }
        // Before creations are settled: they say how old what is listed for the first time can be.
        if !same {
            self.realign(observed, &places);
        }
        let removed = self.settle(desired, observed);
        self.weigh(observed, removed, at);
    }

    /// Intents that the list settles. Returns how many removals it shows as done.
    fn settle(&mut self, desired: &Desired, observed: &Observation) -> usize {
        let at = observed.started;
        // A call that was cut off takes its time, and so does the list that shows what it did.
        let lag = LIST_LAG + desired.list_lag;
        if !self.creating.is_empty() || !self.missing.is_empty() {
            let names: HashSet<&str> = observed.instances.iter().map(|it| it.name.as_str()).collect();
            let dirty = &mut self.dirty;
            self.creating.retain(|name, creation| {
                // What was listed is there, whatever its call is answered with: its name must not be used again.
                let stays = if names.contains(name.as_str()) {
                    mutant::is(Mutant::SeenIsUnknown) && creation.status == Status::InFlight
                } else {
                    let wanted = desired.makes(&creation.hash) && desired.goal == crate::record::Goal::Keep;
                    match creation.status {
                        Status::InFlight => true,
                        Status::Accepted(since) => at.since(since) < lag,
                        // Repeating it under the same name makes no second one, but only while the spec is the same.
                        Status::Unknown(since) if at > since && at.since(since) >= desired.list_lag && wanted => {
                            creation.status = Status::Absent(at);
                            dirty.insert((true, name.clone()));
                            true
                        }
                        // Not wanted any more, but its effect may still show.
                        Status::Unknown(since) | Status::Absent(since) => at.since(since) < lag,
                    }
                };
                if !stays {
                    dirty.insert((true, name.clone()));
                }
                stays
            });
            self.missing.retain(|name, it| !names.contains(name.as_str()) && at < it.until);
        }
        let under_way = self.removing.len();
        if under_way > 0 {
            let listed: HashMap<&str, &Instance> = observed.instances.iter().map(|it| (it.id.as_str(), it)).collect();
            let dirty = &mut self.dirty;
            self.removing.retain(|id, removal| {
                let there =
                    listed.get(id.as_str()).is_some_and(|it| removal.name.is_empty() || it.name == removal.name);
                let stays = match removal.status {
                    Status::InFlight => true,
                    _ if !there => false,
                    Status::Accepted(since) => at.since(since) < REMOVAL_LAG,
                    Status::Unknown(since) => at <= since,
                    Status::Absent(_) => false,
                };
                if !stays {
                    dirty.insert((false, id.clone()));
                }
                stays
            });
        }
        under_way - self.removing.len()
    }

    /// Instances that were listed before and are not now, without the host having removed them.
    fn miss(&mut self, desired: &Desired, before: &Observation, observed: &Observation, places: &[Option<usize>]) {
        let mut listed = vec![false; self.tracks.len()];
        places.iter().flatten().for_each(|place| listed[*place] = true);
        let hold = match desired.spec.properties.allocation.is_pets() {
            _ if mutant::is(Mutant::MissingForgotten) => Duration::ZERO,
            true => desired.list_lag.max(CONFIRM_AFTER),
            false => desired.list_lag,
        };
        let before = before.instances.iter().zip(&self.tracks).zip(&listed);
        for (instance, track) in before.filter(|(_, listed)| !**listed).map(|(it, _)| it) {
            // A list may be older than a young instance, and no proof that it is gone.
            let young = observed.started.since(track.seen) < desired.list_lag;
            let removed = self.removal_of(instance).is_some();
            if removed && !young || !desired.owns(instance) {
                continue;
            }
            self.lost.push(instance.name.clone());
            // One that was healthy and is gone was most likely taken away by somebody; that is not the config's fault.
            if !removed && track.first_healthy.is_none() && instance.is_current(&desired.config.hash) {
                self.vanished += 1;
            }
            if !hold.is_zero() && (instance.state.is_live() || young) {
                let missing = Missing {
                    slot: instance.slot(),
                    logical_id: instance.logical_id().map(str::to_owned),
                    hash: instance.config_hash().map(str::to_owned),
                    until: observed.started.after(hold),
                };
                self.missing.insert(instance.name.clone(), missing);
            }
        }
    }

    /// One track for each instance, in the order of the list.
    fn realign(&mut self, observed: &Observation, places: &[Option<usize>]) {
        let mut old: Vec<Option<Track>> = self.tracks.drain(..).map(Some).collect();
        let creating = &self.creating;
        let track = |(it, place): (&Instance, &Option<usize>)| {
            let known = place.and_then(|place| old[place].take());
            known.unwrap_or_else(|| Track::new(it, creating.get(&it.name).map(|it| it.since), observed.started))
        };
        self.tracks = observed.instances.iter().zip(places).map(track).collect();
    }

    /// Whether the list is plausible: half of what was known does not vanish or die at once, unless the host removed it.
    fn weigh(&mut self, observed: &Observation, removed: usize, at: Timestamp) {
        let mut live = 0;
        for (track, instance) in self.tracks.iter_mut().zip(&observed.instances) {
            live += usize::from(instance.state.is_live() || instance.state == InstanceState::Stopping);
            if instance.state != InstanceState::Running {
                track.halt(at);
            }
        }
        self.memory.known = self.memory.known.saturating_sub(removed);
        if live * 2 >= self.memory.known || mutant::is(Mutant::LossIsBelieved) {
            self.memory.known = live;
            self.doubt = None;
            return;
        }
        match self.doubt {
            // Confirmed: a second list, some time after the first, shows no more than that.
            Some(doubt) if live <= doubt.seen && at.since(doubt.since) >= CONFIRM_AFTER => {
                self.memory.known = live;
                self.doubt = None;
            }
            Some(doubt) if live <= doubt.seen => {}
            _ => self.doubt = Some(Doubt { since: at, seen: live }),
        }
    }

    /// Take in judgements of instances, by id, that were asked for at that time. Instances without one keep their run.
    pub fn judge(
        &mut self,
        observed: &Observation,
        reports: &HashMap<&str, &HealthReport>,
        at: Timestamp,
        interval: Duration,
    ) {
        for (track, instance) in self.tracks.iter_mut().zip(&observed.instances) {
            if let Some(report) = reports.get(track.id.as_str()) {
                track.judge((*report).clone(), instance.state == InstanceState::Running, at, interval);
            }
        }
    }

    /// What was seen of an instance.
    pub fn track(&self, id: &str) -> Option<&Track> {
        self.tracks.iter().find(|it| it.id == id)
    }

    /// How many new instances vanished between the last two looks before they were proven. Asked once a look.
    pub(crate) fn take_vanished(&mut self) -> usize {
        std::mem::take(&mut self.vanished)
    }

    /// The health of the instance at this place of the last list.
    pub fn health_at(&self, index: usize) -> Health {
        self.tracks.get(index).map_or(Health::Unknown, |it| it.health.status)
    }

    /// Note a list that failed.
    pub fn observation_failed(&mut self, error: crate::outcome::PluginError, now: Timestamp, jitter: u64) {
        let next = Backoff::after(self.memory.backoff.get(&Work::Observe), error, now, jitter);
        // A list changes nothing, so even what looks hopeless is asked again: a swapped plugin may answer.
        let until = next.until.unwrap_or(now.after(Duration::from_secs(30)));
        self.memory.backoff.insert(Work::Observe, Backoff { until: Some(until), ..next });
    }

    /// Forget what failed: the spec or a plugin changed, so that it is worth trying again at once.
    pub fn forget_failures(&mut self) {
        // A list that failed is no better for it: only another list is.
        self.memory.backoff.retain(|work, _| *work == Work::Observe);
    }

    /// The removal of this instance that is under way: of it, and not of one that had its id before.
    pub fn removal_of(&self, instance: &Instance) -> Option<&Removal> {
        self.removing.get(&instance.id).filter(|it| it.name.is_empty() || it.name == instance.name)
    }

    /// Whether anything is under way.
    pub fn is_quiet(&self) -> bool {
        self.creating.is_empty() && self.removing.is_empty() && self.labelling.is_empty()
    }

    /// All intents, by the keys under which they are stored.
    pub fn intents(&self) -> Vec<(String, Intent)> {
        let creations = self.creating.iter().map(|(key, it)| (intent_key(true, key), Intent::Create(it.clone())));
        let removals = self.removing.iter().map(|(key, it)| (intent_key(false, key), Intent::Destroy(it.clone())));
        creations.chain(removals).collect()
    }

    /// When creations that the list does not show are taken as gone at the latest; none where none has been answered.
    pub(crate) fn settled_by(&self, desired: &Desired) -> Option<Timestamp> {
        let ends = self.creating.values().filter_map(|it| match it.status {
            Status::InFlight => None,
            Status::Accepted(at) | Status::Unknown(at) | Status::Absent(at) => Some(at),
        });
        ends.max().map(|at| at.after(LIST_LAG + desired.list_lag))
    }

    /// Note that an intent changed, so that it is written down.
    pub(crate) fn touch(&mut self, creation: bool, key: &str) {
        if !mutant::is(Mutant::IntentsUnwritten) {
            self.dirty.insert((creation, key.to_owned()));
        }
    }

    /// The intents that changed since this was last asked, as they are now; none where they are settled.
    pub(crate) fn take_changes(&mut self) -> Vec<(String, Option<Intent>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let now = |creation: bool, key: &String| match creation {
            true => self.creating.get(key).cloned().map(Intent::Create),
            false => self.removing.get(key).cloned().map(Intent::Destroy),
        };
        dirty.into_iter().map(|(creation, key)| (intent_key(creation, &key), now(creation, &key))).collect()
    }
}

/// What an intent is stored under: names and ids are apart, because a provider may use the one as the other.
fn intent_key(creation: bool, key: &str) -> String {
    format!("{}{key}", if creation { '+' } else { '-' })
}
