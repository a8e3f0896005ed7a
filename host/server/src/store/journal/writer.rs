//! The thread that writes.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::pending::Pending;
use super::{Commit, Failing, JournalError, Queue, Shared, Trouble, Waiter};
use crate::store::{Batch, StoreError, wall_clock};

/// How long a write that nobody waits for may wait for others.
const LAZY: Duration = Duration::from_secs(1);
/// How many writes are not made to wait for others.
pub(super) const MANY: usize = 4_096;
/// How long a store that failed is left alone, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What is to be done next.
struct Work {
    pending: Arc<Pending>,
    waiters: Vec<Waiter>,
    commits: Vec<Commit>,
    closing: bool,
}

/// Write until the journal is closed. Panics of the store are its own business to catch.
pub(super) fn run(shared: &Shared) {
    let mut open = true;
    while open {
        let work = next(shared);
        open = !work.closing;
        let batch = Batch { writes: work.pending.writes(), closing: work.closing };
        let written = match batch.writes.is_empty() && !batch.closing {
            true => Ok(()),
            false => shared.store.append(&batch),
        };
        drop(batch);
        let answer = settle(&mut shared.queue(), work.pending, written);
        for waiter in work.waiters {
            // An error says that nobody waits any more.
            let _ = waiter.send(answer.clone());
        }
        // Commits come last: what waited was meant for the groups as they were.
        for Commit { expect, changes, done } in work.commits {
            let committed = shared.store.commit(expect, &changes);
            if committed.is_ok() {
                shared.queue().forget(&changes);
            }
            let _ = done.send(committed);
        }
    }
}

/// Wait until there is something to do, and take it.
fn next(shared: &Shared) -> Work {
    let mut queue = shared.queue();
    loop {
        let now = Instant::now();
        let due = match (&queue.failing, queue.since) {
            (Some(failing), _) => Some(failing.retry),
            (None, Some(since)) if queue.pending.len() < MANY => Some(since + LAZY),
            (None, Some(_)) => Some(now),
            (None, None) => None,
        };
        let urgent = !queue.waiters.is_empty() || !queue.commits.is_empty() || queue.closing;
        if urgent || due.is_some_and(|due| due <= now) {
            break;
        }
        queue = match due {
            Some(due) => shared.wake.wait_timeout(queue, due - now).unwrap_or_else(PoisonError::into_inner).0,
            None => shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
    }
    let pending = Arc::new(std::mem::take(&mut queue.pending));
    queue.writing = Arc::clone(&pending);
    queue.since = None;
    queue.closed = queue.closing;
    let (waiters, commits) = (std::mem::take(&mut queue.waiters), std::mem::take(&mut queue.commits));
    Work { pending, waiters, commits, closing: queue.closing }
}

/// Note how it went; what was not written is put back.
fn settle(queue: &mut Queue, written: Arc<Pending>, result: Result<(), StoreError>) -> Result<(), JournalError> {
    queue.writing = Arc::default();
    match result {
        Ok(()) => {
            if let Some(failing) = queue.failing.take() {
                tracing::info!(attempts = failing.attempts, "the state can be written again; nothing was lost");
            }
            Ok(())
        }
        Err(error) => {
            queue.pending.put_back(Arc::unwrap_or_clone(written));
            let error = Arc::new(error);
            let attempts = queue.failing.as_ref().map_or(1, |it| it.attempts.saturating_add(1));
            if attempts == 1 {
                tracing::error!(
                    "the state cannot be written, so nothing new is begun: {}",
                    crate::error::chain(&*error)
                );
            }
            let wait = RETRY.1.min(RETRY.0 * 2u32.saturating_pow(attempts.min(16) - 1));
            let since = queue.failing.as_ref().map_or_else(wall_clock, |it| it.trouble.since);
            queue.since.get_or_insert_with(Instant::now);
            queue.failing = Some(Failing {
                trouble: Trouble { error: Arc::clone(&error), since },
                attempts,
                retry: Instant::now() + wait,
            });
            Err(JournalError::Store(error))
        }
    }
}
