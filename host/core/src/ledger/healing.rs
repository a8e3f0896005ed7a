//! How often the instances of each slot were replaced for being broken. Stored: a crash loop survives the host's restart.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mutant::{self, Mutant};
use crate::spec::Healing;
use crate::time::Timestamp;

/// A slot as healing counts it: the identity of a pet, or else the number of the slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotKey(pub String);

impl SlotKey {
    /// The key of a slot.
    pub fn new(slot: Option<u32>, logical_id: Option<&str>) -> Self {
        match (logical_id, slot) {
            (Some(id), _) => Self(id.to_owned()),
            (None, Some(slot)) => Self(slot.to_string()),
            (None, None) => Self("-".into()),
        }
    }
}

impl std::fmt::Display for SlotKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The replacements of broken instances in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Retry {
    /// Replacements without a healthy time of `MinHealthy` in between.
    pub failures: u32,
    /// When the first of them was.
    pub since: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
    /// Whether the last replacement is not ready yet.
    pub in_flight: bool,
}

/// Whether a broken instance may be replaced now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may, and this is the replacement's number in a row.
    Replace(u32),
    /// Not before then: it was replaced too short a time ago.
    Wait {
        /// Replacements so far.
        failures: u32,
        /// When it may.
        until: Timestamp,
    },
    /// Not until an operator resets it.
    Exhausted {
        /// Replacements so far.
        failures: u32,
        /// Since when.
        since: Timestamp,
    },
}

/// Replacements by slot; slots in which all is well have no entry.
pub type Retries = BTreeMap<SlotKey, Retry>;

/// Whether the broken instance of a slot may be replaced. `recovered` says whether it had been healthy for `MinHealthy`,
/// so that its failure is a new one.
pub fn judge(retries: &Retries, key: &SlotKey, recovered: bool, healing: &Healing, now: Timestamp) -> Verdict {
    if healing.max_retries() == 0 {
        return Verdict::Exhausted { failures: 0, since: now };
    }
    let Some(retry) = retries.get(key).filter(|_| !recovered) else { return Verdict::Replace(1) };
    if mutant::is(Mutant::RetriesUnlimited) {
        return Verdict::Replace(1);
    }
    if retry.failures >= healing.max_retries() {
        return Verdict::Exhausted { failures: retry.failures, since: retry.last };
    }
    let until = retry.last.after(healing.delay(retry.failures + 1));
    if now < until { Verdict::Wait { failures: retry.failures, until } } else { Verdict::Replace(retry.failures + 1) }
}

/// Note that a replacement begins.
pub fn begin(retries: &mut Retries, key: SlotKey, failures: u32, now: Timestamp) {
    let retry = retries.entry(key).or_insert(Retry { failures, since: now, last: now, in_flight: true });
    if failures == 1 {
        retry.since = now;
    }
    *retry = Retry { failures, last: now, in_flight: true, ..*retry };
}

/// After a restart with another clock, no wait is longer than it could have been.
pub(super) fn recover(retries: &mut Retries, now: Timestamp) {
    for retry in retries.values_mut() {
        retry.last = retry.last.min(now);
        retry.since = retry.since.min(now);
    }
}

/// How long a slot is remembered after its last replacement, if nothing is seen of it.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_is_slowed_and_then_stopped() {
        let healing = Healing::default();
        let (key, mut retries, mut now) = (SlotKey("1".into()), Retries::new(), Timestamp(0));
        let mut waits = Vec::new();
        loop {
            match judge(&retries, &key, false, &healing, now) {
                Verdict::Replace(failures) => begin(&mut retries, key.clone(), failures, now),
                Verdict::Wait { until, .. } => {
                    waits.push(until.since(now).as_secs());
                    now = until;
                }
                Verdict::Exhausted { failures, .. } => {
                    assert_eq!(failures, 5);
                    break;
                }
            }
        }
        assert_eq!(waits, [10, 20, 40, 80]);
        assert_eq!(judge(&retries, &key, true, &healing, now), Verdict::Replace(1), "it was healthy for long enough");
        let never = Healing { max_retries: Some(0), ..healing };
        assert_eq!(judge(&Retries::new(), &key, false, &never, now), Verdict::Exhausted { failures: 0, since: now });
    }
}
