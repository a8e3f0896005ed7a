//! All that a run made, so that nothing of it stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use homeostat_core::outcome::ErrorCode;
use homeostat_core::tags::Tags;
use homeostat_runtime::CallError;

use crate::kit::{Kit, exists};

/// How often something that does not go is told to.
const ATTEMPTS: u32 = 3;

/// How long cleaning up may take in all.
const LONGEST: Duration = Duration::from_secs(120);

/// Names that were asked for, and the ids that came of them. Only these are ever destroyed.
#[derive(Default)]
pub(crate) struct Made {
    by_name: BTreeMap<String, BTreeSet<String>>,
}

impl Made {
    /// A name is about to be asked for.
    pub(crate) fn expect(&mut self, name: &str) {
        self.by_name.entry(name.to_owned()).or_default();
    }

    /// An id was answered for a name.
    pub(crate) fn is(&mut self, name: &str, id: &str) {
        self.by_name.entry(name.to_owned()).or_default().insert(id.to_owned());
    }

    fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

fn is_missing(error: &CallError) -> bool {
    error.plugin_error().is_some_and(|it| it.code == ErrorCode::NotFound)
}

impl Kit {
    /// Destroy all that was made so far. Answers with what could not be: name, id, and why.
    pub(crate) async fn clean_up(&self) -> Vec<String> {
        if self.made().is_empty() {
            return Vec::new();
        }
        self.faults.iter().for_each(|it| it.disarm());
        match tokio::time::timeout(LONGEST, self.destroy_all()).await {
            Ok(left) => left,
            Err(_) => {
                let names: Vec<_> = self.made().by_name.keys().cloned().collect();
                names.into_iter().map(|name| format!("{name}: it was not gone after {LONGEST:?}")).collect()
            }
        }
    }

    async fn destroy_all(&self) -> Vec<String> {
        let mut failures = BTreeMap::new();
        for attempt in 0..ATTEMPTS {
            let known = self.find().await;
            for (name, ids) in &known {
                for id in ids {
                    match self.patiently(async || self.destroy(id).await).await {
                        Ok(()) => drop(failures.remove(name)),
                        // Not as the contract has it, and gone all the same.
                        Err(error) if is_missing(&error) => drop(failures.remove(name)),
                        Err(error) => drop(failures.insert(name.clone(), format!("{name} (id {id}): {error}"))),
                    }
                }
            }
            if failures.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100) * (attempt + 1)).await;
        }
        // What the list still shows counts, whatever destroy said.
        for (name, id) in self.still_listed().await {
            failures.entry(name.clone()).or_insert_with(|| format!("{name} (id {id}): it is still listed"));
        }
        self.made().by_name.retain(|name, _| failures.contains_key(name));
        failures.into_values().collect()
    }

    /// The ids to destroy, by name: those that were answered, and those that the list shows under a name of this run.
    async fn find(&self) -> BTreeMap<String, BTreeSet<String>> {
        let listed = self.still_listed().await;
        let mut known = self.made().by_name.clone();
        for (name, id) in listed {
            known.entry(name).or_default().insert(id);
        }
        known
    }

    async fn still_listed(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        // By the run's tag, and where that does not show all, in all there is: a plugin may lose tags.
        for tags in [self.tags(&[]), Tags::new()] {
            let Ok(listing) = self.list(&tags, false).await else { continue };
            let made = self.made();
            let ours = listing.instances.into_iter().filter(|it| exists(it) && made.by_name.contains_key(&it.name));
            found.extend(ours.map(|it| (it.name, it.id)));
            if made.by_name.keys().all(|name| found.iter().any(|(it, _)| it == name)) {
                break;
            }
        }
        found
    }
}
