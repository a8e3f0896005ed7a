//! A store as a host sees it: records are durable at once, the rest is a log of which a tail may be lost.

use std::collections::{BTreeMap, VecDeque};

use crate::ledger::{Intent, Ledger, Memory};
use crate::machine::Changes;
use crate::record::GroupRecord;

/// What is remembered of a group beside its record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    pub(super) memory: Memory,
    pub(super) intents: BTreeMap<String, Intent>,
}

impl Kept {
    fn apply(&mut self, changes: &Changes) {
        for (key, intent) in &changes.intents {
            match intent {
                Some(intent) => drop(self.intents.insert(key.clone(), intent.clone())),
                None => drop(self.intents.remove(key)),
            }
        }
        if let Some(memory) = &changes.memory {
            self.memory = memory.clone();
        }
    }
}

/// The store of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) record: Option<GroupRecord>,
    durable: Kept,
    live: Kept,
    tail: VecDeque<Changes>,
    /// The number of the last entry, and of the last that is durable.
    pub(super) last: u64,
    pub(super) synced: u64,
}

impl Store {
    /// Write lazily. Answers with the number of the entry.
    pub(super) fn append(&mut self, changes: Changes) -> u64 {
        self.live.apply(&changes);
        self.tail.push_back(changes);
        self.last += 1;
        self.last
    }

    /// Make everything up to that entry durable.
    pub(super) fn sync(&mut self, upto: u64) {
        while self.synced < upto {
            let Some(changes) = self.tail.pop_front() else { break };
            self.durable.apply(&changes);
            self.synced += 1;
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.tail.is_empty()
    }

    /// The host is gone, and so is what was not durable.
    pub(super) fn lose_tail(&mut self) {
        self.tail.clear();
        self.last = self.synced;
        self.live = self.durable.clone();
    }

    /// A host has started, and takes what was under way as cut off. It writes that down when it learns more.
    pub(super) fn recovered(&mut self, ledger: &Ledger) {
        self.live.memory = ledger.memory.clone();
        for (key, intent) in &mut self.live.intents {
            match (intent, key.split_at(1).1) {
                (Intent::Create(it), name) => {
                    if let Some(known) = ledger.creating.get(name) {
                        *it = known.clone();
                    }
                }
                (Intent::Destroy(it), id) => {
                    if let Some(known) = ledger.removing.get(id) {
                        *it = known.clone();
                    }
                }
            }
        }
    }

    /// What a reader would find, were everything durable.
    pub(super) fn live(&self) -> &Kept {
        &self.live
    }

    /// What is durable.
    pub(super) fn durable(&self) -> &Kept {
        &self.durable
    }

    /// Forget the group.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
