//! A host in virtual time: it looks, judges, plans, writes down and calls as a real one does.

mod events;
mod transcript;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::START;
use super::provider::{Provider, error};
use super::script::{Call, How};
use super::spec::Words;
use crate::execute::Outcome;
use crate::ledger::{Intent, Ledger, Memory};
use crate::machine::{Machine, Setting};
use crate::outcome::ErrorCode;
use crate::record::{Goal, GroupRecord};
use crate::step::{Action, Drain, Step};
use crate::time::Timestamp;
use transcript::Transcript;

/// The first and the longest wait between looks at a group on which somebody else works.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// The longest time between two looks.
const RESYNC: Duration = Duration::from_secs(10);
/// The most turns of the loop in one scenario: what needs more goes in a circle.
const TURNS: usize = 200_000;

/// A host with one group.
pub(super) struct Host {
    now: Timestamp,
    provider: Provider,
    words: Words,
    setting: Setting,
    /// What the host's instance is called in the script: a slot or a logical id.
    this: Option<String>,
    machine: Option<Machine>,
    store: Store,
    calls: Vec<Running>,
    look_at: Timestamp,
    judge_at: Timestamp,
    poll: Duration,
    entropy: u64,
    turns: usize,
    transcript: Transcript,
}

/// What survives the host.
#[derive(Clone, Default)]
struct Store {
    record: Option<Arc<GroupRecord>>,
    intents: BTreeMap<String, Intent>,
    memory: Memory,
}

/// A call of a plugin that has not ended.
struct Running {
    begins: Timestamp,
    ends: Timestamp,
    id: String,
    step: Step,
    happens: bool,
    outcome: Outcome,
    /// The host that made it is dead: its effect shows, its answer goes nowhere.
    orphaned: bool,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            now: START,
            provider: Provider::default(),
            words: Words::default(),
            setting: Setting { parallel: 128, ..Setting::default() },
            this: None,
            machine: None,
            store: Store::default(),
            calls: Vec::new(),
            look_at: START,
            judge_at: START,
            poll: POLL.0,
            entropy: 1,
            turns: 0,
            transcript: Transcript::default(),
        }
    }

    /// Let time pass until then.
    pub(super) fn run_until(&mut self, until: Timestamp) -> Result<(), String> {
        loop {
            let call = self.calls.iter().map(|it| it.ends).min();
            let work = self.machine.as_ref().map(|_| self.look_at.min(self.judge_at));
            let next = call.into_iter().chain(work).min().filter(|it| *it <= until);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.turns += 1;
            if self.turns > TURNS {
                return Err("it goes in a circle".into());
            }
            match call {
                Some(at) if at <= next => self.end_calls(at),
                _ if self.look_at <= next => self.look(),
                _ => self.judge(),
            }
        }
        self.now = until;
        Ok(())
    }

    fn random(&mut self) -> u64 {
        self.entropy = self.entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.entropy
    }

    fn end_calls(&mut self, at: Timestamp) {
        let (ended, running) = std::mem::take(&mut self.calls).into_iter().partition(|it| it.ends <= at);
        self.calls = running;
        let ended: Vec<Running> = ended;
        for call in ended {
            if call.happens {
                self.provider.apply(&call.id, &call.step.action, self.now);
            }
            if call.orphaned {
                self.say(format!("the call of the host before ends: {}", transcript::done(&call.id, &call.step)));
                continue;
            }
            // What is done at once needs no second line.
            if call.outcome != Outcome::Done || call.ends > call.begins {
                self.say(transcript::ended(&call.id, &call.step, &call.outcome));
            }
            let jitter = self.random();
            if let Some(machine) = &mut self.machine {
                machine.finish(&call.step, &call.outcome, self.now, jitter);
                if machine.executor().is_idle() {
                    self.look_at = self.now;
                }
            }
        }
        self.act();
    }

    /// List, plan, judge and plan again.
    fn look(&mut self) {
        let (now, random) = (self.now, self.random());
        let listed = self.provider.list(now);
        let Some(machine) = &mut self.machine else { return };
        match listed {
            Ok(observation) => machine.observed(observation, now, random),
            Err(error) => machine.observation_failed(error, now, random),
        }
        let judges = machine.wants_health(now);
        self.planned();
        self.act();
        if judges { self.judge() } else { self.settle() }
    }

    fn judge(&mut self) {
        let (now, random) = (self.now, self.random());
        let Some(machine) = &mut self.machine else { return };
        self.judge_at = now.after(machine.desired().spec.properties.healing.interval());
        if let Some(observation) = machine.observation().cloned() {
            let running = observation.instances.iter().filter(|it| it.state == crate::observed::InstanceState::Running);
            let reports: Vec<_> = running.map(|it| (it.id.clone(), self.provider.health(it, now))).collect();
            machine.judged(&reports, now, now, random);
        }
        self.planned();
        self.act();
        self.settle();
    }

    /// The machine has planned anew: write down, and choose when to look next.
    fn planned(&mut self) {
        self.write();
        let now = self.now;
        let Some(machine) = &mut self.machine else { return };
        if let Some(record) = machine.rolled_back(now) {
            let record = Arc::new(record);
            self.store.record = Some(Arc::clone(&record));
            machine.adopt(record);
            self.look_at = now;
            self.poll = POLL.0;
            return;
        }
        if machine.executor().queued().next().is_some() {
            self.poll = POLL.0;
        }
        let mut next = now.after(RESYNC);
        if machine.executor().is_idle() {
            if let Some(due) = machine.next_turn() {
                next = next.min(due.max(now.after(POLL.0)));
            }
            if machine.is_restless() {
                next = next.min(now.after(self.poll));
                self.poll = (self.poll * 2).min(POLL.1);
            }
        }
        self.look_at = next;
    }

    /// Store what changed, and tell what happened.
    fn write(&mut self) {
        let Some(machine) = &mut self.machine else { return };
        let changes = machine.take_changes();
        for (key, intent) in changes.intents {
            match intent {
                Some(intent) => drop(self.store.intents.insert(key, intent)),
                None => drop(self.store.intents.remove(&key)),
            }
        }
        if let Some(memory) = changes.memory {
            self.store.memory = memory;
        }
        for turn in changes.turns {
            self.say(transcript::turn(&turn));
        }
    }

    /// Begin what may begin. Its intents are stored first.
    fn act(&mut self) {
        let now = self.now;
        while let Some(step) = self.machine.as_mut().and_then(|it| it.start(now)) {
            self.write();
            let call = self.call(step);
            self.say(transcript::begun(&call.id, &call.step));
            self.calls.push(call);
        }
        self.write();
    }

    /// Call the plugins for a step: what will come of it, and when.
    fn call(&mut self, step: Step) -> Running {
        let (id, slot) = match &step.action {
            Action::Provision(it) => (self.provider.id_of(&it.name), Some(it.slot)),
            Action::Destroy(it) => (it.id.clone(), it.slot),
            Action::Label(it) => (it.id.clone(), None),
        };
        let speed = |key: &str| self.provider.speed(key);
        let (call, drained, takes) = match &step.action {
            Action::Provision(_) => (Call::Provision, Drain::Skip, speed("provision")),
            Action::Destroy(it) => {
                let drain = if it.drain == Drain::Skip { Duration::ZERO } else { speed("drain") };
                (Call::Destroy, it.drain, drain + speed("destroy"))
            }
            Action::Label(_) => (Call::Label, Drain::Skip, Duration::ZERO),
        };
        let drain = if drained == Drain::Skip { None } else { self.provider.fault(Call::Drain, slot) };
        let (happens, outcome) = match (drained, drain) {
            // A rolling update leaves what it cannot drain; a termination does not.
            (Drain::Must, Some(How::Fails(code))) => (false, Outcome::of(error(code))),
            _ => match self.provider.fault(call, slot) {
                Some(How::Fails(code)) => (false, Outcome::of(error(code))),
                Some(How::Lost) => (true, Outcome::Unknown(error(ErrorCode::Internal))),
                Some(How::Unheard) => (false, Outcome::Unknown(error(ErrorCode::Internal))),
                _ => (true, Outcome::Done),
            },
        };
        Running { begins: self.now, ends: self.now.after(takes), id, step, happens, outcome, orphaned: false }
    }

    /// All is planned, and nothing more begins: say why, where that is new.
    fn settle(&mut self) {
        let Some(machine) = &self.machine else { return };
        let report = machine.report().clone();
        let gone = machine.desired().goal == Goal::Destroy && report.converged;
        for line in self.transcript.news(&report) {
            self.say(line);
        }
        if gone {
            self.say("the group is gone".into());
            self.forget();
        }
    }

    /// Keep the group no longer.
    fn forget(&mut self) {
        self.machine = None;
        self.store = Store::default();
        self.words = Words::default();
        self.calls.iter_mut().for_each(|it| it.orphaned = true);
        self.transcript.forget();
    }

    /// A machine from what is stored.
    fn start(&mut self, restored: bool) {
        let Some(record) = self.store.record.clone() else { return };
        let ledger = Ledger::restore(self.store.intents.clone(), self.store.memory.clone(), self.now);
        self.machine = Some(Machine::new(record, ledger, self.setting.clone(), restored, self.now));
        (self.look_at, self.judge_at, self.poll) = (self.now, self.now, POLL.0);
        self.transcript.forget();
    }

    fn say(&mut self, text: String) {
        let there = self.provider.instances(self.now);
        let running = there.iter().filter(|it| it.state == crate::observed::InstanceState::Running);
        let well =
            running.filter(|it| self.provider.health(it, self.now).status == crate::observed::Health::Healthy).count();
        self.transcript.line(self.now, there.len(), well, &text);
    }

    pub(super) fn into_transcript(self) -> String {
        self.transcript.into_text()
    }
}
