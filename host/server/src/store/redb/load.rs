//! Reading all that is remembered, of this format and of the one before.

use std::path::Path;

use homeostat_core::record::GroupRecord;
use redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};
use serde::de::DeserializeOwned;

use super::fault::Fault;
use super::tables::{FORMAT, GROUPS, INTENTS, MEMORY, META, PLUGINS, number};
use crate::store::{Snapshot, StoreError, StoredGroup, wall_clock};

/// What to do about damage: go on without, or fail.
pub(super) type OnDamage<'a> = dyn FnMut(StoreError) -> Result<(), Fault> + 'a;

/// The format of the file.
///
/// # Errors
/// Where it has none, or one that is not known.
pub(super) fn format(database: &Database, path: &Path) -> Result<u64, Fault> {
    let file = || path.display().to_string();
    match number(database, "format")? {
        Some(found @ 1..=FORMAT) => Ok(found),
        Some(found) => Err(StoreError::Format { path: file(), found, known: FORMAT }.into()),
        None => Err(StoreError::Damaged { path: file(), what: "it does not say which format it has".into() }.into()),
    }
}

/// Bring an older format up to date, in one transaction.
pub(super) fn upgrade(database: &Database, path: &Path) -> Result<(), Fault> {
    let found = format(database, path)?;
    if found == FORMAT {
        return Ok(());
    }
    // All is read before anything is written: a file with a record that does not read back stays as it is.
    let snapshot = snapshot(database, path, &mut |damage| Err(damage.into()))?;
    let transaction = database.begin_write()?;
    {
        let mut tables = super::Tables::open(&transaction)?;
        let records = snapshot.groups.into_values().map(|it| crate::store::Change::PutGroup(it.record));
        let rows = tables.rows_of(&records.collect::<Vec<_>>())?;
        tables.write(&rows)?;
        tables.meta.insert("format", FORMAT)?;
        tables.meta.insert("next-event", 1)?;
    }
    transaction.commit()?;
    tracing::info!(file = %path.display(), from = found, to = FORMAT, "the state was brought up to date");
    Ok(())
}

/// Everything but the events.
pub(super) fn snapshot(database: &Database, path: &Path, damaged: &mut OnDamage<'_>) -> Result<Snapshot, Fault> {
    let format = format(database, path)?;
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let meta = |name: &str| -> Result<_, Fault> { Ok(meta.get(name)?.map(|it| it.value())) };
    let mut found = Snapshot {
        revision: meta("revision")?.unwrap_or(0),
        next_event: meta("next-event")?.unwrap_or(1),
        ..Snapshot::default()
    };
    let reader = Reader { transaction: &transaction, path, format };
    let now = wall_clock();
    reader.each(
        PLUGINS,
        damaged,
        |name| format!("plugin {name}"),
        |name, spec| {
            found.plugins.insert(name.to_owned(), spec);
            Ok(())
        },
    )?;
    reader.each(
        GROUPS,
        damaged,
        |id| format!("group {id}"),
        |id, mut record: GroupRecord| {
            if record.spec.id != id {
                return Err(format!("it is the record of group {}", record.spec.id));
            }
            record.mend(now);
            found.groups.insert(id.to_owned(), StoredGroup { record, memory: Default::default(), intents: Vec::new() });
            Ok(())
        },
    )?;
    let stray = || "there is no such group".to_owned();
    reader.each(
        MEMORY,
        damaged,
        |id| format!("the memory of group {id}"),
        |id, memory| {
            found.groups.get_mut(id).ok_or_else(stray)?.memory = memory;
            Ok(())
        },
    )?;
    reader.each(
        INTENTS,
        damaged,
        |(id, key)| format!("intent {key} of group {id}"),
        |(id, key), intent| {
            found.groups.get_mut(id).ok_or_else(stray)?.intents.push((key.to_owned(), intent));
            Ok(())
        },
    )?;
    Ok(found)
}

struct Reader<'a> {
    transaction: &'a ReadTransaction,
    path: &'a Path,
    format: u64,
}

impl Reader<'_> {
    fn table<K: Key>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
    ) -> Result<Option<ReadOnlyTable<K, &'static [u8]>>, Fault> {
        match self.transaction.open_table(table) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) if self.format < FORMAT => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Every record of a table. `take` refuses those that make no sense.
    fn each<K: Key, T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        damaged: &mut OnDamage<'_>,
        name: impl Fn(K::SelfType<'_>) -> String,
        mut take: impl FnMut(K::SelfType<'_>, T) -> Result<(), String>,
    ) -> Result<(), Fault> {
        let Some(table) = self.table(table)? else { return Ok(()) };
        for row in table.iter()? {
            let (key, value) = row?;
            let read = serde_json::from_slice(value.value()).map_err(|error| error.to_string());
            if let Err(why) = read.and_then(|record| take(key.value(), record)) {
                let what = format!("the record of {} makes no sense: {why}", name(key.value()));
                damaged(StoreError::Damaged { path: self.path.display().to_string(), what })?;
            }
        }
        Ok(())
    }
}
