//! One process, as it is.

/// Where a process is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It was told to end, and has not yet.
    Stopping,
    /// It ended by itself with this status.
    Exited(i32),
    /// A signal ended it: the number.
    Signalled(i32),
    /// It does not run, and nobody knows how it ended: why.
    Lost(String),
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The key it was started under.
    pub key: String,
    /// Its number; none where it does not run.
    pub pid: Option<u32>,
    /// Where it is in its life.
    pub state: ProcessState,
    /// When it was started, in milliseconds since 1970-01-01T00:00:00Z; 0 where nobody knows any more.
    pub started_at_ms: u64,
    /// When it ended, where somebody saw it.
    pub ended_at_ms: Option<u64>,
    /// The plugin's own words, as they are now.
    pub note: String,
}
