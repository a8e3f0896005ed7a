//! What the host must remember: declarations (specs, registrations), what is under way, and what happened. Never
//! instances: the provider is the truth about those.
//!
//! A store is small on purpose (load everything, commit declarations against the revision that was read, append what
//! happens), so that one file on this machine and a database shared by many can both be one. Hosts write through a
//! [`Journal`], which makes many small writes one durable commit, and keeps them while the disk fails.

mod document;
mod error;
mod journal;
mod redb;

use std::collections::BTreeMap;

use homeostat_core::ledger::{Intent, Memory};
use homeostat_core::plugin::PluginRecord;
use homeostat_core::record::GroupRecord;
use homeostat_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::document::{Document, DocumentError, Imported, export, import};
pub use self::error::StoreError;
pub use self::journal::{Journal, JournalError, Trouble};
pub use self::redb::{Checked, OpenIntent, RedbStore, check};

/// The name of the state file in a state directory.
pub const STATE_FILE: &str = "state.redb";

/// How many events are kept; older ones are pruned, some at a time.
pub const EVENTS_KEPT: u64 = 100_000;

/// Counts the commits of declarations.
pub type Revision = u64;

/// A group with all that is remembered of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StoredGroup {
    /// What operators want.
    pub record: GroupRecord,
    /// What must not be forgotten.
    #[serde(default)]
    pub memory: Memory,
    /// What was under way, by the key that the [ledger](homeostat_core::ledger) gave it, in the order of the keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<(String, Intent)>,
}

impl StoredGroup {
    /// A group of which nothing is remembered but what operators want.
    pub fn new(record: GroupRecord) -> Self {
        Self { record, memory: Memory::default(), intents: Vec::new() }
    }
}

/// Everything that is remembered, but events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Which commit this is the state after.
    pub revision: Revision,
    /// Registered plugins by name.
    pub plugins: BTreeMap<String, PluginRecord>,
    /// Groups by id.
    pub groups: BTreeMap<String, StoredGroup>,
    /// The number for the next event: greater than that of every event that was ever published.
    pub next_event: u64,
}

/// One change of what was declared.
// There are few of them at a time.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Register a plugin, or register it anew.
    PutPlugin(String, PluginRecord),
    /// Forget a plugin.
    RemovePlugin(String),
    /// Remember a group.
    PutGroup(GroupRecord),
    /// Forget a group, its memory and its intents. Its events stay.
    RemoveGroup(String),
}

/// One thing to remember of what happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// What is under way; none where it is settled.
    Intent {
        /// The group.
        group: String,
        /// The key that the ledger gave it.
        key: String,
        /// The intent as it is now.
        intent: Option<Intent>,
    },
    /// What a group must not forget.
    Memory {
        /// The group.
        group: String,
        /// All of it.
        memory: Memory,
    },
    /// Something that happened.
    Event(StoredEvent),
}

/// Something that happened, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: u64,
    /// The group that it happened to, if it is about one.
    pub group: Option<String>,
    /// The event as JSON.
    pub json: Vec<u8>,
}

/// What is appended at once.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The writes; of two for the same thing, the later one holds.
    pub writes: Vec<Write>,
    /// Whether no event will follow: the host stops. The next host then goes on with the very next number; otherwise it
    /// leaves a gap, because events that were published and not yet stored may have had the numbers in between.
    pub closing: bool,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Those with this number and later ones.
    pub from: u64,
    /// Those before this number; none for no bound.
    pub before: Option<u64>,
    /// Those of this group; none for all.
    pub group: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Where there are more: the newest of them, rather than the oldest.
    pub newest: bool,
}

impl EventQuery {
    /// The oldest `limit` events from a number on: to replay.
    pub fn replay(from: u64, limit: usize) -> Self {
        Self { from, limit, ..Self::default() }
    }

    /// The newest `limit` events of a group: its history.
    pub fn history(group: &str, limit: usize) -> Self {
        Self { group: Some(group.to_owned()), limit, newest: true, ..Self::default() }
    }

    /// Whether an event is one of those, the limit aside.
    pub(crate) fn wants(&self, seq: u64, group: &str) -> bool {
        seq >= self.from
            && self.before.is_none_or(|before| seq < before)
            && self.group.as_deref().is_none_or(|it| it == group)
    }
}

/// A place to remember. Calls block; the host makes them through a [`Journal`].
pub trait Store: Send + Sync {
    /// Read everything but the events.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn load(&self) -> Result<Snapshot, StoreError>;

    /// Write all changes or none, provided that nobody has committed since `expect`. Durable when it returns. After an
    /// error, nothing of it holds as long as this store lives; where the process ends before the disk works again, all of
    /// it may.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where somebody has; otherwise where the store cannot be written.
    fn commit(&self, expect: Revision, changes: &[Change]) -> Result<Revision, StoreError>;

    /// Write what happens: all of it or none. Durable when it returns. The revision stays as it is. What is said of a
    /// group that is not remembered is left out, events aside: the group was removed meanwhile, and nobody will ask.
    ///
    /// # Errors
    /// Where the store cannot be written. Writing the same again is safe.
    fn append(&self, batch: &Batch) -> Result<(), StoreError>;

    /// The events asked for, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError>;
}

/// The time of this machine's clock.
fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
