//! SIGINT and SIGTERM: the first asks for an orderly end, the next one ends the process at once.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::out;

/// The signals that end a host.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Take over the two signals. From here on they end nothing by themselves.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub(crate) fn take() -> Result<Self> {
        let take = |kind| signal(kind).context("signals cannot be received");
        Ok(Self { interrupt: take(SignalKind::interrupt())?, terminate: take(SignalKind::terminate())? })
    }

    /// The next signal, as its number.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }

    /// Do something that is not to be broken off, unless another signal insists.
    pub(crate) async fn unless_insisted<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            signal = self.next() => {
                out::note("stopped at once; what was being done may be half done, and is found again at the next start");
                // The convention of shells for a process that a signal ended.
                std::process::exit(128 + signal);
            }
        }
    }
}
