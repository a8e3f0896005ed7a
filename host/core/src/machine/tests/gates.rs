//! Canaries and checkpoints: rollouts that wait on purpose.

use super::*;

fn canary(count: u32, auto_promote: bool) -> Updating {
    let progress_deadline = Some(secs(100));
    let canary = Some(Amount::Count(count));
    Updating { canary, auto_promote: Some(auto_promote), progress_deadline, ..Updating::default() }
}

#[test]
fn canaries_wait_for_an_operator_without_running_out_of_time() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(updated(cattle(4, "b"), canary(1, false)));
    world.settle_for(secs(60), 60);
    assert_eq!(world.log, ["-1", "+1"]);
    assert_eq!(world.reasons(), [Waiting::AwaitsPromotion { group: "web".into(), canaries: 1, outdated: 3 }]);
    assert!(!world.machine.is_restless(), "nothing but an operator ends it");
    let said = world.machine.control(Control::Promote, world.now).unwrap();
    assert_eq!(said, "Promoted the canaries of revision 2");
    assert!(world.settle().converged);
    assert_eq!(world.current(), 4);
}

#[test]
fn canaries_promote_themselves_where_that_is_wanted() {
    let mut world = World::converged(cattle(4, "a"));
    let next = updated(cattle(4, "b"), canary(2, true));
    world.ails(&next, Health::Unknown);
    world.commit(next.clone());
    world.settle_for(secs(10), 5);
    assert_eq!(world.current(), 1, "not before they are ready");
    world.ails(&next, Health::Healthy);
    assert!(world.settle().converged);
    let turns = world.machine.take_changes().turns;
    assert!(turns.contains(&Turn::Promoted), "{turns:?}");
}

#[test]
fn canaries_that_fail_end_the_rollout() {
    let mut world = World::converged(cattle(4, "a"));
    let next = updated(cattle(4, "b"), Updating { on_failure: Some(OnFailure::Rollback), ..canary(1, true) });
    world.ails(&next, Health::Unhealthy);
    world.commit(next);
    world.settle_for(secs(10), 31);
    assert!(world.roll_back());
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1", "-1", "+1"], "three of four never noticed");
}

#[test]
fn a_share_of_canaries_is_rounded_up() {
    let mut world = World::converged(cattle(5, "a"));
    let updating = Updating { canary: Some(Amount::Percent(25)), ..Updating::default() };
    world.commit(updated(cattle(5, "b"), updating));
    world.settle();
    assert_eq!(world.current(), 2, "of 1.25");
}

#[test]
fn canaries_can_be_more_than_declared_as_surge() {
    let mut world = World::converged(cattle(3, "a"));
    let updating = Updating { order: Some(RollOrder::StartFirst), ..canary(1, false) };
    world.commit(updated(cattle(3, "b"), updating));
    world.settle();
    assert_eq!(world.extremes, (4, 3));
    assert_eq!(world.current(), 1);
    world.machine.control(Control::Promote, world.now).unwrap();
    assert!(world.settle().converged);
}

#[test]
fn what_dies_while_canaries_wait_is_replaced_by_its_like() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(updated(cattle(4, "b"), canary(1, false)));
    world.settle();
    world.instances.retain(|_, it| it.slot() != Some(3));
    world.settle();
    assert!(world.slot(3).is_current(&hash(&cattle(4, "a"))), "the old config");
    assert_eq!(world.current(), 1);
    world.pass(secs(10));
    world.look();
    world.instances.retain(|_, it| it.slot() != Some(1));
    world.settle();
    let hash = world.hash();
    assert!(world.slot(1).is_current(&hash), "the canary's own config");
}

#[test]
fn a_group_without_a_stable_revision_still_fills_its_places() {
    let mut world = World::new(cattle(3, "a"));
    world.settle();
    world.commit(updated(cattle(3, "b"), canary(1, false)));
    world.settle();
    world.instances.retain(|_, it| it.slot() != Some(3));
    world.settle();
    assert_eq!(world.slots(), [1, 2, 3], "there is but one config to make it from");
}

#[test]
fn a_first_rollout_has_no_canaries() {
    let mut world = World::new(updated(cattle(3, "a"), canary(1, false)));
    assert!(world.settle().converged);
}

#[test]
fn growing_past_the_canaries_makes_the_others_of_the_old_config() {
    let mut world = World::converged(cattle(3, "a"));
    world.commit(updated(cattle(3, "b"), canary(1, false)));
    world.settle();
    world.commit(updated(cattle(6, "b"), canary(1, false)));
    world.settle();
    assert_eq!((world.slots().len(), world.current()), (6, 1));
}

#[test]
fn checkpoints_bake() {
    let updating = Updating {
        checkpoints: vec![Amount::Percent(25), Amount::Percent(50)],
        bake: Some(secs(300)),
        progress_deadline: Some(secs(60)),
        ..Updating::default()
    };
    let mut world = World::converged(cattle(4, "a"));
    world.commit(updated(cattle(4, "b"), updating));
    world.settle();
    for current in [1, 2] {
        world.settle_for(secs(10), 28);
        assert_eq!(world.current(), current);
        assert_eq!(world.reasons(), [Waiting::Baking { ready: current, outdated: 4 - current }]);
        let next = world.machine.next_turn().unwrap();
        assert!(next > world.now && next.since(world.now) < secs(30), "the host wakes when it has baked");
        world.settle_for(secs(10), 3);
    }
    assert!(world.settle().converged, "{:?}", world.reasons());
    let turns = world.machine.take_changes().turns;
    assert_eq!(turns.iter().filter(|it| matches!(it, Turn::Baking { .. })).count(), 2, "{turns:?}");
}

#[test]
fn what_fails_while_it_bakes_ends_the_rollout() {
    let checkpoints = vec![Amount::Count(1)];
    let updating = Updating { checkpoints, bake: Some(secs(300)), monitor: Some(secs(300)), ..Updating::default() };
    let mut world = World::converged(cattle(4, "a"));
    world.commit(updated(cattle(4, "b"), updating));
    world.settle_for(secs(10), 10);
    world.slot(1).state = InstanceState::Failed;
    world.settle();
    assert!(matches!(world.pause(), Some(Pause::Failures { .. })), "{:?}", world.status());
}

#[test]
fn canaries_come_before_checkpoints_however_many_they_are() {
    let mut world = World::converged(cattle(4, "a"));
    let checkpoints = vec![Amount::Percent(25), Amount::Percent(75)];
    world.commit(updated(cattle(4, "b"), Updating { checkpoints, bake: Some(secs(60)), ..canary(2, false) }));
    world.settle();
    assert_eq!(world.current(), 2);
    world.machine.control(Control::Promote, world.now).unwrap();
    world.settle_for(secs(10), 5);
    assert_eq!(world.current(), 2, "they bake at the checkpoint that they have passed");
    world.settle_for(secs(10), 30);
    assert_eq!(world.current(), 4);
}
