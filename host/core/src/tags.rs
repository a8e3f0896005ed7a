//! The tags by which instances are found again. InfraKit's keys are kept, so that its machines can be taken over.

use std::collections::BTreeMap;

/// Tags of an instance or a spec. Ordered, so that what is made from them is deterministic.
pub type Tags = BTreeMap<String, String>;

/// Which group an instance belongs to.
pub const GROUP: &str = "infrakit.group";
/// The [config hash](crate::hash) that an instance was made from.
pub const CONFIG_HASH: &str = "infrakit.config.hash";
/// The logical id of a pet.
pub const LOGICAL_ID: &str = "infrakit.logical_id";
/// The number of the slot that an instance fills. Homeostat's own: InfraKit had no slots.
pub const SLOT: &str = "homeostat.slot";
/// The value of [`CONFIG_HASH`] that asks for adoption: an instance so tagged is taken as up to date and relabelled.
pub const BOOTSTRAP: &str = "bootstrap";

/// The tags that all instances of a group carry, and no others: what to list them by.
pub fn of_group(id: &str) -> Tags {
    Tags::from([(GROUP.to_owned(), id.to_owned())])
}

/// Whether a tag is the host's own, which no flavor may set or change.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with("infrakit.") || key.starts_with("homeostat.")
}
