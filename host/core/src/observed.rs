//! What the provider said exists, and how healthy it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tags::{self, Tags};
use crate::time::Timestamp;

/// Where an instance is in its life, as its provider sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// Asked for, not usable yet.
    Pending,
    /// Usable, as far as the provider knows.
    Running,
    /// On its way out.
    Stopping,
    /// It exists and does not run.
    Stopped,
    /// The provider gave up on it.
    Failed,
}

impl InstanceState {
    /// The state in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether the instance is, or soon will be, of use.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// One instance as its provider describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// The provider's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name it was provisioned with; empty for one that was not.
    pub name: String,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Why it is in that state.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at_ms: Option<u64>,
    /// Where to reach it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// All its tags.
    pub tags: Tags,
    /// What else the provider knows, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Value>,
}

impl Instance {
    /// The config hash it was made from, where it says.
    pub fn config_hash(&self) -> Option<&str> {
        self.tags.get(tags::CONFIG_HASH).map(String::as_str)
    }

    /// Whether it was made from the config with this hash, or is to be taken as if it were.
    pub fn is_current(&self, hash: &str) -> bool {
        self.config_hash().is_some_and(|it| it == hash || it == tags::BOOTSTRAP)
    }

    /// Its logical id: the provider's word, or else the tag's (InfraKit's rule).
    pub fn logical_id(&self) -> Option<&str> {
        self.logical_id.as_deref().or_else(|| self.tags.get(tags::LOGICAL_ID).map(String::as_str))
    }

    /// The slot it says it fills.
    pub fn slot(&self) -> Option<u32> {
        self.tags.get(tags::SLOT)?.parse().ok()
    }
}

/// Something a plugin found and does not count as an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// What it is about, in the provider's words.
    pub subject: String,
    /// What is wrong with it.
    pub message: String,
}

/// All pages of one listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The instances, each id once.
    pub instances: Vec<Instance>,
    /// Whether the plugin says that this is all there is.
    pub complete: bool,
    /// What was found and not counted.
    pub findings: Vec<Finding>,
}

/// How an instance is, in its flavor's judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It cannot be told. Neither healthy nor unhealthy.
    #[default]
    Unknown,
    /// It does its work.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Health {
    /// The health in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A flavor's judgement of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthReport {
    /// How it is.
    pub status: Health,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One look at a group: what its instance plugin lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// When the look began. What happened later may not show in it.
    pub started: Timestamp,
    /// The instances that carry the group's tag.
    pub instances: Vec<Instance>,
    /// Whether this is all there is.
    pub complete: bool,
    /// What was found and not counted.
    pub findings: Vec<Finding>,
    /// The flavor's ranking for removal, the most dispensable first, by id; none where it was not asked, or did not answer.
    pub ranking: Option<Vec<String>>,
}
