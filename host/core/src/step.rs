//! What a plan is made of.

use serde::{Deserialize, Serialize};

use crate::observed::{Instance, InstanceState};
use crate::outcome::DestroyReason;
use crate::tags::Tags;
use crate::time::Timestamp;

/// One thing to do, with nothing left to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// Why, for a person.
    pub why: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Make an instance.
    Provision(Provision),
    /// Drain and destroy an instance.
    Destroy(Destroy),
    /// Put tags on an instance (adoption).
    Label(Label),
}

/// Make an instance: the flavor prepares the spec, the instance plugin provisions it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Provision {
    /// The idempotency key.
    pub name: String,
    /// Which slot it fills.
    pub slot: u32,
    /// The identity of a pet.
    #[serde(rename = "LogicalID")]
    pub logical_id: Option<String>,
    /// The revision of the config that it is made from.
    pub revision: u64,
    /// The hash of that config.
    pub hash: String,
    /// The host's tags.
    pub tags: Tags,
}

/// Destroy an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Destroy {
    /// The provider's id.
    pub id: String,
    /// Why, as the plugin is told.
    pub reason: DestroyReason,
    /// Whether its work leaves it first.
    pub drain: Drain,
    /// The name it was made with.
    pub name: String,
    /// Its slot, where it says.
    pub slot: Option<u32>,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// Where it is replaced for being broken: the how-manieth time in a row in its slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
}

/// Whether an instance is drained before it is destroyed. The rules are InfraKit's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drain {
    /// Not at all: it is dead, or the spec says so.
    Skip,
    /// Yes, and destroy it also when that fails (termination).
    Try,
    /// Yes, and leave it where that fails (rolling update).
    Must,
}

/// Put tags on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Label {
    /// The provider's id.
    pub id: String,
    /// The tags to add or overwrite.
    pub tags: Tags,
}

/// The kinds of work that back off apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Listing instances.
    Observe,
    /// Preparing and provisioning.
    Provision,
    /// Draining and destroying.
    Destroy,
    /// Labelling.
    Label,
}

impl Provision {
    /// The instance that this leads to, where nothing goes wrong.
    pub(crate) fn instance(&self, now: Timestamp) -> Instance {
        Instance {
            id: self.name.clone(),
            name: self.name.clone(),
            logical_id: self.logical_id.clone(),
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: Some(now.0),
            addresses: Vec::new(),
            tags: self.tags.clone(),
            properties: None,
        }
    }
}

impl Action {
    /// Which kind of work it is.
    pub fn work(&self) -> Work {
        match self {
            Self::Provision(_) => Work::Provision,
            Self::Destroy(_) => Work::Destroy,
            Self::Label(_) => Work::Label,
        }
    }

    /// What it acts on: the name or the id of an instance.
    pub fn subject(&self) -> &str {
        match self {
            Self::Provision(it) => &it.name,
            Self::Destroy(it) => &it.id,
            Self::Label(it) => &it.id,
        }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Observe => "list instances",
            Self::Provision => "provision",
            Self::Destroy => "destroy",
            Self::Label => "label",
        })
    }
}
