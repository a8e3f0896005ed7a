//! The fate of a call: whether and when it takes effect, and whether and how it is answered.

use std::time::Duration;

use super::fault::Fault;
use super::provider::Unit;
use super::rules::Broken;
use super::scenario::Quality;
use super::world::{Event, World};
use crate::execute::Outcome;
use crate::observed::InstanceState;
use crate::outcome::{ErrorCode, PluginError};
use crate::step::{Action, Drain, Step, Work};

/// After so long the host cuts a call off.
const TIMEOUT: u64 = 30_000;
/// A call that was cut off may take effect so much later.
const LATEST: u64 = 25_000;

/// A call that was begun.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) group: usize,
    pub(super) life: u32,
    pub(super) step: Step,
    /// Whether its effect is yet to come.
    pub(super) coming: bool,
    /// What it is answered with, as far as that is known before its effect.
    answer: Option<Outcome>,
    /// What came of its effect.
    effect: Result<(), PluginError>,
    /// Whether the host waits for it.
    pub(super) waited_for: bool,
}

pub(super) fn error(code: ErrorCode, message: &str, retry_after: Option<Duration>) -> PluginError {
    PluginError { code, message: message.into(), path: None, retry_after }
}

/// A step in a few words.
pub(super) fn words(step: &Step) -> String {
    match &step.action {
        Action::Provision(it) => format!("make {} of revision {} ({})", it.name, it.revision, step.why),
        Action::Destroy(it) => format!("destroy {} {} as {:?} ({})", it.id, it.name, it.reason, step.why),
        Action::Label(it) => format!("label {} ({})", it.id, step.why),
    }
}

impl World {
    /// Begin a call whose intent is durable.
    pub(super) fn call(&mut self, group: usize, step: Step) {
        self.counts.steps += 1;
        self.next_call += 1;
        let id = self.next_call;
        let latency = match self.faults.strikes(Fault::SlowProvider, &mut self.random, 150) {
            true => self.random.between(5_000, 60_000),
            false => self.random.latency(20, 3_000),
        };
        let cut = |why: &str| Outcome::Unknown(error(ErrorCode::Internal, why, None));
        let (mut arrives, mut answers, mut answer) = (Some(latency / 2), latency, None);
        if let Some(failure) = self.failure(&step) {
            (arrives, answer) = (None, Some(Outcome::of(failure)));
        } else if self.faults.strikes(Fault::LostCall, &mut self.random, 60) {
            (arrives, answers, answer) = (None, self.random.between(100, TIMEOUT), Some(cut("it was cut off")));
        } else if self.faults.strikes(Fault::LateEffect, &mut self.random, 80) {
            answers = self.random.between(100, TIMEOUT);
            arrives = Some(self.random.between(0, answers + LATEST));
            answer = Some(cut("it was cut off"));
        } else if self.faults.strikes(Fault::LyingFailure, &mut self.random, 60) {
            // Where the list lags, and where nothing is made, even the code may be wrong.
            let made = matches!(step.action, Action::Provision(_)) && self.list_lag.is_zero();
            let code = match made {
                true => ErrorCode::Internal,
                false => self.random.pick(&[ErrorCode::Internal, ErrorCode::Unavailable, ErrorCode::PermissionDenied]),
            };
            answer = Some(Outcome::of(error(code, "something went wrong", None)));
        } else if latency > TIMEOUT {
            (answers, answer) = (TIMEOUT, Some(cut("it took too long")));
        }
        self.tell(|| {
            let arrives = arrives.map_or("never".into(), |it| format!("in {it} ms"));
            format!("call {id}: {}; takes effect {arrives}, answered in {answers} ms", words(&step))
        });
        let coming = arrives.is_some();
        let call = Call { group, life: self.life, step, coming, answer, effect: Ok(()), waited_for: true };
        self.calls.insert(id, call);
        if let Some(delay) = arrives {
            self.later(delay, Event::Arrive { call: id });
        }
        self.later(answers, Event::Answer { call: id });
    }

    /// Why the provider, or the flavor, does nothing at all.
    fn failure(&mut self, step: &Step) -> Option<PluginError> {
        if let Action::Destroy(it) = &step.action
            && it.drain == Drain::Must
            && self.faults.strikes(Fault::DrainFailure, &mut self.random, 250)
        {
            return Some(error(ErrorCode::Unavailable, "it could not be drained", None));
        }
        if let Some(outage) = self.outage.clone().filter(|it| it.until > self.now) {
            let made = step.action.work() == Work::Provision;
            if outage.code != ErrorCode::ResourceExhausted || made {
                return Some(error(outage.code, "the provider refuses", outage.retry_after));
            }
        }
        let aborted = self.faults.strikes(Fault::Aborted, &mut self.random, 40);
        aborted.then(|| error(ErrorCode::Aborted, "another call works on it", None))
    }

    /// A call takes effect, unless it was lost with the host.
    pub(super) fn arrive(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id).filter(|it| it.coming) else { return };
        call.coming = false;
        let action = call.step.action.clone();
        let effect = match &action {
            Action::Provision(it) => {
                let reuse = self.faults.may(Fault::IdReuse) && self.random.permille(500);
                let made = self.provider.provision(it, &self.scenario, reuse, self.now);
                if self.scenario.quality(&it.hash) == Quality::Unmakeable {
                    self.faults.note(Fault::Unmakeable);
                }
                if let Ok(Some(serial)) = made {
                    let given = self.provider.units.get(&serial).map(|it| &it.instance.id);
                    if given.is_some_and(|id| *id != format!("i-{serial}")) {
                        self.faults.note(Fault::IdReuse);
                    }
                    self.tell(|| format!("call {id}: {} exists as unit {serial}", it.name));
                    self.boot(serial, self.scenario.quality(&it.hash));
                }
                made.map(drop)
            }
            Action::Destroy(it) => {
                if let Some(serial) = self.provider.serial(&it.id) {
                    self.tell(|| format!("call {id}: {} is destroyed", it.id));
                    self.shut_down(serial);
                }
                Ok(())
            }
            Action::Label(it) => self.provider.label(&it.id, &it.tags),
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.effect = effect;
            if !call.waited_for {
                self.calls.remove(&id);
            }
        }
    }

    /// A new instance comes to life.
    pub(super) fn boot(&mut self, serial: u64, quality: Quality) {
        let delay = match self.faults.strikes(Fault::SlowStart, &mut self.random, 300) {
            true => self.random.between(5_000, 60_000),
            false => self.random.below(3_000),
        };
        if self.faults.strikes(Fault::Death, &mut self.random, 30) {
            self.later(delay, Event::Unit { serial, state: Some(InstanceState::Failed) });
            return;
        }
        self.later(delay, Event::Unit { serial, state: Some(InstanceState::Running) });
        if let Quality::Crashing(after) = quality {
            let state = self.random.pick(&[InstanceState::Stopped, InstanceState::Failed]);
            self.later(delay + after, Event::Unit { serial, state: Some(state) });
        }
    }

    fn shut_down(&mut self, serial: u64) {
        match self.random.permille(500) {
            true => self.provider.set(serial, None, self.now),
            false => {
                self.provider.set(serial, Some(InstanceState::Stopping), self.now);
                let delay = self.random.latency(100, 20_000);
                self.later(delay, Event::Unit { serial, state: None });
            }
        }
    }

    /// A call is answered, or given up.
    pub(super) fn answer(&mut self, id: u64) -> Result<(), Broken> {
        let Some(call) = self.calls.get_mut(&id).filter(|it| it.waited_for) else { return Ok(()) };
        call.waited_for = false;
        let outcome = call.answer.clone().unwrap_or_else(|| match &call.effect {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::of(error.clone()),
        });
        let (group, step, coming) = (call.group, call.step.clone(), call.coming);
        if !coming {
            self.calls.remove(&id);
        }
        self.tell(|| format!("call {id}: {outcome:?}"));
        self.finished(group, &step, &outcome)
    }

    /// The host is gone. What it sent may or may not arrive.
    pub(super) fn lose_calls(&mut self) {
        let random = &mut self.random;
        self.calls.retain(|_, call| {
            call.waited_for = false;
            call.coming &= random.permille(500);
            call.coming
        });
    }

    /// Whether the instance is to be taken as replaced: the host has begun to take it away for being broken.
    pub(super) fn mark_replaced(&mut self, id: &str) {
        if let Some(serial) = self.provider.serial(id)
            && let Some(Unit { replaced, .. }) = self.provider.units.get_mut(&serial)
        {
            *replaced = true;
        }
    }
}
