//! What the planner says beside the plan: how the group stands, and why nothing is done where nothing is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ledger::Pause;
use crate::outcome::PluginError;
use crate::step::Work;
use crate::time::Timestamp;

/// How a group stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// Whether exactly the declared instances exist, up to date, running and healthy, and nothing is under way.
    pub converged: bool,
    /// How many of what.
    pub counts: Counts,
    /// Why something is not being done.
    pub waiting: Vec<Reason>,
}

/// Why something is not being done, since when, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reason {
    /// Why.
    #[serde(flatten)]
    pub waiting: Waiting,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again, or looked at again; none where something has to happen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.waiting.fmt(f)
    }
}

/// How many instances of a kind a group has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Counts {
    /// Declared.
    pub desired: usize,
    /// Listed by the provider with the group's tag, in whatever state.
    pub actual: usize,
    /// Running, and not on their way out.
    pub running: usize,
    /// Of those that are of use: healthy.
    pub healthy: usize,
    /// Of those that are of use: unhealthy.
    pub unhealthy: usize,
    /// Of those that are of use: made from another config.
    pub outdated: usize,
    /// Being made, and not listed yet.
    pub creating: usize,
    /// On their way out.
    pub removing: usize,
}

/// A reason for not acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Reason", rename_all_fields = "PascalCase")]
pub enum Waiting {
    /// The instances could not be listed.
    ListFailed {
        /// What the plugin said.
        error: PluginError,
    },
    /// The plugin says that its list is not all there is.
    Incomplete,
    /// The list shows less than half of what was known a moment ago; a second look is due before anything is done.
    ConfirmingLoss {
        /// How many were known.
        known: usize,
        /// How many the list shows.
        seen: usize,
    },
    /// The host has just started, and the provider's list may lag behind what the one before it did.
    Settling {
        /// How many seem to be missing.
        missing: usize,
    },
    /// Work of this kind failed and is held back.
    Backoff {
        /// Which kind.
        work: Work,
        /// The last failure.
        error: PluginError,
        /// Failures in a row.
        failures: u32,
    },
    /// What was begun has not shown its effect yet.
    UnderWay {
        /// Instances being made.
        creating: usize,
        /// Instances being destroyed.
        removing: usize,
    },
    /// The next replacement waits until what is under way has ended.
    RollAfterMotion {
        /// How many are out of date.
        outdated: usize,
    },
    /// The next replacement waits for those made before it to be healthy for long enough.
    RollAwaitsHealth {
        /// How many are out of date.
        outdated: usize,
        /// Which are not proven healthy yet, by id.
        unproven: Vec<String>,
    },
    /// The next replacement would leave too few available.
    RollAwaitsRoom {
        /// How many are out of date.
        outdated: usize,
        /// How many are available.
        available: usize,
        /// How many must stay so.
        floor: usize,
    },
    /// All canaries are ready, and an operator has to let the others follow.
    AwaitsPromotion {
        /// The group.
        group: String,
        /// How many canaries.
        canaries: usize,
        /// How many are out of date.
        outdated: usize,
    },
    /// The rollout rests at a checkpoint.
    Baking {
        /// How many are ready.
        ready: usize,
        /// How many are out of date.
        outdated: usize,
    },
    /// The rollout is paused.
    RolloutPaused {
        /// Which revision was being rolled out.
        revision: u64,
        /// Why.
        why: Pause,
        /// How many are out of date.
        outdated: usize,
    },
    /// The rollout failed, and the group is about to go back.
    RollingBack {
        /// Which revision failed.
        from: u64,
        /// To which it goes back.
        to: u64,
        /// Why.
        why: Pause,
    },
    /// More instances are unhealthy than are healed.
    TooManyUnhealthy {
        /// How many are.
        unhealthy: usize,
        /// How many may be.
        allowed: usize,
        /// Of how many declared.
        size: usize,
    },
    /// Unhealthy instances wait until those before them are replaced.
    HealingInTurn {
        /// How many wait.
        postponed: usize,
        /// How many are replaced at the same time.
        allowed: usize,
    },
    /// A broken instance waits, because its slot was healed a short time ago.
    RetryDelay {
        /// Which.
        id: String,
        /// Its slot or identity.
        slot: String,
        /// Replacements so far.
        failures: u32,
    },
    /// A broken instance is left as it is, because its slot was healed too often.
    RetriesExhausted {
        /// Which.
        id: String,
        /// Its slot or identity.
        slot: String,
        /// Replacements so far.
        failures: u32,
    },
    /// A new instance waits until the one that holds its identity is gone.
    IdentityHeld {
        /// The identity.
        #[serde(rename = "LogicalID")]
        logical_id: String,
    },
    /// Identities are made one after the other, and these are not next.
    InTurn {
        /// Which.
        #[serde(rename = "LogicalIDs")]
        logical_ids: Vec<String>,
    },
    /// An instance of a group of pets has no identity; it is left alone.
    Stray {
        /// Which.
        id: String,
    },
    /// The plugin listed an instance without the group's tag; it is left alone.
    Foreign {
        /// Which.
        id: String,
    },
    /// An instance would go, and is protected.
    Protected {
        /// Which.
        id: String,
    },
    /// The host runs on this instance, so it goes when all others are gone.
    HostLast {
        /// Which.
        id: String,
    },
    /// There are too many, and the flavor has not ranked them.
    AwaitsRanking {
        /// How many are too many.
        excess: usize,
    },
    /// There are too many, and without them too few would be available.
    ExcessAwaitsHealth {
        /// How many are too many.
        excess: usize,
        /// How many must stay available.
        floor: usize,
    },
    /// All that was declared exists, and not all of it is known to be healthy.
    NotHealthy {
        /// How many are.
        healthy: usize,
        /// How many should be.
        desired: usize,
    },
    /// The plan broke a safety rule and was thrown away. This is a fault of homeostat.
    PlanRefused {
        /// Which rule.
        rule: String,
    },
    /// A plugin that the group needs is not there.
    PluginMissing {
        /// What is wrong with it.
        message: String,
    },
    /// What is to be done cannot be written down first, so it is not done.
    StoreFailed {
        /// What is wrong with the store.
        message: String,
    },
}

impl Waiting {
    /// Whether a group may be called converged although this is so.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Foreign { .. })
    }

    /// Whether both are the same reason, if perhaps with other numbers: what is said to last since the first of them.
    pub fn is_like(&self, other: &Self) -> bool {
        use Waiting::*;
        match (self, other) {
            (Backoff { work: a, .. }, Backoff { work: b, .. }) => a == b,
            (RetryDelay { id: a, .. }, RetryDelay { id: b, .. })
            | (RetriesExhausted { id: a, .. }, RetriesExhausted { id: b, .. })
            | (Stray { id: a }, Stray { id: b })
            | (Foreign { id: a }, Foreign { id: b })
            | (Protected { id: a }, Protected { id: b })
            | (HostLast { id: a }, HostLast { id: b })
            | (IdentityHeld { logical_id: a }, IdentityHeld { logical_id: b }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// The instance that it is about, where it is about one.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::RetryDelay { id, .. }
            | Self::RetriesExhausted { id, .. }
            | Self::Stray { id }
            | Self::Foreign { id }
            | Self::Protected { id }
            | Self::HostLast { id } => Some(id),
            _ => None,
        }
    }

    /// Whether it passes with time, or with what the provider does, so that looking again is worth it.
    pub fn passes(&self) -> bool {
        !matches!(
            self,
            Self::Stray { .. }
                | Self::Foreign { .. }
                | Self::Protected { .. }
                | Self::PlanRefused { .. }
                | Self::RolloutPaused { .. }
                | Self::AwaitsPromotion { .. }
                | Self::RetriesExhausted { .. }
        )
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListFailed { error } => {
                write!(f, "the instances cannot be listed, so nothing is created or destroyed: {error}")
            }
            Self::Incomplete => {
                f.write_str("the provider's list is incomplete, so nothing is created or destroyed until it is whole")
            }
            Self::ConfirmingLoss { known, seen } => write!(
                f,
                "the list shows {seen} of {known} instances known a moment ago; a second look comes before anything is done"
            ),
            Self::Settling { missing } => write!(
                f,
                "{missing} seem to be missing, and the provider's list may lag behind what was done before the host started"
            ),
            Self::Backoff { work, error, failures } if error.code.is_hopeless() => {
                let _ = failures;
                write!(f, "to {work} failed and will not work as declared; commit another spec: {error}")
            }
            Self::Backoff { work, error, failures } => {
                write!(f, "to {work} failed ({failures} in a row), waiting before the next attempt: {error}")
            }
            Self::UnderWay { creating, removing } => {
                write!(f, "{creating} being made and {removing} being destroyed do not show in the list yet")
            }
            Self::RollAfterMotion { outdated } => {
                write!(f, "{outdated} out of date; the next is replaced when what is under way has ended")
            }
            Self::RollAwaitsHealth { outdated, unproven } => {
                write!(f, "{outdated} out of date; the next is replaced when these are healthy: ")?;
                list(f, unproven)
            }
            Self::RollAwaitsRoom { outdated, available, floor } => write!(
                f,
                "{outdated} out of date; {available} are available, and {floor} have to stay so while the next is replaced"
            ),
            Self::AwaitsPromotion { group, canaries, outdated } => write!(
                f,
                "{canaries} canaries are ready and {outdated} wait; `homeostat group promote {group}` lets them follow, \
                 `homeostat group rollback {group}` takes the canaries back"
            ),
            Self::Baking { ready, outdated } => {
                write!(f, "the rollout rests at a checkpoint with {ready} ready and {outdated} to go")
            }
            Self::RolloutPaused { revision, why, outdated } => write!(
                f,
                "the rollout of revision {revision} is paused with {outdated} out of date: {why}; commit a spec that works, or \
                 use `homeostat group resume` or `group rollback`"
            ),
            Self::RollingBack { from, to, why } => {
                write!(f, "revision {from} failed, and the group goes back to revision {to}: {why}")
            }
            Self::TooManyUnhealthy { unhealthy, allowed, size } => write!(
                f,
                "{unhealthy} of {size} are unhealthy, more than the {allowed} that are healed by themselves (Healing.MaxUnhealthy); \
                 mend the cause, or destroy them with `homeostat group destroy-instances`"
            ),
            Self::HealingInTurn { postponed, allowed } => {
                write!(
                    f,
                    "{postponed} unhealthy wait their turn; {allowed} at a time are replaced (Healing.MaxInFlight)"
                )
            }
            Self::RetryDelay { id, slot, failures } => {
                write!(
                    f,
                    "{id} is broken, and slot {slot} was healed {failures} times in a row; the next time comes later"
                )
            }
            Self::RetriesExhausted { id, slot, failures } => write!(
                f,
                "{id} is broken and stays so, because slot {slot} was healed {failures} times in a row (Healing.MaxRetries); \
                 `homeostat group reset` tries again"
            ),
            Self::IdentityHeld { logical_id } => {
                write!(f, "{logical_id} is made anew when the instance that holds it is gone")
            }
            Self::InTurn { logical_ids } => {
                f.write_str("identities are made one after the other; these wait their turn: ")?;
                list(f, logical_ids)
            }
            Self::Stray { id } => write!(f, "{id} has no logical id and is left alone; label or destroy it"),
            Self::Foreign { id } => {
                write!(f, "{id} lacks the group's tag although the plugin listed it; it is left alone")
            }
            Self::Protected { id } => {
                write!(f, "{id} would go, and is protected; `homeostat group unprotect` lets it")
            }
            Self::HostLast { id } => write!(f, "{id} is what this host runs on, so it goes last"),
            Self::AwaitsRanking { excess } => {
                write!(f, "{excess} too many; the flavor has to rank them first (Removal.Order) and has not")
            }
            Self::ExcessAwaitsHealth { excess, floor } => {
                write!(f, "{excess} too many; they go when {floor} others are available")
            }
            Self::NotHealthy { healthy, desired } => write!(f, "{healthy} of {desired} are healthy"),
            Self::PlanRefused { rule } => {
                write!(f, "the plan was thrown away because it broke a safety rule ({rule}); please report this")
            }
            Self::PluginMissing { message } => f.write_str(message),
            Self::StoreFailed { message } => {
                write!(f, "what is to be done cannot be written down first, so nothing is done: {message}")
            }
        }
    }
}

/// The first few of a list, and how many more.
fn list(f: &mut fmt::Formatter<'_>, items: &[String]) -> fmt::Result {
    const SHOWN: usize = 5;
    f.write_str(&items[..items.len().min(SHOWN)].join(", "))?;
    match items.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " ({more} more)"),
    }
}
