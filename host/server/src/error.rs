//! What the host answers when it does not do what was asked.

use homeostat_core::document::Diagnostic;
pub(crate) use homeostat_core::outcome::chain;
use homeostat_core::plan::Refusal;
use homeostat_runtime::RuntimeError;
use homeostat_source::FetchError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::call::DirectCallError;
use crate::registry::CandidateError;
use crate::store::StoreError;

/// Why the host could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its directory.
    #[error("the state directory {path} cannot be used")]
    StateDir {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its store.
    #[error("the state cannot be opened")]
    Store(#[from] StoreError),
    /// The files of the plugins.
    #[error("the files of plugins cannot be kept")]
    Sources(#[from] FetchError),
    /// The plugin runtime.
    #[error("the plugin runtime cannot be started")]
    Runtime(#[from] RuntimeError),
}

/// Why a request was not carried out. Nothing was changed.
#[derive(Debug, Error)]
pub enum HostError {
    /// The document has faults.
    #[error("the document has {} {}", .0.len(), if .0.len() == 1 { "fault" } else { "faults" })]
    Document(Vec<Diagnostic>),
    /// There is no such group.
    #[error("{}", unknown("group", name, nearest))]
    NoGroup {
        /// The name asked for.
        name: String,
        /// A similar one that exists.
        nearest: Option<String>,
    },
    /// There is no such plugin.
    #[error("{}", unknown("plugin", name, nearest))]
    NoPlugin {
        /// The name asked for.
        name: String,
        /// A similar one that exists.
        nearest: Option<String>,
    },
    /// The request cannot be met as it is.
    #[error("{0}")]
    Invalid(String),
    /// The request does not fit the state that things are in.
    #[error("{0}")]
    Conflict(String),
    /// The change is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was waited for did not come in time.
    #[error("{0}")]
    TimedOut(String),
    /// A plugin could not be fetched or loaded.
    #[error(transparent)]
    Load(#[from] CandidateError),
    /// A plugin's call failed.
    #[error(transparent)]
    Call(#[from] DirectCallError),
    /// The state could not be written.
    #[error("the state cannot be written; nothing was changed")]
    Store(#[from] StoreError),
    /// The host stops.
    #[error("the host is stopping")]
    Stopping,
}

fn unknown(noun: &str, name: &str, nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("there is no {noun} {name:?}; did you mean {nearest:?}?"),
        None => format!("there is no {noun} {name:?}; `homeostat {noun} ls` lists what there is"),
    }
}

/// An error as the API sends it (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// A short name of the kind of problem.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, with its causes.
    pub detail: String,
    /// The faults of a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl HostError {
    /// The error as the API sends it.
    pub fn problem(&self) -> Problem {
        let (status, title) = match self {
            Self::Document(_) => (422, "the document has faults"),
            Self::NoGroup { .. } | Self::NoPlugin { .. } => (404, "not found"),
            Self::Invalid(_) => (400, "invalid request"),
            Self::Conflict(_) | Self::Refused(_) => (409, "refused"),
            Self::TimedOut(_) => (408, "timed out"),
            Self::Load(_) => (422, "the plugin cannot be loaded"),
            Self::Call(_) => (502, "the plugin's call failed"),
            Self::Store(_) => (500, "the state cannot be written"),
            Self::Stopping => (503, "stopping"),
        };
        let diagnostics = match self {
            Self::Document(faults) => faults.clone(),
            _ => Vec::new(),
        };
        Problem { title: title.into(), status, detail: chain(self), diagnostics }
    }
}
