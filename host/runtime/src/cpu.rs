//! How long a guest has computed, by the CPU clock of the threads it ran on.
//!
//! A guest runs inside the poll of one future. The poll notes the thread's clock here, and whoever asks during the poll
//! (the epoch callback, on the same thread) reads off how long the guest has run in all. Waiting costs nothing.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    /// What the guest on this thread had used before this poll, and the thread's clock when the poll began.
    static POLL: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
}

pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// What the guest that is being polled on this thread has used.
pub(crate) fn used() -> Duration {
    let (before, began) = POLL.get();
    before + thread_time().saturating_sub(began)
}

/// Run a future so that [`used`] counts for it.
pub(crate) async fn metered<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut before = Duration::ZERO;
    poll_fn(|cx| {
        POLL.set((before, thread_time()));
        let answer = future.as_mut().poll(cx);
        if answer.is_pending() {
            before = used();
        }
        answer
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let spin = |time: Duration| {
            let start = Instant::now();
            while start.elapsed() < time {}
        };
        let used = metered(async {
            spin(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(300)).await;
            spin(Duration::from_millis(20));
            used()
        })
        .await;
        // A busy machine may take the thread off the CPU, so there is no close lower bound.
        assert!(used > Duration::from_millis(2), "{used:?}");
        assert!(used < Duration::from_millis(200), "{used:?}");
    }
}
