//! What was declared: groups, and the plugins that keep them.
//!
//! The JSON names are InfraKit's (`ID`, `Properties`, `Allocation`, ...). Reading a document into these types, with its
//! checks and its error messages, is [`crate::document`]'s work; here are the types and how they are written back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::grant::{Grants, Limits};

mod amount;
mod healing;
mod removal;
mod source;
mod updating;

pub use amount::{Amount, Ratio};
pub use healing::Healing;
pub use removal::{Removal, VictimOrder};
pub use source::{MAX_PLUGIN_SIZE, PluginSource};
pub use updating::{Budget, OnFailure, OnPluginChange, PetStart, RollOrder, SkipStep, Updating};

/// The most instances a group may declare. A typing error of three zeros is caught here, not on the bill.
pub const MAX_GROUP_SIZE: u32 = 100_000;

/// A whole document: plugins to register, and groups to keep.
///
/// Written as JSON it is a document that [`crate::document`] reads back as the same stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stack {
    /// Plugins by the name that groups use.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, PluginSpec>,
    /// Groups in the order of the document; ids are unique.
    pub groups: Vec<GroupSpec>,
}

/// A plugin as the operator registers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginSpec {
    /// Where the component's file comes from.
    #[serde(rename = "Path")]
    pub source: PluginSource,
    /// The SHA-256 that the file must have, in lower-case hexadecimal: a pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it may touch. Nothing by default.
    #[serde(default)]
    pub grants: Grants,
    /// What a call may cost.
    #[serde(default)]
    pub limits: Limits,
}

/// A group as declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// The group's id, unique on a host; see [`valid_group_id`].
    #[serde(rename = "ID")]
    pub id: String,
    /// Everything else.
    #[serde(rename = "Properties")]
    pub properties: GroupProperties,
}

/// The `Properties` of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupProperties {
    /// How many, or which.
    pub allocation: Allocation,
    /// What makes the instances.
    pub instance: PluginUse,
    /// What runs on them.
    pub flavor: PluginUse,
    /// How a change is rolled out.
    #[serde(default, skip_serializing_if = "Updating::is_default")]
    pub updating: Updating,
    /// How broken instances are replaced.
    #[serde(default, skip_serializing_if = "Healing::is_default")]
    pub healing: Healing,
    /// How instances that are too many are taken away.
    #[serde(default, skip_serializing_if = "Removal::is_default")]
    pub removal: Removal,
}

/// Which plugin, with which properties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginUse {
    /// A registered name, or a path that ends in `.wasm`.
    pub plugin: String,
    /// The version of the plugin that instances are to be made with, as the SHA-256 of its file. Known only where a group
    /// asks for a rollout when a plugin changes; the host fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The plugin's own; `Null` where the document has none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub properties: Value,
}

/// How a group counts its instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allocation {
    /// So many alike (cattle), at most [`MAX_GROUP_SIZE`].
    Size(u32),
    /// One for each identity (pets): in order, without duplicates.
    #[serde(rename = "LogicalIDs")]
    LogicalIds(Vec<String>),
}

impl Allocation {
    /// How many instances are declared.
    pub fn len(&self) -> usize {
        match self {
            Self::Size(n) => *n as usize,
            Self::LogicalIds(ids) => ids.len(),
        }
    }

    /// Whether each instance has an identity of its own.
    pub fn is_pets(&self) -> bool {
        matches!(self, Self::LogicalIds(_))
    }

    /// Whether this is one of the declared identities; never, where instances are only counted.
    pub fn names(&self, logical_id: Option<&str>) -> bool {
        match self {
            Self::Size(_) => false,
            Self::LogicalIds(ids) => logical_id.is_some_and(|id| ids.iter().any(|declared| declared == id)),
        }
    }

    /// Whether none is declared.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether `id` may name a group: 1 to 63 bytes of `[A-Za-z0-9._-]`, beginning with a letter or a digit. It becomes a
/// part of instance names and a tag's value, both of which providers restrict.
pub fn valid_group_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && id.as_bytes()[0].is_ascii_alphanumeric()
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `name` may name a plugin: 1 to 128 bytes of `[A-Za-z0-9._/-]`, beginning with a letter or a digit, and not
/// ending in `.wasm`, which is how a use tells a file from a name. InfraKit's names (`aws/ec2-instance`) fit.
pub fn valid_plugin_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'))
        && !name.ends_with(".wasm")
}

/// One instance as it should be made: what a flavor prepares and an instance plugin provisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct InstanceSpec {
    /// The instance plugin's properties.
    pub properties: Value,
    /// Tags to store on the instance.
    pub tags: crate::tags::Tags,
    /// A script to run when it boots; empty for none.
    pub init: String,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// What to attach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// Something outside the instance that is bound to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The provider's id of it.
    #[serde(rename = "ID")]
    pub id: String,
    /// What kind of thing it is.
    #[serde(rename = "Type")]
    pub kind: String,
}
