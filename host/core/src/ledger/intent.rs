//! What was set in motion: one intent for each instance being made or destroyed.

use serde::{Deserialize, Serialize};

use super::healing::SlotKey;
use crate::outcome::DestroyReason;
use crate::time::Timestamp;

/// An instance being made or destroyed, as it is written down before the call is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// To make one; the key is its name.
    Create(Creation),
    /// To destroy one; the key is its id.
    Destroy(Removal),
}

/// An instance being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Creation {
    /// The slot it will fill.
    pub slot: u32,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// The revision of the config that it is made from.
    pub revision: u64,
    /// The hash of that config.
    pub hash: String,
    /// When it was asked for.
    pub since: Timestamp,
    /// How far it is.
    pub status: Status,
    /// When the list did not show the effect of an earlier call under the same name, which may yet come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Timestamp>,
}

impl Creation {
    /// The slot as healing counts it.
    pub(crate) fn slot_key(&self) -> SlotKey {
        SlotKey::new(Some(self.slot), self.logical_id.as_deref())
    }
}

/// An instance being destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Removal {
    /// The name of the instance: an id may be used again, a name is not.
    #[serde(default)]
    pub name: String,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// Why.
    pub reason: DestroyReason,
    /// When it was asked for.
    pub since: Timestamp,
    /// How far it is.
    pub status: Status,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The call runs.
    InFlight,
    /// The provider accepted it at that time; the list does not show it yet.
    Accepted(Timestamp),
    /// The call was cut off at that time: its effect may or may not exist.
    Unknown(Timestamp),
    /// It was cut off, and the list of that time did not show its effect: it may be repeated under the same name.
    Absent(Timestamp),
}

impl Status {
    /// The same after a restart of the host: what ran was cut off. The clock may have jumped, so that all waits begin anew.
    #[must_use]
    pub fn recovered(self, now: Timestamp) -> Self {
        match self {
            Self::InFlight => Self::Unknown(now),
            Self::Accepted(_) => Self::Accepted(now),
            Self::Unknown(_) => Self::Unknown(now),
            Self::Absent(_) => Self::Absent(now),
        }
    }
}
