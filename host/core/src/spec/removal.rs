//! How instances that are too many are taken away: the `Removal` of a group.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How instances that are too many are taken away, and how long what leaves may take over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Removal {
    /// Which go first among those that are equally dispensable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<VictimOrder>,
    /// How long an instance may take to be drained.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub drain_deadline: Option<Duration>,
}

impl Removal {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `Order`; the newest go first by default.
    pub fn order(&self) -> VictimOrder {
        self.order.unwrap_or_default()
    }

    /// `DrainDeadline`; 60 seconds by default.
    pub fn drain_deadline(&self) -> Duration {
        self.drain_deadline.unwrap_or(Duration::from_secs(60))
    }
}

/// Which instances go first, after the unprotected, the outdated, the unhealthy and those that are not ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VictimOrder {
    /// Those made last.
    #[default]
    Newest,
    /// Those made first.
    Oldest,
    /// As the flavor plugin ranks them; it has to export the interface `removal`.
    Plugin,
}
