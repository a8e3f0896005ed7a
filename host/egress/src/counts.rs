//! What was sent and received, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one plugin has sent and received since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were asked for, refused ones included.
    pub requests: u64,
    /// Requests that were refused because nobody allowed them.
    pub denied: u64,
    /// Requests that failed for another reason, before their answer began.
    pub failed: u64,
    /// Requests under way: their answers are not read to the end, nor dropped.
    pub in_flight: u64,
    /// Connections made.
    pub connections: u64,
    /// Requests that went over a connection that was kept.
    pub reused: u64,
    /// Requests that were sent once more, because a kept connection had gone stale.
    pub retried: u64,
    /// Bytes sent, without those of TLS.
    pub sent: u64,
    /// Bytes received, without those of TLS.
    pub received: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) reused: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            requests: self.requests.load(Relaxed),
            denied: self.denied.load(Relaxed),
            failed: self.failed.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            connections: self.connections.load(Relaxed),
            reused: self.reused.load(Relaxed),
            retried: self.retried.load(Relaxed),
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// A request under way. Dropping it ends its turn.
pub(crate) struct Turn {
    counters: Arc<Counters>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Turn {
    pub(crate) fn new(counters: Arc<Counters>, permit: tokio::sync::OwnedSemaphorePermit) -> Self {
        count(&counters.in_flight);
        Self { counters, _permit: permit }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Relaxed);
    }
}
