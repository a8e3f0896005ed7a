//! I16: whatever a power failure leaves on the disk, the file opens with the state after a commit, and not after one before
//! the last that was reported as durable.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::*;
use crate::store::StoredGroup;

const SEEDS: u64 = 150;
const CRASHES: usize = 6;
const KEPT: u64 = 20;

/// What is compared of a state.
#[derive(Clone, Debug, PartialEq)]
struct State {
    revision: u64,
    groups: BTreeMap<String, StoredGroup>,
    events: Vec<StoredEvent>,
}

fn state(store: &RedbStore) -> (State, u64) {
    let Snapshot { revision, groups, next_event, .. } = store.load().unwrap();
    (State { revision, groups, events: store.events(&EventQuery::replay(0, 1_000)).unwrap() }, next_event)
}

/// One random piece of work.
fn work(store: &RedbStore, seq: &mut u64, rng: &mut fastrand::Rng) {
    let id = ["a", "b", "c"][rng.usize(..3)];
    if rng.u8(..4) == 0 {
        let revision = store.book().revision;
        let change = match rng.u8(..3) {
            0 => Change::RemoveGroup(id.into()),
            _ => Change::PutGroup(group(id, rng.u32(..9))),
        };
        store.commit(revision, &[change]).unwrap();
        return;
    }
    let writes = (0..rng.usize(1..30)).map(|_| match rng.u8(..4) {
        0 => memory(id, rng.usize(..99)),
        1 => {
            *seq += 1;
            event(*seq, Some(id))
        }
        _ => {
            let now = if rng.bool() { Some(creation(rng.u32(..9))) } else { None };
            intent(id, &format!("+{}", rng.u8(..40)), now)
        }
    });
    let writes: Vec<_> = writes.collect();
    store.append(&batch(writes)).unwrap();
}

/// Work on a disk, and note the state after each piece, with how many things had been done to the disk by then.
fn life(disk: &Disk, rng: &mut fastrand::Rng) -> Vec<(usize, State)> {
    let store = RedbStore::on(disk, KEPT).unwrap();
    let (first, mut seq) = state(&store);
    seq = seq.max(first.events.last().map_or(0, |it| it.seq));
    let mut states = vec![(disk.ops(), first)];
    for _ in 0..rng.usize(1..15) {
        work(&store, &mut seq, rng);
        states.push((disk.ops(), state(&store).0));
    }
    states
}

#[test]
fn a_crash_at_any_byte_leaves_what_was_durable() {
    let mut cases = 0;
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = Disk::default();
        let states = life(&disk, &mut rng);
        for _ in 0..CRASHES {
            let ops = rng.usize(states[0].0..=disk.ops());
            let mut image = disk.after_crash(&[], ops, &mut rng);
            // The power may fail again while the file is repaired.
            for _ in 0..rng.u8(..3) {
                let repaired = Disk::holding(image.clone());
                drop(RedbStore::on(&repaired, KEPT).unwrap());
                image = repaired.after_crash(&image, rng.usize(..=repaired.ops()), &mut rng);
            }
            let recovered = Disk::holding(image);
            let store = RedbStore::on(&recovered, KEPT).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let (found, next_event) = state(&store);
            let durable = states.iter().rposition(|(at, _)| *at <= ops).unwrap();
            let allowed = &states[durable..states.len().min(durable + 2)];
            assert!(
                allowed.iter().any(|(_, it)| *it == found),
                "seed {seed}, crash after {ops} of {}: {found:#?} is neither the durable state nor the next one",
                disk.ops()
            );
            assert!(found.events.last().is_none_or(|it| it.seq < next_event), "seed {seed}");
            let revision = store.commit(found.revision, &[Change::PutGroup(group("z", 1))]).unwrap();
            assert_eq!((revision, store.load().unwrap().groups.contains_key("z")), (found.revision + 1, true));
            cases += 1;
        }
    }
    println!("{cases} crashes survived");
}

#[test]
fn a_commit_that_failed_does_not_hold_whatever_is_on_the_disk() {
    let (mut there, mut gone) = (0, 0);
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = Disk::default();
        let store = RedbStore::on(&disk, KEPT).unwrap();
        store.commit(0, &[Change::PutGroup(group("a", 1)), Change::PutGroup(group("b", 1))]).unwrap();
        store.append(&batch([memory("b", 5), intent("b", "+x", Some(creation(1)))])).unwrap();
        let before = state(&store).0;
        disk.set_lossy(Some(rng.fork()));
        let changes = [Change::PutGroup(group("a", 9)), Change::RemoveGroup("b".into())];
        assert!(matches!(store.commit(1, &changes), Err(StoreError::Io { .. })));
        disk.set_lossy(None);
        // What another process would find: the failed commit may be there or not.
        let image = disk.after_crash(&[], disk.ops(), &mut rng);
        match RedbStore::on(&Disk::holding(image), KEPT).unwrap().load().unwrap().revision {
            1 => gone += 1,
            _ => there += 1,
        }
        assert_eq!(state(&store).0, before, "seed {seed}");
        assert_eq!(store.commit(1, &[Change::PutGroup(group("a", 2))]).unwrap(), 2, "seed {seed}");
        let record = &store.load().unwrap().groups["a"].record;
        assert_eq!(record.spec, group("a", 2).spec);
    }
    println!("the failed commit was on the disk {there} times, and not {gone} times");
    assert!(there > 0 && gone > 0);
}

#[test]
fn a_full_disk_costs_nothing_that_was_durable() {
    let disk = Disk::default();
    let store = RedbStore::on(&disk, 1_000_000).unwrap();
    store.commit(0, &[Change::PutGroup(group("a", 1))]).unwrap();
    disk.set_room(Some(disk.len_now()));
    let mut seq = 0;
    let mut written = 0;
    let error = loop {
        let events: Vec<_> = (0..1_000)
            .map(|_| {
                seq += 1;
                event(seq, Some("a"))
            })
            .collect();
        match store.append(&batch(events)) {
            Ok(()) => written = seq,
            Err(error) => break error,
        }
    };
    let text = crate::error::chain(&error);
    assert!(text.contains("/disk/state.redb cannot be written") && text.contains("has room"), "{text}");
    assert_eq!(store.events(&EventQuery::replay(0, 1 << 30)).map(|it| it.len() as u64).ok(), Some(written));
    assert_eq!(store.load().unwrap().groups.len(), 1, "it can be read while the disk is full");
    disk.set_room(None);
    store.append(&batch([event(seq + 1, None)])).unwrap();
    assert_eq!(store.events(&EventQuery::replay(0, 1 << 30)).unwrap().len() as u64, written + 1);
}
