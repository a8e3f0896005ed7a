//! What can go wrong with a process.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why something could not be done with a process. Each variant names the code of the contract that stands for it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecError {
    /// What was asked for can never work. `invalid-argument`.
    #[error("{0}")]
    Invalid(String),
    /// There is no process of this key. `not-found`.
    #[error("there is no process {key:?}")]
    NotFound {
        /// The key.
        key: String,
    },
    /// The key has a process that was started with another command. `already-exists`.
    #[error("the key {key:?} has a process with another command; stop it first, or choose another key")]
    AlreadyExists {
        /// The key.
        key: String,
    },
    /// The plugin has as many processes as it may have. `resource-exhausted`.
    #[error("{plugin} has {limit} processes, and may not have more; stop those that have ended")]
    TooMany {
        /// The plugin.
        plugin: String,
        /// How many it may have.
        limit: usize,
    },
    /// The program that the operator listed cannot be run as it is. `unavailable`: the operator can mend it.
    #[error("{}: {what}", path.display())]
    Program {
        /// The program's file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// The system did not start it; nothing is left of it. `unavailable`.
    #[error("{} could not be started: {why}", path.display())]
    NotStarted {
        /// The program's file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The supervisor could not be started, or gave no answer. `internal`: the process may have been started, and a
    /// further `start` finds out.
    #[error("the supervisor of {key:?} {what}")]
    Supervisor {
        /// The key.
        key: String,
        /// What happened to it.
        what: String,
        /// What the system said, where it did.
        #[source]
        source: Option<io::Error>,
    },
    /// Another call is at work with the same key, and did not come to an end. `aborted`.
    #[error("another call is at work with {key:?}; try again")]
    Busy {
        /// The key.
        key: String,
    },
    /// A file of the state directory could not be read or written. `unavailable`.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ExecError {
    /// For `map_err`: what was tried, and with which file.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}
