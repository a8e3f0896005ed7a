//! Replacing what is broken, and when not.

use super::*;
use crate::ledger::SlotKey;

/// One check is enough, and there is no grace.
fn hasty() -> Healing {
    Healing {
        unhealthy_checks: Some(1),
        checks: Some(1),
        startup_grace: Some(secs(0)),
        interval: Some(secs(1)),
        ..Healing::default()
    }
}

#[test]
fn three_of_five_checks_are_beyond_doubt_and_two_are_not() {
    use Health::{Healthy, Unhealthy};
    for (checks, replaced) in [
        (vec![Unhealthy, Unhealthy], false),
        (vec![Unhealthy, Healthy, Unhealthy, Healthy], false),
        (vec![Unhealthy, Unhealthy, Unhealthy], true),
        (vec![Unhealthy, Healthy, Unhealthy, Healthy, Unhealthy], true),
        (vec![Unhealthy, Healthy, Healthy, Unhealthy, Healthy, Unhealthy], false),
        (vec![Unhealthy, Unhealthy, Unhealthy, Healthy], true),
    ] {
        let mut world = World::converged(cattle(4, "a"));
        for check in &checks {
            world.pass(secs(10));
            if world.log.is_empty() {
                world.slot_is(2, *check);
            }
            world.settle();
        }
        let expected: &[&str] = if replaced { &["-2", "+2"] } else { &[] };
        assert_eq!(world.log, expected, "{checks:?}");
    }
}

#[test]
fn checks_between_two_intervals_do_not_count() {
    let mut world = World::converged(cattle(4, "a"));
    world.pass(secs(10));
    world.slot_is(2, Health::Unhealthy);
    world.settle_for(Duration::from_millis(100), 50);
    assert!(world.log.is_empty(), "fifty looks within five seconds are one check");
}

#[test]
fn a_new_instance_has_its_grace() {
    let mut world = World::new(cattle(3, "a"));
    world.health = Health::Unhealthy;
    world.settle_for(secs(10), 29);
    assert_eq!(world.log.len(), 3, "for 5 minutes");
}

#[test]
fn grace_ends_at_the_first_success() {
    let mut world = World::new(cattle(5, "a"));
    world.settle();
    world.slot_is(1, Health::Unhealthy);
    world.settle_for(secs(10), 4);
    assert_eq!(world.log[5..], ["-1", "+1"], "it was healthy once, half a minute ago");
}

#[test]
fn unknown_is_neither_healthy_nor_unhealthy() {
    let mut world = World::converged(cattle(3, "a"));
    world.slot_is(1, Health::Unhealthy);
    world.settle_for(secs(10), 2);
    world.health = Health::Unknown;
    world.slot_is(1, Health::Unknown);
    let report = world.settle_for(secs(10), 360);
    assert!(world.log.is_empty() && !report.converged);
    world.slot_is(1, Health::Unhealthy);
    world.settle();
    assert_eq!(world.log, ["-1", "+1"], "it is the third that says so; what said nothing does not speak for it");
}

#[test]
fn a_storm_of_ill_health_heals_nobody() {
    let mut world = World::converged(cattle(10, "a"));
    for slot in 1..=5 {
        world.slot_is(slot, Health::Unhealthy);
    }
    world.settle_for(secs(10), 60);
    assert!(world.log.is_empty(), "more likely the check is broken than half the fleet");
    assert!(world.reasons().contains(&Waiting::TooManyUnhealthy { unhealthy: 5, allowed: 4, size: 10 }));
    world.slot_is(5, Health::Healthy);
    world.settle();
    assert_eq!(world.log.len(), 8, "four are within MaxUnhealthy: {:?}", world.log);
}

#[test]
fn max_unhealthy_may_be_none_or_all() {
    for (allowed, replaced) in [(Amount::Count(0), 0), (Amount::Percent(100), 3)] {
        let mut world = World::converged(healed(cattle(3, "a"), Healing { max_unhealthy: Some(allowed), ..hasty() }));
        for slot in 1..=3 {
            world.slot_is(slot, Health::Unhealthy);
        }
        world.settle_for(secs(5), 3);
        assert_eq!(world.log.iter().filter(|it| it.starts_with('-')).count(), replaced, "{allowed}");
    }
}

#[test]
fn one_after_the_other_or_a_few_at_a_time() {
    for (in_flight, log) in [(1, ["-1", "+1", "-2", "+2"]), (2, ["-1", "-2", "+1", "+2"])] {
        let healing = Healing { max_in_flight: Some(Amount::Count(in_flight)), ..hasty() };
        let mut world = World::converged(healed(cattle(10, "a"), healing));
        for slot in [1, 2] {
            world.slot_is(slot, Health::Unhealthy);
        }
        world.pass(secs(1));
        world.look();
        assert_eq!(
            world.reasons().iter().any(|it| matches!(it, Waiting::HealingInTurn { postponed: 1, .. })),
            in_flight == 1
        );
        assert!(world.settle().converged);
        let mut sorted = world.log.clone();
        sorted.sort();
        assert_eq!(sorted, ["+1", "+2", "-1", "-2"]);
        if in_flight == 1 {
            assert_eq!(world.log, log);
        }
    }
}

#[test]
fn the_next_waits_until_the_replacement_is_healthy() {
    let mut world = World::converged(healed(cattle(10, "a"), hasty()));
    for slot in [1, 2] {
        world.slot_is(slot, Health::Unhealthy);
    }
    world.health = Health::Unknown;
    world.settle_for(secs(1), 30);
    assert_eq!(world.log.iter().filter(|it| it.starts_with('-')).count(), 1, "{:?}", world.log);
}

#[test]
fn a_crash_loop_is_slowed_down_given_up_and_reset_by_one_command() {
    let spec = healed(cattle(5, "a"), Healing { min_healthy: Some(secs(600)), ..Healing::default() });
    let mut world = World::converged(spec);
    let mut replaced = Vec::new();
    for second in 0..1200_u64 {
        world.slot(3).state = InstanceState::Failed;
        let before = world.log.len();
        world.settle();
        if world.log.len() > before {
            replaced.push(second);
        }
        world.pass(secs(1));
    }
    let waits: Vec<u64> = replaced.windows(2).map(|it| it[1] - it[0]).collect();
    assert_eq!(waits, [10, 20, 40, 80], "{replaced:?}");
    let exhausted = |world: &World| world.reasons().iter().any(|it| matches!(it, Waiting::RetriesExhausted { .. }));
    assert!(exhausted(&world), "{:?}", world.reasons());

    world.restart(Setting::default());
    world.settle_for(secs(600), 6);
    assert!(exhausted(&world), "a restart of the host does not begin the storm anew");

    let said = world.machine.control(Control::Reset, world.now).unwrap();
    assert_eq!(said, "Reset web: 1 slot is healed again as if it had not failed");
    assert!(world.settle().converged, "{:?}", world.reasons());
}

#[test]
fn a_slot_that_did_well_for_long_begins_anew() {
    let mut world = World::converged(cattle(5, "a"));
    for _ in 0..20 {
        world.slot(3).state = InstanceState::Failed;
        world.settle();
        world.settle_for(secs(60), 11);
        assert!(world.settle().converged, "{:?}", world.reasons());
    }
    assert!(world.machine.ledger().memory.retries.is_empty());
}

#[test]
fn one_slot_does_not_hold_up_another() {
    let mut world = World::converged(cattle(5, "a"));
    for _ in 0..300 {
        world.slot(3).state = InstanceState::Failed;
        world.settle();
        world.pass(secs(1));
    }
    assert_eq!(world.machine.ledger().memory.retries[&SlotKey("3".into())].failures, 5);
    world.slot(2).state = InstanceState::Stopped;
    world.log.clear();
    world.settle();
    assert_eq!(world.log, ["-2", "+2"]);
}

#[test]
fn healing_can_be_switched_off_and_the_dead_are_replaced_still() {
    let mut world = World::converged(healed(cattle(3, "a"), Healing { enabled: Some(false), ..hasty() }));
    world.slot_is(1, Health::Unhealthy);
    world.settle_for(secs(10), 10);
    assert!(world.log.is_empty());
    world.slot(2).state = InstanceState::Stopped;
    world.settle();
    assert_eq!(world.log, ["-2", "+2"]);
}

#[test]
fn a_protected_instance_is_not_healed() {
    let mut world = World::converged(healed(cattle(3, "a"), hasty()));
    let id = world.slot(1).id.clone();
    world.edit(|it| it.protected = [id.clone()].into());
    world.slot_is(1, Health::Unhealthy);
    world.settle_for(secs(10), 3);
    assert!(world.log.is_empty());
    assert!(world.reasons().contains(&Waiting::Protected { id }));
}

#[test]
fn pets_are_healed_under_their_identity() {
    let mut world = World::converged(healed(group(pets(&["a", "b", "c"]), "x"), hasty()));
    world.slot_is(2, Health::Unhealthy);
    world.pass(secs(1));
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-2", "+2"]);
    assert_eq!(world.slot(2).logical_id(), Some("b"));
}

#[test]
fn a_replacement_that_nobody_can_judge_does_not_hold_up_the_others_for_ever() {
    let mut world = World::converged(healed(cattle(10, "a"), hasty()));
    for slot in [1, 2] {
        world.slot_is(slot, Health::Unhealthy);
    }
    // What is made from now on is neither healthy nor unhealthy.
    let known: Vec<String> = world.instances.keys().cloned().collect();
    for id in known {
        world.healths.entry(id).or_insert(Health::Healthy);
    }
    world.health = Health::Unknown;
    world.settle_for(secs(10), 6);
    assert_eq!(world.log, ["-1", "+1"], "one at a time");
    world.settle_for(secs(30), 10);
    assert_eq!(world.log, ["-1", "+1", "-2", "+2"], "HealthyDeadline is over: {:?}", world.reasons());
}
