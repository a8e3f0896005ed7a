//! Tests of the planner on a small world that does what it is told at once. The world that goes wrong is in
//! [`simulate`](crate::simulate).

mod explain;
mod laws;

use std::collections::BTreeSet;

use super::*;
use crate::execute::Outcome;
use crate::ledger::CONFIRM_AFTER;
use crate::machine::{Machine, Setting};
use crate::observed::{Health, Instance, InstanceState};
use crate::outcome::{ErrorCode, PluginError};
use crate::spec::Allocation;
use crate::testing::{World, group, pets, reasons};

#[test]
fn a_new_group_is_made_and_then_left_alone() {
    let mut world = World::new(group(Allocation::Size(5), "a"));
    let report = world.settle();
    assert!(report.converged, "{report:?}");
    assert_eq!(world.slots(), [1, 2, 3, 4, 5]);
    assert_eq!(world.look().0, [], "a converged world plans nothing");
}

#[test]
fn what_vanished_is_made_again_in_its_slot() {
    let mut world = World::converged(group(Allocation::Size(5), "a"));
    world.instances.retain(|_, it| !matches!(it.slot(), Some(2 | 4)));
    world.settle();
    assert_eq!(world.log, ["+2", "+4"]);
}

#[test]
fn zero_is_a_size() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    world.commit(group(Allocation::Size(0), "a"));
    assert!(world.settle().converged);
    assert!(world.instances.is_empty());
}

#[test]
fn the_newest_go_first() {
    let mut world = World::converged(group(Allocation::Size(12), "a"));
    world.commit(group(Allocation::Size(3), "a"));
    world.settle();
    assert_eq!(world.slots(), [1, 2, 3], "InfraKit kept 7, 8 and 9 of twelve");
}

#[test]
fn out_of_date_and_unhealthy_go_before_the_newest() {
    let mut world = World::converged(group(Allocation::Size(4), "a"));
    let stale = world.instances.values_mut().find(|it| it.slot() == Some(1)).unwrap();
    stale.tags.insert(tags::CONFIG_HASH.into(), "other".into());
    world.commit(group(Allocation::Size(3), "a"));
    world.settle();
    assert_eq!(world.slots(), [2, 3, 4]);
}

#[test]
fn a_changed_hash_rolls_one_at_a_time() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    world.commit(group(Allocation::Size(3), "b"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1", "-2", "+2", "-3", "+3"]);
}

#[test]
fn scaling_and_rolling_in_one_commit_lose_neither() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    world.commit(group(Allocation::Size(8), "b"));
    world.look();
    world.execute();
    // An operator changes the config again in the middle of it.
    world.commit(group(Allocation::Size(8), "c"));
    assert!(world.settle().converged);
    assert_eq!(world.slots(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_roll_waits_for_health_and_says_so() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    world.commit(group(Allocation::Size(3), "b"));
    world.health = Health::Unknown;
    let report = world.settle();
    assert_eq!(world.log, ["-1", "+1"], "unknown is not healthy");
    assert!(matches!(reasons(&report)[..], [Waiting::RollAwaitsHealth { outdated: 2, .. }]), "{report:?}");
    world.health = Health::Healthy;
    assert!(world.settle().converged);
}

#[test]
fn a_broken_revision_can_be_rolled_away() {
    let mut world = World::converged(group(Allocation::Size(2), "a"));
    world.commit(group(Allocation::Size(2), "bad"));
    world.health = Health::Unhealthy;
    world.settle();
    world.commit(group(Allocation::Size(2), "good"));
    world.health = Health::Healthy;
    assert!(world.settle().converged);
}

#[test]
fn count_and_duration_hold_a_roll_back() {
    let mut world = World::converged(group(Allocation::Size(2), "a"));
    let mut counting = group(Allocation::Size(2), "b");
    counting.properties.updating.count = Some(3);
    world.commit(counting);
    world.settle();
    assert_eq!(world.log, ["-1", "+1"]);
    world.settle();
    assert_eq!(world.log.len(), 2, "two checks are not three");
    world.settle();
    assert_eq!(world.log, ["-1", "+1", "-2", "+2"]);
}

#[test]
fn pets_keep_their_identities() {
    let mut world = World::converged(group(pets(&["a", "b", "c"]), "x"));
    world.instances.retain(|_, it| it.logical_id() != Some("b"));
    world.settle();
    assert!(world.log.is_empty(), "two of one identity are worse than none for a second");
    world.pass(CONFIRM_AFTER);
    world.settle();
    assert_eq!(world.log, ["+2"]);
    world.commit(group(pets(&["a", "c", "d"]), "x"));
    assert!(world.settle().converged);
    let ids: BTreeSet<_> = world.instances.values().filter_map(Instance::logical_id).collect();
    assert_eq!(ids, BTreeSet::from(["a", "c", "d"]));
}

#[test]
fn an_identity_is_never_held_twice() {
    let mut world = World::converged(group(pets(&["a", "b"]), "x"));
    let mut twin = world.instances.values().find(|it| it.logical_id() == Some("a")).unwrap().clone();
    (twin.id, twin.name) = ("twin".into(), "twin".into());
    twin.created_at_ms = Some(world.now.0);
    world.instances.insert("twin".into(), twin);
    world.settle();
    assert!(!world.instances.contains_key("twin"), "the older one stays");
    // A stopped instance holds its identity until it is gone.
    let old = world.instances.values_mut().find(|it| it.logical_id() == Some("b")).unwrap();
    old.state = InstanceState::Stopped;
    let (plan, report) = world.look();
    assert!(matches!(plan[..], [Step { action: Action::Destroy(_), .. }]), "{plan:?}");
    assert!(reasons(&report).contains(&Waiting::IdentityHeld { logical_id: "b".into() }));
    world.execute();
    assert!(world.settle().converged);
}

#[test]
fn a_pet_without_identity_is_left_alone() {
    let mut world = World::converged(group(pets(&["a"]), "x"));
    let mut stray = world.instances.values().next().unwrap().clone();
    (stray.id, stray.name, stray.logical_id) = ("stray".into(), String::new(), None);
    stray.tags.remove(tags::LOGICAL_ID);
    world.instances.insert("stray".into(), stray);
    let report = world.settle();
    assert!(world.log.is_empty());
    assert_eq!(reasons(&report), [Waiting::Stray { id: "stray".into() }]);
}

#[test]
fn instances_tagged_bootstrap_are_adopted() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    for instance in world.instances.values_mut() {
        instance.tags.insert(tags::CONFIG_HASH.into(), tags::BOOTSTRAP.into());
    }
    assert!(world.settle().converged);
    assert_eq!(world.log, ["label", "label", "label"]);
    assert!(world.instances.values().all(|it| it.config_hash() == Some(&*world.hash())));
}

#[test]
fn what_is_on_its_way_out_is_not_adopted() {
    let tagged = |spec: GroupSpec| {
        let mut world = World::converged(spec);
        for instance in world.instances.values_mut() {
            instance.tags.insert(tags::CONFIG_HASH.into(), tags::BOOTSTRAP.into());
        }
        world
    };
    let mut shrinks = tagged(group(Allocation::Size(3), "a"));
    shrinks.commit(group(Allocation::Size(2), "a"));
    assert!(shrinks.settle().converged);
    assert_eq!(shrinks.log, ["-3", "label", "label"]);

    let mut destroyed = tagged(group(Allocation::Size(2), "a"));
    destroyed.destroy();
    assert!(destroyed.settle().converged);
    assert_eq!(destroyed.log, ["-1", "-2"]);

    let mut condemned = tagged(group(pets(&["a", "b"]), "a"));
    let first = condemned.instances.keys().next().unwrap().clone();
    condemned.edit(|it| it.condemned = BTreeSet::from([first]));
    assert!(condemned.settle().converged);
    assert_eq!(condemned.log, ["-1", "label", "+1"]);
}

#[test]
fn a_lost_ledger_changes_nothing() {
    let mut world = World::converged(group(Allocation::Size(5), "a"));
    let record = std::sync::Arc::clone(world.machine.record());
    world.machine = Machine::new(record, Ledger::default(), Setting::default(), true, world.now);
    assert!(world.settle().converged);
    assert!(world.log.is_empty());
}

#[test]
fn a_list_that_lags_leads_to_no_surplus() {
    let mut world = World::new(group(Allocation::Size(3), "a"));
    world.look();
    // Done, says the provider; its list shows nothing yet.
    let steps: Vec<_> = std::iter::from_fn(|| world.machine.start(world.now)).collect();
    for step in &steps {
        world.machine.finish(step, &Outcome::Done, world.now, 0);
    }
    world.now.0 += 300;
    let (plan, report) = world.look();
    assert_eq!((plan.len(), report.counts.creating), (0, 3));
    world.now.0 += 60_000;
    assert_eq!(world.look().0.len(), 3, "what never shows up is made again");
}

#[test]
fn what_was_cut_off_is_looked_for_and_repeated_under_its_name() {
    let mut world = World::new(group(Allocation::Size(1), "a"));
    let (plan, _) = world.look();
    let name = plan[0].action.subject().to_owned();
    let lost = PluginError { code: ErrorCode::Internal, message: "cut off".into(), path: None, retry_after: None };
    world.execute_with(|_| Outcome::of(lost.clone()));
    world.now.0 += 10_000;
    let (plan, _) = world.look();
    assert_eq!(plan[0].action.subject(), name);
}

#[test]
fn an_incomplete_list_moves_nothing() {
    let mut world = World::converged(group(Allocation::Size(5), "a"));
    world.instances.pop_first();
    let partial = Observation { complete: false, ..world.observation() };
    world.machine.observed(partial, world.now, 1);
    assert!(world.machine.executor().is_idle());
    assert_eq!(reasons(world.machine.report()), [Waiting::Incomplete]);
}

#[test]
fn a_list_that_failed_is_forgotten_when_one_came() {
    let mut world = World::converged(group(Allocation::Size(2), "a"));
    let away = PluginError { code: ErrorCode::Unavailable, message: "away".into(), path: None, retry_after: None };
    world.machine.observation_failed(away, world.now, 0);
    assert!(matches!(reasons(world.machine.report())[..], [Waiting::ListFailed { .. }]));
    let partial = Observation { complete: false, ..world.observation() };
    world.machine.observed(partial, world.now, 1);
    assert_eq!(reasons(world.machine.report()), [Waiting::Incomplete]);
}

#[test]
fn an_empty_list_is_looked_at_twice() {
    let mut world = World::converged(group(Allocation::Size(5), "a"));
    world.instances.clear();
    let (plan, report) = world.look();
    assert!(plan.is_empty());
    assert_eq!(reasons(&report), [Waiting::ConfirmingLoss { known: 5, seen: 0 }]);
    world.now = world.now.after(CONFIRM_AFTER);
    assert_eq!(world.look().0.len(), 5);
}

#[test]
fn emptying_a_group_of_one_by_a_roll_needs_no_confirmation() {
    let mut world = World::converged(group(Allocation::Size(1), "a"));
    world.commit(group(Allocation::Size(1), "b"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1"]);
}

#[test]
fn a_failing_provider_is_probed_not_stormed() {
    let mut world = World::new(group(Allocation::Size(100), "a"));
    let quota =
        PluginError { code: ErrorCode::ResourceExhausted, message: "quota".into(), path: None, retry_after: None };
    let mut calls = 0;
    for _ in 0..600 {
        let (steps, report) = world.look();
        assert!(calls == 0 || steps.len() <= 1, "one probe, not a hundred: {}", steps.len());
        world.execute_with(|_| {
            calls += 1;
            Outcome::of(quota.clone())
        });
        assert!(!report.converged);
        world.now.0 += 1_000;
    }
    assert!(calls <= 15, "{calls} calls in ten minutes");
}

#[test]
fn a_spec_that_can_never_work_waits_for_another() {
    let mut world = World::new(group(Allocation::Size(1), "a"));
    let bad = PluginError { code: ErrorCode::InvalidArgument, message: "no".into(), path: None, retry_after: None };
    world.look();
    world.execute_with(|_| Outcome::of(bad.clone()));
    world.now.0 += 1_000_000_000;
    let (plan, report) = world.look();
    assert!(plan.is_empty());
    let hopeless = |it: &Reason| matches!(it.waiting, Waiting::Backoff { .. }) && it.next.is_none();
    assert!(report.waiting.iter().any(hopeless), "{report:?}");
    assert!(reasons(&report).iter().any(|it| matches!(it, Waiting::RolloutPaused { .. })), "{report:?}");
    world.commit(group(Allocation::Size(1), "b"));
    assert!(world.settle().converged);
}

#[test]
fn destroying_takes_everything_and_makes_nothing() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    world.instances.values_mut().next().unwrap().state = InstanceState::Failed;
    world.destroy();
    assert!(world.settle().converged);
    assert!(world.instances.is_empty() && world.log.iter().all(|it| it.starts_with('-')));
}

#[test]
fn condemned_instances_go_and_are_not_others() {
    let mut world = World::converged(group(Allocation::Size(3), "a"));
    let first = world.instances.values().find(|it| it.slot() == Some(1)).unwrap().id.clone();
    world.edit(|it| {
        it.condemned.insert(first.clone());
        it.spec.properties.allocation = Allocation::Size(2);
    });
    assert!(world.settle().converged);
    assert_eq!(world.slots(), [2, 3]);
}

#[test]
fn instances_of_others_are_not_touched() {
    let mut world = World::converged(group(Allocation::Size(2), "a"));
    let mut other = world.instances.values().next().unwrap().clone();
    (other.id, other.name) = ("other".into(), "other".into());
    other.tags.insert(tags::GROUP.into(), "db".into());
    world.instances.insert("other".into(), other);
    let report = world.settle();
    assert!(report.converged, "{report:?}");
    assert_eq!(reasons(&report), [Waiting::Foreign { id: "other".into() }]);
    world.destroy();
    assert!(world.settle().converged);
    assert_eq!(world.instances.keys().collect::<Vec<_>>(), ["other"]);
}
