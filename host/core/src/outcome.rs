//! How a call of a plugin ended, in the words of what to do next.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the caller should do next; `wit/README.md` has the recovery of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The arguments can never work as they are.
    InvalidArgument,
    /// The instance does not exist.
    NotFound,
    /// An instance of this name exists, with another spec.
    AlreadyExists,
    /// The plugin's own rights do not allow it.
    PermissionDenied,
    /// A quota, a disk, an address pool is used up.
    ResourceExhausted,
    /// The provider cannot be reached or throttles; the call had no effect.
    Unavailable,
    /// Another call works on the same instance.
    Aborted,
    /// The plugin does not do that.
    Unimplemented,
    /// None of the above; the effect may or may not exist.
    Internal,
}

impl ErrorCode {
    /// Whether only another spec or another plugin can help.
    pub fn is_hopeless(self) -> bool {
        matches!(self, Self::InvalidArgument | Self::Unimplemented)
    }
}

/// An error that a plugin returned.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message}")]
#[serde(rename_all = "PascalCase")]
pub struct PluginError {
    /// What to do next.
    pub code: ErrorCode,
    /// What went wrong.
    pub message: String,
    /// Which member of the properties is wrong, as a JSON Pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long to wait at least.
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

/// Why an instance is destroyed: what its plugin is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestroyReason {
    /// It is no longer wanted.
    Terminate,
    /// One with another config takes its place.
    RollingUpdate,
    /// It was unhealthy, stopped or failed; one with the same config takes its place.
    Unhealthy,
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
