//! Whether a state file is sound, and what it says is under way.

use std::path::Path;

use homeostat_core::ledger::Intent;
use redb::{ReadableDatabase, ReadableTable};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::fault::guarded;
use super::tables::EVENTS;
use super::{file, load};
use crate::store::StoreError;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Checked {
    /// The file.
    pub path: String,
    /// Its format.
    pub format: u64,
    /// How many commits of declarations it has seen.
    pub revision: u64,
    /// How many plugins are registered.
    pub plugins: usize,
    /// How many groups are remembered.
    pub groups: usize,
    /// How many events are kept.
    pub events: u64,
    /// What is wrong with it.
    pub faults: Vec<String>,
    /// What was under way when the host ended.
    pub intents: Vec<OpenIntent>,
}

/// Something that was under way when the host ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenIntent {
    /// The group.
    pub group: String,
    /// The ledger's key.
    pub key: String,
    /// What it is.
    pub intent: Intent,
}

impl Checked {
    /// Whether nothing is wrong and nothing is under way.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.intents.is_empty()
    }
}

/// Check the state file of a host that is stopped: its structure, every record, and that each belongs to something. What
/// an unclean end of the host left behind is repaired by opening it, and is no fault.
///
/// # Errors
/// Where it is missing, in use, of a newer format, or damaged beyond reading.
pub fn check(path: &Path) -> Result<Checked, StoreError> {
    file::require(path)?;
    let work = || {
        let mut database = file::open(path)?;
        let mut faults = Vec::new();
        if !database.check_integrity()? {
            faults.push("its structure was damaged and has been repaired; something may be missing from it".to_owned());
        }
        let format = load::format(&database, path)?;
        let snapshot = load::snapshot(&database, path, &mut |damage| {
            faults.push(match damage {
                StoreError::Damaged { what, .. } => what,
                other => other.to_string(),
            });
            Ok(())
        })?;
        let mut events = 0;
        if let Ok(table) = database.begin_read()?.open_table(EVENTS) {
            for row in table.iter()? {
                let (seq, value) = row?;
                events += 1;
                if let Err(error) = serde_json::from_slice::<IgnoredAny>(value.value().1) {
                    faults.push(format!("event {} makes no sense: {error}", seq.value()));
                }
                if seq.value() >= snapshot.next_event {
                    faults.push(format!("event {} has a number that was not given out yet", seq.value()));
                }
            }
        }
        let (plugins, groups) = (snapshot.plugins.len(), snapshot.groups.len());
        let intents = snapshot.groups.into_iter().flat_map(|(group, it)| {
            let open = move |(key, intent)| OpenIntent { group: group.clone(), key, intent };
            it.intents.into_iter().map(open)
        });
        let (path, revision) = (path.display().to_string(), snapshot.revision);
        Ok(Checked { path, format, revision, plugins, groups, events, faults, intents: intents.collect() })
    };
    guarded(work).map_err(|fault| fault.explain(path, "checked"))
}
