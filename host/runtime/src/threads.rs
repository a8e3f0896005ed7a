//! The threads that guests run on: quick ones, and slow ones for those that compute much.
//!
//! Each plugin has credit: CPU time that its calls may take on the quick threads. It comes back slowly. A call whose plugin
//! has none left goes on on the slow threads, where it waits for others like it. So guests that compute for as long as they
//! may, however many, hardly delay a plugin that computes little: the idea of the multilevel feedback queue (Corbató,
//! Merwin-Daggett, Daley: An Experimental Time-Sharing System, 1962). The kernel gives both the same priority: with a lower
//! one for the slow threads, the slowest hundredth of healings was measured to take a hundred milliseconds longer.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::cpu;

/// The CPU time that a plugin which has rested may take on the quick threads: as much as making thousands of instances.
const BURST: Duration = Duration::from_millis(200);

/// How much of it comes back in a second. A hundred plugins that never rest take one processor's worth of the quick threads.
const RATE: Duration = Duration::from_millis(10);

/// The CPU time that one call may take on the quick threads: what comes after it may be long, and not all of it can be
/// interrupted.
const SHORT: Duration = Duration::from_millis(3);

/// The threads of all guests. The last handle may be dropped anywhere, on one of these threads too.
pub(crate) struct Threads {
    quick: Pool,
    slow: Pool,
}

impl Threads {
    /// Start so many quick threads, and one slow thread fewer: a processor stays free of guests that compute without end, for
    /// the host, for the system's own work on what the host writes, and for the quick ones.
    ///
    /// # Errors
    /// Where the system gives none.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let pool = |name: &str, count: usize| {
            let mut builder = Builder::new_multi_thread();
            // Guests that compute come back to their own queue: look at new calls, and at timers, between any of them.
            builder.worker_threads(count).thread_name(name).global_queue_interval(1).event_interval(4).enable_all();
            builder
        };
        let (quick, slow) =
            (pool("guest", count).build()?, pool("guest-slow", count.saturating_sub(1).max(1)).build()?);
        Ok(Self { quick: Pool(Some(quick)), slow: Pool(Some(slow)) })
    }

    /// For what is short.
    pub(crate) fn quick(&self) -> &Handle {
        self.quick.handle()
    }

    /// For what takes long, such as compiling. Blocking work may run beside it.
    pub(crate) fn slow(&self) -> &Handle {
        self.slow.handle()
    }

    /// Run a guest at the cost of its plugin's credit.
    pub(crate) fn run(&self, credit: &Arc<Credit>, guest: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        if credit.is_spent() {
            return self.slow().spawn(guest);
        }
        let (slow, credit) = (self.slow().clone(), credit.clone());
        self.quick().spawn(async move {
            let mut guest = Box::pin(guest);
            let mut taken = Duration::ZERO;
            let ended = poll_fn(|cx| {
                let (poll, cost) = credit.charge(|| guest.as_mut().poll(cx));
                taken += cost;
                match poll {
                    Poll::Ready(()) => Poll::Ready(true),
                    Poll::Pending if taken > SHORT || credit.is_spent() => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                }
            });
            if ended.await {
                return;
            }
            let mut rest = Owned(slow.spawn(guest));
            if let Err(error) = (&mut rest.0).await
                && error.is_panic()
            {
                resume_unwind(error.into_panic());
            }
        })
    }
}

/// The CPU time that one plugin may take on the quick threads.
pub(crate) struct Credit(Mutex<Balance>);

#[derive(Clone, Copy)]
struct Balance {
    /// In nanoseconds; below 0 where more was taken than was there.
    left: i64,
    at: Instant,
}

impl Balance {
    fn at(self, now: Instant) -> Self {
        let rested = now.saturating_duration_since(self.at).as_secs_f64() * RATE.as_nanos() as f64;
        Self { left: self.left.saturating_add(rested as i64).min(BURST.as_nanos() as i64), at: now }
    }
}

impl Credit {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Balance { left: BURST.as_nanos() as i64, at: Instant::now() }))
    }

    fn is_spent(&self) -> bool {
        self.update(Duration::ZERO) <= 0
    }

    /// Do something, and take what it cost this thread.
    fn charge<T>(&self, work: impl FnOnce() -> T) -> (T, Duration) {
        let before = cpu::thread_time();
        let done = work();
        let cost = cpu::thread_time().saturating_sub(before);
        self.update(cost);
        (done, cost)
    }

    fn update(&self, cost: Duration) -> i64 {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *balance = balance.at(Instant::now());
        balance.left = balance.left.saturating_sub(i64::try_from(cost.as_nanos()).unwrap_or(i64::MAX));
        balance.left
    }
}

/// A task that ends with its owner.
pub(crate) struct Owned(pub(crate) JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Pool(Option<Runtime>);

impl Pool {
    fn handle(&self) -> &Handle {
        match &self.0 {
            Some(runtime) => runtime.handle(),
            None => unreachable!("taken in drop only"),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn spin(time: Duration) {
        let begun = cpu::thread_time();
        while cpu::thread_time() - begun < time {}
    }

    /// The name of the thread that this is on.
    fn here() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_taken_comes_back_and_no_more_than_that() {
        let start = Instant::now();
        let full = Balance { left: BURST.as_nanos() as i64, at: start };
        assert_eq!(full.at(start + Duration::from_secs(3600)).left, full.left);
        let spent = Balance { left: 0, at: start };
        assert_eq!(spent.at(start + Duration::from_secs(1)).left, RATE.as_nanos() as i64);
        // A clock that goes back takes nothing away.
        assert_eq!(Balance { left: 7, at: start + RATE }.at(start).left, 7);
        let credit = Credit::new();
        assert!(!credit.is_spent());
        credit.update(BURST * 2);
        assert!(credit.is_spent());
    }

    #[test]
    fn a_short_call_stays_and_a_long_one_goes_on_on_a_slow_thread() {
        let threads = Threads::start(1).expect("threads");
        let (send, receive) = mpsc::channel();
        let of_short = send.clone();
        drop(threads.run(&Arc::new(Credit::new()), async move {
            tokio::task::yield_now().await;
            of_short.send(here()).expect("is received");
        }));
        assert_eq!(receive.recv().expect("ends"), "guest");
        let of_long = send.clone();
        drop(threads.run(&Arc::new(Credit::new()), async move {
            spin(SHORT * 2);
            tokio::task::yield_now().await;
            of_long.send(here()).expect("is received");
        }));
        assert_eq!(receive.recv().expect("ends"), "guest-slow");
        // And without credit at once.
        let spent = Credit::new();
        spent.update(BURST * 2);
        drop(threads.run(&Arc::new(spent), async move { send.send(here()).expect("is received") }));
        assert_eq!(receive.recv().expect("ends"), "guest-slow");
    }

    #[test]
    fn a_long_call_ends_with_its_handle_and_its_panic_is_heard() {
        let threads = Threads::start(1).expect("threads");
        let credit = Arc::new(Credit::new());
        let long = || async {
            spin(SHORT * 2);
            tokio::task::yield_now().await;
        };
        let (send, receive) = mpsc::channel::<()>();
        let running = Owned(threads.run(&credit, async move {
            long().await;
            std::future::pending::<()>().await;
            drop(send);
        }));
        std::thread::sleep(SHORT * 4);
        drop(running);
        assert!(receive.recv().is_err(), "what it held is gone");
        let failing = threads.run(&credit, async move {
            long().await;
            panic!("deliberately");
        });
        assert!(threads.quick().block_on(failing).expect_err("it panicked").is_panic());
    }
}
