//! What a forecast shows is what happens.

use super::*;
use crate::plan::{Forecast, forecast};
use crate::step::Action;

fn of(world: &mut World) -> Forecast {
    forecast(world.machine.desired(), &world.observation(), world.machine.ledger(), world.now, 1)
}

/// The steps of a forecast in the words of a world's log.
fn said(world: &World, forecast: &Forecast) -> Vec<String> {
    let mut slots: std::collections::HashMap<String, u32> =
        world.instances.values().map(|it| (it.id.clone(), it.slot().unwrap_or(0))).collect();
    let mut said = Vec::new();
    for step in forecast.rounds.iter().flatten() {
        said.push(match &step.action {
            Action::Provision(it) => {
                slots.insert(it.name.clone(), it.slot);
                format!("+{}", it.slot)
            }
            Action::Destroy(it) => format!("-{}", slots[&it.id]),
            Action::Label(_) => "label".into(),
        });
    }
    said
}

fn check(mut world: World, what: &str) {
    let forecast = of(&mut world);
    let said = said(&world, &forecast);
    world.log.clear();
    world.settle_for(secs(30), 40);
    assert_eq!(said, world.log, "{what}");
    assert_eq!(forecast.complete, world.settle().converged, "{what}");
    assert!(forecast.rounds.iter().flatten().all(|it| !it.why.is_empty()), "{what}: every step has its reason");
}

#[test]
fn its_steps_are_those_that_happen() {
    let count = |n| Some(Amount::Count(n));
    check(World::new(cattle(5, "a")), "a new group");
    check(World::new(group(pets(&["b", "a"]), "x")), "new pets");
    for (what, updating) in [
        ("one at a time", Updating::default()),
        ("start-first", Updating { order: Some(RollOrder::StartFirst), ..Updating::default() }),
        ("surge", Updating { max_surge: count(3), ..Updating::default() }),
        ("both", Updating { max_surge: count(2), max_unavailable: count(1), ..Updating::default() }),
        ("min ready", Updating { min_ready: Some(secs(20)), ..Updating::default() }),
        ("canaries", Updating { canary: count(1), auto_promote: Some(true), ..Updating::default() }),
        ("canaries that wait", Updating { canary: count(1), ..Updating::default() }),
        (
            "checkpoints",
            Updating { checkpoints: vec![Amount::Percent(50)], bake: Some(secs(60)), ..Updating::default() },
        ),
    ] {
        for (from, to) in [(4, 4), (3, 6), (6, 3)] {
            let mut world = World::converged(cattle(from, "a"));
            world.commit(updated(cattle(to, "b"), updating.clone()));
            check(world, &format!("{what} from {from} to {to}"));
        }
    }
    let mut scaled = World::converged(cattle(3, "a"));
    scaled.commit(cattle(1, "a"));
    check(scaled, "scaled down");
    let mut gone = World::converged(cattle(3, "a"));
    gone.destroy();
    check(gone, "destroyed");
    let mut renamed = World::converged(group(pets(&["a", "b"]), "x"));
    renamed.commit(group(pets(&["b", "c"]), "y"));
    check(renamed, "pets renamed and rolled");
}

#[test]
fn it_changes_nothing() {
    let mut world = World::converged(cattle(3, "a"));
    world.commit(cattle(5, "b"));
    let (ledger, instances) = (world.machine.ledger().clone(), world.instances.clone());
    of(&mut world);
    assert_eq!(world.machine.ledger(), &ledger);
    assert_eq!(world.instances, instances);
}

#[test]
fn of_a_converged_group_it_is_empty() {
    let mut world = World::converged(cattle(3, "a"));
    assert_eq!(of(&mut world), Forecast { rounds: Vec::new(), complete: true });
}

#[test]
fn a_rollout_in_the_middle_is_told_to_its_end() {
    let mut world = World::converged(cattle(4, "a"));
    world.commit(cattle(4, "b"));
    world.look();
    world.execute();
    world.look();
    world.execute();
    world.look();
    check(world, "from the middle");
}
