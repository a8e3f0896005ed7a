//! Why rollouts stop, and what happens to them: what is shown, and kept for the record.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rollout::RolloutKind;

/// Why a rollout stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Reason", rename_all_fields = "PascalCase")]
pub enum Pause {
    /// An operator asked for it.
    Operator,
    /// More new instances failed than may.
    Failures {
        /// How many.
        failed: usize,
        /// Of how many.
        total: usize,
        /// The last one, in words.
        last: String,
    },
    /// What was declared can never be made.
    Refused {
        /// What the plugin said.
        error: String,
    },
    /// For so long no new instance became healthy.
    NoProgress {
        /// `ProgressDeadline`.
        #[serde(with = "crate::duration")]
        deadline: Duration,
        /// How many are ready.
        ready: usize,
        /// How many are needed.
        wanted: usize,
    },
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("an operator paused it"),
            Self::Failures { failed, total, last } => {
                write!(f, "{failed} of {total} new instances failed, last {last}")
            }
            Self::Refused { error } => write!(f, "it can never be made: {error}"),
            Self::NoProgress { deadline, ready, wanted } => write!(
                f,
                "no new instance became healthy for {}; {ready} of {wanted} are",
                crate::duration::format(*deadline)
            ),
        }
    }
}

/// Something that happened to a rollout, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Turn", rename_all_fields = "PascalCase")]
pub enum Turn {
    /// It began.
    Started {
        /// The revision.
        revision: u64,
        /// What kind it is.
        kind: RolloutKind,
    },
    /// A new instance failed.
    Failed {
        /// Which, by id; none where it vanished.
        id: Option<String>,
        /// How.
        how: String,
    },
    /// Its canaries are ready.
    CanariesReady,
    /// Its canaries were promoted.
    Promoted,
    /// It rests at a checkpoint.
    Baking {
        /// At how many ready instances.
        ready: usize,
    },
    /// It was paused.
    Paused {
        /// Why.
        why: Pause,
    },
    /// It goes on after a pause.
    Resumed,
    /// It goes back.
    RollingBack {
        /// To which revision.
        to: u64,
        /// Why.
        why: Pause,
    },
    /// It succeeded.
    Succeeded {
        /// The revision, which is stable now.
        revision: u64,
    },
}
