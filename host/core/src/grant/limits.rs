//! What a call may cost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// HTTP requests at once, where nothing is said.
const REQUESTS: u32 = 16;

/// Bytes of an answer, where nothing is said.
const ANSWER: u64 = 64 << 20;

/// What one call of a plugin may cost, and how many run at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Limits {
    /// Linear memory of one instance, in bytes. Written as `"128MiB"`.
    #[serde(with = "crate::bytes")]
    pub memory: u64,
    /// Time a call may compute.
    #[serde(rename = "CPU", with = "crate::duration")]
    pub cpu: Duration,
    /// Time a call may take, waiting included.
    #[serde(with = "crate::duration")]
    pub wall: Duration,
    /// Calls at once; more wait their turn.
    pub calls: u32,
    /// HTTP requests of all its calls at once; more wait their turn.
    #[serde(skip_serializing_if = "is_default_requests")]
    pub requests: u32,
    /// Bytes that a call may hand to the host in one go: its answer, or what it says or sends on the way. Written as
    /// `"64MiB"`.
    #[serde(with = "crate::bytes", skip_serializing_if = "is_default_answer")]
    pub answer: u64,
    /// How long the provider's list may lag behind what was done. The contract asks for none; where a cloud cannot keep
    /// that, what seems to be missing is only made again after so long.
    #[serde(with = "crate::duration", skip_serializing_if = "Duration::is_zero")]
    pub list_lag: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(60),
            calls: 16,
            requests: REQUESTS,
            answer: ANSWER,
            list_lag: Duration::ZERO,
        }
    }
}

fn is_default_requests(requests: &u32) -> bool {
    *requests == REQUESTS
}

fn is_default_answer(answer: &u64) -> bool {
    *answer == ANSWER
}
