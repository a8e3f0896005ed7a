//! The tables of the file, and what is in their rows.
//!
//! Format 2. `meta`: `format`, `revision`, `next-event`. `plugins`, `groups`, `memory`: a name to JSON. `intents`: group and
//! key to JSON. `events`: number to group (empty for none) and JSON. Format 1 had `meta`, `plugins` and `groups` alone, and
//! no configs in the records of groups.

use std::collections::HashMap;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use serde::Serialize;

use super::fault::Fault;
use crate::store::{Change, EventQuery, StoreError, StoredEvent, Write};

/// The format that this version writes.
pub(super) const FORMAT: u64 = 2;
/// How many numbers of events are set aside, so that a number never stands for two events: after a crash, the next host
/// begins behind them.
pub(super) const RESERVE: u64 = 20_000;
/// How many events there may be too many before they are pruned.
const CHUNK: u64 = 1_000;

pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const PLUGINS: TableDefinition<&str, &[u8]> = TableDefinition::new("plugins");
pub(super) const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("groups");
pub(super) const MEMORY: TableDefinition<&str, &[u8]> = TableDefinition::new("memory");
pub(super) const INTENTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("intents");
pub(super) const EVENTS: TableDefinition<u64, (&str, &[u8])> = TableDefinition::new("events");

/// Where a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Plugin(String),
    Group(String),
    Memory(String),
    Intent(String, String),
}

/// A row as it is written: a value to put, or none to remove.
#[derive(Clone, Debug)]
pub(super) struct Row {
    place: Place,
    value: Option<Vec<u8>>,
}

impl Row {
    fn put(place: Place, value: &impl Serialize) -> Result<Self, Fault> {
        let value = serde_json::to_vec(value)
            .map_err(|source| StoreError::Unwritable { what: format!("{place:?}"), source })?;
        Ok(Self { place, value: Some(value) })
    }

    fn remove(place: Place) -> Self {
        Self { place, value: None }
    }
}

/// All tables, in one transaction that writes.
pub(super) struct Tables<'t> {
    pub(super) meta: Table<'t, &'static str, u64>,
    plugins: Table<'t, &'static str, &'static [u8]>,
    groups: Table<'t, &'static str, &'static [u8]>,
    memory: Table<'t, &'static str, &'static [u8]>,
    intents: Table<'t, (&'static str, &'static str), &'static [u8]>,
    events: Table<'t, u64, (&'static str, &'static [u8])>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            plugins: transaction.open_table(PLUGINS)?,
            groups: transaction.open_table(GROUPS)?,
            memory: transaction.open_table(MEMORY)?,
            intents: transaction.open_table(INTENTS)?,
            events: transaction.open_table(EVENTS)?,
        })
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, redb::Error> {
        Ok(self.meta.get(name)?.map(|it| it.value()))
    }

    /// Write rows. Returns the rows that undo it.
    pub(super) fn write(&mut self, rows: &[Row]) -> Result<Vec<Row>, redb::Error> {
        let mut undo = Vec::with_capacity(rows.len());
        for Row { place, value } in rows {
            let value = value.as_deref();
            let before = match place {
                Place::Plugin(name) => put(&mut self.plugins, name.as_str(), value)?,
                Place::Group(id) => put(&mut self.groups, id.as_str(), value)?,
                Place::Memory(id) => put(&mut self.memory, id.as_str(), value)?,
                Place::Intent(group, key) => put(&mut self.intents, (group.as_str(), key.as_str()), value)?,
            };
            undo.push(Row { place: place.clone(), value: before });
        }
        undo.reverse();
        Ok(undo)
    }

    /// The rows of these changes.
    pub(super) fn rows_of(&self, changes: &[Change]) -> Result<Vec<Row>, Fault> {
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::PutPlugin(name, spec) => rows.push(Row::put(Place::Plugin(name.clone()), spec)?),
                Change::RemovePlugin(name) => rows.push(Row::remove(Place::Plugin(name.clone()))),
                Change::PutGroup(record) => rows.push(Row::put(Place::Group(record.spec.id.clone()), record)?),
                Change::RemoveGroup(id) => {
                    rows.push(Row::remove(Place::Group(id.clone())));
                    rows.push(Row::remove(Place::Memory(id.clone())));
                    for row in self.intents.range((id.as_str(), "")..)? {
                        let (key, _) = row?;
                        let (group, key) = key.value();
                        if group != id {
                            break;
                        }
                        rows.push(Row::remove(Place::Intent(group.to_owned(), key.to_owned())));
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Write what happens, of the groups that are remembered, and prune events down to `kept`.
    pub(super) fn append(&mut self, writes: &[Write], kept: u64) -> Result<(), Fault> {
        let mut known: HashMap<&str, bool> = HashMap::new();
        let mut last = None;
        for write in writes {
            let (row, group) = match write {
                Write::Event(StoredEvent { seq, group, json }) => {
                    self.events.insert(*seq, (group.as_deref().unwrap_or_default(), json.as_slice()))?;
                    last = last.max(Some(*seq));
                    continue;
                }
                Write::Memory { group, memory } => (Row::put(Place::Memory(group.clone()), memory)?, group.as_str()),
                Write::Intent { group, key, intent } => {
                    let place = Place::Intent(group.clone(), key.clone());
                    let row = match intent {
                        Some(intent) => Row::put(place, intent)?,
                        None => Row::remove(place),
                    };
                    (row, group.as_str())
                }
            };
            let known = match known.get(group) {
                Some(known) => *known,
                None => *known.entry(group).or_insert(self.groups.get(group)?.is_some()),
            };
            if known {
                self.write(&[row])?;
            }
        }
        if let Some(last) = last {
            let mark = self.number("next-event")?.unwrap_or(1);
            if mark < last.saturating_add(RESERVE / 2) {
                self.meta.insert("next-event", last.saturating_add(RESERVE))?;
            }
            let count = self.events.len()?;
            if count > kept + CHUNK.min(kept) {
                for _ in kept..count {
                    self.events.pop_first()?;
                }
            }
        }
        Ok(())
    }

    /// Release the numbers of events that were set aside and not used by a host that began at `start`.
    pub(super) fn release_numbers(&mut self, start: u64) -> Result<(), redb::Error> {
        let used = self.events.last()?.map_or(0, |(seq, _)| seq.value());
        self.meta.insert("next-event", start.max(used.saturating_add(1)))?;
        Ok(())
    }
}

fn put<'k, K: redb::Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'k>,
    value: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let before = match value {
        Some(value) => table.insert(key, value)?,
        None => table.remove(key)?,
    };
    Ok(before.map(|it| it.value().to_vec()))
}

/// A number of `meta`; none where the file is new.
pub(super) fn number(database: &Database, name: &str) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => Ok(meta.get(name)?.map(|it| it.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The events asked for, oldest first.
pub(super) fn events(database: &Database, query: &EventQuery) -> Result<Vec<StoredEvent>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(EVENTS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        other => other?,
    };
    let end = query.before.unwrap_or(u64::MAX);
    let mut found = Vec::new();
    if query.from >= end {
        return Ok(found);
    }
    let mut rows = table.range(query.from..end)?;
    while found.len() < query.limit {
        let Some(row) = (if query.newest { rows.next_back() } else { rows.next() }) else { break };
        let (seq, value) = row?;
        let (group, json) = value.value();
        if query.wants(seq.value(), group) {
            let group = (!group.is_empty()).then(|| group.to_owned());
            found.push(StoredEvent { seq: seq.value(), group, json: json.to_vec() });
        }
    }
    if query.newest {
        found.reverse();
    }
    Ok(found)
}
