//! A host that dies at any moment, and the one after it.

use super::*;
use crate::step::Action;

const SETTING: Setting = Setting { parallel: usize::MAX, host: None, list_lag: Duration::ZERO };

/// Where in a step the host dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// The intent is written, and the call was not made.
    Before,
    /// The call was made, and its answer not heard.
    Midway,
    /// All is done.
    After,
}

/// Carry out what is wanted, and die at the `nth` step. Answers whether there were so many.
fn run(world: &mut World, nth: usize, moment: Moment) -> bool {
    let mut steps = 0;
    let mut died = false;
    for _ in 0..2_000 {
        if world.look().0.is_empty() && world.machine.report().converged {
            break;
        }
        while let Some(step) = world.machine.start(world.now) {
            world.now.0 += 1;
            steps += 1;
            let dies = steps == nth;
            died |= dies;
            if dies && moment == Moment::Before {
                break;
            }
            world.apply(&step.action);
            if dies && moment == Moment::Midway {
                break;
            }
            world.machine.finish(&step, &Outcome::Done, world.now, 0);
            if dies {
                break;
            }
        }
        if steps == nth {
            steps += 1;
            world.restart(SETTING);
        }
        world.pass(Duration::from_millis(500));
    }
    died
}

fn everywhere(before: &World, change: impl Fn(&mut World), check: impl Fn(&World)) {
    for moment in [Moment::Before, Moment::Midway, Moment::After] {
        for nth in 1.. {
            let mut world = before.clone();
            change(&mut world);
            let died = run(&mut world, nth, moment);
            let report = world.machine.report();
            assert!(report.converged, "died {moment:?} step {nth}: {report:?}\n{:?}", world.log);
            check(&world);
            if !died {
                assert!(nth > 3, "there was something to die at");
                break;
            }
        }
    }
}

#[test]
fn no_death_while_making_makes_one_twice() {
    let fresh = World::new(cattle(4, "a"));
    everywhere(
        &fresh,
        |_| {},
        |world| {
            assert_eq!(world.slots(), [1, 2, 3, 4]);
            assert_eq!(world.log, ["+1", "+2", "+3", "+4"], "each once");
        },
    );
}

#[test]
fn no_death_in_a_rollout_spends_more_than_the_budget() {
    let updating =
        Updating { max_surge: Some(Amount::Count(1)), max_unavailable: Some(Amount::Count(1)), ..Updating::default() };
    let before = World::converged(cattle(5, "a"));
    everywhere(
        &before,
        |world| world.commit(updated(cattle(7, "b"), updating.clone())),
        |world| {
            assert_eq!((world.slots(), world.current()), ((1..=7).collect(), 7));
            assert!(world.extremes.0 <= 8, "{:?}", world.extremes);
            assert!(world.extremes.1 >= 4, "{:?}", world.extremes);
            assert!(world.pause().is_none(), "{:?}", world.status());
        },
    );
}

#[test]
fn no_death_makes_two_of_one_identity() {
    let before = World::converged(group(pets(&["a", "b", "c"]), "x"));
    everywhere(
        &before,
        |world| world.commit(group(pets(&["a", "c", "d"]), "y")),
        |world| {
            assert!(world.extremes.0 <= 3);
            assert_eq!(world.slots(), [1, 2, 3]);
        },
    );
}

#[test]
fn no_death_while_shrinking_takes_one_too_many() {
    let before = World::converged(cattle(8, "a"));
    everywhere(&before, |world| world.commit(cattle(3, "a")), |world| assert_eq!(world.slots(), [1, 2, 3]));
}

#[test]
fn no_death_while_cattle_become_pets_loses_one() {
    let before = World::converged(cattle(3, "x"));
    let change = |world: &mut World| {
        world.edit(|it| {
            it.spec = group(pets(&["a", "b", "c", "d"]), "x");
            it.converting = true;
        });
    };
    everywhere(&before, change, |world| {
        assert_eq!(world.slots(), [1, 2, 3, 4]);
        assert!(!world.log.iter().any(|it| it.starts_with('-')), "{:?}", world.log);
    });
}

#[test]
fn no_death_while_destroying_leaves_one_behind() {
    let before = World::converged(cattle(5, "a"));
    everywhere(&before, World::destroy, |world| assert!(world.instances.is_empty()));
}

#[test]
fn what_is_remembered_of_a_rollout_is_what_there_was() {
    let updating = Updating { canary: Some(Amount::Count(1)), ..Updating::default() };
    let mut world = World::converged(cattle(4, "a"));
    world.commit(updated(cattle(4, "b"), updating));
    world.settle();
    let before = world.reasons();
    world.restart(SETTING);
    world.settle_for(secs(1), 3);
    assert_eq!(world.reasons(), before, "it waits for its promotion still");
    world.machine.control(Control::Promote, world.now).unwrap();
    world.restart(SETTING);
    assert!(world.settle().converged, "the promotion was not forgotten");
}

#[test]
fn a_pause_outlives_the_host() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(cattle(4, "b"));
    world.look();
    world.machine.control(Control::Pause, world.now).unwrap();
    world.restart(SETTING);
    world.settle_for(secs(10), 10);
    assert!(world.log.is_empty());
    assert_eq!(world.pause(), Some(&Pause::Operator));
}

#[test]
fn a_rollback_that_was_asked_for_is_asked_for_again() {
    let mut world = World::converged(cattle(3, "a"));
    let on_failure = Some(OnFailure::Rollback);
    let next =
        updated(cattle(3, "b"), Updating { healthy_deadline: Some(secs(30)), on_failure, ..Updating::default() });
    world.ails(&next, Health::Unhealthy);
    world.commit(next);
    world.settle_for(secs(10), 4);
    world.restart(SETTING);
    assert!(world.roll_back());
    assert!(world.settle().converged);
}

#[test]
fn no_instance_is_made_before_the_list_had_its_time() {
    let lagging = Setting { list_lag: secs(20), ..SETTING };
    let mut world = World::with(cattle(3, "a"), lagging.clone());
    world.settle();
    world.restart(lagging);
    // The list does not show them yet, and the ledger of the host before was lost.
    let hidden = std::mem::take(&mut world.instances);
    let (steps, _) = world.look();
    assert!(!steps.iter().any(|it| matches!(it.action, Action::Provision(_))), "{steps:?}");
    world.instances = hidden;
    assert!(world.settle_for(secs(10), 3).converged);
    assert_eq!(world.log.len(), 3);
}

#[test]
fn a_clock_that_went_back_delays_nothing_for_long() {
    let mut world = World::converged(cattle(3, "a"));
    world.commit(cattle(3, "b"));
    world.look();
    world.execute_with(|_| error(ErrorCode::Unavailable));
    world.now.0 -= 900_000;
    world.restart(SETTING);
    assert!(world.settle_for(secs(10), 40).converged, "not 15 minutes: {:?}", world.reasons());
}
