//! What the host has seen of each instance, look by look. None of it is stored: it is seen again after a restart.

use std::time::Duration;

use crate::mutant::{self, Mutant};
use crate::observed::{Health, HealthReport, Instance};
use crate::spec::{Healing, Updating};
use crate::time::Timestamp;

/// What the host has seen of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The instance.
    pub id: String,
    /// Its name: an id may be used again, a name is not.
    pub name: String,
    /// When it was first listed, or made, whichever the host knows to be earlier.
    pub since: Timestamp,
    /// When this host first listed it, in this life of the host.
    pub seen: Timestamp,
    /// The last judgement of its flavor.
    pub health: HealthReport,
    /// Whether it was ever judged: what was not may be as healthy as any.
    pub judged: bool,
    /// Since when, and in how many checks in a row, it has been healthy and running.
    pub healthy: Option<HealthyRun>,
    /// When it was first healthy.
    pub first_healthy: Option<Timestamp>,
    /// When it was last seen healthy.
    pub last_healthy: Option<Timestamp>,
    /// Since when it has been unhealthy without being healthy in between.
    pub unwell_since: Option<Timestamp>,
    /// The last checks that count for healing: a bit each, the newest lowest, set where it said unhealthy.
    checks: u32,
    /// When the newest of them was.
    checked: Option<Timestamp>,
}

/// A run of good health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthyRun {
    /// When the run began.
    pub since: Timestamp,
    /// Checks in the run.
    pub checks: u32,
}

impl Track {
    /// Of an instance that is listed for the first time.
    /// `asked` is when this host asked for it, if it did.
    pub(super) fn new(instance: &Instance, asked: Option<Timestamp>, now: Timestamp) -> Self {
        // A provider's clock may be wrong. No instance is younger than now, or older than it was asked for.
        let since = instance.created_at_ms.map_or(now, |at| Timestamp(at).max(asked.unwrap_or_default()).min(now));
        Self {
            id: instance.id.clone(),
            name: instance.name.clone(),
            since,
            seen: now,
            health: HealthReport::default(),
            judged: false,
            healthy: None,
            first_healthy: None,
            last_healthy: None,
            unwell_since: None,
            checks: 0,
            checked: None,
        }
    }

    /// Whether it is of this instance, and not of one that had its id before.
    pub(super) fn is_of(&self, instance: &Instance) -> bool {
        self.id == instance.id && (self.name == instance.name || mutant::is(Mutant::IdIsForEver))
    }

    /// Take in a judgement that was asked for at that time.
    pub(super) fn judge(&mut self, report: HealthReport, running: bool, at: Timestamp, interval: Duration) {
        let status = if running { report.status } else { Health::Unknown };
        match status {
            Health::Healthy => {
                self.unwell_since = None;
                self.first_healthy.get_or_insert(at);
                self.last_healthy = Some(at);
                match &mut self.healthy {
                    Some(run) => run.checks = run.checks.saturating_add(1),
                    None => self.healthy = Some(HealthyRun { since: at, checks: 1 }),
                }
            }
            Health::Unhealthy => {
                self.healthy = None;
                self.unwell_since.get_or_insert(at);
            }
            Health::Unknown => self.healthy = None,
        }
        // What cannot be told is no check: it speaks neither for the instance nor against it.
        if status != Health::Unknown && self.checked.is_none_or(|it| at.since(it) >= interval) {
            self.checks = self.checks << 1 | u32::from(status == Health::Unhealthy);
            self.checked = Some(at);
        }
        self.health = report;
        self.judged = true;
    }

    /// Take in that it does not run: good health has ended, though no flavor says so.
    pub(super) fn halt(&mut self, at: Timestamp) {
        self.healthy = None;
        self.unwell_since.get_or_insert(at);
    }

    /// Whether it counts as available to an update: it has been healthy for long enough and in enough checks.
    pub fn is_ready(&self, updating: &Updating, now: Timestamp) -> bool {
        self.healthy
            .is_some_and(|run| now.since(run.since) >= updating.ready_after() && run.checks >= updating.ready_checks())
    }

    /// Whether it is unhealthy beyond doubt: in n of the last m checks, the last one included, and past its start-up
    /// grace, which ends with the first check that said healthy.
    pub fn is_sick(&self, healing: &Healing, now: Timestamp) -> bool {
        if self.health.status != Health::Unhealthy || self.checks & 1 == 0 {
            return false;
        }
        let (unhealthy, checks) = healing.hysteresis();
        let window = if checks >= u32::BITS { u32::MAX } else { (1 << checks) - 1 };
        (self.checks & window).count_ones() >= unhealthy
            && (self.first_healthy.is_some() || now.since(self.since) >= healing.startup_grace())
    }

    /// Whether it was never seen healthy, or not so long after it first was: that it fails speaks against its config. When
    /// it failed is not known better than that.
    pub fn is_unproven(&self, monitor: Duration) -> bool {
        let span = self.first_healthy.zip(self.last_healthy).map(|(first, last)| last.since(first));
        span.is_none_or(|it| it < monitor)
    }

    /// Whether it has been healthy for so long, up to when it fell ill or now.
    pub fn was_healthy_for(&self, least: Duration, now: Timestamp) -> bool {
        let end = self.unwell_since.unwrap_or(now);
        self.first_healthy.is_some_and(|since| end.since(since) >= least)
    }
}
