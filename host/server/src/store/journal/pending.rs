//! What waits to be written, the last write for each thing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use homeostat_core::ledger::{Intent, Memory};

use crate::store::{EVENTS_KEPT, EventQuery, StoredEvent, Write};

#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    intents: BTreeMap<(String, String), Option<Intent>>,
    memory: BTreeMap<String, Memory>,
    events: BTreeMap<u64, (Option<String>, Vec<u8>)>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.intents.len() + self.memory.len() + self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, write: Write) {
        match write {
            Write::Intent { group, key, intent } => drop(self.intents.insert((group, key), intent)),
            Write::Memory { group, memory } => drop(self.memory.insert(group, memory)),
            Write::Event(StoredEvent { seq, group, json }) => {
                self.events.insert(seq, (group, json));
                // The store would prune them at once.
                if self.events.len() as u64 > EVENTS_KEPT {
                    self.events.pop_first();
                }
            }
        }
    }

    /// Put back what was not written. What came in meanwhile is newer, and holds.
    pub(super) fn put_back(&mut self, older: Self) {
        fn merge<K: Ord, V>(newer: &mut BTreeMap<K, V>, older: BTreeMap<K, V>) {
            if newer.is_empty() {
                *newer = older;
                return;
            }
            for (key, value) in older {
                if let Entry::Vacant(vacant) = newer.entry(key) {
                    vacant.insert(value);
                }
            }
        }
        merge(&mut self.intents, older.intents);
        merge(&mut self.memory, older.memory);
        merge(&mut self.events, older.events);
        while self.events.len() as u64 > EVENTS_KEPT {
            self.events.pop_first();
        }
    }

    /// Forget what waits of a group that is removed. What happened to it stays.
    pub(super) fn forget(&mut self, group: &str) {
        self.intents.retain(|(it, _), _| it != group);
        self.memory.remove(group);
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        let intents = self.intents.iter().map(|((group, key), intent)| Write::Intent {
            group: group.clone(),
            key: key.clone(),
            intent: intent.clone(),
        });
        let memory =
            self.memory.iter().map(|(group, memory)| Write::Memory { group: group.clone(), memory: memory.clone() });
        let events = self.events.iter().map(|(seq, (group, json))| event(*seq, group, json)).map(Write::Event);
        intents.chain(memory).chain(events).collect()
    }

    /// Those of the events that are asked for: at least as many as could be in the answer.
    pub(super) fn events(&self, query: &EventQuery) -> Vec<StoredEvent> {
        let wanted = self.events.iter().filter(|(seq, (group, _))| query.wants(**seq, group.as_deref().unwrap_or("")));
        let owned = wanted.map(|(seq, (group, json))| event(*seq, group, json));
        if query.newest {
            let mut newest: Vec<_> = owned.rev().take(query.limit).collect();
            newest.reverse();
            return newest;
        }
        owned.take(query.limit).collect()
    }
}

fn event(seq: u64, group: &Option<String>, json: &[u8]) -> StoredEvent {
    StoredEvent { seq, group: group.clone(), json: json.to_vec() }
}
