//! One group's desired-state machine: everything a host knows of a group, and how that changes.
//!
//! It makes no call and reads no clock. The host tells it what was looked up, judged and carried out, and asks it what to
//! do; a simulator does the same with worlds that go wrong. Scaling, rolling, healing and removing are one plan from one
//! picture, so that they cannot race.

mod advance;
mod control;
mod why;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::execute::{Executor, Outcome};
use crate::ledger::{Intent, Ledger, Memory, RolloutStatus, Turn};
use crate::mutant::{self, Mutant};
use crate::observed::{HealthReport, InstanceState, Observation};
use crate::outcome::PluginError;
use crate::plan::{Desired, Plan, Reason, Report, Waiting, plan};
use crate::record::GroupRecord;
use crate::step::{Step, Work};
use crate::time::Timestamp;
use crate::verify::verify;

pub(crate) use advance::advance;
pub use control::{Control, ControlError};
pub use why::Explanation;

/// What does not change while a machine lives.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// How many steps may run at once; at least one.
    pub parallel: usize,
    /// The instance that the host itself runs on, by id or logical id.
    pub host: Option<String>,
    /// How long the provider's list may lag behind what was done.
    pub list_lag: Duration,
}

/// One group, from spec to steps.
#[derive(Clone, Debug)]
pub struct Machine {
    setting: Setting,
    record: Arc<GroupRecord>,
    desired: Desired,
    ledger: Ledger,
    executor: Executor,
    /// The last complete list, or the last one at all before there was a complete one.
    observation: Option<Arc<Observation>>,
    report: Report,
    /// What was last given out to be stored.
    stored: Memory,
    turns: Vec<Turn>,
    judged: Option<Timestamp>,
}

/// What has to be stored, and what happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Intents by key; none where one is settled. Those of steps that were [started](Machine::start) have to be durable
    /// before the calls are made.
    pub intents: Vec<(String, Option<Intent>)>,
    /// What must not be forgotten, if it changed.
    pub memory: Option<Memory>,
    /// What happened to the rollout.
    pub turns: Vec<Turn>,
    /// Names of instances that the last list does not show any more, without the host having destroyed them.
    pub vanished: Vec<String>,
}

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty() && self.memory.is_none() && self.turns.is_empty() && self.vanished.is_empty()
    }
}

impl Machine {
    /// A machine for a group as it is remembered. `restored` says that a host kept the group before.
    pub fn new(record: Arc<GroupRecord>, mut ledger: Ledger, setting: Setting, restored: bool, now: Timestamp) -> Self {
        if restored && !setting.list_lag.is_zero() && !mutant::is(Mutant::SettlingOff) {
            ledger.settling = Some(now.after(setting.list_lag));
        }
        let desired = Desired::new(&record, &ledger.memory.stable, setting.host.clone(), setting.list_lag);
        let mut report = Report::default();
        report.counts.desired = desired.size();
        Self {
            executor: Executor::new(setting.parallel, !setting.list_lag.is_zero()),
            stored: ledger.memory.clone(),
            setting,
            record,
            desired,
            ledger,
            observation: None,
            report,
            turns: Vec::new(),
            judged: None,
        }
    }

    /// Keep this from now on. What was not begun is dropped, and what failed is worth another try.
    pub fn adopt(&mut self, record: Arc<GroupRecord>) {
        if record.config().hash != self.record.config().hash {
            self.ledger.memory.retries.clear();
        }
        self.record = record;
        self.refresh();
        self.retry();
    }

    /// Forget what failed, and drop what was not begun: the spec or a plugin changed.
    pub fn retry(&mut self) {
        self.executor.clear();
        self.ledger.forget_failures();
    }

    fn refresh(&mut self) {
        let stable = &mut self.ledger.memory.stable;
        stable.retain(|it| self.record.config_of(*it).is_some());
        self.desired = Desired::new(&self.record, stable, self.setting.host.clone(), self.setting.list_lag);
    }

    /// The plugin that is registered now may have another limit.
    pub fn set_list_lag(&mut self, list_lag: Duration) {
        if self.setting.list_lag != list_lag {
            self.setting.list_lag = list_lag;
            self.desired.list_lag = list_lag;
            self.executor.set_lagging(!list_lag.is_zero());
        }
    }

    /// Begin nothing more.
    pub fn stop(&mut self) {
        self.executor.clear();
    }

    /// Take in a list, and plan. `entropy` is a random number of the caller's.
    pub fn observed(&mut self, observed: Observation, now: Timestamp, entropy: u64) {
        let before = self.observation.take();
        self.ledger.absorb(&self.desired, before.as_deref(), &observed);
        if !observed.complete {
            // What was seen before stays the picture; that it is not whole is the reason to wait.
            let seen = before
                .map_or_else(|| Arc::new(observed), |it| Arc::new(Observation { complete: false, ..(*it).clone() }));
            self.observation = Some(seen);
        } else {
            self.observation = Some(Arc::new(observed));
        }
        self.advance_and_plan(now, entropy);
    }

    /// Note a list that failed, and wait.
    pub fn observation_failed(&mut self, error: PluginError, now: Timestamp, jitter: u64) {
        self.ledger.observation_failed(error, now, jitter);
        self.executor.clear();
        self.advance_and_plan(now, jitter);
    }

    /// Take in judgements that were asked for at that time, by id, and plan.
    pub fn judged(&mut self, reports: &[(String, HealthReport)], at: Timestamp, now: Timestamp, entropy: u64) {
        // One that was asked for earlier and answered later is overtaken.
        if self.judged.is_some_and(|before| at < before) {
            return;
        }
        self.judged = Some(at);
        let Some(observation) = &self.observation else { return };
        let by_id: HashMap<&str, &HealthReport> = reports.iter().map(|(id, it)| (id.as_str(), it)).collect();
        let interval = self.desired.spec.properties.healing.interval();
        self.ledger.judge(observation, &by_id, at, interval);
        self.advance_and_plan(now, entropy);
    }

    /// Plan anew from what is known: time has passed, or an operator has spoken.
    pub fn replan(&mut self, now: Timestamp, entropy: u64) {
        if self.observation.is_some() {
            self.advance_and_plan(now, entropy);
        }
    }

    fn advance_and_plan(&mut self, now: Timestamp, entropy: u64) {
        let observation = self.observation.clone().unwrap_or_default();
        let stable = self.ledger.memory.stable.len();
        self.turns.extend(advance(&self.desired, &observation, &mut self.ledger, now));
        if self.ledger.memory.stable.len() != stable {
            self.refresh();
        }
        let (plan, mut report) = plan(&self.desired, &observation, &self.ledger, now, entropy);
        let plan = match verify(&self.desired, &observation, &self.ledger, &plan, now) {
            Ok(()) => plan,
            Err(violation) => {
                let waiting = Waiting::PlanRefused { rule: violation.to_string() };
                report.waiting.push(Reason { waiting, since: now, next: None });
                report.converged = false;
                Plan::default()
            }
        };
        // A reason that was there before is as old as it was then.
        for reason in &mut report.waiting {
            let before = self.report.waiting.iter().find(|it| it.waiting.is_like(&reason.waiting));
            reason.since = before.map_or(reason.since, |it| it.since.min(reason.since));
        }
        self.report = report;
        self.executor.adopt(plan);
    }

    /// The next step to carry out, if one may begin. Its intent is among the [`changes`](Self::take_changes), and has to be
    /// durable before the call is made.
    pub fn start(&mut self, now: Timestamp) -> Option<Step> {
        self.executor.start(&mut self.ledger, now)
    }

    /// Take the outcome of a step that was started.
    pub fn finish(&mut self, step: &Step, outcome: &Outcome, now: Timestamp, jitter: u64) {
        self.executor.finish(step, outcome, &mut self.ledger, now, jitter);
    }

    /// What has to be stored since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        let memory = (self.ledger.memory != self.stored).then(|| self.ledger.memory.clone());
        if let Some(memory) = &memory {
            self.stored = memory.clone();
        }
        let (turns, vanished) = (std::mem::take(&mut self.turns), std::mem::take(&mut self.ledger.lost));
        Changes { intents: self.ledger.take_changes(), memory, turns, vanished }
    }

    /// The record of the group after the rollback that a failed rollout asks for.
    pub fn rolled_back(&self, now: Timestamp) -> Option<GroupRecord> {
        match self.ledger.memory.rollout.as_ref()?.status {
            RolloutStatus::RollingBack { to, .. } => self.record.roll_back(to, &self.ledger.memory.stable, now),
            _ => None,
        }
    }

    /// When something is due that no look and no call brings about; none where nothing is.
    pub fn next_turn(&self) -> Option<Timestamp> {
        // Until a list comes, nothing that is due can be done.
        let unlisted = self.ledger.memory.backoff.get(&Work::Observe).and_then(|it| it.until);
        if unlisted.is_some() {
            return unlisted;
        }
        let updating = &self.desired.spec.properties.updating;
        let rollout = self.ledger.memory.rollout.as_ref().filter(|it| it.is_running());
        let rollout = rollout.into_iter().flat_map(|it| {
            let complete = it.complete.map(|at| at.after(updating.monitor()));
            let baked = it.baking.map(|at| at.after(updating.bake()));
            [it.deadline(updating, self.desired.size()), complete, baked].into_iter().flatten()
        });
        let reasons = self.report.waiting.iter().filter_map(|it| it.next);
        reasons.chain(rollout).chain(self.ledger.missing.values().map(|it| it.until)).min()
    }

    /// Whether somebody else is at work, so that looking again soon is worth it.
    pub fn is_restless(&self) -> bool {
        // What is under way may show at any time, and at the latest by then.
        let soon = |it: &Reason| it.next.is_none() || matches!(it.waiting, Waiting::UnderWay { .. });
        let passes = |it: &Reason| it.waiting.passes() && soon(it);
        !self.report.converged && (self.report.waiting.is_empty() || self.report.waiting.iter().any(passes))
    }

    /// Whether the health of the instances should be asked now: it is due, or something waits for it.
    pub fn wants_health(&self, now: Timestamp) -> bool {
        let Some(observation) = &self.observation else { return false };
        let due = self.judged.is_none_or(|at| now.since(at) >= self.desired.spec.properties.healing.interval());
        let running = observation.instances.iter().any(|it| it.state == InstanceState::Running);
        running && self.desired.goal == crate::record::Goal::Keep && (due || !self.report.converged)
    }

    /// When health was last asked.
    pub fn judged_at(&self) -> Option<Timestamp> {
        self.judged
    }

    /// What the group is to become.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// What is remembered of the group.
    pub fn record(&self) -> &Arc<GroupRecord> {
        &self.record
    }

    /// What is under way.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The last list.
    pub fn observation(&self) -> Option<&Arc<Observation>> {
        self.observation.as_ref()
    }

    /// How the group stands.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The steps that run and wait.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }
}

#[cfg(test)]
mod tests;
