//! How long to wait after a failure: exponential, jittered, capped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::{ErrorCode, PluginError};
use crate::time::Timestamp;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait, unless the provider asks for more.
const LONGEST: Duration = Duration::from_secs(300);

/// The state of one kind of work that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Backoff {
    /// Failures in a row.
    pub failures: u32,
    /// When the first of them was.
    pub since: Timestamp,
    /// When to try again; none where only another spec or another plugin can help.
    pub until: Option<Timestamp>,
    /// The last failure.
    pub error: PluginError,
}

impl Backoff {
    /// The state after one more failure. `jitter` is a random number of the caller's: waits are spread over 75 % to
    /// 125 % of their nominal length, so that groups which failed together do not retry together.
    pub fn after(previous: Option<&Self>, error: PluginError, now: Timestamp, jitter: u64) -> Self {
        let failures = previous.map_or(0, |it| it.failures).saturating_add(1);
        let nominal = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST);
        let spread = nominal.mul_f64(0.75 + 0.5 * (jitter % 1024) as f64 / 1024.0);
        let wait = spread.max(error.retry_after.unwrap_or_default());
        Self {
            failures,
            since: previous.map_or(now, |it| it.since),
            until: (!error.code.is_hopeless()).then(|| now.after(wait)),
            error,
        }
    }

    /// One more failure of calls that began together: it counts as one with the others, but what it asks for holds.
    pub(crate) fn heed(&mut self, error: &PluginError, now: Timestamp) {
        let asked = now.after(error.retry_after.unwrap_or_default());
        if self.until.is_some_and(|until| until < asked) {
            self.until = Some(asked);
            self.error = error.clone();
        }
    }

    /// After a restart with another clock, no wait is longer than it could have been.
    pub(crate) fn recover(&mut self, now: Timestamp) {
        self.since = self.since.min(now);
        let longest = LONGEST.mul_f64(1.25).max(self.error.retry_after.unwrap_or_default());
        self.until = self.until.map(|until| until.min(now.after(longest)));
    }

    /// Whether the provider asks for patience, rather than saying that something is wrong.
    pub fn is_throttled(&self) -> bool {
        matches!(self.error.code, ErrorCode::Unavailable | ErrorCode::ResourceExhausted)
    }

    /// Whether work of this kind may be tried.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: ErrorCode) -> PluginError {
        PluginError { code, message: "no".into(), path: None, retry_after: None }
    }

    #[test]
    fn waits_grow_and_are_capped() {
        let mut state = None;
        let mut waits = Vec::new();
        for _ in 0..20 {
            let next = Backoff::after(state.as_ref(), error(ErrorCode::Unavailable), Timestamp(0), 512);
            waits.push(next.until.unwrap().0);
            state = Some(next);
        }
        assert_eq!(&waits[..4], &[500, 1000, 2000, 4000]);
        assert_eq!(*waits.last().unwrap(), 300_000);
    }

    #[test]
    fn jitter_spreads_by_a_quarter() {
        let wait = |jitter| Backoff::after(None, error(ErrorCode::Unavailable), Timestamp(0), jitter).until.unwrap().0;
        assert_eq!((wait(0), wait(512), wait(1023)), (375, 500, 624));
    }

    #[test]
    fn the_provider_may_ask_for_more() {
        let slow = PluginError { retry_after: Some(Duration::from_secs(900)), ..error(ErrorCode::Unavailable) };
        assert_eq!(Backoff::after(None, slow, Timestamp(7), 0).until, Some(Timestamp(900_007)));
    }

    #[test]
    fn what_can_never_work_is_not_retried() {
        let state = Backoff::after(None, error(ErrorCode::InvalidArgument), Timestamp(0), 0);
        assert!(!state.allows(Timestamp(u64::MAX)));
    }
}
