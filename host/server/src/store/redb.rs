//! The embedded store: one redb file.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;

use crate::store::{Change, Revision, Snapshot, Store, StoreError};

/// The format that this version writes.
const FORMAT: u64 = 1;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const PLUGINS: TableDefinition<&str, &[u8]> = TableDefinition::new("plugins");
const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("groups");

/// A store in one file, which one host at a time can open.
pub struct RedbStore {
    database: Database,
    path: PathBuf,
}

impl RedbStore {
    /// Open the file, or make it.
    ///
    /// # Errors
    /// Where it is in use, damaged, of another format, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Specs may hold what others should not read.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let database = Builder::new().create_file(file.map_err(|error| io(path, "opened", error))?);
        let database = database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.display().to_string() },
            other => io(path, "opened", other),
        })?;
        let store = Self { database, path: path.to_owned() };
        match store.format()? {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(StoreError::Format { path: path.display().to_string(), found, known: FORMAT });
            }
            None => store.initialise().map_err(|error| io(path, "written", error))?,
        }
        Ok(store)
    }

    fn format(&self) -> Result<Option<u64>, StoreError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let transaction = self.database.begin_read()?;
            match transaction.open_table(META) {
                Ok(meta) => Ok(meta.get("format")?.map(|it| it.value())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| io(&self.path, "read", error))
    }

    fn initialise(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT)?;
            meta.insert("revision", 0)?;
            transaction.open_table(PLUGINS)?;
            transaction.open_table(GROUPS)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn records<T: DeserializeOwned>(
        &self,
        table: &impl ReadableTable<&'static str, &'static [u8]>,
        noun: &str,
    ) -> Result<Vec<(String, T)>, StoreError> {
        let rows = table.iter().map_err(|error| io(&self.path, "read", error))?;
        rows.map(|row| {
            let (key, value) = row.map_err(|error| io(&self.path, "read", error))?;
            let record = serde_json::from_slice(value.value()).map_err(|source| StoreError::Damaged {
                path: self.path.display().to_string(),
                what: format!("{noun} {}", key.value()),
                source,
            })?;
            Ok((key.value().to_owned(), record))
        })
        .collect()
    }
}

impl Store for RedbStore {
    fn load(&self) -> Result<Snapshot, StoreError> {
        let unreadable = |error: redb::Error| io(&self.path, "read", error);
        let transaction = self.database.begin_read().map_err(|it| unreadable(it.into()))?;
        let meta = transaction.open_table(META).map_err(|it| unreadable(it.into()))?;
        let plugins = transaction.open_table(PLUGINS).map_err(|it| unreadable(it.into()))?;
        let groups = transaction.open_table(GROUPS).map_err(|it| unreadable(it.into()))?;
        let revision = meta.get("revision").map_err(|it| unreadable(it.into()))?;
        Ok(Snapshot {
            revision: revision.map_or(0, |it| it.value()),
            plugins: self.records(&plugins, "plugin")?.into_iter().collect(),
            groups: self.records(&groups, "group")?.into_iter().collect(),
        })
    }

    fn commit(&self, expect: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let changes = changes.iter().map(Row::of).collect::<Result<Vec<_>, _>>();
        let changes = changes.map_err(|error| io(&self.path, "written", error))?;
        let write = || -> Result<Result<Revision, Revision>, redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut meta = transaction.open_table(META)?;
                let found = meta.get("revision")?.map_or(0, |it| it.value());
                if found != expect {
                    return Ok(Err(found));
                }
                meta.insert("revision", expect + 1)?;
                let mut plugins = transaction.open_table(PLUGINS)?;
                let mut groups = transaction.open_table(GROUPS)?;
                for Row { is_group, key, value } in &changes {
                    let table = if *is_group { &mut groups } else { &mut plugins };
                    match value {
                        Some(value) => drop(table.insert(*key, value.as_slice())?),
                        None => drop(table.remove(*key)?),
                    }
                }
            }
            transaction.commit()?;
            Ok(Ok(expect + 1))
        };
        match write() {
            Ok(Ok(revision)) => Ok(revision),
            Ok(Err(found)) => Err(StoreError::Conflict { expected: expect, found }),
            Err(error) => Err(io(&self.path, "written", error)),
        }
    }
}

/// A change as it is written: a value to put, or none to remove.
struct Row<'a> {
    is_group: bool,
    key: &'a str,
    value: Option<Vec<u8>>,
}

impl<'a> Row<'a> {
    fn of(change: &'a Change) -> Result<Self, serde_json::Error> {
        Ok(match change {
            Change::PutPlugin(name, spec) => {
                Self { is_group: false, key: name, value: Some(serde_json::to_vec(spec)?) }
            }
            Change::RemovePlugin(name) => Self { is_group: false, key: name, value: None },
            Change::PutGroup(it) => Self { is_group: true, key: &it.spec.id, value: Some(serde_json::to_vec(it)?) },
            Change::RemoveGroup(id) => Self { is_group: true, key: id, value: None },
        })
    }
}

fn io(path: &Path, action: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Io { path: path.display().to_string(), action, source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use homeostat_core::plan::Goal;
    use homeostat_core::spec::{Allocation, GroupProperties, GroupSpec, PluginUse, Updating};
    use serde_json::json;

    use super::*;
    use crate::store::GroupRecord;

    fn group(id: &str, size: u32) -> GroupRecord {
        let plugin =
            |name: &str| PluginUse { plugin: name.into(), properties: json!({ "big": u64::MAX, "small": 0.1 }) };
        let properties = GroupProperties {
            allocation: Allocation::Size(size),
            instance: plugin("file"),
            flavor: plugin("vanilla"),
            updating: Updating::default(),
        };
        let spec = GroupSpec { id: id.into(), properties };
        GroupRecord { spec, revision: 1, goal: Goal::Keep, condemned: BTreeSet::from(["x".into()]) }
    }

    #[test]
    fn what_is_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let store = RedbStore::open(&path).unwrap();
        let changes = [Change::PutGroup(group("a", 3)), Change::PutGroup(group("b", 0))];
        assert_eq!(store.commit(0, &changes).unwrap(), 1);
        assert_eq!(store.commit(1, &[Change::RemoveGroup("b".into())]).unwrap(), 2);
        drop(store);
        let snapshot = RedbStore::open(&path).unwrap().load().unwrap();
        assert_eq!(snapshot.revision, 2);
        assert_eq!(snapshot.groups.into_values().collect::<Vec<_>>(), [group("a", 3)]);
    }

    #[test]
    fn a_stale_writer_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&dir.path().join("state.redb")).unwrap();
        store.commit(0, &[Change::PutGroup(group("a", 3))]).unwrap();
        let stale = store.commit(0, &[Change::RemoveGroup("a".into())]);
        assert!(matches!(stale, Err(StoreError::Conflict { expected: 0, found: 1 })));
        assert_eq!(store.load().unwrap().groups.len(), 1);
    }

    #[test]
    fn two_hosts_cannot_share_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let _first = RedbStore::open(&path).unwrap();
        assert!(matches!(RedbStore::open(&path), Err(StoreError::InUse { .. })));
    }

    #[test]
    fn garbage_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        std::fs::write(&path, b"not a database, but somebody's file").unwrap();
        assert!(matches!(RedbStore::open(&path), Err(StoreError::Io { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a database, but somebody's file");
    }
}
