//! What the host must remember: specs and registrations. Never instances: the provider is the truth about those.
//!
//! A store is small on purpose (load everything, commit a batch against the revision that was read), so that one file on
//! this machine and a database shared by many can both be one.

mod redb;

use std::collections::{BTreeMap, BTreeSet};

use homeostat_core::plan::Goal;
use homeostat_core::spec::{GroupSpec, PluginSpec};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::redb::RedbStore;

/// Counts the commits of a store.
pub type Revision = u64;

/// A group as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupRecord {
    /// The spec in force.
    pub spec: GroupSpec,
    /// 1 for the first spec, one more for each change.
    pub revision: u64,
    /// Kept, or being destroyed.
    pub goal: Goal,
    /// Instances that an operator asked to be destroyed, by id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub condemned: BTreeSet<String>,
}

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Which commit this is the state after.
    pub revision: Revision,
    /// Registered plugins by name.
    pub plugins: BTreeMap<String, PluginSpec>,
    /// Groups by id.
    pub groups: BTreeMap<String, GroupRecord>,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Register a plugin, or register it anew.
    PutPlugin(String, PluginSpec),
    /// Forget a plugin.
    RemovePlugin(String),
    /// Remember a group.
    PutGroup(GroupRecord),
    /// Forget a group.
    RemoveGroup(String),
}

/// Why a store could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another host has it open.
    #[error("{path} is in use by another homeostat; stop that one, or give this one another --state-dir")]
    InUse {
        /// The file.
        path: String,
    },
    /// It is of another format.
    #[error("{path} has format {found}, and this homeostat reads format {known}; use the version that wrote it")]
    Format {
        /// The file.
        path: String,
        /// The format found.
        found: u64,
        /// The format known.
        known: u64,
    },
    /// A record does not read back.
    #[error(
        "{path}: the record of {what} is damaged; restore the file, or delete it and commit the specs again \
             (instances are found by their tags)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Which record.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else committed in between.
    #[error("the state changed meanwhile (revision {found}, expected {expected}); try again")]
    Conflict {
        /// The revision expected.
        expected: Revision,
        /// The revision found.
        found: Revision,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be {action}; check the disk and its permissions")]
    Io {
        /// The file.
        path: String,
        /// `opened`, `read` or `written`.
        action: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A place to remember. Calls block; the host makes them where that does no harm.
pub trait Store: Send + Sync {
    /// Read everything.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn load(&self) -> Result<Snapshot, StoreError>;

    /// Write all changes or none, provided that nobody has committed since `expect`. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where somebody has; otherwise where the store cannot be written.
    fn commit(&self, expect: Revision, changes: &[Change]) -> Result<Revision, StoreError>;
}
