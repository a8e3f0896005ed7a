//! What an operator can say to a rollout, and to healing that gave up.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Machine;
use crate::ledger::{Pause, RolloutStatus, Turn};
use crate::time::Timestamp;

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Replace no more for now.
    Pause,
    /// Go on with the rollout.
    Resume,
    /// Let the others follow the canaries.
    Promote,
    /// Forget how often slots were healed and what failed, and try again.
    Reset,
}

/// Why that makes no sense now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// There is no rollout.
    #[error("no rollout of {0} is under way")]
    NoRollout(String),
    /// It stands still already.
    #[error("the rollout of {0} is paused already")]
    AlreadyPaused(String),
    /// It does not stand still.
    #[error("the rollout of {0} is not paused")]
    NotPaused(String),
    /// There is nothing to promote.
    #[error("the rollout of {0} has no canaries that wait to be promoted")]
    NoCanaries(String),
    /// They are not ready.
    #[error("of the canaries of {group}, {ready} of {wanted} are ready; promote them when all are, or roll back")]
    CanariesNotReady {
        /// The group.
        group: String,
        /// How many are.
        ready: usize,
        /// How many there are.
        wanted: usize,
    },
}

impl Machine {
    /// Take an operator's word. Answers with what it did, for a person.
    ///
    /// # Errors
    /// Where it makes no sense now; nothing was changed.
    pub fn control(&mut self, control: Control, now: Timestamp) -> Result<String, ControlError> {
        let group = self.record.spec.id.clone();
        let size = self.desired.size();
        let updating = &self.desired.spec.properties.updating;
        if control == Control::Reset {
            let slots = self.ledger.memory.retries.len();
            self.ledger.memory.retries.clear();
            self.ledger.forget_failures();
            return Ok(match slots {
                0 => format!("Reset {group}: what failed is tried again"),
                1 => format!("Reset {group}: 1 slot is healed again as if it had not failed"),
                n => format!("Reset {group}: {n} slots are healed again as if they had not failed"),
            });
        }
        let under_way = |status: &RolloutStatus| !matches!(status, RolloutStatus::Succeeded { .. });
        // One of an older revision is not what the operator sees: the next look begins another.
        let revision = self.desired.config.revision;
        let rollout = self.ledger.memory.rollout.as_mut();
        let rollout = rollout.filter(|it| it.revision == revision && under_way(&it.status));
        let Some(rollout) = rollout else { return Err(ControlError::NoRollout(group)) };
        let revision = rollout.revision;
        let paused = matches!(rollout.status, RolloutStatus::Paused { .. });
        let (said, turn) = match control {
            Control::Pause if paused => return Err(ControlError::AlreadyPaused(group)),
            Control::Pause => {
                rollout.pause(Pause::Operator, now);
                (format!("Paused the rollout of revision {revision}"), Turn::Paused { why: Pause::Operator })
            }
            Control::Resume if !paused => return Err(ControlError::NotPaused(group)),
            Control::Resume => {
                rollout.resume(now);
                (format!("Resumed the rollout of revision {revision}"), Turn::Resumed)
            }
            Control::Promote => {
                let Some(canary) = updating.canary.filter(|_| !rollout.promoted && !paused) else {
                    return Err(ControlError::NoCanaries(group));
                };
                if !rollout.awaits_promotion(updating, size) {
                    let wanted = canary.ceil(size).max(1).min(size);
                    return Err(ControlError::CanariesNotReady { group, ready: rollout.ready, wanted });
                }
                rollout.promote(now);
                (format!("Promoted the canaries of revision {revision}"), Turn::Promoted)
            }
            Control::Reset => unreachable!("it was answered above"),
        };
        self.turns.push(turn);
        // What was planned before is not what is wanted now.
        self.executor.clear();
        Ok(said)
    }
}
