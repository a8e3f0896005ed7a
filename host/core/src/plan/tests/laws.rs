//! The laws of the design.

use proptest::prelude::*;

use super::*;
use crate::machine::Control;
use crate::spec::{Amount, Healing, OnFailure, RollOrder, Updating};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever exists, and whatever is committed in whatever order: it converges, every plan on the way keeps the rules
    /// (the machine verifies each), and the same input gives the same plan.
    #[test]
    fn applying_plans_converges(
        commits in prop::collection::vec((0u32..12, 0u8..3, 0usize..6, any::<u64>()), 1..6),
    ) {
        let mut world = World::new(group(Allocation::Size(0), "0"));
        for (size, init, rounds, vandal) in commits {
            let mut spec = group(Allocation::Size(size), &init.to_string());
            spec.properties.updating.on_failure = Some(OnFailure::Continue);
            world.commit(spec);
            for round in 0..rounds {
                let (steps, report) = world.look();
                prop_assert!(!reasons(&report).iter().any(|it| matches!(it, Waiting::PlanRefused { .. })), "{report:?}");
                world.machine.replan(world.now, world.entropy);
                let again: Vec<_> = world.machine.executor().queued().cloned().collect();
                prop_assert_eq!(&again, &steps);
                world.execute();
                if vandal >> round & 1 == 1 && !world.instances.is_empty() {
                    let victim = world.instances.keys().nth(vandal as usize % world.instances.len()).unwrap().clone();
                    world.instances.remove(&victim);
                }
                world.now.0 += 1_500;
            }
        }
        world.settle();
        // What was destroyed behind the host's back before it was ever listed counts as late for a while.
        world.now = world.now.after(crate::ledger::LIST_LAG);
        let report = world.settle();
        prop_assert!(report.converged, "{:?}", report);
        prop_assert_eq!(world.look().0.len(), 0);
    }

    /// Whatever the policies: a group that is declared comes to be, no prefix of a plan breaks a rule or the budget, and the
    /// rest of it is planned anew. What has converged plans nothing.
    #[test]
    fn no_prefix_of_a_plan_breaks_a_rule(
        (declared, next) in two(),
        cuts in prop::collection::vec(0usize..8, 0..40),
    ) {
        let mut world = World::new(declared);
        finish(&mut world)?;
        let before = world.instances.len();
        world.commit(next);
        world.extremes = (0, usize::MAX);
        for cut in cuts {
            world.look();
            legal(&world)?;
            for _ in 0..cut {
                let Some(step) = world.machine.start(world.now) else { break };
                world.apply(&step.action);
                world.machine.finish(&step, &Outcome::Done, world.now, 0);
                world.now.0 += 1;
            }
            world.machine.stop();
            world.now.0 += 700;
        }
        finish(&mut world)?;
        let (desired, budget) = (world.machine.desired().size(), world.machine.desired().budget());
        let most = before.max(desired) + budget.surge;
        prop_assert!(world.extremes.0 <= most, "{} at once, and at most {most} may be: {:?}", world.extremes.0, world.log);
        if world.machine.desired().spec.properties.allocation.is_pets() {
            return Ok(());
        }
        let least = before.min(desired).saturating_sub(budget.unavailable);
        // Without any step there was nothing to count.
        prop_assert!(world.extremes.1 >= least, "{} were left, and {least} must be: {:?}", world.extremes.1, world.log);
    }

    /// The same input gives the same plan, and the order in which the provider lists does not matter.
    #[test]
    fn the_same_input_gives_the_same_plan_in_whatever_order_it_is_listed(
        (declared, next) in two(),
        rounds in 0usize..6,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(declared);
        finish(&mut world)?;
        world.commit(next);
        for _ in 0..rounds {
            world.look();
            world.execute();
        }
        let mut observed = world.observation();
        let (mut again, mut turned) = (world.clone(), world.clone());
        world.machine.observed(observed.clone(), world.now, seed);
        again.machine.observed(observed.clone(), again.now, seed);
        observed.instances.reverse();
        turned.machine.observed(observed, turned.now, seed);
        let steps = |it: &World| it.machine.executor().queued().cloned().collect::<Vec<_>>();
        prop_assert_eq!(steps(&world), steps(&again));
        prop_assert_eq!(steps(&world), steps(&turned));
        prop_assert_eq!(world.machine.report(), turned.machine.report());
    }
}

/// A group, and what it is to become: cattle or pets, with whatever policies.
fn two() -> impl Strategy<Value = (GroupSpec, GroupSpec)> {
    any::<bool>().prop_flat_map(|pets| (declared(pets), declared(pets)))
}

fn declared(are_pets: bool) -> impl Strategy<Value = GroupSpec> {
    let amount =
        || prop::option::of(prop_oneof![(0u32..4).prop_map(Amount::Count), (0u32..=100).prop_map(Amount::Percent)]);
    let order = prop::option::of(prop_oneof![Just(RollOrder::StartFirst), Just(RollOrder::StopFirst)]);
    let checkpoints = prop_oneof![Just(vec![]), Just(vec![Amount::Percent(30), Amount::Percent(60)])];
    let rolling = (amount(), amount(), order, prop::option::of(0u64..30), 0u32..3);
    let gates = (prop::option::of(1u32..4), any::<bool>(), checkpoints, 0u64..40);
    let healing = (prop::option::of(1u32..4), amount(), amount());
    (0u32..9, 0u8..3, rolling, gates, healing).prop_map(move |(size, init, rolling, gates, healing)| {
        let (max_surge, max_unavailable, order, min_ready, count) = rolling;
        let (canary, auto_promote, checkpoints, bake) = gates;
        let (unhealthy_checks, max_unhealthy, max_in_flight) = healing;
        let allocation = match are_pets {
            // Neighbouring sizes share some identities.
            true => pets(&["a", "b", "c", "d", "e", "f"][size as usize / 3..(size as usize / 2 + 2)]),
            false => Allocation::Size(size),
        };
        let mut spec = group(allocation, &init.to_string());
        spec.properties.updating = Updating {
            max_surge,
            max_unavailable,
            order,
            min_ready: min_ready.map(Duration::from_secs),
            count: Some(count),
            canary: canary.map(Amount::Count),
            auto_promote: Some(auto_promote),
            checkpoints,
            bake: Some(Duration::from_secs(bake)),
            ..Updating::default()
        };
        spec.properties.healing = Healing { unhealthy_checks, max_unhealthy, max_in_flight, ..Healing::default() };
        spec
    })
}

fn legal(world: &World) -> Result<(), TestCaseError> {
    let report = world.machine.report();
    let refused = reasons(report).iter().any(|it| matches!(it, Waiting::PlanRefused { .. }));
    prop_assert!(!refused, "{:?}\n{:?}", report, world.log);
    Ok(())
}

/// Let time pass until all is done, and promote canaries that wait for it.
fn finish(world: &mut World) -> Result<(), TestCaseError> {
    for _ in 0..200 {
        let report = world.settle();
        legal(world)?;
        let stable = world.machine.ledger().memory.rollout.as_ref().is_some_and(|it| it.has_succeeded());
        if report.converged && stable {
            prop_assert_eq!(world.look().0, vec![], "a converged world plans nothing");
            return Ok(());
        }
        if report.waiting.iter().any(|it| matches!(it.waiting, Waiting::AwaitsPromotion { .. })) {
            world.machine.control(Control::Promote, world.now).map_err(|it| TestCaseError::fail(it.to_string()))?;
        }
        world.pass(Duration::from_secs(3));
    }
    Err(TestCaseError::fail(format!("it does not converge: {:?}\n{:?}", world.machine.report(), world.log)))
}
