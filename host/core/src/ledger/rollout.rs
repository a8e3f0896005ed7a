//! The state of a rollout: which config replaces which, how far it is, and how it ends.
//!
//! Every rollout ends: it succeeds, it is rolled back, or it is paused with a reason. [`Rollout::advance`] is the clock
//! and the judge; what is replaced next is the planner's business.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::turn::{Pause, Turn};
use crate::mutant::{self, Mutant};
use crate::observed::InstanceState;
use crate::spec::{OnFailure, Updating};
use crate::time::Timestamp;

/// A config on its way into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rollout {
    /// The revision of the config.
    pub revision: u64,
    /// What kind it is.
    pub kind: RolloutKind,
    /// When it began.
    pub since: Timestamp,
    /// How it stands.
    pub status: RolloutStatus,
    /// How many instances were to be made or replaced when it began.
    pub total: usize,
    /// New instances that failed (SwarmKit's counting).
    pub failed: usize,
    /// The last failure, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_failure: String,
    /// Those of them that still exist, by id: none counts twice.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub counted: BTreeSet<String>,
    /// The most new instances that were ready at one time.
    pub ready: usize,
    /// When there was one more of them, or the clock was last set for another reason.
    pub progress: Timestamp,
    /// Since when the provider throttles: the clock stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Timestamp>,
    /// Whether the canaries were promoted.
    #[serde(default)]
    pub promoted: bool,
    /// How many checkpoints are behind.
    #[serde(default)]
    pub checkpoint: usize,
    /// Since when it rests at a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baking: Option<Timestamp>,
    /// Since when all is replaced and ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Timestamp>,
}

/// What kind of rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutKind {
    /// The first config of a group: nothing is replaced.
    Create,
    /// Another config takes the place of an older one.
    Update,
    /// An older config takes its place back. Never itself rolled back; canaries and checkpoints do not hold it up.
    Rollback,
}

impl std::fmt::Display for RolloutKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Rollback => "rollback",
        })
    }
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "State", rename_all_fields = "PascalCase")]
pub enum RolloutStatus {
    /// It goes on.
    Running,
    /// It stands still until an operator or another spec moves it.
    Paused {
        /// Why.
        why: Pause,
        /// Since when.
        since: Timestamp,
    },
    /// It failed, and the config of that revision is about to take its place.
    RollingBack {
        /// That revision.
        to: u64,
        /// Why.
        why: Pause,
        /// Since when.
        since: Timestamp,
    },
    /// Everything is replaced, was healthy, and stayed so.
    Succeeded {
        /// Since when.
        at: Timestamp,
    },
}

/// What a look says of the instances that a rollout makes.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// How many are declared.
    pub declared: usize,
    /// How many of their places no new one can take, because old ones that stay hold them.
    pub held: usize,
    /// New ones that are ready.
    pub ready: usize,
    /// Old ones that are to be replaced.
    pub outdated: usize,
    /// New ones that failed: their ids, and how.
    pub failing: Vec<(String, String)>,
    /// New ones that vanished before they were healthy, or within `Monitor` after.
    pub vanished: usize,
    /// Ids counted as failed that exist no more.
    pub lost: BTreeSet<String>,
    /// The provider throttles, or its quota is used up.
    pub throttled: bool,
    /// To provision failed, and can never work.
    pub refused: Option<String>,
}

impl Rollout {
    /// A rollout that begins.
    pub fn new(revision: u64, kind: RolloutKind, total: usize, now: Timestamp) -> Self {
        Self {
            revision,
            kind,
            since: now,
            status: RolloutStatus::Running,
            total,
            failed: 0,
            last_failure: String::new(),
            counted: BTreeSet::new(),
            ready: 0,
            progress: now,
            throttled: None,
            promoted: false,
            checkpoint: 0,
            baking: None,
            complete: None,
        }
    }

    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.status == RolloutStatus::Running
    }

    /// Whether it has come to its good end.
    pub fn has_succeeded(&self) -> bool {
        matches!(self.status, RolloutStatus::Succeeded { .. })
    }

    /// How many new instances there may be for now, of so many declared.
    pub fn cap(&self, updating: &Updating, declared: usize) -> usize {
        if self.kind != RolloutKind::Update {
            return declared;
        }
        // Canaries come before all checkpoints: those that they have passed already only bake.
        let cap = match updating.canary {
            Some(canary) if !self.promoted => canary.ceil(declared),
            _ => updating.checkpoints.get(self.checkpoint).map_or(declared, |it| it.ceil(declared)),
        };
        cap.max(1).min(declared)
    }

    /// Whether it waits for its canaries to be promoted, and all of them are ready.
    pub fn awaits_promotion(&self, updating: &Updating, declared: usize) -> bool {
        self.is_running()
            && self.kind == RolloutKind::Update
            && !self.promoted
            && updating.canary.is_some_and(|it| self.ready >= it.ceil(declared).max(1).min(declared))
    }

    /// When its clock runs out, unless something happens; none while the clock stands.
    pub fn deadline(&self, updating: &Updating, declared: usize) -> Option<Timestamp> {
        let stands = !self.is_running()
            || self.throttled.is_some()
            || mutant::is(Mutant::DeadlineOff)
            || self.baking.is_some()
            || self.complete.is_some()
            || self.awaits_promotion(updating, declared);
        (!stands).then(|| self.progress.after(updating.progress_deadline()))
    }

    /// Take in a look. `stable` is the revision to go back to, if there is one.
    pub fn advance(&mut self, seen: Picture, updating: &Updating, stable: Option<u64>, now: Timestamp) -> Vec<Turn> {
        let mut turns = Vec::new();
        if self.has_succeeded() || matches!(self.status, RolloutStatus::RollingBack { .. }) {
            return turns;
        }
        self.stop_clock(seen.throttled, now);
        if seen.ready > self.ready {
            self.ready = seen.ready;
            self.progress = now;
        }
        self.count_failures(&seen, &mut turns);
        if !self.is_running() {
            // Of the first config nothing can be held back: when all of it does well in the end, that is a good end.
            let stumbled = matches!(&self.status, RolloutStatus::Paused { why, .. } if *why != Pause::Operator);
            if self.kind == RolloutKind::Create && stumbled {
                self.note_completion(&seen, updating, now, &mut turns);
            }
            return turns;
        }
        if let Some(error) = &seen.refused {
            self.fail(Pause::Refused { error: error.clone() }, updating.on_failure(), stable, now, &mut turns);
            return turns;
        }
        // A first config has no older one to keep: pausing it would only leave the group short.
        let excused = updating.on_failure() == OnFailure::Continue || self.kind == RolloutKind::Create;
        if self.failed > 0 && !excused && updating.max_failure_ratio().is_exceeded(self.failed, self.total.max(1)) {
            let (failed, total, last) = (self.failed, self.total.max(1), self.last_failure.clone());
            self.fail(Pause::Failures { failed, total, last }, updating.on_failure(), stable, now, &mut turns);
            return turns;
        }
        self.pass_gates(&seen, updating, now, &mut turns);
        self.note_completion(&seen, updating, now, &mut turns);
        if self.complete.is_none() && self.deadline(updating, seen.declared).is_some_and(|at| now >= at) {
            let why =
                Pause::NoProgress { deadline: updating.progress_deadline(), ready: seen.ready, wanted: seen.declared };
            self.fail(why, updating.on_failure(), stable, now, &mut turns);
        }
        turns
    }

    /// All is replaced and ready, and stays so for `Monitor`: that is success.
    fn note_completion(&mut self, seen: &Picture, updating: &Updating, now: Timestamp, turns: &mut Vec<Turn>) {
        let complete = seen.outdated == 0 && seen.ready + seen.held >= seen.declared;
        self.complete = complete.then(|| self.complete.unwrap_or(now));
        if self.complete.is_some_and(|since| now.since(since) >= updating.monitor()) {
            self.status = RolloutStatus::Succeeded { at: now };
            self.counted.clear();
            turns.push(Turn::Succeeded { revision: self.revision });
        }
    }

    /// The clock of the deadline stands while the provider throttles (nomad#12940: a registry's outage must not end a
    /// deployment).
    pub(crate) fn stop_clock(&mut self, throttled: bool, now: Timestamp) {
        match (self.throttled, throttled) {
            (None, true) => self.throttled = Some(now),
            (Some(since), false) => {
                let ran = since.since(self.progress);
                self.progress = Timestamp(now.0.saturating_sub(ran.as_millis() as u64));
                self.throttled = None;
            }
            _ => {}
        }
    }

    fn count_failures(&mut self, seen: &Picture, turns: &mut Vec<Turn>) {
        self.counted.retain(|id| !seen.lost.contains(id));
        for (id, how) in &seen.failing {
            if self.counted.insert(id.clone()) {
                self.failed += 1;
                self.last_failure = format!("{id}: {how}");
                turns.push(Turn::Failed { id: Some(id.clone()), how: how.clone() });
            }
        }
        for _ in 0..seen.vanished {
            self.failed += 1;
            self.last_failure = "one that vanished before it was proven".into();
            turns.push(Turn::Failed { id: None, how: "it vanished before it was proven".into() });
        }
    }

    /// Canaries and checkpoints.
    fn pass_gates(&mut self, seen: &Picture, updating: &Updating, now: Timestamp, turns: &mut Vec<Turn>) {
        if self.kind != RolloutKind::Update {
            return;
        }
        if let Some(canary) = updating.canary
            && !self.promoted
        {
            let wanted = canary.ceil(seen.declared).max(1).min(seen.declared);
            if seen.ready >= wanted && updating.auto_promote() {
                self.promote(now);
                turns.push(Turn::Promoted);
            }
            // Canaries that a commit brought while it rested at a checkpoint come first.
            self.baking = None;
            return;
        }
        while let Some(share) = updating.checkpoints.get(self.checkpoint) {
            let wanted = share.ceil(seen.declared).max(1);
            if seen.ready < wanted && self.baking.is_none() {
                return;
            }
            let since = *self.baking.get_or_insert_with(|| {
                turns.push(Turn::Baking { ready: seen.ready });
                now
            });
            if now.since(since) < updating.bake() {
                return;
            }
            self.checkpoint += 1;
            self.baking = None;
            self.progress = now;
        }
        // The checkpoint at which it rested is in the spec no more.
        self.baking = None;
    }

    /// Let the canaries be followed by the others.
    pub fn promote(&mut self, now: Timestamp) {
        self.promoted = true;
        self.progress = now;
    }

    /// Stop it until an operator says otherwise.
    pub fn pause(&mut self, why: Pause, now: Timestamp) {
        self.status = RolloutStatus::Paused { why, since: now };
    }

    /// Go on after a pause: with new clocks, and with a clean slate of failures.
    pub fn resume(&mut self, now: Timestamp) {
        self.status = RolloutStatus::Running;
        self.progress = now;
        self.throttled = None;
        self.failed = 0;
        self.last_failure.clear();
    }

    fn fail(&mut self, why: Pause, then: OnFailure, stable: Option<u64>, now: Timestamp, turns: &mut Vec<Turn>) {
        match stable.filter(|_| {
            then == OnFailure::Rollback && (self.kind == RolloutKind::Update || mutant::is(Mutant::RollbackRolledBack))
        }) {
            Some(to) => {
                turns.push(Turn::RollingBack { to, why: why.clone() });
                self.status = RolloutStatus::RollingBack { to, why, since: now };
            }
            None => {
                turns.push(Turn::Paused { why: why.clone() });
                self.pause(why, now);
            }
        }
    }

    /// After a restart with another clock, no wait is longer than it could have been.
    pub(super) fn recover(&mut self, now: Timestamp) {
        for at in [Some(&mut self.since), Some(&mut self.progress), self.throttled.as_mut(), self.baking.as_mut()]
            .into_iter()
            .flatten()
        {
            *at = (*at).min(now);
        }
        self.complete = None;
    }
}

/// How a new instance fails a rollout, if it does. The counting is SwarmKit's: it never became healthy, or it failed within
/// `Monitor` after it had.
pub(crate) fn failure(
    track: &super::Track,
    state: InstanceState,
    message: &str,
    sick: bool,
    updating: &Updating,
    now: Timestamp,
) -> Option<String> {
    let said = |text: &str, why: &str| if why.is_empty() { text.to_owned() } else { format!("{text} ({why})") };
    let unproven = track.is_unproven(updating.monitor());
    if !state.is_live() && state != InstanceState::Stopping {
        return unproven.then(|| said(&format!("it is {}", state.name()), message));
    }
    if sick && unproven {
        return Some(said("it is unhealthy", &track.health.message));
    }
    let late = track.first_healthy.is_none() && now.since(track.seen) >= updating.healthy_deadline();
    late.then(|| {
        let deadline = crate::duration::format(updating.healthy_deadline());
        said(&format!("it was not healthy within {deadline}"), &track.health.message)
    })
}
