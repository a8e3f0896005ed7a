//! Rollouts that fail, and how each of them ends.

use super::*;
use crate::ledger::{Picture, Rollout, RolloutKind};
use crate::time::Timestamp;

fn deadline(on_failure: OnFailure) -> Updating {
    Updating { healthy_deadline: Some(secs(30)), on_failure: Some(on_failure), ..Updating::default() }
}

/// A group of `size` whose next revision never gets healthy, a minute after that was committed.
fn broken(size: u32, updating: Updating) -> World {
    let mut world = World::converged(cattle(size, "a"));
    let next = updated(cattle(size, "b"), updating);
    world.ails(&next, Health::Unhealthy);
    world.commit(next);
    world.settle_for(secs(5), 12);
    world
}

#[test]
fn what_is_not_healthy_in_time_is_a_failure_and_pauses() {
    let world = broken(4, deadline(OnFailure::Pause));
    assert_eq!(world.log, ["-1", "+1"], "one was lost to it, and no more");
    let Some(Pause::Failures { failed: 1, total: 4, last }) = world.pause() else { panic!("{:?}", world.status()) };
    assert!(last.contains("not healthy within 30s"), "{last}");
    let said = world.machine.report().waiting.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(said.contains("revision 2 is paused with 3 out of date"), "{said}");
}

#[test]
fn a_pause_is_for_good() {
    let mut world = broken(4, deadline(OnFailure::Pause));
    world.health = Health::Healthy;
    world.healths.clear();
    world.settle_for(secs(60), 60);
    assert_eq!(world.current(), 1, "only an operator or another spec moves it");
    assert!(world.pause().is_some());
}

#[test]
fn fix_forward_is_never_blocked_and_takes_the_broken_first() {
    let mut world = broken(4, deadline(OnFailure::Pause));
    world.log.clear();
    world.commit(updated(cattle(4, "c"), deadline(OnFailure::Pause)));
    assert!(world.settle().converged);
    assert_eq!(world.log[..2], ["-1", "+1"], "the broken one goes first");
    assert_eq!(world.extremes.1, 3, "and no healthy one before it was replaced");
}

#[test]
fn continue_goes_on_as_far_as_unavailability_lets_it_and_still_ends() {
    let mut updating = deadline(OnFailure::Continue);
    updating.max_unavailable = Some(Amount::Count(2));
    updating.progress_deadline = Some(secs(300));
    let mut world = broken(4, updating);
    assert_eq!(world.status(), &RolloutStatus::Running);
    assert_eq!(world.log, ["-1", "-2", "+1", "+2"]);
    world.settle_for(secs(10), 30);
    assert!(matches!(world.pause(), Some(Pause::NoProgress { ready: 0, wanted: 4, .. })), "{:?}", world.status());
}

#[test]
fn rollback_returns_to_what_was_stable_and_succeeds() {
    let mut world = broken(4, deadline(OnFailure::Rollback));
    assert!(matches!(world.status(), RolloutStatus::RollingBack { to: 1, .. }), "{:?}", world.status());
    assert_eq!(world.log, ["-1", "+1"], "nothing moves before the host has written the rollback down");
    assert!(world.roll_back());
    world.settle();
    world.pass(secs(10));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1", "-1", "+1"], "only what was broken is made again");
    assert_eq!(world.hash(), hash(&cattle(4, "a")));
    let rollout = world.machine.ledger().memory.rollout.as_ref().unwrap();
    assert!(rollout.has_succeeded() && rollout.kind == RolloutKind::Rollback);
    assert!(!world.roll_back(), "once is enough");
}

#[test]
fn a_rollback_is_never_itself_rolled_back() {
    let mut world = World::converged(cattle(3, "a"));
    world.commit(cattle(3, "b"));
    world.settle();
    world.pass(secs(10));
    world.settle();
    let third = updated(cattle(3, "c"), deadline(OnFailure::Rollback));
    world.ails(&third, Health::Unhealthy);
    world.ails(&cattle(3, "b"), Health::Unhealthy);
    world.commit(third);
    world.settle_for(secs(5), 12);
    assert!(world.roll_back());
    assert_eq!(world.hash(), hash(&cattle(3, "b")), "the last that was stable, not the first");
    world.settle_for(secs(5), 200);
    assert!(world.pause().is_some(), "{:?}", world.status());
    assert!(!world.roll_back());
}

#[test]
fn a_rollback_keeps_the_size_committed_meanwhile() {
    let mut world = broken(3, deadline(OnFailure::Rollback));
    world.commit(updated(cattle(5, "b"), deadline(OnFailure::Rollback)));
    world.look();
    assert!(world.roll_back());
    assert!(world.settle().converged);
    assert_eq!((world.slots().len(), world.current()), (5, 5));
    assert_eq!(world.hash(), hash(&cattle(5, "a")));
}

#[test]
fn without_a_stable_revision_a_rollback_is_a_pause() {
    let mut world = World::new(cattle(2, "a"));
    world.settle();
    let next = updated(cattle(2, "b"), deadline(OnFailure::Rollback));
    world.ails(&next, Health::Unhealthy);
    world.commit(next);
    world.settle_for(secs(5), 8);
    assert!(matches!(world.pause(), Some(Pause::Failures { .. })), "{:?}", world.status());
    assert!(!world.roll_back());
}

#[test]
fn a_revision_that_was_never_whole_is_not_gone_back_to() {
    let mut world = World::converged(cattle(2, "a"));
    let half = cattle(2, "b");
    world.ails(&half, Health::Unknown);
    world.commit(half);
    world.settle();
    let third = updated(cattle(2, "c"), deadline(OnFailure::Rollback));
    world.ails(&third, Health::Unhealthy);
    world.commit(third);
    world.settle_for(secs(5), 12);
    assert!(world.roll_back());
    assert_eq!(world.hash(), hash(&cattle(2, "a")));
}

#[test]
fn what_can_never_be_made_ends_the_rollout_at_once() {
    let mut world = World::converged(cattle(3, "a"));
    world.commit(updated(cattle(3, "b"), deadline(OnFailure::Rollback)));
    for _ in 0..3 {
        world.look();
        world.execute_with(|step| match step.action {
            crate::step::Action::Provision(_) => error(ErrorCode::InvalidArgument),
            _ => Outcome::Done,
        });
    }
    assert!(matches!(world.status(), RolloutStatus::RollingBack { why: Pause::Refused { .. }, .. }));
    assert!(world.roll_back());
    assert!(world.settle().converged);
}

#[test]
fn what_fails_soon_after_it_was_healthy_counts_and_later_does_not() {
    for (after, counts) in [(3, true), (60, false)] {
        let mut world = World::converged(cattle(4, "a"));
        let next = updated(cattle(4, "b"), Updating { min_ready: Some(secs(120)), ..Updating::default() });
        world.commit(next.clone());
        world.settle();
        world.settle();
        world.settle_for(secs(1), after);
        world.slot(1).state = InstanceState::Failed;
        world.settle();
        assert_eq!(world.pause().is_some(), counts, "{after} s after it became healthy: {:?}", world.status());
    }
}

#[test]
fn what_vanishes_before_it_is_proven_counts() {
    let mut world = World::converged(cattle(4, "a"));
    let next = cattle(4, "b");
    world.ails(&next, Health::Unknown);
    world.commit(next.clone());
    world.settle();
    world.instances.retain(|_, it| !it.is_current(&hash(&next)));
    world.look();
    assert!(matches!(world.pause(), Some(Pause::Failures { failed: 1, .. })), "{:?}", world.status());
}

#[test]
fn an_instance_fails_once() {
    let mut world = broken(4, deadline(OnFailure::Pause));
    world.settle_for(secs(10), 10);
    let turns = world.machine.take_changes().turns;
    assert_eq!(turns.iter().filter(|it| matches!(it, Turn::Failed { .. })).count(), 1, "{turns:?}");
}

#[test]
fn every_newly_ready_instance_gives_the_rollout_new_time() {
    let updating =
        Updating { progress_deadline: Some(secs(100)), healthy_deadline: Some(secs(1000)), ..Updating::default() };
    let mut world = World::converged(cattle(3, "a"));
    let next = updated(cattle(3, "b"), updating);
    world.ails(&next, Health::Unknown);
    world.commit(next);
    for slot in 1..=2 {
        world.settle_for(secs(9), 10);
        assert_eq!(world.status(), &RolloutStatus::Running);
        world.slot_is(slot, Health::Healthy);
    }
    world.settle_for(secs(9), 10);
    assert_eq!(world.status(), &RolloutStatus::Running, "4 minutes and a half, and never 100 s without one more");
    world.settle_for(secs(9), 3);
    assert!(matches!(world.pause(), Some(Pause::NoProgress { ready: 2, wanted: 3, .. })), "{:?}", world.status());
}

#[test]
fn the_clock_stands_while_the_provider_throttles() {
    let updating = Updating { progress_deadline: Some(secs(100)), ..Updating::default() };
    let mut world = World::converged(cattle(3, "a"));
    world.commit(updated(cattle(3, "b"), updating));
    for _ in 0..600 {
        world.look();
        world.execute_with(|step| match step.action {
            crate::step::Action::Provision(_) => error(ErrorCode::ResourceExhausted),
            _ => Outcome::Done,
        });
        world.pass(secs(1));
    }
    assert_eq!(world.status(), &RolloutStatus::Running, "ten minutes without a quota are nobody's failure");
    world.settle_for(secs(60), 6);
    assert!(world.settle().converged);
}

#[test]
fn a_list_that_fails_stops_the_clock_too() {
    let updating = Updating { progress_deadline: Some(secs(100)), ..Updating::default() };
    let mut world = World::converged(cattle(3, "a"));
    world.commit(updated(cattle(3, "b"), updating));
    world.look();
    world.execute();
    for _ in 0..60 {
        world.pass(secs(10));
        let away = PluginError { code: ErrorCode::Internal, message: "away".into(), path: None, retry_after: None };
        world.machine.observation_failed(away, world.now, 0);
    }
    assert!(world.settle().converged, "{:?}", world.status());
}

#[test]
fn failures_are_weighed_as_swarmkit_does() {
    // Of so many to replace so many fail, and it stops at more than that share.
    let table = [
        (4, 0.0, 0, false),
        (4, 0.0, 1, true),
        (4, 0.25, 1, false),
        (4, 0.25, 2, true),
        (10, 0.3, 3, false),
        (10, 0.3, 4, true),
        (3, 0.33, 1, true),
        (3, 0.34, 1, false),
        (1, 0.99, 1, true),
        (4, 1.0, 4, false),
    ];
    for (total, ratio, failures, stops) in table {
        let mut rollout = Rollout::new(2, RolloutKind::Update, total, Timestamp(0));
        let updating = Updating { max_failure_ratio: Ratio::new(ratio), ..Updating::default() };
        for n in 1..=failures {
            assert!(rollout.is_running(), "{n} of {failures} of {total} at {ratio}");
            let failing = (0..n).map(|it| (format!("i{it}"), "it is failed".into())).collect();
            let picture = Picture { declared: total, outdated: 1, failing, ..Picture::default() };
            rollout.advance(picture, &updating, None, Timestamp(n as u64));
        }
        assert_eq!(!rollout.is_running(), stops, "{failures} of {total} at {ratio}");
    }
}

#[test]
fn after_the_last_it_is_watched_for_one_more_monitor() {
    let mut world = World::converged(cattle(2, "a"));
    let next = updated(cattle(2, "b"), Updating { monitor: Some(secs(60)), ..Updating::default() });
    world.commit(next.clone());
    world.settle_for(secs(10), 5);
    assert_eq!((world.current(), world.status()), (2, &RolloutStatus::Running));
    world.slot(2).state = InstanceState::Failed;
    world.settle();
    assert!(world.pause().is_some(), "it is not stable before it was watched: {:?}", world.status());
    assert!(!world.machine.ledger().memory.stable.contains(&2));
}

#[test]
fn a_first_rollout_is_not_paused_by_failures_for_there_is_nothing_to_hold_back() {
    let mut world = World::new(cattle(3, "a"));
    world.settle();
    world.slot(1).state = InstanceState::Failed;
    world.settle();
    assert_eq!((world.slots(), world.status()), (vec![1, 2, 3], &RolloutStatus::Running));
}

#[test]
fn a_first_rollout_that_stood_and_got_up_is_stable_in_the_end() {
    let mut world = World::new(cattle(3, "a"));
    world.health = Health::Unknown;
    world.settle_for(secs(10), 61);
    assert!(matches!(world.pause(), Some(Pause::NoProgress { .. })), "{:?}", world.status());
    world.health = Health::Healthy;
    world.settle_for(secs(2), 5);
    assert!(world.settle().converged);
    assert!(world.machine.ledger().memory.stable.contains(&1), "there is something to go back to");
}

#[test]
fn what_dies_while_it_is_paused_is_replaced_from_the_stable_config() {
    let mut world = broken(4, deadline(OnFailure::Pause));
    world.slot(3).state = InstanceState::Stopped;
    world.log.clear();
    world.settle();
    assert_eq!(world.log, ["-3", "+3"]);
    let made = world.slot(3).clone();
    assert!(made.is_current(&hash(&cattle(4, "a"))), "not from the broken one");
}
