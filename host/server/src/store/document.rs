//! The state as one JSON document: to keep a copy, to move it, to look at it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use homeostat_core::plugin::PluginRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::redb::{export_file, import_file};
use super::{EventQuery, STATE_FILE, Snapshot, Store, StoreError, StoredEvent, StoredGroup};

/// The newest format of a document that is read, and the one that is written.
const FORMAT: u64 = 2;
/// How many events are exported, the newest ones.
const EVENTS: usize = 1_000;

/// Everything that is remembered, and the last 1,000 events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Document {
    /// 2.
    pub format: u64,
    /// How many commits of declarations there were.
    pub revision: u64,
    /// The number for the next event.
    pub next_event: u64,
    /// Registered plugins by name.
    pub plugins: BTreeMap<String, PluginRecord>,
    /// Groups by id.
    pub groups: BTreeMap<String, StoredGroup>,
    /// The newest events, oldest first.
    #[serde(default)]
    pub events: Vec<EventDocument>,
}

/// An event in a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct EventDocument {
    /// Its number.
    pub seq: u64,
    /// The group that it happened to, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The event.
    pub event: Value,
}

/// Why a document cannot be imported, or a state not exported. Nothing was changed.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// The text is no such document.
    #[error("{name}: {path}: {why}", path = if path.is_empty() { "the document" } else { path })]
    Wrong {
        /// What the document is called.
        name: String,
        /// Where in it: `Groups.web.Record.Spec`.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// There is a state already.
    #[error(
        "{path} {holds}; nothing was changed; give --force to put it aside (it is kept as {path}.before-import-TIME) and \
         to import all the same"
    )]
    Occupied {
        /// The state file.
        path: String,
        /// What it holds, as a half sentence.
        holds: String,
    },
    /// The state file cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Imported {
    /// The state file.
    pub path: PathBuf,
    /// Where the one before it is kept, if there was one.
    pub kept: Option<PathBuf>,
    /// How many groups it holds.
    pub groups: usize,
    /// How many plugins it holds.
    pub plugins: usize,
}

impl Document {
    /// The document of what a store holds.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self::new(store.load()?, store.events(&newest())?))
    }

    fn new(snapshot: Snapshot, events: Vec<StoredEvent>) -> Self {
        let Snapshot { revision, plugins, groups, next_event } = snapshot;
        let next_event = events.last().map_or(0, |it| it.seq + 1).max(next_event);
        let event = |it: StoredEvent| EventDocument {
            seq: it.seq,
            group: it.group,
            // One that is damaged is kept as text rather than lost.
            event: serde_json::from_slice(&it.json)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&it.json).into_owned())),
        };
        Self { format: FORMAT, revision, next_event, plugins, groups, events: events.into_iter().map(event).collect() }
    }

    /// Read a document and check that it makes sense. `name` is what to call it in errors.
    ///
    /// # Errors
    /// [`DocumentError::Wrong`], with the place.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, DocumentError> {
        let wrong = |path: String, why: String| DocumentError::Wrong { name: name.to_owned(), path, why };
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Head {
            format: u64,
        }
        // A newer document has fields that are not known; its format is the better reason.
        let head = typed::<Head>(text).map_err(|(path, why)| wrong(path, why))?;
        if head.format != FORMAT {
            let why =
                format!("it is {}, and this homeostat reads {FORMAT}; export it with another version", head.format);
            return Err(wrong("Format".into(), why));
        }
        let document = typed::<Self>(text).map_err(|(path, why)| wrong(path, why))?;
        for (id, group) in &document.groups {
            if group.record.spec.id != *id {
                let why = format!("it is {:?}, and the group is {id:?}", group.record.spec.id);
                return Err(wrong(format!("Groups.{id}.Record.Spec.ID"), why));
            }
            let mut keys = std::collections::BTreeSet::new();
            if let Some((key, _)) = group.intents.iter().find(|(key, _)| key.is_empty() || !keys.insert(key)) {
                return Err(wrong(format!("Groups.{id}.Intents"), format!("the key {key:?} is there twice, or empty")));
            }
        }
        let mut last = None;
        for (index, event) in document.events.iter().enumerate() {
            let at = format!("Events[{index}].Seq");
            if last.is_some_and(|it| event.seq <= it) {
                return Err(wrong(at, format!("{} does not come after the event before it", event.seq)));
            }
            if event.seq >= document.next_event {
                return Err(wrong(at, format!("{} is not below NextEvent, {}", event.seq, document.next_event)));
            }
            last = Some(event.seq);
        }
        Ok(document)
    }
}

fn newest() -> EventQuery {
    EventQuery { limit: EVENTS, newest: true, ..EventQuery::default() }
}

/// A value, or where and why it is none.
fn typed<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, (String, String)> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        (if path == "." || path == "?" { String::new() } else { path }, error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| (String::new(), error.to_string()))?;
    Ok(value)
}

/// The document of the state directory of a host that is stopped.
///
/// # Errors
/// Where there is none, it is in use, or it cannot be read.
pub fn export(state_dir: &Path) -> Result<Document, StoreError> {
    let (snapshot, events) = export_file(&state_dir.join(STATE_FILE), &newest())?;
    Ok(Document::new(snapshot, events))
}

/// Make a document the state of a state directory. A state file that is there is kept under another name; unless it holds
/// nothing, that takes `force`. The directory is made if need be.
///
/// # Errors
/// Where the state is in use or there is one, or where a file cannot be written. All is as before then.
pub fn import(state_dir: &Path, document: &Document, force: bool) -> Result<Imported, DocumentError> {
    let path = state_dir.join(STATE_FILE);
    let kept = import_file(&path, document, force)?;
    Ok(Imported { path, kept, groups: document.groups.len(), plugins: document.plugins.len() })
}
