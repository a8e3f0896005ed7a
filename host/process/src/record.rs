//! What a supervisor writes down of its process: `process.json`.

use serde::{Deserialize, Serialize};

/// A process by the three things that make it this one, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Record {
    /// Its number.
    pub(crate) pid: u32,
    /// When it was started, in the system's ticks since the boot: no later process of the same number has the same.
    pub(crate) start_ticks: u64,
    /// The boot it was started in.
    pub(crate) boot: String,
    /// The session that its supervisor opened for it.
    pub(crate) session: u32,
    /// When it was started, in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) started_at: u64,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<End>,
}

/// How and when a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct End {
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) at: u64,
    /// How.
    pub(crate) how: Ending,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// Nobody knows: why.
    Lost(String),
}
