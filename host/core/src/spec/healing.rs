//! How broken instances are replaced: the `Healing` of a group.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// How broken instances are replaced. A field that is absent has the default that its method names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healing {
    /// Whether unhealthy instances are replaced at all. What has stopped or failed always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The time between two checks of an instance that count.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// So many of the last `Checks` must have said unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_checks: Option<u32>,
    /// How many checks are remembered; at most 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<u32>,
    /// How long a new instance may be unhealthy; it ends with the first check that says healthy.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub startup_grace: Option<Duration>,
    /// How many of the declared instances may be unhealthy before none is replaced any more. A share is rounded down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unhealthy: Option<Amount>,
    /// How many are replaced at the same time. A share is rounded down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<Amount>,
    /// How often an instance of one slot is replaced without having been healthy for `MinHealthy` in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// The wait before the second replacement of a slot; it doubles with each, up to an hour.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<Duration>,
    /// How long an instance must have been healthy for its failure to be a new one.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub min_healthy: Option<Duration>,
}

impl Healing {
    /// The most checks that are remembered.
    pub const MAX_CHECKS: u32 = 32;
    /// The longest wait before another replacement.
    pub const LONGEST_DELAY: Duration = Duration::from_secs(3600);

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `Enabled`; yes by default.
    pub fn enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// `Interval`; 10 seconds by default.
    pub fn interval(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_secs(10))
    }

    /// `UnhealthyChecks` and `Checks`; 3 of 5 by default.
    pub fn hysteresis(&self) -> (u32, u32) {
        let unhealthy = self.unhealthy_checks.unwrap_or(self.checks.unwrap_or(3).min(3)).clamp(1, Self::MAX_CHECKS);
        let checks = self.checks.unwrap_or(unhealthy.max(5)).clamp(unhealthy, Self::MAX_CHECKS);
        (unhealthy, checks)
    }

    /// `StartupGrace`; 5 minutes by default.
    pub fn startup_grace(&self) -> Duration {
        self.startup_grace.unwrap_or(Duration::from_secs(300))
    }

    /// How many of `size` may be unhealthy: `MaxUnhealthy`, 40 % by default. A share allows at least one, or a small group
    /// would never be healed; a number means what it says.
    pub fn max_unhealthy(&self, size: usize) -> usize {
        match self.max_unhealthy.unwrap_or(Amount::Percent(40)) {
            Amount::Percent(0) => 0,
            share @ Amount::Percent(_) => share.floor(size).max(1),
            Amount::Count(count) => count as usize,
        }
    }

    /// How many of `size` are replaced at the same time: `MaxInFlight`, 10 % by default, at least one.
    pub fn max_in_flight(&self, size: usize) -> usize {
        self.max_in_flight.unwrap_or(Amount::Percent(10)).floor(size).max(1)
    }

    /// `MaxRetries`; 5 by default.
    pub fn max_retries(&self) -> u32 {
        self.max_retries.unwrap_or(5)
    }

    /// The wait before the next replacement of a slot after `failures` in a row: none after the first, then `RetryDelay`
    /// (10 seconds by default), doubled with each, up to an hour.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => {
                let first = self.retry_delay.unwrap_or(Duration::from_secs(10));
                first.saturating_mul(1 << doublings.min(20)).min(Self::LONGEST_DELAY.max(first))
            }
        }
    }

    /// `MinHealthy`; 10 minutes by default.
    pub fn min_healthy(&self) -> Duration {
        self.min_healthy.unwrap_or(Duration::from_secs(600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_group_may_have_one_unhealthy_instance() {
        let healing = Healing::default();
        assert_eq!([1, 2, 3, 5, 10, 100].map(|size| healing.max_unhealthy(size)), [1, 1, 1, 2, 4, 40]);
        let none = Healing { max_unhealthy: Some(Amount::Count(0)), ..Healing::default() };
        assert_eq!(none.max_unhealthy(10), 0);
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        let healing = Healing::default();
        let secs: Vec<u64> = (0..=13).map(|failures| healing.delay(failures).as_secs()).collect();
        assert_eq!(secs, [0, 0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
    }

    #[test]
    fn hysteresis_is_always_possible() {
        let of = |unhealthy_checks, checks| Healing { unhealthy_checks, checks, ..Healing::default() }.hysteresis();
        assert_eq!(of(None, None), (3, 5));
        assert_eq!(of(Some(8), None), (8, 8));
        assert_eq!(of(None, Some(1)), (1, 1));
        assert_eq!(of(Some(1), Some(1)), (1, 1));
    }
}
