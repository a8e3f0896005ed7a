//! What happens to a plugin that keeps crashing: its calls are answered for it, for a while that grows.
//!
//! Counted for each function by itself, so that a `list` which works does not hide a `provision` that never does. Three
//! calls in a row that the sandbox had to end open the breaker; when its time is over, one call is tried, and its end
//! decides. (Nygard, *Release It!*, "Circuit Breaker".)

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Calls in a row that the sandbox had to end, until no more are made.
const STRIKES: u32 = 3;

/// How long no calls are made after the first time; twice as long after each next one.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest that no calls are made.
const LONGEST: Duration = Duration::from_secs(60);

/// The functions of one plugin.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<BTreeMap<&'static str, Function>>);

#[derive(Default)]
struct Function {
    /// Calls in a row that the sandbox had to end.
    strikes: u32,
    /// How often in a row it was opened.
    opened: u32,
    until: Option<Instant>,
    trying: bool,
    reason: String,
}

/// A function that is not called for now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Open {
    pub(crate) function: &'static str,
    pub(crate) rest: Duration,
    pub(crate) reason: String,
}

/// How a call ended, as far as this counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// With an answer, be it an error of the plugin's own.
    Answered,
    /// The sandbox had to end it: why.
    Trapped(&'a str),
    /// The caller went away, or the host is stopping: nothing is known.
    Dropped,
}

impl Breaker {
    /// Whether a call may be made now.
    ///
    /// # Errors
    /// For how long it may not, and what happened last.
    pub(crate) fn admit(&self, function: &'static str, now: Instant) -> Result<(), Open> {
        let mut functions = self.lock();
        let Some(it) = functions.get_mut(function) else { return Ok(()) };
        let Some(until) = it.until else { return Ok(()) };
        if now < until || it.trying {
            // While one call is tried, the others are told to come back soon.
            let rest = until.saturating_duration_since(now).max(PAUSE / 10);
            return Err(Open { function, rest, reason: it.reason.clone() });
        }
        it.trying = true;
        Ok(())
    }

    /// Count how a call ended that was admitted. Says whether the breaker has just been opened.
    pub(crate) fn ended(&self, function: &'static str, end: End<'_>, now: Instant) -> bool {
        let mut functions = self.lock();
        match end {
            End::Answered => {
                functions.remove(function);
                false
            }
            End::Dropped => {
                if let Some(it) = functions.get_mut(function) {
                    it.trying = false;
                }
                false
            }
            End::Trapped(reason) => {
                let it = functions.entry(function).or_default();
                it.strikes += 1;
                it.reason = reason.to_owned();
                // Calls that were under way when it was opened say nothing new.
                let reopens = it.until.is_none() || it.trying;
                it.trying = false;
                if it.strikes < STRIKES || !reopens {
                    return false;
                }
                it.until = Some(now + PAUSE.saturating_mul(1 << it.opened.min(16)).min(LONGEST));
                it.opened += 1;
                true
            }
        }
    }

    /// The functions that are not called for now.
    pub(crate) fn open(&self, now: Instant) -> Vec<Open> {
        let functions = self.lock();
        let open = functions.iter().filter_map(|(function, it)| {
            let rest = it.until?.saturating_duration_since(now);
            Some(Open { function, rest, reason: it.reason.clone() })
        });
        open.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Function>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAP: End<'_> = End::Trapped("unreachable");

    #[test]
    fn it_opens_after_three_in_a_row_and_pauses_longer_each_time() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert!(!breaker.ended("list", TRAP, start));
        assert!(!breaker.ended("list", End::Answered, start));
        let mut now = start;
        let mut pauses = Vec::new();
        for round in 0..9 {
            for strike in 0..if round == 0 { STRIKES } else { 1 } {
                breaker.admit("list", now).expect("a call may be made");
                assert_eq!(breaker.ended("list", TRAP, now), round > 0 || strike + 1 == STRIKES);
            }
            let open = breaker.admit("list", now).expect_err("is open");
            assert_eq!(open.reason, "unreachable");
            pauses.push(open.rest.as_secs());
            now += open.rest;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        breaker.admit("list", now).expect("one is tried");
        breaker.ended("list", End::Answered, now);
        assert_eq!(breaker.open(now), []);
    }

    #[test]
    fn each_function_counts_for_itself() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..STRIKES {
            breaker.ended("provision", TRAP, now);
            breaker.ended("list", End::Answered, now);
        }
        assert!(breaker.admit("provision", now).is_err());
        assert!(breaker.admit("list", now).is_ok());
        assert_eq!(breaker.open(now).len(), 1);
    }

    #[test]
    fn one_call_is_tried_at_a_time_and_one_that_was_dropped_lets_the_next_try() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..STRIKES {
            breaker.ended("drain", TRAP, now);
        }
        let later = now + PAUSE;
        breaker.admit("drain", later).expect("one is tried");
        assert!(breaker.admit("drain", later).is_err(), "two are tried");
        breaker.ended("drain", End::Dropped, later);
        breaker.admit("drain", later).expect("the next is tried");
    }

    #[test]
    fn calls_that_were_under_way_when_it_was_opened_do_not_lengthen_the_pause() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let opened = (0..16).filter(|_| breaker.ended("health", TRAP, now)).count();
        assert_eq!(opened, 1);
        assert_eq!(breaker.open(now)[0].rest, PAUSE);
    }
}
