//! Instances with identities.

use super::*;
use crate::observed::Instance;
use crate::spec::PetStart;

fn ids(world: &World) -> Vec<&str> {
    let mut ids: Vec<_> = world.instances.values().filter_map(Instance::logical_id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn they_start_in_order_each_when_the_one_before_is_ready() {
    let spec = group(pets(&["c", "a", "b"]), "x");
    let mut world = World::new(spec.clone());
    world.health = Health::Unknown;
    world.settle_for(secs(1), 10);
    assert_eq!(world.log, ["+1"], "c is the first of the list");
    assert!(world.reasons().contains(&Waiting::InTurn { logical_ids: vec!["a".into(), "b".into()] }));
    world.health = Health::Healthy;
    assert!(world.settle().converged);
    assert_eq!(world.log, ["+1", "+2", "+3"]);
    assert_eq!(ids(&world), ["a", "b", "c"]);
}

#[test]
fn they_start_all_at_once_where_that_is_wanted() {
    let updating = Updating { start: Some(PetStart::Parallel), ..Updating::default() };
    let mut world = World::new(updated(group(pets(&["a", "b", "c"]), "x"), updating));
    assert_eq!(world.look().0.len(), 3);
}

#[test]
fn a_broken_one_does_not_hold_up_the_others_for_ever() {
    let updating =
        Updating { healthy_deadline: Some(secs(60)), on_failure: Some(OnFailure::Continue), ..Updating::default() };
    let mut world = World::new(updated(group(pets(&["a", "b", "c"]), "x"), updating));
    world.settle_with_broken_first();
    assert_eq!(ids(&world), ["a", "b", "c"]);
}

impl World {
    fn settle_with_broken_first(&mut self) {
        self.look();
        self.execute();
        self.slot_is(1, Health::Unhealthy);
        self.settle_for(secs(10), 5);
        assert_eq!(self.log, ["+1"], "it has its time");
        self.settle_for(secs(10), 5);
    }
}

#[test]
fn they_are_replaced_one_at_a_time_in_the_order_of_the_list() {
    let mut world = World::converged(group(pets(&["c", "a", "b"]), "x"));
    world.commit(group(pets(&["c", "a", "b"]), "y"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1", "-2", "+2", "-3", "+3"]);
    assert_eq!(world.extremes.0, 3, "never two of one identity");
}

#[test]
fn surge_means_nothing_to_them() {
    let mut world = World::converged(group(pets(&["a", "b"]), "x"));
    let updating =
        Updating { order: Some(RollOrder::StartFirst), max_surge: Some(Amount::Count(2)), ..Updating::default() };
    world.commit(updated(group(pets(&["a", "b"]), "y"), updating));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1", "-2", "+2"]);
}

#[test]
fn identities_are_added_and_removed() {
    let mut world = World::converged(group(pets(&["a", "b", "c"]), "x"));
    world.commit(group(pets(&["a", "c", "d", "e"]), "x"));
    assert!(world.settle().converged);
    assert_eq!(ids(&world), ["a", "c", "d", "e"]);
    assert_eq!(world.log.iter().filter(|it| it.starts_with('-')).count(), 1, "{:?}", world.log);
}

#[test]
fn members_change_while_a_rollout_runs() {
    let mut world = World::converged(group(pets(&["a", "b", "c"]), "x"));
    world.commit(group(pets(&["a", "b", "c"]), "y"));
    world.look();
    world.execute();
    world.commit(group(pets(&["b", "c", "d"]), "y"));
    assert!(world.settle().converged, "{:?}", world.reasons());
    assert_eq!(ids(&world), ["b", "c", "d"]);
    assert_eq!(world.current(), 3);
}

#[test]
fn cattle_become_pets_and_none_is_destroyed() {
    let mut world = World::converged(cattle(3, "x"));
    let before: Vec<String> = (1..=3).map(|slot| world.slot(slot).id.clone()).collect();
    world.edit(|it| {
        it.spec = group(pets(&["c", "a", "b"]), "x");
        it.converting = true;
    });
    assert!(world.settle().converged, "{:?}", world.reasons());
    assert_eq!(world.log, ["label", "label", "label"]);
    let named: Vec<_> = before.iter().map(|id| world.instances[id].logical_id().unwrap()).collect();
    assert_eq!(named, ["c", "a", "b"], "in the order of their slots");

    world.log.clear();
    world.edit(|it| {
        it.spec = cattle(3, "x");
        it.converting = true;
    });
    assert!(world.settle().converged);
    assert!(world.log.is_empty(), "and back: all stay");
}

#[test]
fn more_cattle_than_identities_go_and_fewer_are_joined() {
    let mut world = World::converged(cattle(3, "x"));
    world.edit(|it| {
        it.spec = group(pets(&["a"]), "x");
        it.converting = true;
    });
    assert!(world.settle().converged);
    assert_eq!(world.log, ["label", "-2", "-3"]);
    world.log.clear();
    world.commit(group(pets(&["a", "b"]), "x"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["+2"]);
    world.edit(|it| {
        it.spec = cattle(4, "x");
        it.converting = true;
    });
    world.log.clear();
    assert!(world.settle().converged);
    assert_eq!(world.log, ["+3", "+4"]);
}

#[test]
fn cattle_become_pets_and_are_rolled_in_one_commit() {
    let mut world = World::converged(cattle(2, "x"));
    world.edit(|it| {
        it.spec = group(pets(&["a", "b"]), "y");
        it.converting = true;
    });
    assert!(world.settle().converged, "{:?}", world.reasons());
    assert_eq!(world.log, ["label", "label", "-1", "+1", "-2", "+2"], "named first, so that none is lost on the way");
}

#[test]
fn cattle_become_pets_in_the_middle_of_a_rollout() {
    let mut world = World::converged(cattle(3, "x"));
    world.commit(cattle(3, "y"));
    for _ in 0..3 {
        world.look();
        world.execute();
    }
    world.edit(|it| {
        it.spec = group(pets(&["a", "b", "c"]), "y");
        it.converting = true;
    });
    assert!(world.settle().converged, "{:?}", world.reasons());
    assert_eq!((ids(&world), world.current()), (vec!["a", "b", "c"], 3));
    assert!(world.extremes.0 <= 3 && world.extremes.1 >= 2, "{:?}", world.extremes);
}

#[test]
fn a_label_that_fails_is_tried_again_and_nothing_is_made_meanwhile() {
    let mut world = World::converged(cattle(2, "x"));
    world.edit(|it| {
        it.spec = group(pets(&["a", "b", "c"]), "x");
        it.converting = true;
    });
    for _ in 0..3 {
        world.look();
        world.execute_with(|_| error(ErrorCode::Unavailable));
        assert!(!world.machine.report().converged);
    }
    assert!(world.log.is_empty());
    assert!(world.settle_for(secs(10), 3).converged);
    assert_eq!(world.log, ["label", "label", "+3"]);
}

#[test]
fn without_leave_to_convert_nothing_is_touched() {
    let mut world = World::converged(cattle(2, "x"));
    world.commit(group(pets(&["a", "b"]), "x"));
    world.settle();
    assert!(!world.log.iter().any(|it| it.starts_with('-')), "{:?}", world.log);
}
