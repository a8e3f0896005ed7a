//! Small writes from everywhere, made durable together.
//!
//! One thread writes. Whatever has come in while it wrote goes into the next batch, so that a hundred callers that wait
//! cost one flush of the disk. While the disk fails, what was to be written is kept, the later write of two for the same
//! thing replacing the earlier one, and tried again.

mod pending;
#[cfg(test)]
mod tests;
mod writer;

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use homeostat_core::time::Timestamp;
use thiserror::Error;
use tokio::sync::oneshot;

use self::pending::Pending;
use super::{Change, EventQuery, Revision, Store, StoreError, StoredEvent, Write};

/// How many things may wait to be written before no new intent is taken. Only a failing disk leads there: events are
/// bounded by how many are kept, and of other things only the last write counts.
const LIMIT: usize = 100_000;

/// Why writes are not durable.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    /// The store cannot be written. The writes are kept, and tried again until it can.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The store has not been writable for so long that too much waits. No new intent was kept of these writes.
    #[error("{0} writes wait for the state file already, so no more are taken")]
    Full(usize, #[source] Arc<StoreError>),
    /// The journal was closed.
    #[error("the host is stopping")]
    Closed,
}

/// A store that cannot be written.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Why.
    pub error: Arc<StoreError>,
    /// Since when, by this machine's clock.
    pub since: Timestamp,
}

/// Where hosts write. Cheap to clone; when the last clone is dropped, what waits is written, and the thread ends.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Arc<dyn Store>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

type Waiter = oneshot::Sender<Result<(), JournalError>>;

#[derive(Default)]
struct Queue {
    pending: Pending,
    /// Since when the oldest of them waits.
    since: Option<Instant>,
    waiters: Vec<Waiter>,
    commits: Vec<Commit>,
    /// What is being written.
    writing: Arc<Pending>,
    failing: Option<Failing>,
    closing: bool,
    closed: bool,
}

struct Commit {
    expect: Revision,
    changes: Vec<Change>,
    done: oneshot::Sender<Result<Revision, StoreError>>,
}

struct Failing {
    trouble: Trouble,
    /// How often in a row.
    attempts: u32,
    retry: Instant,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Start the thread that writes to this store.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { store, queue: Mutex::default(), wake: Condvar::new() });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer::run(&writer))?;
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Write without waiting: durable a second later at the latest, if the disk works. After [`close`](Self::close) it
    /// does nothing.
    pub fn write(&self, writes: impl IntoIterator<Item = Write>) {
        let shared = &self.0.shared;
        let mut queue = shared.queue();
        if queue.closed {
            return;
        }
        let before = queue.pending.len();
        queue.take(writes);
        // The thread waits for the first, and then for its time or for many.
        if (before == 0 && !queue.pending.is_empty()) || queue.pending.len() >= writer::MANY {
            shared.wake.notify_one();
        }
    }

    /// Write, and wait until that and all that was written before is durable. The writes are taken at once, also where
    /// nobody waits for the answer.
    ///
    /// # Errors
    /// Where the store cannot be written now; the writes are kept nevertheless, and tried again: who thinks better of it
    /// writes the opposite. With [`JournalError::Full`] no new intent is kept, with [`JournalError::Closed`] nothing.
    pub fn flush(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send + 'static {
        let (waiter, answer) = oneshot::channel();
        self.enqueue(writes, waiter);
        async { answer.await.unwrap_or(Err(JournalError::Closed)) }
    }

    fn enqueue(&self, writes: impl IntoIterator<Item = Write>, waiter: Waiter) {
        let shared = &self.0.shared;
        let mut queue = shared.queue();
        if queue.closed {
            return;
        }
        if let Some(Failing { trouble: Trouble { error, .. }, .. }) = &queue.failing {
            let (error, waiting) = (Arc::clone(error), queue.pending.len());
            let answer = match waiting >= LIMIT {
                true => JournalError::Full(waiting, error),
                false => JournalError::Store(error),
            };
            let begins = |it: &Write| matches!(it, Write::Intent { intent: Some(_), .. });
            queue.take(writes.into_iter().filter(|it| waiting < LIMIT || !begins(it)));
            // An error says that nobody waits any more.
            let _ = waiter.send(Err(answer));
            return;
        }
        queue.take(writes);
        queue.waiters.push(waiter);
        shared.wake.notify_one();
    }

    /// Commit changes of declarations. What waits to be written of a group that they remove is dropped.
    ///
    /// # Errors
    /// As [`Store::commit`]; `None` where the journal is closed.
    pub async fn commit(&self, expect: Revision, changes: Vec<Change>) -> Option<Result<Revision, StoreError>> {
        let (done, answer) = oneshot::channel();
        {
            let mut queue = self.0.shared.queue();
            if queue.closed {
                return None;
            }
            queue.commits.push(Commit { expect, changes, done });
            self.0.shared.wake.notify_one();
        }
        answer.await.ok()
    }

    /// The events asked for, oldest first, with those that are not durable yet. This reads the disk and blocks: call it
    /// where that does no harm.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        // First what is in memory: it may get to the disk meanwhile, never the other way.
        let recent = {
            let queue = self.0.shared.queue();
            let mut recent = queue.writing.events(query);
            recent.extend(queue.pending.events(query));
            recent
        };
        let mut found = self.0.shared.store.events(query)?;
        let last = found.last().map_or(0, |it| it.seq);
        let complete = query.newest || found.len() < query.limit;
        if complete {
            found.extend(recent.into_iter().filter(|it| it.seq > last));
        }
        if query.newest {
            found.drain(..found.len().saturating_sub(query.limit));
        }
        found.truncate(query.limit);
        Ok(found)
    }

    /// What is wrong with the store, if it cannot be written.
    pub fn trouble(&self) -> Option<Trouble> {
        self.0.shared.queue().failing.as_ref().map(|it| it.trouble.clone())
    }

    /// Write what waits, and end. Clones are of no use afterwards.
    ///
    /// # Errors
    /// Where it cannot be written: it is lost with the end of this process.
    pub async fn close(&self) -> Result<(), JournalError> {
        let (waiter, answer) = oneshot::channel();
        {
            let mut queue = self.0.shared.queue();
            if queue.closed {
                return Ok(());
            }
            queue.closing = true;
            queue.waiters.push(waiter);
            self.0.shared.wake.notify_one();
        }
        answer.await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Queue {
    fn take(&mut self, writes: impl IntoIterator<Item = Write>) {
        writes.into_iter().for_each(|it| self.pending.push(it));
        if self.since.is_none() && !self.pending.is_empty() {
            self.since = Some(Instant::now());
        }
    }

    /// What waits of the groups that were removed is of no use any more.
    fn forget(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::RemoveGroup(group) = change {
                self.pending.forget(group);
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The file is free for the next host when this returns. An error says that the thread has panicked.
            let _ = thread.join();
        }
    }
}
