//! What an operator says to a rollout.

use super::*;

#[test]
fn a_paused_rollout_stands_until_it_is_resumed() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(cattle(4, "b"));
    world.look();
    assert_eq!(world.machine.control(Control::Pause, world.now).unwrap(), "Paused the rollout of revision 2");
    assert!(world.machine.executor().is_idle(), "what was not begun is not begun any more");
    world.settle_for(secs(60), 60);
    assert!(world.log.is_empty());
    let [Waiting::RolloutPaused { revision: 2, why: Pause::Operator, outdated: 4 }] = world.reasons()[..] else {
        panic!("{:?}", world.reasons());
    };
    assert_eq!(world.machine.control(Control::Resume, world.now).unwrap(), "Resumed the rollout of revision 2");
    assert!(world.settle().converged, "its deadline did not run meanwhile: {:?}", world.status());
}

#[test]
fn scaling_works_while_a_rollout_is_paused() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(cattle(4, "b"));
    world.look();
    world.machine.control(Control::Pause, world.now).unwrap();
    world.commit(cattle(6, "b"));
    world.settle();
    assert_eq!(world.log, ["+5", "+6"]);
    assert_eq!(world.current(), 0, "paused is paused: what grows is of the stable config");
    world.commit(cattle(2, "b"));
    world.settle();
    assert_eq!(world.slots(), [1, 2]);
}

#[test]
fn a_resumed_rollout_forgives_what_failed() {
    let mut world = World::converged(cattle(3, "a"));
    let next = updated(cattle(3, "b"), Updating { healthy_deadline: Some(secs(30)), ..Updating::default() });
    world.ails(&next, Health::Unknown);
    world.commit(next.clone());
    world.settle_for(secs(10), 5);
    assert!(world.pause().is_some());
    world.ails(&next, Health::Healthy);
    world.machine.control(Control::Resume, world.now).unwrap();
    assert!(world.settle().converged, "{:?}", world.status());
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut world = World::converged(cattle(2, "a"));
    let group = || "web".to_owned();
    for control in [Control::Pause, Control::Resume, Control::Promote] {
        assert_eq!(world.machine.control(control, world.now), Err(ControlError::NoRollout(group())));
    }
    world.commit(cattle(2, "b"));
    world.look();
    assert_eq!(world.machine.control(Control::Resume, world.now), Err(ControlError::NotPaused(group())));
    assert_eq!(world.machine.control(Control::Promote, world.now), Err(ControlError::NoCanaries(group())));
    world.machine.control(Control::Pause, world.now).unwrap();
    let before = world.machine.ledger().memory.clone();
    assert_eq!(world.machine.control(Control::Pause, world.now), Err(ControlError::AlreadyPaused(group())));
    assert_eq!(world.machine.control(Control::Promote, world.now), Err(ControlError::NoCanaries(group())));
    assert_eq!(world.machine.ledger().memory, before);
}

#[test]
fn canaries_are_not_promoted_before_they_are_ready() {
    let mut world = World::converged(cattle(4, "a"));
    let next = updated(cattle(4, "b"), Updating { canary: Some(Amount::Count(2)), ..Updating::default() });
    world.ails(&next, Health::Unknown);
    world.commit(next);
    world.settle();
    let refused = world.machine.control(Control::Promote, world.now);
    assert_eq!(refused, Err(ControlError::CanariesNotReady { group: "web".into(), ready: 0, wanted: 2 }));
}

#[test]
fn a_word_is_a_turn_that_is_recorded() {
    let mut world = World::converged(cattle(2, "a"));
    world.commit(cattle(2, "b"));
    world.look();
    world.machine.take_changes();
    world.machine.control(Control::Pause, world.now).unwrap();
    world.pass(secs(1));
    world.machine.control(Control::Resume, world.now).unwrap();
    let changes = world.machine.take_changes();
    assert_eq!(changes.turns, [Turn::Paused { why: Pause::Operator }, Turn::Resumed]);
    assert!(changes.memory.is_some(), "and it is stored");
    assert!(world.machine.take_changes().is_empty(), "once");
}

#[test]
fn an_instance_is_labelled_once_however_often_is_planned_meanwhile() {
    let mut world = World::converged(cattle(2, "a"));
    for slot in [1, 2] {
        let tag = crate::tags::CONFIG_HASH.to_owned();
        world.slot(slot).tags.insert(tag, crate::tags::BOOTSTRAP.into());
    }
    world.look();
    let steps: Vec<_> = std::iter::from_fn(|| world.machine.start(world.now)).collect();
    assert_eq!(steps.len(), 2);
    world.machine.replan(world.now, 1);
    assert!(world.machine.start(world.now).is_none(), "the calls are under way");
    assert!(!world.machine.report().converged);
    for step in &steps {
        world.apply(&step.action);
        world.machine.finish(step, &Outcome::Done, world.now, 0);
    }
    world.machine.replan(world.now, 2);
    assert!(world.machine.start(world.now).is_none(), "they are done, and the list is older than that");
    assert!(world.settle().converged);
    assert_eq!(world.log, ["label", "label"]);
}
