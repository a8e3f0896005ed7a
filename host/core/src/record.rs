//! A group as the host remembers it: the spec in force, what operators asked for, and the configs it had before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::hash::config_hash;
use crate::spec::{GroupSpec, PluginUse};
use crate::time::Timestamp;

/// What is to become of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Keep it as declared.
    #[default]
    Keep,
    /// Destroy all its instances.
    Destroy,
}

/// A group as it is remembered. Only operators, and rollbacks, change it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupRecord {
    /// The spec in force.
    pub spec: GroupSpec,
    /// 1 for the first spec, one more for each change.
    pub revision: u64,
    /// Kept, or being destroyed.
    pub goal: Goal,
    /// Instances that an operator asked to be destroyed, by id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub condemned: BTreeSet<String>,
    /// Instances that nothing destroys before an operator allows it, by id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protected: BTreeSet<String>,
    /// Instances without an identity take over identities that nobody holds: cattle become pets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub converting: bool,
    /// The configs of this group, oldest first; the last one is in force.
    #[serde(default)]
    pub configs: Vec<Config>,
}

/// The part of a spec that instances are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// The revision that brought it.
    pub revision: u64,
    /// Its [config hash](crate::hash).
    pub hash: String,
    /// When it was committed.
    pub at: Timestamp,
    /// What makes the instances.
    pub instance: PluginUse,
    /// What runs on them.
    pub flavor: PluginUse,
    /// The revision that it took the place of, where it is a return to an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<u64>,
}

impl GroupRecord {
    /// A group that is committed for the first time.
    pub fn new(spec: GroupSpec, now: Timestamp) -> Self {
        let mut record = Self {
            spec,
            revision: 1,
            goal: Goal::Keep,
            condemned: BTreeSet::new(),
            protected: BTreeSet::new(),
            converting: false,
            configs: Vec::new(),
        };
        record.mend(now);
        record
    }

    /// Add the config in force where it is missing: records of format 1 had none.
    pub fn mend(&mut self, now: Timestamp) {
        let properties = &self.spec.properties;
        let hash = config_hash(&properties.instance, &properties.flavor);
        if self.configs.last().is_none_or(|it| it.hash != hash) {
            let (instance, flavor) = (properties.instance.clone(), properties.flavor.clone());
            self.configs.push(Config { revision: self.revision, hash, at: now, instance, flavor, rollback_of: None });
        }
    }

    /// The config in force.
    ///
    /// # Panics
    /// Never: a record is made with one, and [`mend`](Self::mend) adds it to what was read from a store.
    pub fn config(&self) -> &Config {
        self.configs.last().expect("a record has a config")
    }

    /// The config that a revision brought, where it is still remembered.
    pub fn config_of(&self, revision: u64) -> Option<&Config> {
        self.configs.iter().find(|it| it.revision == revision)
    }

    /// The same group with another spec: one revision on, if that is a change. Of the configs, as many are kept as the
    /// spec says, and in any case the last one that is in `stable`.
    #[must_use]
    pub fn commit(&self, spec: GroupSpec, stable: &BTreeSet<u64>, now: Timestamp) -> Self {
        let mut record = self.clone();
        if record.spec == spec {
            return record;
        }
        record.spec = spec;
        record.revision += 1;
        record.mend(now);
        record.prune(stable);
        record
    }

    /// The same group with the instance and flavor part of an earlier revision; the allocation and all policies stay as
    /// they are. None where that revision is not remembered, or is in force.
    #[must_use]
    pub fn roll_back(&self, to: u64, stable: &BTreeSet<u64>, now: Timestamp) -> Option<Self> {
        let target = self.config_of(to).filter(|it| it.hash != self.config().hash)?.clone();
        let mut record = self.clone();
        record.revision += 1;
        record.spec.properties.instance = target.instance.clone();
        record.spec.properties.flavor = target.flavor.clone();
        let rollback_of = Some(self.config().revision);
        record.configs.push(Config { revision: record.revision, at: now, rollback_of, ..target });
        record.prune(stable);
        Some(record)
    }

    /// The last config but the one in force that was stable: where a rollback leads.
    pub fn last_stable(&self, stable: &BTreeSet<u64>) -> Option<&Config> {
        let current = &self.config().hash;
        self.configs.iter().rev().find(|it| stable.contains(&it.revision) && it.hash != *current)
    }

    fn prune(&mut self, stable: &BTreeSet<u64>) {
        let keep = self.spec.properties.updating.keep_revisions();
        let saved = self.last_stable(stable).map(|it| it.revision);
        while self.configs.len() > keep {
            let Some(oldest) = self.configs.iter().position(|it| Some(it.revision) != saved) else { return };
            if oldest + 1 == self.configs.len() {
                return;
            }
            self.configs.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::{Allocation, GroupProperties};

    fn spec(init: &str, size: u32) -> GroupSpec {
        let properties = GroupProperties {
            allocation: Allocation::Size(size),
            instance: PluginUse { plugin: "file".into(), digest: None, properties: json!({}) },
            flavor: PluginUse { plugin: "vanilla".into(), digest: None, properties: json!({ "Init": [init] }) },
            updating: Default::default(),
            healing: Default::default(),
            removal: Default::default(),
        };
        GroupSpec { id: "web".into(), properties }
    }

    fn stable(revisions: &[u64]) -> BTreeSet<u64> {
        revisions.iter().copied().collect()
    }

    #[test]
    fn scaling_brings_a_revision_and_no_config() {
        let first = GroupRecord::new(spec("a", 3), Timestamp(1));
        let scaled = first.commit(spec("a", 5), &stable(&[]), Timestamp(2));
        assert_eq!((scaled.revision, scaled.configs.len(), scaled.config().revision), (2, 1, 1));
        assert_eq!(scaled.commit(spec("a", 5), &stable(&[]), Timestamp(3)), scaled, "the same spec is no change");
    }

    #[test]
    fn a_rollback_keeps_the_size_and_names_what_it_replaced() {
        let first = GroupRecord::new(spec("a", 3), Timestamp(1));
        let second = first.commit(spec("b", 3), &stable(&[1]), Timestamp(2));
        let scaled = second.commit(spec("b", 9), &stable(&[1]), Timestamp(3));
        let back = scaled.roll_back(1, &stable(&[1]), Timestamp(4)).unwrap();
        assert_eq!(back.spec, spec("a", 9));
        assert_eq!((back.revision, back.config().rollback_of), (4, Some(2)));
        assert_eq!(back.config().hash, first.config().hash);
        assert_eq!(back.roll_back(1, &stable(&[1]), Timestamp(5)), None, "it is there already");
    }

    #[test]
    fn the_last_stable_config_is_never_forgotten() {
        let mut record = GroupRecord::new(spec("stable", 1), Timestamp(1));
        for n in 0..50 {
            record = record.commit(spec(&format!("broken {n}"), 1), &stable(&[1]), Timestamp(2));
        }
        assert_eq!(record.configs.len(), 10);
        assert_eq!(record.last_stable(&stable(&[1])).map(|it| it.revision), Some(1));
        assert_eq!(record.config().revision, 51);
    }

    #[test]
    fn a_record_of_format_1_is_mended() {
        let text = json!({ "Spec": spec("a", 3), "Revision": 7, "Goal": "Keep" });
        let mut record: GroupRecord = serde_json::from_value(text).unwrap();
        record.mend(Timestamp(5));
        assert_eq!((record.config().revision, record.configs.len()), (7, 1));
    }
}
