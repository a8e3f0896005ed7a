//! Tests of the planner on a small world that does what it is told at once. The world that goes wrong is elsewhere.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::execute::{Executor, Outcome};
use crate::hash::config_hash;
use crate::ledger::CONFIRM_AFTER;
use crate::observed::{Health, HealthReport, Instance, InstanceState};
use crate::outcome::{ErrorCode, PluginError};
use crate::spec::{Allocation, GroupProperties, PluginUse, Updating};
use crate::tags;
use crate::verify::verify;

fn desired(allocation: Allocation, init: &str) -> Desired {
    let instance = PluginUse { plugin: "file".into(), properties: json!({}) };
    let flavor = PluginUse { plugin: "vanilla".into(), properties: json!({ "Init": [init] }) };
    let hash = config_hash(&instance, &flavor);
    let properties = GroupProperties { allocation, instance, flavor, updating: Updating::default() };
    let spec = GroupSpec { id: "web".into(), properties };
    Desired { spec, hash, goal: Goal::Keep, condemned: BTreeSet::new() }
}

fn pets(ids: &[&str]) -> Allocation {
    Allocation::LogicalIds(ids.iter().map(|id| (*id).to_owned()).collect())
}

/// Instances by id, a clock, and the host's memory of them.
struct World {
    desired: Desired,
    instances: BTreeMap<String, Instance>,
    health: Health,
    ledger: Ledger,
    now: Timestamp,
    log: Vec<String>,
    entropy: u64,
}

impl World {
    fn new(desired: Desired) -> Self {
        Self {
            desired,
            instances: BTreeMap::new(),
            health: Health::Healthy,
            ledger: Ledger::default(),
            now: Timestamp(1_000),
            log: Vec::new(),
            entropy: 7,
        }
    }

    /// A world in which the spec has been carried out.
    fn converged(desired: Desired) -> Self {
        let mut world = Self::new(desired);
        world.settle();
        world.log.clear();
        world
    }

    fn observe(&self) -> Observation {
        let report = HealthReport { status: self.health, message: String::new() };
        Observation {
            started: self.now,
            instances: self.instances.values().cloned().collect(),
            complete: true,
            findings: Vec::new(),
            health: self.instances.keys().map(|id| (id.clone(), report.clone())).collect(),
        }
    }

    fn plan(&mut self) -> (Plan, Report) {
        let observed = self.observe();
        self.ledger.absorb(&observed, &self.desired.hash);
        self.ledger.absorb_health(&observed);
        self.entropy += 1;
        let (plan, report) = super::plan(&self.desired, &observed, &self.ledger, self.now, self.entropy);
        assert_eq!(verify(&self.desired, &observed, &self.ledger, &plan), Ok(()));
        (plan, report)
    }

    /// Carry out a plan; `outcome` decides what becomes of each step.
    fn execute_with(&mut self, plan: Plan, mut outcome: impl FnMut(&Step) -> Outcome) {
        let mut executor = Executor::new(usize::MAX);
        executor.adopt(plan);
        while let Some(step) = executor.start(&mut self.ledger, self.now) {
            self.now.0 += 1;
            let outcome = outcome(&step);
            if outcome == Outcome::Done {
                self.apply(&step.action);
            }
            executor.finish(&step, &outcome, &mut self.ledger, self.now, 512);
        }
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Provision(it) => {
                self.log.push(format!("+{}", it.slot));
                let instance = Instance {
                    id: it.name.clone(),
                    name: it.name.clone(),
                    logical_id: it.logical_id.clone(),
                    state: InstanceState::Running,
                    message: String::new(),
                    created_at_ms: Some(self.now.0),
                    addresses: Vec::new(),
                    tags: it.tags.clone(),
                    properties: None,
                };
                self.instances.insert(it.name.clone(), instance);
            }
            Action::Destroy(it) => {
                let gone = self.instances.remove(&it.id).expect("the planner destroys what exists");
                self.log.push(format!("-{}", gone.slot().unwrap_or(0)));
            }
            Action::Label(it) => {
                self.log.push("label".into());
                self.instances.get_mut(&it.id).unwrap().tags.extend(it.tags.clone());
            }
        }
    }

    /// Observe, plan and execute until nothing is left to do.
    fn settle(&mut self) -> Report {
        for _ in 0..10_000 {
            let (plan, report) = self.plan();
            if plan.steps.is_empty() {
                return report;
            }
            self.execute_with(plan, |_| Outcome::Done);
            self.now.0 += 1;
        }
        panic!("no fixed point after 10,000 rounds: {:?}", self.log);
    }

    fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<_> = self.instances.values().filter_map(Instance::slot).collect();
        slots.sort_unstable();
        slots
    }

    fn commit(&mut self, allocation: Allocation, init: &str) {
        self.desired = desired(allocation, init);
        self.ledger.forget_failures();
    }
}

#[test]
fn a_new_group_is_made_and_then_left_alone() {
    let mut world = World::new(desired(Allocation::Size(5), "a"));
    let report = world.settle();
    assert!(report.converged, "{report:?}");
    assert_eq!(world.slots(), [1, 2, 3, 4, 5]);
    assert_eq!(world.plan().0, Plan::default(), "a converged world plans nothing");
}

#[test]
fn what_vanished_is_made_again_in_its_slot() {
    let mut world = World::converged(desired(Allocation::Size(5), "a"));
    world.instances.retain(|_, it| !matches!(it.slot(), Some(2 | 4)));
    world.settle();
    assert_eq!(world.log, ["+2", "+4"]);
}

#[test]
fn zero_is_a_size() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    world.commit(Allocation::Size(0), "a");
    assert!(world.settle().converged);
    assert!(world.instances.is_empty());
}

#[test]
fn the_newest_go_first() {
    let mut world = World::converged(desired(Allocation::Size(12), "a"));
    world.commit(Allocation::Size(3), "a");
    world.settle();
    assert_eq!(world.slots(), [1, 2, 3], "InfraKit kept 7, 8 and 9 of twelve");
}

#[test]
fn out_of_date_and_unhealthy_go_before_the_newest() {
    let mut world = World::converged(desired(Allocation::Size(4), "a"));
    let stale = world.instances.values_mut().find(|it| it.slot() == Some(1)).unwrap();
    stale.tags.insert(tags::CONFIG_HASH.into(), "other".into());
    world.commit(Allocation::Size(3), "a");
    world.settle();
    assert_eq!(world.slots(), [2, 3, 4]);
}

#[test]
fn a_changed_hash_rolls_one_at_a_time() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    world.commit(Allocation::Size(3), "b");
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1", "-2", "+2", "-3", "+3"]);
}

#[test]
fn scaling_and_rolling_in_one_commit_lose_neither() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    world.commit(Allocation::Size(8), "b");
    let (plan, _) = world.plan();
    world.execute_with(plan, |_| Outcome::Done);
    // An operator changes the config again in the middle of it.
    world.commit(Allocation::Size(8), "c");
    assert!(world.settle().converged);
    assert_eq!(world.slots(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_roll_waits_for_health_and_says_so() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    world.commit(Allocation::Size(3), "b");
    world.health = Health::Unknown;
    let report = world.settle();
    assert_eq!(world.log, ["-1", "+1"], "unknown is not healthy");
    assert!(matches!(report.waiting[..], [Waiting::RollAwaitsHealth { outdated: 2, .. }]), "{report:?}");
    world.health = Health::Healthy;
    assert!(world.settle().converged);
}

#[test]
fn a_broken_revision_can_be_rolled_away() {
    let mut world = World::converged(desired(Allocation::Size(2), "a"));
    world.commit(Allocation::Size(2), "bad");
    world.health = Health::Unhealthy;
    world.settle();
    world.commit(Allocation::Size(2), "good");
    world.health = Health::Healthy;
    assert!(world.settle().converged);
}

#[test]
fn count_and_duration_hold_a_roll_back() {
    let mut world = World::converged(desired(Allocation::Size(2), "a"));
    world.commit(Allocation::Size(2), "b");
    world.desired.spec.properties.updating.count = Some(3);
    world.settle();
    assert_eq!(world.log, ["-1", "+1"]);
    world.settle();
    assert_eq!(world.log.len(), 2, "two checks are not three");
    world.settle();
    assert_eq!(world.log, ["-1", "+1", "-2", "+2"]);
}

#[test]
fn pets_keep_their_identities() {
    let mut world = World::new(desired(pets(&["a", "b", "c"]), "x"));
    assert!(world.settle().converged);
    world.instances.retain(|_, it| it.logical_id() != Some("b"));
    world.log.clear();
    world.settle();
    assert_eq!(world.log, ["+2"]);
    world.commit(pets(&["a", "c", "d"]), "x");
    assert!(world.settle().converged);
    let ids: BTreeSet<_> = world.instances.values().filter_map(Instance::logical_id).collect();
    assert_eq!(ids, BTreeSet::from(["a", "c", "d"]));
}

#[test]
fn an_identity_is_never_held_twice() {
    let mut world = World::converged(desired(pets(&["a", "b"]), "x"));
    let mut twin = world.instances.values().find(|it| it.logical_id() == Some("a")).unwrap().clone();
    (twin.id, twin.name) = ("twin".into(), "twin".into());
    twin.created_at_ms = Some(world.now.0);
    world.instances.insert("twin".into(), twin);
    world.settle();
    assert!(!world.instances.contains_key("twin"), "the older one stays");
    // A stopped instance holds its identity until it is gone.
    let old = world.instances.values_mut().find(|it| it.logical_id() == Some("b")).unwrap();
    old.state = InstanceState::Stopped;
    let (plan, report) = world.plan();
    assert!(matches!(plan.steps[..], [Step { action: Action::Destroy(_), .. }]), "{plan:?}");
    assert!(report.waiting.contains(&Waiting::IdentityHeld { logical_id: "b".into() }));
    world.execute_with(plan, |_| Outcome::Done);
    assert!(world.settle().converged);
}

#[test]
fn a_pet_without_identity_is_left_alone() {
    let mut world = World::converged(desired(pets(&["a"]), "x"));
    let mut stray = world.instances.values().next().unwrap().clone();
    (stray.id, stray.name, stray.logical_id) = ("stray".into(), String::new(), None);
    stray.tags.remove(tags::LOGICAL_ID);
    world.instances.insert("stray".into(), stray);
    let report = world.settle();
    assert!(world.log.is_empty());
    assert_eq!(report.waiting, [Waiting::Stray { id: "stray".into() }]);
}

#[test]
fn instances_tagged_bootstrap_are_adopted() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    for instance in world.instances.values_mut() {
        instance.tags.insert(tags::CONFIG_HASH.into(), tags::BOOTSTRAP.into());
    }
    assert!(world.settle().converged);
    assert_eq!(world.log, ["label", "label", "label"]);
    assert!(world.instances.values().all(|it| it.config_hash() == Some(&*world.desired.hash)));
}

#[test]
fn what_is_on_its_way_out_is_not_adopted() {
    let tagged = |spec: Desired| {
        let mut world = World::converged(spec);
        for instance in world.instances.values_mut() {
            instance.tags.insert(tags::CONFIG_HASH.into(), tags::BOOTSTRAP.into());
        }
        world
    };
    let mut shrinks = tagged(desired(Allocation::Size(3), "a"));
    shrinks.desired.spec.properties.allocation = Allocation::Size(2);
    assert!(shrinks.settle().converged);
    assert_eq!(shrinks.log, ["-3", "label", "label"]);

    let mut destroyed = tagged(desired(Allocation::Size(2), "a"));
    destroyed.desired.goal = Goal::Destroy;
    assert!(destroyed.settle().converged);
    assert_eq!(destroyed.log, ["-1", "-2"]);

    let mut condemned = tagged(desired(pets(&["a", "b"]), "a"));
    let first = condemned.instances.keys().next().unwrap().clone();
    condemned.desired.condemned.insert(first);
    assert!(condemned.settle().converged);
    assert_eq!(condemned.log, ["-1", "label", "+1"]);
}

#[test]
fn a_lost_ledger_changes_nothing() {
    let mut world = World::converged(desired(Allocation::Size(5), "a"));
    world.ledger = Ledger::default();
    assert!(world.settle().converged);
    assert!(world.log.is_empty());
}

#[test]
fn a_list_that_lags_leads_to_no_surplus() {
    let mut world = World::new(desired(Allocation::Size(3), "a"));
    let (plan, _) = world.plan();
    // Done, says the provider; its list shows nothing yet.
    let mut executor = Executor::new(3);
    executor.adopt(plan);
    let steps: Vec<_> = std::iter::from_fn(|| executor.start(&mut world.ledger, world.now)).collect();
    for step in &steps {
        executor.finish(step, &Outcome::Done, &mut world.ledger, world.now, 0);
    }
    world.now.0 += 300;
    let (plan, report) = world.plan();
    assert_eq!((plan.steps.len(), report.counts.creating), (0, 3));
    world.now.0 += 60_000;
    assert_eq!(world.plan().0.steps.len(), 3, "what never shows up is made again");
}

#[test]
fn what_was_cut_off_is_looked_for_and_repeated_under_its_name() {
    let mut world = World::new(desired(Allocation::Size(1), "a"));
    let (plan, _) = world.plan();
    let name = plan.steps[0].action.subject().to_owned();
    let lost = PluginError { code: ErrorCode::Internal, message: "cut off".into(), path: None, retry_after: None };
    world.execute_with(plan, |_| Outcome::of(lost.clone()));
    world.now.0 += 10_000;
    let (plan, _) = world.plan();
    assert_eq!(plan.steps[0].action.subject(), name);
}

#[test]
fn an_incomplete_list_moves_nothing() {
    let mut world = World::converged(desired(Allocation::Size(5), "a"));
    world.instances.pop_first();
    let observed = Observation { complete: false, ..world.observe() };
    let (plan, report) = super::plan(&world.desired, &observed, &world.ledger, world.now, 1);
    assert!(plan.steps.is_empty());
    assert_eq!(report.waiting, [Waiting::Incomplete]);
}

#[test]
fn a_list_that_failed_is_forgotten_when_one_came() {
    let mut world = World::converged(desired(Allocation::Size(2), "a"));
    let away = PluginError { code: ErrorCode::Unavailable, message: "away".into(), path: None, retry_after: None };
    world.ledger.observation_failed(away, world.now, 0);
    let partial = Observation { complete: false, ..world.observe() };
    let reasons = |world: &World| super::plan(&world.desired, &partial, &world.ledger, world.now, 1).1.waiting;
    assert!(matches!(reasons(&world)[..], [Waiting::ListFailed { .. }]));
    world.ledger.absorb(&partial, &world.desired.hash);
    assert_eq!(reasons(&world), [Waiting::Incomplete]);
}

#[test]
fn an_empty_list_is_looked_at_twice() {
    let mut world = World::converged(desired(Allocation::Size(5), "a"));
    world.instances.clear();
    let (plan, report) = world.plan();
    assert!(plan.steps.is_empty());
    assert!(matches!(report.waiting[..], [Waiting::ConfirmingEmpty { known: 5, .. }]));
    world.now = world.now.after(CONFIRM_AFTER);
    assert_eq!(world.plan().0.steps.len(), 5);
}

#[test]
fn emptying_a_group_of_one_by_a_roll_needs_no_confirmation() {
    let mut world = World::converged(desired(Allocation::Size(1), "a"));
    world.commit(Allocation::Size(1), "b");
    assert!(world.settle().converged);
    assert_eq!(world.log, ["-1", "+1"]);
}

#[test]
fn a_failing_provider_is_probed_not_stormed() {
    let mut world = World::new(desired(Allocation::Size(100), "a"));
    let quota =
        PluginError { code: ErrorCode::ResourceExhausted, message: "quota".into(), path: None, retry_after: None };
    let mut calls = 0;
    for _ in 0..600 {
        let (plan, report) = world.plan();
        world.execute_with(plan, |_| {
            calls += 1;
            Outcome::of(quota.clone())
        });
        assert!(!report.converged);
        world.now.0 += 1_000;
    }
    assert!(calls <= 15, "{calls} calls in ten minutes");
}

#[test]
fn a_spec_that_can_never_work_waits_for_another() {
    let mut world = World::new(desired(Allocation::Size(1), "a"));
    let bad = PluginError { code: ErrorCode::InvalidArgument, message: "no".into(), path: None, retry_after: None };
    let (plan, _) = world.plan();
    world.execute_with(plan, |_| Outcome::of(bad.clone()));
    world.now.0 += 1_000_000_000;
    let (plan, report) = world.plan();
    assert!(plan.steps.is_empty());
    assert!(matches!(report.waiting[..], [Waiting::Backoff { until: None, .. }]), "{report:?}");
    world.commit(Allocation::Size(1), "b");
    assert!(world.settle().converged);
}

#[test]
fn destroying_takes_everything_and_makes_nothing() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    world.instances.values_mut().next().unwrap().state = InstanceState::Failed;
    world.desired.goal = Goal::Destroy;
    assert!(world.settle().converged);
    assert!(world.instances.is_empty() && world.log.iter().all(|it| it.starts_with('-')));
}

#[test]
fn condemned_instances_go_and_are_not_others() {
    let mut world = World::converged(desired(Allocation::Size(3), "a"));
    let first = world.instances.values().find(|it| it.slot() == Some(1)).unwrap().id.clone();
    world.desired.condemned.insert(first.clone());
    world.desired.spec.properties.allocation = Allocation::Size(2);
    assert!(world.settle().converged);
    assert_eq!(world.slots(), [2, 3]);
}

#[test]
fn instances_of_others_are_not_touched() {
    let mut world = World::converged(desired(Allocation::Size(2), "a"));
    let mut other = world.instances.values().next().unwrap().clone();
    (other.id, other.name) = ("other".into(), "other".into());
    other.tags.insert(tags::GROUP.into(), "db".into());
    world.instances.insert("other".into(), other);
    let report = world.settle();
    assert!(report.converged, "{report:?}");
    assert_eq!(report.waiting, [Waiting::Foreign { id: "other".into() }]);
    world.desired.goal = Goal::Destroy;
    assert!(world.settle().converged);
    assert_eq!(world.instances.keys().collect::<Vec<_>>(), ["other"]);
}

#[test]
fn commits_are_explained_in_infrakits_words() {
    let check = |old: (u32, &str), new: (u32, &str), expected: &str| {
        let old = desired(Allocation::Size(old.0), old.1);
        let new = desired(Allocation::Size(new.0), new.1);
        let instances: Vec<_> = World::converged(old.clone()).instances.into_values().collect();
        assert_eq!(explain(Some(&old.spec), &new.spec, &new.hash, &instances).unwrap(), expected);
    };
    let fresh = desired(Allocation::Size(3), "a");
    assert_eq!(explain(None, &fresh.spec, &fresh.hash, &[]).unwrap(), "Managing 3 instances");
    check((3, "a"), (3, "a"), "Noop");
    check((3, "a"), (3, "b"), "Performing a rolling update on 3 instances");
    check((3, "a"), (1, "a"), "Terminating 2 instances to reduce the group size to 1");
    check(
        (3, "a"),
        (1, "b"),
        "Terminating 2 instances to reduce the group size to 1, then performing a rolling update on 1 instances",
    );
    check((3, "a"), (8, "a"), "Adding 5 instances to increase the group size to 8");
    check(
        (3, "a"),
        (8, "b"),
        "Performing a rolling update on 3 instances, then adding 5 instances to increase the group size to 8",
    );
    let pets = |ids: &[&str], init| desired(super::tests::pets(ids), init);
    let old = pets(&["a", "b"], "x");
    let instances: Vec<_> = World::converged(old.clone()).instances.into_values().collect();
    let said = |new: &Desired| explain(Some(&old.spec), &new.spec, &new.hash, &instances);
    assert_eq!(said(&pets(&["a", "b"], "x")).unwrap(), "Noop");
    assert_eq!(
        said(&pets(&["a", "c"], "y")).unwrap(),
        "Terminating 1 instances with logical IDs b, then adding 1 instances with logical IDs c, then performing a \
         rolling update on 1 instances"
    );
    assert!(matches!(said(&desired(Allocation::Size(2), "x")), Err(Refusal::AllocationKind { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever exists, and whatever is committed in whatever order: it converges, every plan on the way keeps the rules
    /// (`World::plan` verifies each), and the same input gives the same plan.
    #[test]
    fn applying_plans_converges(
        commits in prop::collection::vec((0u32..12, 0u8..3, 0usize..6, any::<u64>()), 1..6),
    ) {
        let mut world = World::new(desired(Allocation::Size(0), "0"));
        for (size, init, rounds, vandal) in commits {
            world.commit(Allocation::Size(size), &init.to_string());
            for round in 0..rounds {
                let (plan, _) = world.plan();
                let observed = world.observe();
                let again = super::plan(&world.desired, &observed, &world.ledger, world.now, world.entropy);
                prop_assert_eq!(&again.0, &plan);
                world.execute_with(plan, |_| Outcome::Done);
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
        prop_assert_eq!(world.plan().0.steps.len(), 0);
    }

    /// The order in which the provider lists does not matter.
    #[test]
    fn the_order_of_the_list_does_not_matter(size in 1u32..10, shrink in 0u32..10, seed in any::<u64>()) {
        let mut world = World::converged(desired(Allocation::Size(size), "a"));
        world.commit(Allocation::Size(shrink.min(size)), "b");
        let mut observed = world.observe();
        let straight = super::plan(&world.desired, &observed, &world.ledger, world.now, seed);
        observed.instances.reverse();
        prop_assert_eq!(super::plan(&world.desired, &observed, &world.ledger, world.now, seed), straight);
    }
}
