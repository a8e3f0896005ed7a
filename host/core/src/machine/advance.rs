//! What a look, and the passing of time, change in what is remembered: the rollout, and the slots that were healed.

use std::collections::BTreeSet;

use crate::ledger::{Ledger, Picture, Retry, Rollout, RolloutKind, SlotKey, Turn, failure, healing};
use crate::observed::Observation;
use crate::plan::Desired;
use crate::record::Goal;
use crate::step::Work;
use crate::time::Timestamp;

/// Take in how the group stands now. Returns what happened to the rollout.
pub(crate) fn advance(desired: &Desired, observed: &Observation, ledger: &mut Ledger, now: Timestamp) -> Vec<Turn> {
    let unseen = !observed.complete || ledger.doubt.is_some() || ledger.memory.backoff.contains_key(&Work::Observe);
    if unseen {
        // Nothing can be told, so no clock runs.
        if let Some(rollout) = &mut ledger.memory.rollout {
            rollout.stop_clock(true, now);
        }
        return Vec::new();
    }
    if !ledger.memory.retries.is_empty() {
        settle_retries(desired, observed, ledger, now);
    }
    let vanished = ledger.take_vanished();
    if desired.goal == Goal::Destroy {
        ledger.memory.rollout = None;
        return Vec::new();
    }
    let mut turns = Vec::new();
    let same = ledger.memory.rollout.as_ref().filter(|it| it.revision == desired.config.revision);
    match same {
        Some(it) if it.has_succeeded() => return turns,
        Some(_) => {}
        None => {
            let rollout = begin(desired, observed, now);
            turns.push(Turn::Started { revision: rollout.revision, kind: rollout.kind });
            ledger.memory.rollout = Some(rollout);
        }
    }
    let mut picture = picture(desired, observed, ledger, now);
    picture.vanished = vanished;
    let stable = desired.base.as_ref().map(|it| it.revision);
    let updating = &desired.spec.properties.updating;
    if let Some(rollout) = &mut ledger.memory.rollout {
        turns.extend(rollout.advance(picture, updating, stable, now));
        if rollout.has_succeeded() {
            ledger.memory.stable.insert(desired.config.revision);
        }
    }
    turns
}

fn begin(desired: &Desired, observed: &Observation, now: Timestamp) -> Rollout {
    let ours = || observed.instances.iter().filter(|it| desired.owns(it) && it.state.is_live());
    let outdated = ours().filter(|it| !it.is_current(&desired.config.hash)).count();
    let missing = desired.size().saturating_sub(ours().count());
    let kind = match (desired.rollback_of, outdated) {
        (Some(_), _) => RolloutKind::Rollback,
        (None, 0) => RolloutKind::Create,
        (None, _) => RolloutKind::Update,
    };
    Rollout::new(desired.config.revision, kind, outdated + missing, now)
}

fn picture(desired: &Desired, observed: &Observation, ledger: &Ledger, now: Timestamp) -> Picture {
    let properties = &desired.spec.properties;
    let pets = properties.allocation.is_pets();
    let mut picture = Picture { declared: desired.size(), ..Picture::default() };
    let rollout = ledger.memory.rollout.as_ref();
    let mut lost: BTreeSet<String> = rollout.map(|it| it.counted.clone()).unwrap_or_default();
    for (instance, track) in observed.instances.iter().zip(&ledger.tracks) {
        lost.remove(&instance.id);
        if !desired.owns(instance) || ledger.removal_of(instance).is_some() {
            continue;
        }
        if !instance.is_current(&desired.config.hash) {
            let protected = desired.protected.contains(&instance.id);
            let stays = protected || pets && instance.logical_id().is_none();
            picture.outdated += usize::from(!stays);
            // Its place is not the rollout's to fill.
            let allocation = &properties.allocation;
            let held = protected && (!pets || allocation.names(instance.logical_id()));
            picture.held += usize::from(held);
            continue;
        }
        let running = instance.state == crate::observed::InstanceState::Running;
        picture.ready += usize::from(running && track.is_ready(&properties.updating, now));
        let sick = track.is_sick(&properties.healing, now);
        if let Some(how) = failure(track, instance.state, &instance.message, sick, &properties.updating, now) {
            picture.failing.push((instance.id.clone(), how));
        }
    }
    picture.lost = lost;
    let backoff = &ledger.memory.backoff;
    // What nothing waits for any more holds no clock.
    picture.throttled = backoff.values().any(|it| it.is_throttled() && (!it.allows(now) || !ledger.is_quiet()));
    let refused = backoff.get(&Work::Provision).filter(|it| it.until.is_none());
    picture.refused = refused.map(|it| it.error.message.clone());
    picture
}

/// Slots whose instances do well again are forgotten; those whose replacement is ready are not under way any more.
fn settle_retries(desired: &Desired, observed: &Observation, ledger: &mut Ledger, now: Timestamp) {
    let properties = &desired.spec.properties;
    let mut well = BTreeSet::new();
    let mut recovered = BTreeSet::new();
    let mut going = BTreeSet::new();
    let mut ailing = BTreeSet::new();
    let mut live = 0;
    for (instance, track) in observed.instances.iter().zip(&ledger.tracks) {
        let running = instance.state == crate::observed::InstanceState::Running;
        let gone = ledger.removal_of(instance).is_some();
        let key = SlotKey::new(instance.slot(), instance.logical_id());
        if gone {
            going.insert(key);
            continue;
        }
        if !desired.owns(instance) {
            continue;
        }
        live += usize::from(instance.state.is_live());
        if !running || track.healthy.is_none() {
            ailing.insert(key);
            continue;
        }
        if track.was_healthy_for(properties.healing.min_healthy(), now) {
            recovered.insert(key);
        } else {
            well.insert(key);
        }
    }
    ledger.memory.retries.retain(|key, Retry { last, in_flight, .. }| {
        // During a surge two share a slot: that one of them does well says nothing of the other. And a slot that is not
        // filled again, because there are enough, is not under way for ever.
        let comes = live < desired.size() || ledger.creating.values().any(|it| it.slot_key() == *key);
        // Nor is one whose new instance nobody can tell anything about: the others have waited for it for long enough.
        let overdue = now.since(*last) >= properties.updating.healthy_deadline();
        let starts = !well.contains(key) && (comes || ailing.contains(key)) && !overdue;
        *in_flight &= going.contains(key) || starts;
        !recovered.contains(key) && now.since(*last) < healing::FORGET_AFTER
    });
}
