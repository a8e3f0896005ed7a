//! Why a store could not be read or written, and what to do about it.

use thiserror::Error;

use super::Revision;

/// Why a store could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another host has it open.
    #[error("{path} is in use by another homeostat; stop that one, or give this one another --state-dir")]
    InUse {
        /// The file.
        path: String,
    },
    /// There is no such file.
    #[error("{path} does not exist: no host has kept its state there; give the --state-dir of one that has")]
    Missing {
        /// The file.
        path: String,
    },
    /// It is of another format.
    #[error(
        "{path} has format {found}, and this homeostat reads formats up to {known}; use the version that wrote it, or \
         move the file aside (mv {path} {path}.newer) and commit the specs again: instances are found by their tags"
    )]
    Format {
        /// The file.
        path: String,
        /// The format found.
        found: u64,
        /// The newest format known.
        known: u64,
    },
    /// The file is not what a store has written.
    #[error(
        "{path} is damaged: {what}; move it aside (mv {path} {path}.damaged), then import an export of it \
         (homeostat state import FILE), or start the host and commit the specs again: instances are found by their tags"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// Somebody else committed in between.
    #[error("the state changed meanwhile (revision {found}, expected {expected}); try again")]
    Conflict {
        /// The revision expected.
        expected: Revision,
        /// The revision found.
        found: Revision,
    },
    /// A record cannot be written as JSON. Nothing of the batch was written.
    #[error("the record of {what} cannot be written as JSON")]
    Unwritable {
        /// Which record.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be {action}; check that its disk has room, works, and lets this user write")]
    Io {
        /// The file.
        path: String,
        /// `opened`, `read`, `written` and the like.
        action: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
