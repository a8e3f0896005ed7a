//! Carrying out a plan, without doing it: which step may start, and what its outcome means.
//!
//! The caller makes the calls. It takes steps from an [`Executor`], reports how each ended, and the executor writes the
//! [`Ledger`]. Nothing here chooses anything: the plan has.

use std::collections::VecDeque;

use crate::backoff::Backoff;
use crate::ledger::{Creation, Ledger, Removal, SlotKey, Status, healing};
use crate::mutant::{self, Mutant};
use crate::outcome::{ErrorCode, PluginError};
use crate::plan::Plan;
use crate::step::{Action, Step, Work};
use crate::time::Timestamp;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider did it, or had done it already.
    Done,
    /// The world is not as the plan thought; nothing was changed.
    Refused(PluginError),
    /// It did not work; nothing was changed.
    Failed(PluginError),
    /// The call was cut off: its effect may or may not exist. Never repeated before the next observation.
    Unknown(PluginError),
}

impl Outcome {
    /// What an error that a plugin returned means for the step.
    pub fn of(error: PluginError) -> Self {
        match error.code {
            ErrorCode::NotFound | ErrorCode::AlreadyExists | ErrorCode::Aborted => Self::Refused(error),
            ErrorCode::Internal => Self::Unknown(error),
            _ => Self::Failed(error),
        }
    }
}

/// Steps of one group: waiting, and running within a limit.
#[derive(Clone, Debug)]
pub struct Executor {
    queue: VecDeque<Step>,
    running: usize,
    limit: usize,
    lagging: bool,
}

impl Executor {
    /// An executor that runs at most `limit` steps at once, and at least one. Where the provider's list is `lagging`,
    /// even a creation that is said to have failed is only believed when the list has had its time.
    pub fn new(limit: usize, lagging: bool) -> Self {
        Self { queue: VecDeque::new(), running: 0, limit: limit.max(1), lagging }
    }

    /// Whether even a creation that is said to have failed may exist.
    pub fn set_lagging(&mut self, lagging: bool) {
        self.lagging = lagging;
    }

    /// Take a new plan. Steps of the old one that have not started are dropped: the new plan knows better.
    pub fn adopt(&mut self, plan: Plan) {
        self.queue = plan.steps.into();
    }

    /// Drop the steps that have not started.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// The next step to start, if one may. Its intent is in the ledger when this returns.
    pub fn start(&mut self, ledger: &mut Ledger, now: Timestamp) -> Option<Step> {
        if self.running >= self.limit && !mutant::is(Mutant::LimitIgnored) {
            return None;
        }
        let step = self.queue.pop_front()?;
        self.running += 1;
        match &step.action {
            Action::Provision(it) => {
                let tried = ledger.creating.get(&it.name).and_then(|before| match before.status {
                    Status::Absent(at) | Status::Unknown(at) => Some(at),
                    _ => before.tried,
                });
                let creation = Creation {
                    slot: it.slot,
                    logical_id: it.logical_id.clone(),
                    revision: it.revision,
                    hash: it.hash.clone(),
                    since: now,
                    status: Status::InFlight,
                    tried,
                };
                ledger.creating.insert(it.name.clone(), creation);
                ledger.touch(true, &it.name);
            }
            Action::Destroy(it) => {
                let removal = Removal {
                    name: it.name.clone(),
                    logical_id: it.logical_id.clone(),
                    reason: it.reason,
                    since: now,
                    status: Status::InFlight,
                };
                ledger.removing.insert(it.id.clone(), removal);
                ledger.touch(false, &it.id);
                if let Some(failures) = it.retry {
                    let key = SlotKey::new(it.slot, it.logical_id.as_deref());
                    healing::begin(&mut ledger.memory.retries, key, failures, now);
                }
            }
            Action::Label(it) => drop(ledger.labelling.insert(it.id.clone(), None)),
        }
        Some(step)
    }

    /// Take the outcome of a step that was started. `jitter` is a random number of the caller's.
    pub fn finish(&mut self, step: &Step, outcome: &Outcome, ledger: &mut Ledger, now: Timestamp, jitter: u64) {
        self.running = self.running.saturating_sub(1);
        let work = step.action.work();
        let status = match outcome {
            Outcome::Done => Some(Status::Accepted(now)),
            Outcome::Unknown(_) if mutant::is(Mutant::UnknownIsNothing) && work == Work::Provision => None,
            Outcome::Unknown(_) => Some(Status::Unknown(now)),
            Outcome::Failed(error) if self.lagging && error.code != ErrorCode::InvalidArgument => {
                Some(Status::Unknown(now))
            }
            Outcome::Refused(_) | Outcome::Failed(_) => None,
        };
        match &step.action {
            Action::Provision(it) => ledger.touch(true, &it.name),
            Action::Destroy(it) => ledger.touch(false, &it.id),
            Action::Label(_) => {}
        }
        match (&step.action, status) {
            (Action::Provision(it), Some(status)) => {
                if let Some(creation) = ledger.creating.get_mut(&it.name) {
                    creation.status = status;
                }
            }
            // This call left nothing behind; the one before it, under the same name, may have.
            (Action::Provision(it), None) => match ledger.creating.get_mut(&it.name) {
                Some(Creation { status, tried: Some(at), .. }) if !mutant::is(Mutant::RepeatSpeaksForAll) => {
                    *status = Status::Absent(*at)
                }
                _ => drop(ledger.creating.remove(&it.name)),
            },
            (Action::Destroy(it), Some(status)) => {
                if let Some(removal) = ledger.removing.get_mut(&it.id) {
                    removal.status = status;
                }
            }
            (Action::Destroy(it), None) => {
                ledger.removing.remove(&it.id);
            }
            (Action::Label(it), Some(_)) => drop(ledger.labelling.insert(it.id.clone(), Some(now))),
            (Action::Label(it), None) => drop(ledger.labelling.remove(&it.id)),
        }
        match outcome {
            Outcome::Done => {
                ledger.memory.backoff.remove(&work);
            }
            Outcome::Refused(error) | Outcome::Failed(error) | Outcome::Unknown(error) => {
                // Calls that started together and fail together are one failure, not many.
                let counted =
                    ledger.memory.backoff.get(&work).is_some_and(|it| it.until.is_some_and(|until| now < until));
                if !counted {
                    let next = Backoff::after(ledger.memory.backoff.get(&work), error.clone(), now, jitter);
                    ledger.memory.backoff.insert(work, next);
                } else if let Some(backoff) = ledger.memory.backoff.get_mut(&work) {
                    backoff.heed(error, now);
                }
                // The rest of this work waits for the next plan, which knows of the failure.
                // What takes the place of something waits too, as long as that does not go.
                self.queue.retain(|it| it.action.work() != work && work != Work::Destroy);
            }
        }
    }

    /// The steps that wait.
    pub fn queued(&self) -> impl Iterator<Item = &Step> {
        self.queue.iter()
    }

    /// Whether no step runs and none waits.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && self.queue.is_empty()
    }

    /// How many steps run.
    pub fn running(&self) -> usize {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::DestroyReason;
    use crate::step::{Destroy, Drain, Work};

    fn steps(n: usize) -> Plan {
        let destroy = |i| Destroy {
            id: format!("i{i}"),
            reason: DestroyReason::Terminate,
            drain: Drain::Try,
            name: format!("i{i}"),
            slot: None,
            logical_id: None,
            retry: None,
        };
        Plan { steps: (0..n).map(|i| Step { action: Action::Destroy(destroy(i)), why: String::new() }).collect() }
    }

    fn error(code: ErrorCode) -> PluginError {
        PluginError { code, message: "no".into(), path: None, retry_after: None }
    }

    #[test]
    fn runs_no_more_than_its_limit_and_slides() {
        let (mut executor, mut ledger) = (Executor::new(2, false), Ledger::default());
        executor.adopt(steps(3));
        let first = executor.start(&mut ledger, Timestamp(1)).unwrap();
        executor.start(&mut ledger, Timestamp(1)).unwrap();
        assert_eq!(executor.start(&mut ledger, Timestamp(1)), None);
        executor.finish(&first, &Outcome::Done, &mut ledger, Timestamp(2), 0);
        assert!(executor.start(&mut ledger, Timestamp(3)).is_some(), "the third starts when one ended, not both");
    }

    #[test]
    fn one_failure_stops_the_rest_of_its_kind() {
        let (mut executor, mut ledger) = (Executor::new(2, false), Ledger::default());
        executor.adopt(steps(100));
        let started: Vec<_> = std::iter::from_fn(|| executor.start(&mut ledger, Timestamp(1))).collect();
        for step in &started {
            executor.finish(step, &Outcome::of(error(ErrorCode::Unavailable)), &mut ledger, Timestamp(2), 512);
        }
        assert!(executor.is_idle());
        assert_eq!(ledger.memory.backoff[&Work::Destroy].failures, 1, "two calls that failed together count once");
        assert!(ledger.removing.is_empty(), "what failed for sure is not under way");
    }

    #[test]
    fn what_was_cut_off_stays_under_way() {
        let (mut executor, mut ledger) = (Executor::new(1, false), Ledger::default());
        executor.adopt(steps(1));
        let step = executor.start(&mut ledger, Timestamp(1)).unwrap();
        executor.finish(&step, &Outcome::of(error(ErrorCode::Internal)), &mut ledger, Timestamp(2), 0);
        assert_eq!(ledger.removing["i0"].status, Status::Unknown(Timestamp(2)));
    }
}
