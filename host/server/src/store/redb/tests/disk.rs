//! A disk in memory that does what disks do: it loses what was not synced, fills up, and fails.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// Something done to the disk.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// A disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What is there after a power failure at any time.
    durable: Vec<u8>,
    log: Vec<Op>,
    /// How many of the log are durable.
    synced: usize,
    /// The bytes that the disk has room for.
    room: Option<u64>,
    /// Whether writing fails.
    broken: bool,
    /// Whether the next syncs fail; then, of what they were to make durable, a random part is lost.
    lossy: Option<fastrand::Rng>,
}

fn apply(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            image.resize(image.len().max(end), 0);
            image[start..end].copy_from_slice(data);
        }
        Op::SetLen(len) => image.resize(*len as usize, 0),
        Op::Sync => {}
    }
}

/// Of these writes, what has reached the disk when the power fails: any of them, and of each any sectors.
fn apply_some(image: &mut Vec<u8>, ops: &[Op], rng: &mut fastrand::Rng) {
    const SECTOR: usize = 512;
    let chance = rng.f64();
    for op in ops {
        match op {
            _ if rng.f64() >= chance => {}
            Op::Write(offset, data) if rng.bool() => {
                for (index, part) in data.chunks(SECTOR).enumerate() {
                    if rng.bool() {
                        apply(image, &Op::Write(offset + (index * SECTOR) as u64, part.to_vec()));
                    }
                }
            }
            op => apply(image, op),
        }
    }
}

impl Disk {
    pub(crate) fn holding(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { seen: image.clone(), durable: image, ..State::default() })))
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// How many things were done to it.
    pub(crate) fn ops(&self) -> usize {
        self.state(|it| it.log.len())
    }

    /// What may be on it if the power fails after so many of them, given what was on it at first.
    pub(crate) fn after_crash(&self, first: &[u8], ops: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
        self.state(|it| {
            let synced = it.log[..ops].iter().rposition(|op| matches!(op, Op::Sync)).map_or(0, |at| at + 1);
            let mut image = first.to_vec();
            it.log[..synced].iter().for_each(|op| apply(&mut image, op));
            apply_some(&mut image, &it.log[synced..ops], rng);
            image
        })
    }

    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.state(|it| it.room = room);
    }

    pub(crate) fn len_now(&self) -> u64 {
        self.state(|it| it.seen.len() as u64)
    }

    pub(crate) fn set_broken(&self, broken: bool) {
        self.state(|it| it.broken = broken);
    }

    pub(crate) fn set_lossy(&self, rng: Option<fastrand::Rng>) {
        self.state(|it| it.lossy = rng);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.len_now())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.state(|it| {
            let start = usize::try_from(offset).map_err(Error::other)?;
            let found = it.seen.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(found);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.state(|it| {
            if it.broken {
                return Err(Error::other("the disk is broken"));
            }
            // As file systems do: room is taken when it is written to.
            apply(&mut it.seen, &Op::SetLen(len));
            it.log.push(Op::SetLen(len));
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.state(|it| {
            if it.broken {
                return Err(Error::other("the disk is broken"));
            }
            if it.room.is_some_and(|room| offset + data.len() as u64 > room) {
                return Err(ErrorKind::StorageFull.into());
            }
            let op = Op::Write(offset, data.to_vec());
            apply(&mut it.seen, &op);
            it.log.push(op);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.state(|it| {
            if it.broken {
                return Err(Error::other("the disk is broken"));
            }
            if let Some(rng) = &mut it.lossy {
                let mut image = it.durable.clone();
                apply_some(&mut image, &it.log[it.synced..], rng);
                it.seen = image.clone();
                it.durable = image;
                it.synced = it.log.len();
                return Err(Error::other("the disk has lost what was written"));
            }
            it.log.push(Op::Sync);
            it.synced = it.log.len();
            it.durable = it.seen.clone();
            Ok(())
        })
    }
}
