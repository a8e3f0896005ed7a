//! Why a group, or one of its instances, is as it is.

use super::Machine;
use crate::ledger::{RolloutStatus, SlotKey, Status};
use crate::observed::{Health, InstanceState};
use crate::record::Goal;
use crate::time::Timestamp;

/// One reason, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The reason, in one sentence.
    pub text: String,
    /// Since when it holds.
    pub since: Option<Timestamp>,
    /// When it is tried or looked at again.
    pub next: Option<Timestamp>,
}

impl Explanation {
    fn new(text: impl Into<String>, since: Option<Timestamp>, next: Option<Timestamp>) -> Self {
        Self { text: text.into(), since, next }
    }
}

impl Machine {
    /// Why the group is as it is. Never empty.
    pub fn why(&self) -> Vec<Explanation> {
        let mut reasons: Vec<Explanation> =
            self.report.waiting.iter().map(|it| Explanation::new(it.to_string(), Some(it.since), it.next)).collect();
        if let Some(rollout) = &self.ledger.memory.rollout {
            let updating = &self.desired.spec.properties.updating;
            let deadline = rollout.deadline(updating, self.desired.size());
            let text = format!("{} of revision {}: {}", rollout.kind, rollout.revision, self.rollout_in_words());
            reasons.push(Explanation::new(text, Some(rollout.since), deadline));
        }
        if reasons.is_empty() || self.report.converged {
            let text = match (self.report.converged, &self.observation) {
                (true, _) => "exactly what was declared exists, up to date and healthy",
                (false, None) => "its instances are being listed for the first time",
                (false, Some(_)) => "steps of the last plan are being carried out",
            };
            reasons.insert(0, Explanation::new(text, None, None));
        }
        reasons
    }

    /// How the rollout stands, in one sentence.
    pub fn rollout_in_words(&self) -> String {
        let Some(rollout) = &self.ledger.memory.rollout else { return "there was none".into() };
        let (ready, size) = (rollout.ready, self.desired.size());
        let updating = &self.desired.spec.properties.updating;
        match &rollout.status {
            RolloutStatus::Running if rollout.complete.is_some() => {
                format!("all {size} are ready, and are watched for {}", crate::duration::format(updating.monitor()))
            }
            RolloutStatus::Running if rollout.baking.is_some() => {
                format!("{ready} of {size} ready, resting at a checkpoint")
            }
            RolloutStatus::Running if rollout.awaits_promotion(updating, size) => {
                format!("{ready} canaries ready, waiting to be promoted")
            }
            RolloutStatus::Running if rollout.failed > 0 => {
                format!("{ready} of {size} ready, {} failed (last {})", rollout.failed, rollout.last_failure)
            }
            RolloutStatus::Running => format!("{ready} of {size} ready"),
            RolloutStatus::Paused { why, .. } => format!("paused: {why}"),
            RolloutStatus::RollingBack { to, why, .. } => format!("going back to revision {to}: {why}"),
            RolloutStatus::Succeeded { .. } => match self.record.config().rollback_of {
                Some(from) => format!("revision {from} was rolled back"),
                None => "succeeded".into(),
            },
        }
    }

    /// Why an instance is as it is, by its id, its name, its identity or the number of its slot. Answers with its id and
    /// the reasons, of which there is at least one; none where there is no such instance.
    pub fn why_instance(&self, instance: &str, now: Timestamp) -> Option<(String, Vec<Explanation>)> {
        let listed = self.observation.iter().flat_map(|it| it.instances.iter().zip(&self.ledger.tracks));
        let is_it = |it: &crate::observed::Instance| {
            it.id == instance || it.name == instance || it.logical_id() == Some(instance)
        };
        let by_slot = |it: &crate::observed::Instance| it.slot().is_some_and(|slot| slot.to_string() == instance);
        let found = listed.clone().find(|(it, _)| is_it(it)).or_else(|| listed.clone().find(|(it, _)| by_slot(it)));
        let Some((found, track)) = found else { return self.why_unlisted(instance) };
        let mut reasons = Vec::new();
        let mut say = |text: String, since: Option<Timestamp>, next| reasons.push(Explanation::new(text, since, next));
        let properties = &self.desired.spec.properties;
        if let Some(removal) = self.ledger.removing.get(&found.id) {
            let why = match removal.reason {
                crate::outcome::DestroyReason::Terminate => "it is not wanted any more",
                crate::outcome::DestroyReason::RollingUpdate => "its config is out of date",
                crate::outcome::DestroyReason::Unhealthy => "it is broken",
            };
            say(format!("it is being drained and destroyed, because {why}"), Some(removal.since), None);
        }
        let planned = self.executor.queued().find(|it| it.action.subject() == found.id);
        if let Some(step) = planned {
            say(format!("it is about to {} because {}", in_words(step), step.why), Some(now), None);
        }
        for reason in self.report.waiting.iter().filter(|it| it.waiting.instance() == Some(found.id.as_str())) {
            say(reason.to_string(), Some(reason.since), reason.next);
        }
        if found.state != InstanceState::Running {
            let said = if found.message.is_empty() { String::new() } else { format!(": {}", found.message) };
            say(format!("its provider says that it is {}{said}", found.state.name()), Some(track.since), None);
        }
        let said = if track.health.message.is_empty() { String::new() } else { format!(": {}", track.health.message) };
        match track.health.status {
            Health::Unhealthy if track.is_sick(&properties.healing, now) => {
                say(format!("it is unhealthy beyond doubt{said}"), track.unwell_since, None);
            }
            Health::Unhealthy => {
                let (unhealthy, checks) = properties.healing.hysteresis();
                let grace = track.since.after(properties.healing.startup_grace());
                let next = (track.first_healthy.is_none() && now < grace).then_some(grace);
                let rule = format!("{unhealthy} of the last {checks} checks have to say so before it is replaced");
                say(format!("its flavor calls it unhealthy{said}; {rule}"), track.unwell_since, next);
            }
            Health::Unknown if found.state == InstanceState::Running => {
                say(format!("its health is not known{said}; that is neither good nor bad"), None, None);
            }
            _ => {}
        }
        if !found.is_current(&self.desired.config.hash) {
            let next = self.report.waiting.iter().find(|it| it.waiting.instance().is_none());
            let wait = next.map_or_else(String::new, |it| format!(": {it}"));
            say(
                format!("its config is out of date, and it is replaced in its turn{wait}"),
                next.map(|it| it.since),
                None,
            );
        }
        let key = SlotKey::new(found.slot(), found.logical_id());
        if let Some(retry) = self.ledger.memory.retries.get(&key) {
            say(format!("slot {key} was healed {} times in a row", retry.failures), Some(retry.since), None);
        }
        if self.desired.protected.contains(&found.id) {
            say("an operator protects it: nothing destroys it".into(), None, None);
        }
        if self.desired.goal == Goal::Keep && reasons.is_empty() {
            let since = track.healthy.map(|it| it.since);
            reasons.push(Explanation::new("it is wanted, up to date, running and healthy", since, None));
        } else if reasons.is_empty() {
            reasons.push(Explanation::new("its group is being destroyed, and its turn comes", None, None));
        }
        Some((found.id.clone(), reasons))
    }

    /// An instance that the list does not show.
    fn why_unlisted(&self, instance: &str) -> Option<(String, Vec<Explanation>)> {
        let is_it =
            |name: &str, logical_id: &Option<String>| name == instance || logical_id.as_deref() == Some(instance);
        if let Some((name, creation)) = self.ledger.creating.iter().find(|(name, it)| is_it(name, &it.logical_id)) {
            let text = match creation.status {
                Status::InFlight => "it is being made",
                Status::Accepted(_) => "its provider accepted to make it, and does not list it yet",
                Status::Unknown(_) => "the call that makes it was cut off: it may or may not exist",
                Status::Absent(_) => "the call that makes it was cut off and left nothing behind; it is repeated",
            };
            return Some((name.clone(), vec![Explanation::new(text, Some(creation.since), None)]));
        }
        let missing = self.ledger.missing.iter().find(|(name, it)| is_it(name, &it.logical_id))?;
        let text = "it was listed a moment ago and is not now; it is looked for again before another is made";
        Some((missing.0.clone(), vec![Explanation::new(text, None, Some(missing.1.until))]))
    }
}

fn in_words(step: &crate::step::Step) -> &'static str {
    match step.action {
        crate::step::Action::Provision(_) => "be made",
        crate::step::Action::Destroy(_) => "be destroyed",
        crate::step::Action::Label(_) => "get tags",
    }
}
