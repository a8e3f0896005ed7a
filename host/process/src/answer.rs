//! What a supervisor tells the host that started it: one line of JSON.

use serde::{Deserialize, Serialize};

/// Whether the process was started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It was, and is written down.
    Started,
    /// The system refused, and nothing is left of it: why.
    NotStarted(String),
}
