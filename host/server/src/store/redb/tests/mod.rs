//! The store as a host uses it.

mod crash;
mod damage;
pub(in crate::store) mod disk;
mod transfer;

use std::path::Path;

use homeostat_core::ledger::{Creation, Intent, Memory, Status};
use homeostat_core::record::GroupRecord;
use homeostat_core::spec::{Allocation, GroupProperties, GroupSpec, PluginUse};
use redb::{Builder, ReadableDatabase};
use serde_json::json;

use self::disk::Disk;
use super::*;
use crate::store::{Write, wall_clock};
use homeostat_core::time::Timestamp;

impl RedbStore {
    /// A store on a disk in memory, made if there is none on it.
    pub(in crate::store) fn on(disk: &Disk, kept: u64) -> Result<Self, StoreError> {
        let path = Path::new("/disk/state.redb");
        let open = |disk: &Disk| Builder::new().set_cache_size(1 << 20).create_with_backend(disk.clone());
        if disk.len_now() == 0 {
            guarded(|| file::initialise(&open(disk)?, |_| Ok(()))).map_err(|it| it.explain(path, "made"))?;
        }
        let disk = disk.clone();
        Self::with(path, Box::new(move || guarded(|| Ok(open(&disk)?))), kept)
    }
}

pub(in crate::store) fn group(id: &str, size: u32) -> GroupRecord {
    let plugin = |name: &str| PluginUse {
        plugin: name.into(),
        digest: None,
        properties: json!({ "big": u64::MAX, "small": 0.1 }),
    };
    let properties = GroupProperties {
        allocation: Allocation::Size(size),
        instance: plugin("file"),
        flavor: plugin("vanilla"),
        updating: Default::default(),
        healing: Default::default(),
        removal: Default::default(),
    };
    let mut record = GroupRecord::new(GroupSpec { id: id.into(), properties }, Timestamp(7));
    record.condemned.insert("x".into());
    record
}

pub(in crate::store) fn creation(slot: u32) -> Intent {
    let (hash, since) = ("abc".into(), Timestamp(5));
    Intent::Create(Creation { slot, logical_id: None, revision: 1, hash, since, status: Status::InFlight, tried: None })
}

pub(in crate::store) fn intent(group: &str, key: &str, intent: Option<Intent>) -> Write {
    Write::Intent { group: group.into(), key: key.into(), intent }
}

pub(in crate::store) fn memory(group: &str, known: usize) -> Write {
    Write::Memory { group: group.into(), memory: Memory { known, ..Memory::default() } }
}

pub(in crate::store) fn event(seq: u64, group: Option<&str>) -> Write {
    Write::Event(StoredEvent { seq, group: group.map(str::to_owned), json: format!("{{\"Seq\":{seq}}}").into_bytes() })
}

pub(in crate::store) fn batch(writes: impl Into<Vec<Write>>) -> Batch {
    Batch { writes: writes.into(), closing: false }
}

fn seqs(events: Vec<StoredEvent>) -> Vec<u64> {
    events.into_iter().map(|it| it.seq).collect()
}

#[test]
fn what_is_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let store = RedbStore::open(&path).unwrap();
    assert_eq!(store.commit(0, &[Change::PutGroup(group("a", 3)), Change::PutGroup(group("b", 0))]).unwrap(), 1);
    let writes = [memory("a", 3), intent("a", "+x", Some(creation(1))), intent("a", "-y", Some(creation(2)))];
    store.append(&batch(writes)).unwrap();
    store.append(&batch([intent("a", "-y", None), event(1, Some("a")), event(2, None)])).unwrap();
    assert_eq!(store.commit(1, &[Change::RemoveGroup("b".into())]).unwrap(), 2);
    drop(store);
    let store = RedbStore::open(&path).unwrap();
    let snapshot = store.load().unwrap();
    assert_eq!(snapshot.revision, 2);
    assert_eq!(snapshot.groups.keys().collect::<Vec<_>>(), ["a"]);
    let a = &snapshot.groups["a"];
    assert_eq!((&a.record, a.memory.known), (&group("a", 3), 3));
    assert_eq!(a.intents, [("+x".to_owned(), creation(1))]);
    assert_eq!(seqs(store.events(&EventQuery::replay(0, 10)).unwrap()), [1, 2]);
}

#[test]
fn a_removed_group_leaves_its_events_alone_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&dir.path().join("state.redb")).unwrap();
    let both = [Change::PutGroup(group("a", 1)), Change::PutGroup(group("ab", 1))];
    store.commit(0, &both).unwrap();
    let of = |id| [memory(id, 9), intent(id, "+x", Some(creation(1)))];
    store.append(&batch([of("a"), of("ab")].concat())).unwrap();
    store.append(&batch([event(1, Some("a"))])).unwrap();
    store.commit(1, &[Change::RemoveGroup("a".into())]).unwrap();
    store.append(&batch(of("a"))).unwrap();
    store.commit(2, &[Change::PutGroup(group("a", 1))]).unwrap();
    let snapshot = store.load().unwrap();
    assert_eq!(snapshot.groups["a"].memory, Memory::default(), "nothing is left of the group that had the name before");
    assert_eq!(snapshot.groups["a"].intents, []);
    assert_eq!(snapshot.groups["ab"].intents.len(), 1);
    assert_eq!(seqs(store.events(&EventQuery::history("a", 10)).unwrap()), [1]);
}

#[test]
fn a_stale_writer_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&dir.path().join("state.redb")).unwrap();
    store.commit(0, &[Change::PutGroup(group("a", 3))]).unwrap();
    let stale = store.commit(0, &[Change::RemoveGroup("a".into())]);
    assert!(matches!(stale, Err(StoreError::Conflict { expected: 0, found: 1 })));
    assert_eq!(store.load().unwrap().groups.len(), 1);
    assert_eq!(store.commit(1, &[]).unwrap(), 2, "it is of use after a conflict");
}

#[test]
fn two_hosts_cannot_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let _first = RedbStore::open(&path).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::InUse { .. })));
    assert!(matches!(check(&path), Err(StoreError::InUse { .. })));
}

#[test]
fn old_events_are_pruned_and_the_others_are_found() {
    let disk = Disk::default();
    let store = RedbStore::on(&disk, 100).unwrap();
    for start in (1..=1_000).step_by(10) {
        let group = if start % 20 == 1 { "a" } else { "b" };
        store.append(&batch((start..start + 10).map(|seq| event(seq, Some(group))).collect::<Vec<_>>())).unwrap();
    }
    let all = seqs(store.events(&EventQuery::replay(0, 10_000)).unwrap());
    assert!((100..=210).contains(&all.len()), "{}", all.len());
    assert_eq!(all.last(), Some(&1_000));
    assert_eq!(seqs(store.events(&EventQuery::replay(995, 3)).unwrap()), [995, 996, 997]);
    assert_eq!(seqs(store.events(&EventQuery::history("a", 3)).unwrap()), [988, 989, 990]);
    let before = EventQuery { before: Some(988), ..EventQuery::history("a", 1) };
    assert_eq!(seqs(store.events(&before).unwrap()), [987]);
}

#[test]
fn no_number_stands_for_two_events() {
    let disk = Disk::default();
    assert_eq!(RedbStore::on(&disk, 100).unwrap().load().unwrap().next_event, 1);
    let first = RedbStore::on(&disk, 100).unwrap();
    let start = first.load().unwrap().next_event;
    assert!(
        start > 1_000,
        "the one before may have published events and ended before it wrote any, and {start} comes next"
    );
    first.append(&batch([event(start, None), event(start + 1, None)])).unwrap();
    drop(first);
    let after_crash = RedbStore::on(&disk, 100).unwrap();
    let next = after_crash.load().unwrap().next_event;
    assert!(
        next > start + 1_000,
        "events after {start} may have been published and never written, and {next} comes next"
    );
    after_crash.append(&Batch { writes: vec![event(next, None)], closing: true }).unwrap();
    drop(after_crash);
    let after_stop = RedbStore::on(&disk, 100).unwrap();
    assert_eq!(after_stop.load().unwrap().next_event, next + 1);
    after_stop.append(&Batch { writes: vec![], closing: true }).unwrap();
    drop(after_stop);
    assert_eq!(RedbStore::on(&disk, 100).unwrap().load().unwrap().next_event, next + 1);
}

/// A file as the version before this one has written it.
fn format_1(path: &Path, record: &serde_json::Value) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(tables::META).unwrap();
        meta.insert("format", 1).unwrap();
        meta.insert("revision", 5).unwrap();
        transaction.open_table(tables::PLUGINS).unwrap();
        let mut groups = transaction.open_table(tables::GROUPS).unwrap();
        groups.insert("a", serde_json::to_vec(record).unwrap().as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_file_of_format_1_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    format_1(&path, &json!({ "Spec": group("a", 3).spec, "Revision": 4, "Goal": "Keep" }));
    assert_eq!(check(&path).unwrap().format, 1, "a check changes nothing");
    let start = wall_clock();
    let store = RedbStore::open(&path).unwrap();
    let snapshot = store.load().unwrap();
    assert_eq!((snapshot.revision, snapshot.next_event), (5, 1));
    let config = snapshot.groups["a"].record.config().clone();
    assert_eq!(config.revision, 4);
    assert!(config.at >= start);
    store.append(&batch([memory("a", 3), event(1, None)])).unwrap();
    drop(store);
    let again = RedbStore::open(&path).unwrap().load().unwrap();
    assert_eq!(again.groups["a"].record.config(), &config, "it is written, not made up at each start");
    assert_eq!(check(&path).unwrap().format, 2);
}

#[test]
fn a_record_of_format_1_that_makes_no_sense_leaves_the_file_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    format_1(&path, &json!({ "Revision": 4 }));
    let error = RedbStore::open(&path).err().unwrap();
    assert!(matches!(&error, StoreError::Damaged { .. }) && error.to_string().contains("group a"), "{error}");
    let database = redb::Database::open(&path).unwrap();
    assert_eq!(tables::number(&database, "format").unwrap(), Some(1));
    assert_eq!(database.begin_read().unwrap().list_tables().unwrap().count(), 3);
}

#[test]
fn a_newer_format_is_refused_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    drop(RedbStore::open(&path).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(tables::META).unwrap().insert("format", 9).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(&path).err().unwrap();
    assert!(matches!(&error, StoreError::Format { found: 9, .. }), "{error}");
    assert!(error.to_string().contains("use the version that wrote it"), "{error}");
}
