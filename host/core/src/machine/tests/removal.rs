//! Which instances go, and which never do.

use super::*;
use crate::observed::Observation;
use crate::spec::{Removal, VictimOrder};
use crate::tags;

fn removed(mut spec: GroupSpec, order: VictimOrder) -> GroupSpec {
    spec.properties.removal = Removal { order: Some(order), ..Removal::default() };
    spec
}

/// Shrink by one until none is left. Answers with the slots in the order in which they went.
fn shrink(world: &mut World, spec: impl Fn(u32) -> GroupSpec) -> Vec<String> {
    for size in (0..world.instances.len() as u32).rev() {
        world.commit(spec(size));
        world.look();
        world.execute();
        assert_eq!(world.instances.len() as u32, size, "{:?}", world.reasons());
    }
    world.log.clone()
}

#[test]
fn the_out_of_date_go_first_then_the_unhealthy_then_the_unready_then_the_newest() {
    let mut world = World::converged(cattle(7, "a"));
    world.slot(2).tags.insert(tags::CONFIG_HASH.into(), "old".into());
    world.slot_is(3, Health::Unhealthy);
    world.slot_is(4, Health::Unknown);
    world.look();
    world.commit(cattle(4, "a"));
    world.settle();
    assert_eq!(world.log, ["-2", "-3", "-4"]);
    assert_eq!(shrink(&mut world, |size| cattle(size, "a"))[3..], ["-7", "-6", "-5", "-1"]);
}

#[test]
fn the_healthy_stay_where_too_few_would_be_left() {
    let mut world = World::converged(cattle(4, "a"));
    world.slot(2).tags.insert(tags::CONFIG_HASH.into(), "old".into());
    world.slot_is(3, Health::Unknown);
    world.slot_is(4, Health::Unknown);
    world.look();
    world.commit(cattle(3, "a"));
    world.look();
    world.execute();
    assert_eq!(world.log, ["-4"], "the one out of date is one of two that work");
}

#[test]
fn the_oldest_go_first_where_that_is_wanted() {
    let mut world = World::converged(cattle(4, "a"));
    assert_eq!(shrink(&mut world, |size| removed(cattle(size, "a"), VictimOrder::Oldest)), ["-1", "-2", "-3", "-4"]);
}

#[test]
fn the_flavor_may_rank_them() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(removed(cattle(2, "a"), VictimOrder::Plugin));
    world.settle();
    assert!(world.log.is_empty(), "not before it has");
    assert_eq!(world.reasons(), [Waiting::AwaitsRanking { excess: 2 }]);
    let ranking = [2, 3, 1, 4].map(|slot| world.slot(slot).id.clone()).to_vec();
    world.machine.observed(Observation { ranking: Some(ranking), ..world.observation() }, world.now, 1);
    world.execute();
    assert_eq!(world.log, ["-2", "-3"]);
}

#[test]
fn a_protected_instance_never_goes() {
    let mut world = World::converged(cattle(3, "a"));
    let id = world.slot(3).id.clone();
    world.edit(|it| it.protected = [id.clone()].into());
    world.commit(cattle(2, "a"));
    assert!(world.settle().converged, "another goes in its place");
    assert_eq!(world.slots(), [1, 3]);
    world.commit(cattle(2, "b"));
    world.settle();
    assert_eq!(world.current(), 1, "no update takes it either");
    assert_eq!(world.reasons(), [Waiting::Protected { id: id.clone() }]);
    world.edit(|it| it.protected.clear());
    assert!(world.settle().converged);
    assert_eq!(world.current(), 2);
}

#[test]
fn a_group_that_is_destroyed_leaves_the_protected_and_says_so() {
    let mut world = World::converged(cattle(3, "a"));
    let id = world.slot(2).id.clone();
    world.edit(|it| it.protected = [id.clone()].into());
    world.destroy();
    let report = world.settle();
    assert!(!report.converged);
    assert_eq!(world.slots(), [2]);
    assert_eq!(world.reasons(), [Waiting::Protected { id }]);
    world.edit(|it| it.protected.clear());
    assert!(world.settle().converged && world.instances.is_empty());
}

#[test]
fn a_condemned_and_protected_instance_stays() {
    let mut world = World::converged(cattle(3, "a"));
    let id = world.slot(2).id.clone();
    world.edit(|it| {
        it.protected = [id.clone()].into();
        it.condemned = [id.clone()].into();
    });
    world.settle();
    assert_eq!(world.slots(), [1, 2, 3]);
    assert!(world.reasons().contains(&Waiting::Protected { id }));
}

/// A converged world in which the host runs on the instance of a slot.
fn hosted(size: u32, slot: u32) -> World {
    let mut world = World::converged(cattle(size, "a"));
    let host = Some(world.slot(slot).id.clone());
    world.restart(Setting { parallel: usize::MAX, host, ..Setting::default() });
    world.settle();
    world
}

#[test]
fn what_the_host_runs_on_is_rolled_last() {
    let mut world = hosted(3, 1);
    world.commit(cattle(3, "b"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-2", "+2", "-3", "+3", "-1", "+1"]);
}

#[test]
fn what_the_host_runs_on_is_rolled_after_all_others_not_with_them() {
    let mut world = hosted(4, 1);
    world.commit(updated(cattle(4, "b"), Updating { max_unavailable: Some(Amount::Count(4)), ..Updating::default() }));
    let (steps, _) = world.look();
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert!(world.reasons().iter().any(|it| matches!(it, Waiting::HostLast { .. })), "{:?}", world.reasons());
    assert!(world.settle().converged);
    assert_eq!(world.log[..3], ["-2", "-3", "-4"]);
}

#[test]
fn what_the_host_runs_on_is_scaled_away_last() {
    let mut world = hosted(4, 4);
    world.commit(cattle(1, "a"));
    assert!(world.settle().converged);
    assert_eq!(world.slots(), [4]);
}

#[test]
fn what_the_host_runs_on_is_destroyed_last() {
    let mut world = hosted(4, 2);
    world.destroy();
    world.look();
    assert!(world.reasons().iter().any(|it| matches!(it, Waiting::HostLast { .. })));
    assert!(world.settle().converged);
    assert_eq!(world.log.last().map(String::as_str), Some("-2"));
    assert_eq!(world.log.len(), 4);
}

#[test]
fn the_host_of_a_pet_is_known_by_its_identity() {
    let mut world = World::converged(group(pets(&["a", "b", "c"]), "x"));
    world.restart(Setting { parallel: usize::MAX, host: Some("a".into()), ..Setting::default() });
    world.commit(group(pets(&["a", "b", "c"]), "y"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-2", "+2", "-3", "+3", "-1", "+1"]);
}

#[test]
fn destroying_is_tried_until_nothing_is_left() {
    let mut world = World::converged(cattle(3, "a"));
    world.destroy();
    for _ in 0..10 {
        world.look();
        world.execute_with(|_| error(ErrorCode::Unavailable));
        world.pass(secs(60));
    }
    world.look();
    world.execute_with(|_| error(ErrorCode::Unavailable));
    let (_, report) = world.look();
    assert!(!report.converged && report.waiting.iter().any(|it| matches!(it.waiting, Waiting::Backoff { .. })));
    assert_eq!(report.counts.actual, 3, "and says what is left");
    assert!(world.settle_for(secs(300), 2).converged);
    assert!(world.instances.is_empty());
}

#[test]
fn a_rollout_ends_well_although_a_protected_instance_stays_as_it_is() {
    let mut world = World::converged(cattle(3, "a"));
    let kept = world.slot(1).id.clone();
    world.edit(|it| it.protected.extend([kept.clone()]));
    world.commit(cattle(3, "b"));
    world.settle_for(secs(5), 5);
    assert!(world.instances.contains_key(&kept));
    assert_eq!(world.current(), 2);
    assert!(world.machine.ledger().memory.rollout.as_ref().unwrap().has_succeeded(), "{:?}", world.status());
    assert!(!world.machine.report().converged, "one is out of date, and that is said");
}
