//! The journal over a disk that fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::store::redb::tests::disk::Disk;
use crate::store::redb::tests::{creation, event, group, intent, memory};
use crate::store::{Batch, RedbStore, Snapshot};

const KEPT: u64 = 1_000_000;

/// A store that counts what is written to it.
struct Counting {
    store: RedbStore,
    batches: Mutex<Vec<Batch>>,
    delay: Duration,
    /// Whether appending fails, and nothing else.
    refuses: AtomicBool,
}

impl Store for Counting {
    fn load(&self) -> Result<Snapshot, StoreError> {
        self.store.load()
    }
    fn commit(&self, expect: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        self.store.commit(expect, changes)
    }
    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        std::thread::sleep(self.delay);
        self.batches.lock().unwrap().push(batch.clone());
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::Missing { path: "/disk/state.redb".into() });
        }
        self.store.append(batch)
    }
    fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(query)
    }
}

struct World {
    disk: Disk,
    store: Arc<Counting>,
    journal: Journal,
}

/// A journal whose batches take so long, with the groups `a` and `b`.
fn world(delay: Duration) -> World {
    let disk = Disk::default();
    let store = RedbStore::on(&disk, KEPT).unwrap();
    store.commit(0, &[Change::PutGroup(group("a", 1)), Change::PutGroup(group("b", 1))]).unwrap();
    let store = Arc::new(Counting { store, batches: Mutex::default(), delay, refuses: AtomicBool::default() });
    let journal = Journal::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
    World { disk, store, journal }
}

impl World {
    fn batches(&self) -> usize {
        self.store.batches.lock().unwrap().len()
    }

    /// What the next host finds after a power failure now.
    fn durable(&self) -> Snapshot {
        let mut rng = fastrand::Rng::with_seed(0);
        let image = self.disk.after_crash(&[], self.disk.ops(), &mut rng);
        RedbStore::on(&Disk::holding(image), KEPT).unwrap().load().unwrap()
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn callers_share_a_batch_and_what_was_written_before_goes_with_it() {
    let world = world(Duration::from_millis(20));
    let calls: Vec<_> = (0..100)
        .map(|it| {
            world.journal.write([event(it + 1, Some("a"))]);
            tokio::spawn(world.journal.flush([intent("a", &format!("+{it}"), Some(creation(1)))]))
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(world.batches() <= 3, "{} batches", world.batches());
    let found = world.durable();
    assert_eq!(found.groups["a"].intents.len(), 100);
    assert_eq!(world.journal.events(&EventQuery::replay(0, 1_000)).unwrap().len(), 100);
}

#[tokio::test]
async fn a_write_nobody_waits_for_is_durable_in_a_second_and_then_all_is_still() {
    let world = world(Duration::ZERO);
    let began = Instant::now();
    world.journal.write([memory("a", 1)]);
    world.journal.write([memory("a", 2)]);
    until(|| world.batches() == 1).await;
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    until(|| world.durable().groups["a"].memory.known == 2).await;
    let ops = world.disk.ops();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!((world.batches(), world.disk.ops()), (1, ops), "an idle host writes nothing");
}

#[tokio::test]
async fn nothing_is_lost_while_the_disk_fails() {
    let world = world(Duration::ZERO);
    world.journal.flush([intent("a", "+old", Some(creation(1)))]).await.unwrap();
    world.disk.set_broken(true);
    world.journal.write([intent("a", "+old", None), memory("a", 1), event(1, Some("a"))]);
    let error = world.journal.flush([intent("a", "+x", Some(creation(2)))]).await.unwrap_err();
    assert!(crate::error::chain(&error).contains("the disk is broken"), "{error:?}");
    let trouble = world.journal.trouble().unwrap();
    assert!(crate::error::chain(&*trouble.error).contains("/disk/state.redb cannot be"), "{trouble:?}");
    let began = Instant::now();
    for _ in 0..100 {
        world.journal.flush([memory("a", 2), intent("b", "+y", Some(creation(3)))]).await.unwrap_err();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "callers are told at once: {:?}", began.elapsed());
    world.journal.write([event(2, None)]);
    let seqs = |found: Vec<StoredEvent>| found.iter().map(|it| it.seq).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(world.journal.trouble().is_some_and(|it| it.since == trouble.since), "it is one trouble");
    assert!(world.batches() < 8, "the disk is left alone for longer each time: {} batches", world.batches());
    world.disk.set_broken(false);
    assert_eq!(seqs(world.journal.events(&EventQuery::replay(0, 9)).unwrap()), [1, 2], "what waits is seen");
    until(|| world.journal.trouble().is_none()).await;
    let found = world.durable();
    let (a, b) = (&found.groups["a"], &found.groups["b"]);
    assert_eq!(a.intents, [("+x".to_owned(), creation(2))]);
    assert_eq!((a.memory.known, &b.intents[..]), (2, &[("+y".to_owned(), creation(3))][..]));
    assert_eq!(seqs(world.journal.events(&EventQuery::replay(0, 9)).unwrap()), [1, 2]);
    world.journal.flush([memory("b", 9)]).await.unwrap();
}

#[tokio::test]
async fn what_the_disk_loses_at_a_sync_is_written_again() {
    for seed in 0..20 {
        let world = world(Duration::ZERO);
        world.disk.set_lossy(Some(fastrand::Rng::with_seed(seed)));
        world.journal.flush([memory("a", 5), intent("a", "+x", Some(creation(1)))]).await.unwrap_err();
        assert!(world.journal.commit(1, vec![Change::RemoveGroup("b".into())]).await.unwrap().is_err());
        world.disk.set_lossy(None);
        until(|| world.journal.trouble().is_none()).await;
        let found = world.durable();
        assert_eq!((found.revision, found.groups["a"].memory.known, found.groups["a"].intents.len()), (1, 5, 1));
        assert!(found.groups.contains_key("b"));
    }
}

#[tokio::test]
async fn a_group_with_the_name_of_one_that_was_removed_inherits_nothing() {
    let world = world(Duration::from_millis(20));
    world.journal.write([memory("a", 7), intent("a", "+x", Some(creation(1)))]);
    assert_eq!(world.journal.commit(1, vec![Change::RemoveGroup("a".into())]).await.unwrap().unwrap(), 2);
    world.journal.write([memory("a", 8)]);
    let again = world.journal.commit(2, vec![Change::PutGroup(group("a", 1))]).await.unwrap();
    assert_eq!(again.unwrap(), 3);
    world.journal.flush([]).await.unwrap();
    let found = world.durable();
    assert_eq!((found.groups["a"].memory.known, found.groups["a"].intents.len()), (0, 0));
}

#[tokio::test]
async fn what_waits_for_the_disk_is_not_for_a_later_group_of_the_same_name() {
    let world = world(Duration::ZERO);
    world.store.refuses.store(true, Ordering::SeqCst);
    world.journal.flush([memory("a", 7), intent("a", "+x", Some(creation(1))), memory("b", 7)]).await.unwrap_err();
    let changes = vec![Change::RemoveGroup("a".into()), Change::RemoveGroup("none".into())];
    world.journal.commit(1, changes).await.unwrap().unwrap();
    world.journal.commit(2, vec![Change::PutGroup(group("a", 1))]).await.unwrap().unwrap();
    world.store.refuses.store(false, Ordering::SeqCst);
    until(|| world.journal.trouble().is_none()).await;
    let found = world.durable();
    assert_eq!((found.groups["a"].memory.known, found.groups["a"].intents.len()), (0, 0));
    assert_eq!(found.groups["b"].memory.known, 7);
}

#[tokio::test]
async fn what_comes_in_while_a_batch_fails_is_the_newer() {
    let world = world(Duration::from_millis(100));
    world.store.refuses.store(true, Ordering::SeqCst);
    let older = world.journal.flush([memory("a", 1), intent("a", "+x", Some(creation(1)))]);
    until(|| world.journal.0.shared.queue().pending.is_empty()).await;
    world.journal.write([memory("a", 2), intent("a", "+x", None)]);
    older.await.unwrap_err();
    world.store.refuses.store(false, Ordering::SeqCst);
    until(|| world.journal.trouble().is_none()).await;
    let found = world.durable();
    assert_eq!((found.groups["a"].memory.known, found.groups["a"].intents.len()), (2, 0));
}

#[tokio::test]
async fn a_conflict_is_no_trouble() {
    let world = world(Duration::ZERO);
    let stale = world.journal.commit(0, vec![]).await.unwrap();
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    assert!(world.journal.trouble().is_none());
}

#[tokio::test]
async fn what_waits_is_written_at_the_end() {
    let world = world(Duration::ZERO);
    world.journal.write([memory("a", 3), event(1, None)]);
    world.journal.close().await.unwrap();
    let found = world.durable();
    assert_eq!((found.groups["a"].memory.known, found.next_event), (3, 2));
    world.journal.write([memory("a", 4)]);
    assert!(matches!(world.journal.flush([memory("a", 4)]).await, Err(JournalError::Closed)));
    assert!(world.journal.commit(1, vec![]).await.is_none());
    world.journal.close().await.unwrap();
}

#[tokio::test]
async fn the_file_is_free_when_the_last_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let journal = Journal::start(Arc::new(RedbStore::open(&path).unwrap())).unwrap();
    journal.commit(0, vec![Change::PutGroup(group("a", 1))]).await.unwrap().unwrap();
    journal.clone().write([memory("a", 3)]);
    drop(journal);
    assert_eq!(RedbStore::open(&path).unwrap().load().unwrap().groups["a"].memory.known, 3);
}
