//! What the planner says beside the plan: how the group stands, and why nothing is done where nothing is.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    pub waiting: Vec<Waiting>,
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
        /// Since when.
        since: Timestamp,
        /// When it is asked again.
        until: Option<Timestamp>,
    },
    /// The plugin says that its list is not all there is.
    Incomplete,
    /// The list is empty where instances were known a moment ago; a second look is due before anything is made.
    ConfirmingEmpty {
        /// How many were known.
        known: usize,
        /// When the first empty list came.
        since: Timestamp,
    },
    /// Work of this kind failed and is held back.
    Backoff {
        /// Which kind.
        work: Work,
        /// The last failure.
        error: PluginError,
        /// Failures in a row.
        failures: u32,
        /// Since when.
        since: Timestamp,
        /// When it is tried again; none where only another spec or plugin can help.
        until: Option<Timestamp>,
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
    /// A new instance waits until the one that holds its identity is gone.
    IdentityHeld {
        /// The identity.
        #[serde(rename = "LogicalID")]
        logical_id: String,
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
}

impl Waiting {
    /// Whether a group may be called converged although this is so.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Foreign { .. })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListFailed { error, .. } => {
                write!(f, "the instances cannot be listed, so nothing is created or destroyed: {error}")
            }
            Self::Incomplete => {
                f.write_str("the provider's list is incomplete, so nothing is created or destroyed until it is whole")
            }
            Self::ConfirmingEmpty { known, .. } => write!(
                f,
                "the list is empty although {known} {} known a moment ago; a second look comes before anything is made",
                if *known == 1 { "instance was" } else { "instances were" }
            ),
            Self::Backoff { work, error, failures, until, .. } => match until {
                Some(_) => {
                    write!(f, "to {work} failed ({failures} in a row), waiting before the next attempt: {error}")
                }
                None => write!(f, "to {work} failed and will not work as declared; commit another spec: {error}"),
            },
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
            Self::IdentityHeld { logical_id } => {
                write!(f, "{logical_id} is made anew when the instance that holds it is gone")
            }
            Self::Stray { id } => write!(f, "{id} has no logical id and is left alone; label or destroy it"),
            Self::Foreign { id } => {
                write!(f, "{id} lacks the group's tag although the plugin listed it; it is left alone")
            }
            Self::NotHealthy { healthy, desired } => write!(f, "{healthy} of {desired} are healthy"),
            Self::PlanRefused { rule } => {
                write!(f, "the plan was thrown away because it broke a safety rule ({rule}); please report this")
            }
            Self::PluginMissing { message } => f.write_str(message),
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
