//! The clock of the guests: while calls run, it advances the engine's epoch, and each guest looks up when it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Between two ticks. A guest that computes holds a thread no longer than this while others wait.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks after the last call before the thread sleeps. Calls in a row then need not wake it.
const LINGER: u32 = 20;

/// Ticks while calls are in flight; sleeps without using the CPU while there are none.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    calls: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("guest-ticker".into()).spawn(move || run(&engine, &of_thread))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Tick for as long as the answer lives.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        // Pairs with the order in `run`: either it sees the call, or this sees that it sleeps.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread().inspect(|t| t.unpark());
        }
        Busy(&self.shared)
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(JoinHandle::thread)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread().inspect(|t| t.unpark());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the guest ticker panicked");
        }
    }
}

/// One call in flight.
pub(crate) struct Busy<'a>(&'a Shared);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

fn run(engine: &Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if idle < LINGER {
            thread::sleep(TICK);
            engine.increment_epoch();
            idle = if shared.calls.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            continue;
        }
        shared.asleep.store(true, Ordering::SeqCst);
        while shared.calls.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
        idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn ticks_while_busy_sleeps_while_idle_and_wakes_again() {
        let ticker = Ticker::start(Engine::default()).expect("a thread");
        let asleep = |wanted: bool| {
            let start = Instant::now();
            while ticker.shared.asleep.load(Ordering::SeqCst) != wanted {
                assert!(start.elapsed() < Duration::from_secs(10), "asleep is not {wanted}");
                thread::sleep(TICK);
            }
        };
        asleep(true);
        for _ in 0..3 {
            let busy = ticker.busy();
            asleep(false);
            thread::sleep(TICK * (LINGER * 3));
            assert!(!ticker.shared.asleep.load(Ordering::SeqCst), "sleeps during a call");
            drop(busy);
            asleep(true);
        }
    }
}
