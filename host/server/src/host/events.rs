//! What happened: events from a number on, and the history of a group's slots, which is made of them.

use std::collections::BTreeMap;
use std::time::Duration;

use homeostat_core::step::Action;

use super::Host;
use crate::error::HostError;
use crate::event::{Event, What};
use crate::store::{EventQuery, StoredEvent};
use crate::view::HistoryEntry;

/// The most events that one answer holds.
pub(crate) const MOST: usize = 10_000;

impl Host {
    /// The events from a number on, oldest first; of one group, if one is named. Where there is none yet, it waits for
    /// one for at most so long. That a step began is news for a moment and is not kept.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub async fn events(
        &self,
        from: u64,
        group: Option<&str>,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Event>, HostError> {
        let query = EventQuery { group: group.map(str::to_owned), ..EventQuery::replay(from, limit.clamp(1, MOST)) };
        let mut news = self.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let found = self.query(query.clone()).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            let wanted = async {
                loop {
                    match news.recv().await {
                        Ok(event) if event.seq < from => {}
                        Ok(event) if group.is_some() && event.group.as_deref() != group => {}
                        Ok(Event { what: What::StepStarted { .. }, .. }) => {}
                        // Also where some were lost: then there is surely something.
                        _ => return,
                    }
                }
            };
            if tokio::time::timeout_at(deadline, wanted).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    /// What was made in each slot of a group, and what became of it: newest first in each slot, as far back as events are
    /// kept. At most so many for each slot.
    ///
    /// # Errors
    /// Where there never was such a group, or the state cannot be read.
    pub async fn history(&self, id: &str, limit: usize) -> Result<Vec<HistoryEntry>, HostError> {
        let events = self.query(EventQuery::history(id, MOST)).await?;
        if events.is_empty() && self.group(id).is_err() {
            return Err(self.no_group(id));
        }
        let mut slots: BTreeMap<(u32, Option<String>), Vec<HistoryEntry>> = BTreeMap::new();
        for entry in fold(events) {
            slots.entry((entry.slot.unwrap_or(u32::MAX), entry.logical_id.clone())).or_default().push(entry);
        }
        let newest = |mut entries: Vec<HistoryEntry>| {
            entries.reverse();
            entries.truncate(limit.max(1));
            entries
        };
        Ok(slots.into_values().flat_map(newest).collect())
    }

    async fn query(&self, query: EventQuery) -> Result<Vec<Event>, HostError> {
        let journal = self.0.journal.clone();
        let read = tokio::task::spawn_blocking(move || journal.events(&query)).await;
        let stored = read.map_err(|_| HostError::Stopping)??;
        // An event of a newer version that this one cannot read is passed over.
        let parse = |it: StoredEvent| serde_json::from_slice(&it.json).ok();
        Ok(stored.into_iter().filter_map(parse).collect())
    }
}

/// One entry for each instance that was made or destroyed, in the order in which they were made.
fn fold(events: Vec<Event>) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = Vec::new();
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        let at = event.at;
        let mut entry = |name: &str, slot: Option<u32>, logical_id: &Option<String>| {
            *last.entry(name.to_owned()).or_insert_with(|| {
                entries.push(HistoryEntry {
                    slot,
                    logical_id: logical_id.clone(),
                    name: name.to_owned(),
                    revision: None,
                    made: None,
                    made_why: String::new(),
                    ended: None,
                    ended_why: String::new(),
                    error: String::new(),
                });
                entries.len() - 1
            })
        };
        match event.what {
            What::StepDone { step } => match step.action {
                Action::Provision(it) => {
                    let index = entry(&it.name, Some(it.slot), &it.logical_id);
                    let entry = &mut entries[index];
                    (entry.revision, entry.made, entry.made_why) = (Some(it.revision), Some(at), step.why);
                    entry.error.clear();
                }
                Action::Destroy(it) => {
                    let index = entry(&it.name, it.slot, &it.logical_id);
                    (entries[index].ended, entries[index].ended_why) = (Some(at), step.why);
                }
                Action::Label(_) => {}
            },
            What::StepFailed { step, error } => match step.action {
                Action::Provision(it) => {
                    let index = entry(&it.name, Some(it.slot), &it.logical_id);
                    let entry = &mut entries[index];
                    entry.revision = Some(it.revision);
                    entry.made_why = step.why;
                    entry.error = error.message;
                }
                Action::Destroy(it) => {
                    let index = entry(&it.name, it.slot, &it.logical_id);
                    entries[index].error = error.message;
                }
                Action::Label(_) => {}
            },
            What::Vanished { names } => {
                for name in names {
                    if let Some(entry) = last.get(&name).map(|index| &mut entries[*index])
                        && entry.ended.is_none()
                    {
                        (entry.ended, entry.ended_why) = (Some(at), "it vanished: not listed any more".into());
                    }
                }
            }
            _ => {}
        }
    }
    entries
}
