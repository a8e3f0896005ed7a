//! How old instances are replaced by new ones.

use super::*;

fn amount(count: u32) -> Option<Amount> {
    Some(Amount::Count(count))
}

/// Roll `size` instances to the end. Answers with the world after it.
fn roll(size: u32, updating: Updating) -> World {
    let mut world = World::converged(cattle(size, "a"));
    world.commit(updated(cattle(size, "b"), updating));
    assert!(world.settle().converged, "{:?}", world.machine.report());
    assert_eq!(world.slots(), (1..=size).collect::<Vec<_>>(), "the slots are kept");
    assert_eq!(world.current(), size as usize);
    world
}

#[test]
fn start_first_makes_the_new_before_an_old_goes() {
    let world = roll(3, Updating { order: Some(RollOrder::StartFirst), ..Updating::default() });
    assert_eq!(world.log, ["+1", "-1", "+2", "-2", "+3", "-3"]);
    assert_eq!(world.extremes, (4, 3), "the most there were, and the fewest that were healthy");
}

#[test]
fn start_first_waits_until_the_new_is_available() {
    let mut world = World::converged(cattle(3, "a"));
    let next = updated(cattle(3, "b"), Updating { order: Some(RollOrder::StartFirst), ..Updating::default() });
    world.ails(&next, Health::Unknown);
    world.commit(next.clone());
    world.settle_for(secs(10), 6);
    assert_eq!(world.log, ["+1"]);
    assert!(matches!(world.reasons()[..], [Waiting::RollAwaitsHealth { outdated: 3, .. }]), "{:?}", world.reasons());
    world.ails(&next, Health::Healthy);
    assert!(world.settle().converged);
}

#[test]
fn stop_first_takes_an_old_before_the_new_is_made() {
    let world = roll(3, Updating { order: Some(RollOrder::StopFirst), ..Updating::default() });
    assert_eq!(world.log, ["-1", "+1", "-2", "+2", "-3", "+3"]);
    assert_eq!(world.extremes, (3, 2));
}

#[test]
fn max_surge_is_a_batch_of_new_ones() {
    let world = roll(4, Updating { max_surge: amount(2), ..Updating::default() });
    assert_eq!(world.log, ["+1", "+2", "-1", "-2", "+3", "+4", "-3", "-4"]);
    assert_eq!(world.extremes, (6, 4));
}

#[test]
fn max_unavailable_is_a_batch_of_old_ones() {
    let world = roll(6, Updating { max_unavailable: amount(2), ..Updating::default() });
    assert_eq!(world.log[..4], ["-1", "-2", "+1", "+2"]);
    assert_eq!(world.extremes, (6, 4));
}

#[test]
fn shares_are_rounded_as_kubernetes_does() {
    let quarter = Some(Amount::Percent(25));
    let world = roll(10, Updating { max_surge: quarter, max_unavailable: quarter, ..Updating::default() });
    let first: Vec<_> = world.log[..5].iter().map(|it| &it[..1]).collect();
    assert_eq!(first, ["-", "-", "+", "+", "+"], "2.5 too few are 2, and 2.5 too many are 3");
    assert_eq!(world.extremes.1, 8);
    let world = roll(5, Updating { max_unavailable: Some(Amount::Percent(10)), ..Updating::default() });
    assert_eq!(world.extremes, (5, 4), "half an instance is none, so that one may be unavailable");
}

#[test]
fn surge_and_unavailability_may_be_spent_together() {
    let world = roll(6, Updating { max_surge: amount(1), max_unavailable: amount(1), ..Updating::default() });
    assert_eq!(world.log[..2], ["-1", "+2"], "1 holds its slot until it is gone");
    assert_eq!(world.extremes.1, 5);
}

#[test]
fn everything_at_once_is_a_choice() {
    let world = roll(4, Updating { max_unavailable: Some(Amount::Percent(100)), ..Updating::default() });
    assert_eq!(world.log, ["-1", "-2", "-3", "-4", "+1", "+2", "+3", "+4"]);
}

#[test]
fn a_surge_beyond_the_size_doubles_the_group_and_no_more() {
    let world = roll(3, Updating { max_surge: Some(Amount::Percent(100)), ..Updating::default() });
    assert_eq!(world.extremes, (6, 3));
    let world = roll(2, Updating { max_surge: amount(50), ..Updating::default() });
    assert_eq!(world.extremes, (4, 2));
}

#[test]
fn min_ready_is_waited_for() {
    let mut world = World::converged(cattle(2, "a"));
    world.commit(updated(cattle(2, "b"), Updating { min_ready: Some(secs(30)), ..Updating::default() }));
    world.settle_for(secs(1), 28);
    assert_eq!(world.log, ["-1", "+1"]);
    world.settle_for(secs(1), 3);
    assert_eq!(world.log, ["-1", "+1", "-2", "+2"]);
}

#[test]
fn a_reading_of_ill_health_begins_min_ready_again() {
    let mut world = World::converged(cattle(2, "a"));
    let next = updated(cattle(2, "b"), Updating { min_ready: Some(secs(30)), ..Updating::default() });
    world.commit(next.clone());
    world.settle_for(secs(1), 20);
    world.ails(&next, Health::Unhealthy);
    world.look();
    world.ails(&next, Health::Healthy);
    world.settle_for(secs(1), 28);
    assert_eq!(world.log.len(), 2, "{:?}", world.log);
    world.settle_for(secs(1), 3);
    assert_eq!(world.log.len(), 4);
}

#[test]
fn the_broken_of_the_old_go_first_since_nothing_is_lost_with_them() {
    let mut world = World::converged(cattle(4, "a"));
    world.slot_is(3, Health::Unhealthy);
    world.look();
    world.commit(cattle(4, "b"));
    assert!(world.settle().converged);
    assert_eq!(world.log[..2], ["-3", "+3"]);
    assert_eq!(world.extremes.1, 3, "no healthy one went before it was replaced");
}

#[test]
fn a_group_that_is_short_already_loses_none_to_an_update() {
    let mut world = World::converged(cattle(4, "a"));
    world.slot_is(1, Health::Unhealthy);
    world.slot_is(2, Health::Unhealthy);
    world.look();
    let next = cattle(4, "b");
    world.ails(&next, Health::Unknown);
    world.commit(next);
    world.settle_for(secs(1), 5);
    assert_eq!(world.extremes.1, 2, "the two that are healthy stay: {:?}", world.log);
}

#[test]
fn scaling_up_in_the_middle_of_a_rollout_loses_neither() {
    let mut world = World::converged(cattle(3, "a"));
    world.commit(cattle(3, "b"));
    world.look();
    world.execute();
    world.commit(cattle(8, "b"));
    assert!(world.settle().converged);
    assert_eq!((world.slots().len(), world.current()), (8, 8));
}

#[test]
fn scaling_down_in_the_middle_of_a_rollout_takes_the_old() {
    let mut world = World::converged(cattle(6, "a"));
    world.commit(cattle(6, "b"));
    for _ in 0..4 {
        world.look();
        world.execute();
    }
    assert_eq!(world.current(), 2);
    world.commit(cattle(2, "b"));
    assert!(world.settle().converged);
    assert_eq!((world.slots().len(), world.current()), (2, 2));
    assert_eq!(world.log.iter().filter(|it| it.starts_with('+')).count(), 2, "none was made to be destroyed");
    world.commit(cattle(0, "c"));
    assert!(world.settle().converged);
}

#[test]
fn a_newer_commit_takes_over_at_once() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(cattle(4, "b"));
    world.look();
    world.execute();
    world.look();
    world.execute();
    world.commit(cattle(4, "c"));
    assert!(world.settle().converged);
    assert_eq!(world.current(), 4);
    let made = world.log.iter().filter(|it| it.starts_with('+')).count();
    assert_eq!(made, 5, "of b there was one, and no more of it was made: {:?}", world.log);
}

#[test]
fn going_back_by_hand_keeps_what_is_there() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(cattle(4, "b"));
    world.look();
    world.execute();
    world.look();
    world.execute();
    world.log.clear();
    world.commit(cattle(4, "a"));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1"], "the three that were still old are right again");
}
