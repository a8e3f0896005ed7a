//! A plugin as the host remembers it: what the operator asked for, and which version of it is in use.

use serde::{Deserialize, Serialize};

use crate::spec::PluginSpec;
use crate::time::Timestamp;

/// How long a version that was swapped in is on probation: where it crashes in this time, the one before it comes back.
pub const PROBATION: std::time::Duration = std::time::Duration::from_secs(600);

/// How many crashes of a version on probation bring the one before it back.
pub const CRASHES: u32 = 3;

/// A registered plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// What the operator asked for.
    #[serde(flatten)]
    pub spec: PluginSpec,
    /// Which version is in use. None for one that was registered before versions were remembered: its file decides.
    #[serde(rename = "Locked", default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<LockedVersion>,
    /// The version before it, for a rollback.
    #[serde(rename = "Previous", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<PluginVersion>>,
    /// Whether the version in use was brought back. It has been in use before, so it is not on probation, and two versions
    /// that both crash do not take turns for ever.
    #[serde(rename = "BroughtBack", default, skip_serializing_if = "std::ops::Not::not")]
    pub brought_back: bool,
}

/// A version of a plugin: its file, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// What the operator asked for then.
    #[serde(flatten)]
    pub spec: PluginSpec,
    /// Which file it was.
    #[serde(rename = "Locked")]
    pub locked: LockedVersion,
}

/// Which file a plugin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LockedVersion {
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it came from, without what may change: a tag has become a digest.
    pub resolved: String,
    /// Since when it is in use.
    pub since: Timestamp,
}

impl PluginRecord {
    /// A plugin of which nothing is known yet but what the operator asked for.
    pub fn new(spec: PluginSpec) -> Self {
        Self { spec, locked: None, previous: None, brought_back: false }
    }

    /// The plugin with another version in the place of the one in use, which is kept for a rollback. Where the file is the
    /// same, only what it may do changes, and the version before it stays what it was.
    #[must_use]
    pub fn swapped(&self, spec: PluginSpec, locked: LockedVersion) -> Self {
        let same = self.locked.as_ref().is_some_and(|it| it.sha256 == locked.sha256);
        let in_use = self.locked.clone().map(|locked| Box::new(PluginVersion { spec: self.spec.clone(), locked }));
        match same {
            true => Self { spec, ..self.clone() },
            false => Self { spec, locked: Some(locked), previous: in_use, brought_back: false },
        }
    }

    /// The plugin with the version before it in use again; none where there is none. What is given up becomes the version
    /// before it, so that a rollback can be taken back.
    pub fn rolled_back(&self, now: Timestamp) -> Option<Self> {
        let previous = self.previous.as_deref()?;
        let given_up = self.locked.clone().map(|locked| Box::new(PluginVersion { spec: self.spec.clone(), locked }));
        Some(Self {
            spec: previous.spec.clone(),
            locked: Some(LockedVersion { since: now, ..previous.locked.clone() }),
            previous: given_up,
            brought_back: true,
        })
    }

    /// Whether this version is so young that crashes are its own fault.
    pub fn on_probation(&self, now: Timestamp) -> bool {
        !self.brought_back
            && self.previous.is_some()
            && self.locked.as_ref().is_some_and(|it| now < it.since.after(PROBATION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Grants, Limits};
    use crate::spec::PluginSource;

    fn spec(file: &str) -> PluginSpec {
        PluginSpec {
            source: PluginSource::File(file.into()),
            sha256: None,
            grants: Grants::default(),
            limits: Limits::default(),
        }
    }

    fn version(digest: &str, since: u64) -> LockedVersion {
        let resolved = format!("/{digest}.wasm");
        LockedVersion { sha256: digest.into(), size: 1, resolved, since: Timestamp(since) }
    }

    #[test]
    fn a_rollback_brings_the_version_before_it_back_and_can_be_taken_back() {
        let first = PluginRecord::new(spec("/a.wasm")).swapped(spec("/a.wasm"), version("aa", 0));
        assert_eq!(first.previous, None);
        assert_eq!(first.rolled_back(Timestamp(1)), None);
        let second = first.swapped(spec("/b.wasm"), version("bb", 5));
        assert!(second.on_probation(Timestamp(6)));
        assert!(!second.on_probation(Timestamp(5).after(PROBATION)));
        let back = second.rolled_back(Timestamp(9)).expect("there is one before it");
        assert_eq!(back.spec, first.spec);
        assert_eq!(back.locked, Some(version("aa", 9)));
        assert!(!back.on_probation(Timestamp(10)), "it would give way to the one that crashed");
        let forth = back.rolled_back(Timestamp(10)).expect("there is one before it");
        assert_eq!(forth.spec, second.spec);
    }

    #[test]
    fn the_same_file_under_other_grants_is_the_same_version() {
        let record = PluginRecord::new(spec("/a.wasm")).swapped(spec("/a.wasm"), version("aa", 0));
        let again = record.swapped(spec("/elsewhere.wasm"), version("aa", 7));
        assert_eq!((&again.locked, &again.previous), (&record.locked, &record.previous));
        assert_eq!(again.spec, spec("/elsewhere.wasm"));
    }

    #[test]
    fn one_from_before_versions_were_remembered_is_read() {
        let old = r#"{"Path": "/a.wasm", "Grants": {}, "Limits": {"Calls": 3}}"#;
        let read: PluginRecord = serde_json::from_str(old).expect("is read");
        assert_eq!((read.locked.clone(), read.spec.limits.calls), (None, 3));
        let swapped = read.swapped(spec("/b.wasm"), version("bb", 5)).swapped(spec("/c.wasm"), version("cc", 6));
        let text = serde_json::to_string(&swapped).expect("is written");
        assert_eq!(serde_json::from_str::<PluginRecord>(&text).expect("is read"), swapped);
    }
}
