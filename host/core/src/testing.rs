//! A small world for tests: it does what it is told at once, and its clock stands still unless it is moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::execute::Outcome;
use crate::ledger::Ledger;
use crate::machine::{Machine, Setting};
use crate::observed::{Health, HealthReport, Instance, InstanceState, Observation};
use crate::plan::{Goal, Report, Waiting};
use crate::record::GroupRecord;
use crate::spec::{Allocation, GroupProperties, GroupSpec, PluginUse};
use crate::step::{Action, Step};
use crate::time::Timestamp;

pub(crate) fn group(allocation: Allocation, init: &str) -> GroupSpec {
    let properties = GroupProperties {
        allocation,
        instance: PluginUse { plugin: "file".into(), digest: None, properties: json!({}) },
        flavor: PluginUse { plugin: "vanilla".into(), digest: None, properties: json!({ "Init": [init] }) },
        updating: Default::default(),
        healing: Default::default(),
        removal: Default::default(),
    };
    GroupSpec { id: "web".into(), properties }
}

pub(crate) fn pets(ids: &[&str]) -> Allocation {
    Allocation::LogicalIds(ids.iter().map(|id| (*id).to_owned()).collect())
}

/// The reasons of a report, without their times.
pub(crate) fn reasons(report: &Report) -> Vec<Waiting> {
    report.waiting.iter().map(|it| it.waiting.clone()).collect()
}

/// Instances by id, a clock, and a machine.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) instances: BTreeMap<String, Instance>,
    /// The health of all that have no entry in `healths`.
    pub(crate) health: Health,
    /// Health by id, or else by config hash.
    pub(crate) healths: BTreeMap<String, Health>,
    pub(crate) now: Timestamp,
    /// What was done: `+slot`, `-slot`, `label`.
    pub(crate) log: Vec<String>,
    /// The most instances that there were, and the fewest that were healthy, since this was last set.
    pub(crate) extremes: (usize, usize),
    pub(crate) entropy: u64,
}

impl World {
    pub(crate) fn new(spec: GroupSpec) -> Self {
        Self::with(spec, Setting { parallel: usize::MAX, ..Setting::default() })
    }

    pub(crate) fn with(spec: GroupSpec, setting: Setting) -> Self {
        let now = Timestamp(1_000_000);
        let record = Arc::new(GroupRecord::new(spec, now));
        Self {
            machine: Machine::new(record, Ledger::default(), setting, false, now),
            instances: BTreeMap::new(),
            health: Health::Healthy,
            healths: BTreeMap::new(),
            now,
            log: Vec::new(),
            extremes: (0, usize::MAX),
            entropy: 7,
        }
    }

    /// A world in which the spec has been carried out, and is stable.
    pub(crate) fn converged(spec: GroupSpec) -> Self {
        let mut world = Self::new(spec);
        assert!(world.settle().converged);
        world.pass(Duration::from_secs(10));
        world.look();
        assert!(world.machine.ledger().memory.rollout.as_ref().unwrap().has_succeeded());
        world.log.clear();
        world.extremes = (0, usize::MAX);
        world
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(crate) fn observation(&self) -> Observation {
        Observation {
            started: self.now,
            instances: self.instances.values().cloned().collect(),
            complete: true,
            ..Observation::default()
        }
    }

    /// Look, judge and plan. Answers with the steps of the plan.
    pub(crate) fn look(&mut self) -> (Vec<Step>, Report) {
        self.entropy += 1;
        self.machine.observed(self.observation(), self.now, self.entropy);
        let report = |it: &Instance| HealthReport { status: self.health_of(it), message: String::new() };
        let reports: Vec<_> = self.instances.values().map(|it| (it.id.clone(), report(it))).collect();
        self.machine.judged(&reports, self.now, self.now, self.entropy);
        (self.machine.executor().queued().cloned().collect(), self.machine.report().clone())
    }

    fn health_of(&self, instance: &Instance) -> Health {
        let by_hash = || instance.config_hash().and_then(|hash| self.healths.get(hash));
        self.healths.get(&instance.id).or_else(by_hash).copied().unwrap_or(self.health)
    }

    /// Carry out what was planned; `outcome` decides what becomes of each step.
    pub(crate) fn execute_with(&mut self, mut outcome: impl FnMut(&Step) -> Outcome) {
        while let Some(step) = self.machine.start(self.now) {
            self.now.0 += 1;
            let outcome = outcome(&step);
            if outcome == Outcome::Done {
                self.apply(&step.action);
            }
            self.machine.finish(&step, &outcome, self.now, 512);
        }
    }

    pub(crate) fn execute(&mut self) {
        self.execute_with(|_| Outcome::Done);
    }

    pub(crate) fn apply(&mut self, action: &Action) {
        match action {
            Action::Provision(it) => {
                self.log.push(format!("+{}", it.slot));
                let instance = it.instance(self.now);
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
        let healthy = self.instances.values().filter(|it| it.state == InstanceState::Running);
        let healthy = healthy.filter(|it| self.health_of(it) == Health::Healthy).count();
        self.extremes = (self.extremes.0.max(self.instances.len()), self.extremes.1.min(healthy));
    }

    /// Look and execute until nothing is left to do.
    pub(crate) fn settle(&mut self) -> Report {
        for _ in 0..10_000 {
            let (steps, report) = self.look();
            if steps.is_empty() {
                return report;
            }
            self.execute();
            self.now.0 += 1;
        }
        panic!("no fixed point after 10,000 rounds: {:?}", self.log);
    }

    /// The same, while time passes, `step` by step for so many steps.
    pub(crate) fn settle_for(&mut self, step: Duration, steps: usize) -> Report {
        for _ in 0..steps {
            self.settle();
            self.pass(step);
        }
        self.settle()
    }

    pub(crate) fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<_> = self.instances.values().filter_map(Instance::slot).collect();
        slots.sort_unstable();
        slots
    }

    pub(crate) fn hash(&self) -> String {
        self.machine.desired().config.hash.clone()
    }

    /// How many instances have the config in force.
    pub(crate) fn current(&self) -> usize {
        self.instances.values().filter(|it| it.is_current(&self.hash())).count()
    }

    /// Commit another spec.
    pub(crate) fn commit(&mut self, spec: GroupSpec) {
        let stable = &self.machine.ledger().memory.stable;
        let record = self.machine.record().commit(spec, stable, self.now);
        self.machine.adopt(Arc::new(record));
    }

    /// Change the record as an operator does.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut GroupRecord)) {
        let mut record = (**self.machine.record()).clone();
        edit(&mut record);
        record.revision += 1;
        record.mend(self.now);
        self.machine.adopt(Arc::new(record));
    }

    /// Do as a failed rollout asks: what the host does after each plan. Answers whether one asked.
    pub(crate) fn roll_back(&mut self) -> bool {
        let record = self.machine.rolled_back(self.now);
        let asked = record.is_some();
        record.into_iter().for_each(|it| self.machine.adopt(Arc::new(it)));
        asked
    }

    /// The instance that fills a slot.
    pub(crate) fn slot(&mut self, slot: u32) -> &mut Instance {
        self.instances.values_mut().find(|it| it.slot() == Some(slot)).expect("the slot is filled")
    }

    pub(crate) fn destroy(&mut self) {
        self.edit(|it| it.goal = Goal::Destroy);
    }

    /// Kill the host and start another from what was stored.
    pub(crate) fn restart(&mut self, setting: Setting) {
        let ledger = self.machine.ledger();
        let intents = ledger.intents();
        let ledger = Ledger::restore(intents, ledger.memory.clone(), self.now);
        self.machine = Machine::new(Arc::clone(self.machine.record()), ledger, setting, true, self.now);
    }
}
