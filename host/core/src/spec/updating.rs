//! How a change is rolled out: the `Updating` of a group.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::amount::{Amount, Ratio};

/// How a change is rolled out. A field that is absent has the default that its method names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Updating {
    /// InfraKit's: every new instance must have been healthy for so long before the next are replaced.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// InfraKit's: every new instance must have been healthy in so many checks in a row before the next are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Which step to leave out before an instance is destroyed for an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_before_instance_destroy: Option<SkipStep>,
    /// How many of the declared instances may be unavailable because of an update. A share is rounded down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Amount>,
    /// How many more than declared there may be during an update. A share is rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<Amount>,
    /// Whether the new or the old comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<RollOrder>,
    /// How long a new instance must have been healthy to count as available.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub min_ready: Option<Duration>,
    /// How long a new instance may take to become healthy before it counts as failed.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub healthy_deadline: Option<Duration>,
    /// How long a rollout may go on without one more healthy new instance.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<Duration>,
    /// Which share of the instances to replace may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failure_ratio: Option<Ratio>,
    /// How long after it became healthy a new instance that fails counts against the rollout.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Duration>,
    /// What to do when too many fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How many are replaced first, before all others wait for a promotion. A share is rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Amount>,
    /// Whether healthy canaries are promoted without an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_promote: Option<bool>,
    /// Shares of the group at which the rollout rests for `Bake`, rising.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Amount>,
    /// How long it rests at a checkpoint.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub bake: Option<Duration>,
    /// How many revisions are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_revisions: Option<u32>,
    /// How pets are made: one after the other, or all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PetStart>,
    /// Whether another version of a plugin makes the instances out of date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_plugin_change: Option<OnPluginChange>,
}

/// What another version of a plugin means for the instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnPluginChange {
    /// Nothing: they stay as they are, and the new version looks after them.
    #[default]
    Keep,
    /// They are out of date, and replaced as for any other change.
    Roll,
}

/// How many may be missing, and how many there may be too many, during an update. At least one of the two is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// More than declared.
    pub surge: usize,
    /// Fewer than declared.
    pub unavailable: usize,
}

impl Updating {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What a rollout of a group of `size` may spend. Kubernetes' rules: a share of surge is rounded up and one of
    /// unavailability down, and where both come to nothing one may be unavailable. Without any field it is InfraKit's: one
    /// unavailable, none too many. Pets never have two of one identity, so they are never too many.
    pub fn budget(&self, size: usize, pets: bool) -> Budget {
        let one = Amount::Count(1);
        let (surge, unavailable) = match self.order {
            _ if pets => (Amount::Count(0), self.max_unavailable.unwrap_or(one)),
            Some(RollOrder::StartFirst) => (self.max_surge.unwrap_or(one), Amount::Count(0)),
            Some(RollOrder::StopFirst) => (Amount::Count(0), self.max_unavailable.unwrap_or(one)),
            None => {
                let surge = self.max_surge.unwrap_or(Amount::Count(0));
                (surge, self.max_unavailable.unwrap_or(if surge.is_zero() { one } else { Amount::Count(0) }))
            }
        };
        let budget = Budget { surge: surge.ceil(size), unavailable: unavailable.floor(size).min(size) };
        match budget {
            Budget { surge: 0, unavailable: 0 } => Budget { surge: 0, unavailable: 1 },
            budget => budget,
        }
    }

    /// How long a new instance must have been healthy: the longer of `MinReady` and `Duration`. Default: no time.
    pub fn ready_after(&self) -> Duration {
        self.min_ready.unwrap_or_default().max(self.duration.unwrap_or_default())
    }

    /// In how many checks in a row it must have been healthy. Default: one.
    pub fn ready_checks(&self) -> u32 {
        self.count.unwrap_or(0).max(1)
    }

    /// `HealthyDeadline`; Nomad's default, 5 minutes, and never less than the instance must have been healthy for.
    pub fn healthy_deadline(&self) -> Duration {
        self.healthy_deadline.unwrap_or(Duration::from_secs(300).max(self.ready_after() * 2))
    }

    /// `ProgressDeadline`; Nomad's default, 10 minutes, and never less than twice `HealthyDeadline`.
    pub fn progress_deadline(&self) -> Duration {
        self.progress_deadline.unwrap_or(Duration::from_secs(600).max(self.healthy_deadline() * 2))
    }

    /// `MaxFailureRatio`; SwarmKit's default, none may fail.
    pub fn max_failure_ratio(&self) -> Ratio {
        self.max_failure_ratio.unwrap_or_default()
    }

    /// `Monitor`; SwarmKit's default, 5 seconds.
    pub fn monitor(&self) -> Duration {
        self.monitor.unwrap_or(Duration::from_secs(5))
    }

    /// `OnFailure`; SwarmKit's default, pause.
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure.unwrap_or_default()
    }

    /// `AutoPromote`; Nomad's default, no.
    pub fn auto_promote(&self) -> bool {
        self.auto_promote.unwrap_or(false)
    }

    /// `Bake`; no time by default.
    pub fn bake(&self) -> Duration {
        self.bake.unwrap_or_default()
    }

    /// `KeepRevisions`; Kubernetes' default, 10. At least two: the one in force and the one to go back to.
    pub fn keep_revisions(&self) -> usize {
        self.keep_revisions.unwrap_or(10).max(2) as usize
    }

    /// `Start`; Kubernetes' default for stateful sets, one after the other.
    pub fn start(&self) -> PetStart {
        self.start.unwrap_or_default()
    }
}

/// A step that a rolling update may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SkipStep {
    /// Destroy without draining.
    Drain,
}

/// Whether the new or the old comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollOrder {
    /// A new instance is available before an old one is taken away: `MaxSurge`, by default 1, and no `MaxUnavailable`.
    StartFirst,
    /// An old instance is gone before a new one is made: `MaxUnavailable`, by default 1, and no `MaxSurge`.
    StopFirst,
}

/// What to do when too many new instances fail, or when the rollout makes no progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Stop, and wait for an operator or another spec.
    #[default]
    Pause,
    /// Count no failures; go on as far as `MaxUnavailable` lets it. No progress still ends in a pause.
    Continue,
    /// Go back to the last revision that was stable.
    Rollback,
}

/// How pets that are missing are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PetStart {
    /// In the order of the list; the next when the one before is ready, or has missed its `HealthyDeadline`.
    #[default]
    Ordered,
    /// All at once.
    Parallel,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(
        surge: Option<Amount>,
        unavailable: Option<Amount>,
        order: Option<RollOrder>,
        size: usize,
    ) -> (usize, usize) {
        let updating = Updating { max_surge: surge, max_unavailable: unavailable, order, ..Updating::default() };
        let budget = updating.budget(size, false);
        (budget.surge, budget.unavailable)
    }

    #[test]
    fn budgets_round_as_kubernetes_does() {
        let quarter = Some(Amount::Percent(25));
        for (size, expected) in [(1, (1, 0)), (3, (1, 0)), (4, (1, 1)), (10, (3, 2)), (100, (25, 25))] {
            assert_eq!(budget(quarter, quarter, None, size), expected, "25% and 25% of {size}");
        }
        let tenth = Some(Amount::Percent(10));
        assert_eq!(budget(None, tenth, None, 5), (0, 1), "both come to nothing, so that one may be unavailable");
    }

    #[test]
    fn without_fields_it_is_one_at_a_time() {
        assert_eq!(budget(None, None, None, 10), (0, 1));
        assert_eq!(budget(Some(Amount::Count(2)), None, None, 10), (2, 0));
        assert_eq!(budget(None, None, Some(RollOrder::StartFirst), 10), (1, 0));
        assert_eq!(budget(None, Some(Amount::Count(3)), Some(RollOrder::StopFirst), 10), (0, 3));
    }

    #[test]
    fn pets_are_never_too_many() {
        let updating = Updating { max_surge: Some(Amount::Count(3)), ..Updating::default() };
        assert_eq!(updating.budget(5, true), Budget { surge: 0, unavailable: 1 });
    }
}
