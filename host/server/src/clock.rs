//! The time that planning uses: the wall clock's when the host started, then only forwards.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use homeostat_core::time::Timestamp;

/// A clock that an operator's or a time server's correction does not move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: u64,
    origin: Instant,
}

impl Clock {
    /// A clock that shows the wall clock's time now.
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64);
        Self { epoch, origin: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.epoch + self.origin.elapsed().as_millis() as u64)
    }

    /// When that time will be, for timers; now where it has passed.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.origin + std::time::Duration::from_millis(at.0.saturating_sub(self.epoch))
    }
}
