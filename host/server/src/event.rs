//! What happens, as it happens, and what happened before.

use std::sync::{Arc, Mutex, PoisonError};

use homeostat_core::ledger::Turn;
use homeostat_core::outcome::PluginError;
use homeostat_core::plan::Report;
use homeostat_core::step::Step;
use homeostat_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::store::{Journal, StoredEvent, Write};

/// How many events a subscriber may lag behind before it loses the oldest.
const CAPACITY: usize = 16_384;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Counts up, also over restarts of the host; there may be gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The group it happened to; none where it concerns the host.
    pub group: Option<String>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Kind", rename_all_fields = "PascalCase")]
pub enum What {
    /// A spec was committed.
    Committed {
        /// Its revision.
        revision: u64,
        /// What that does, in InfraKit's words.
        plan: String,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: Step,
    },
    /// A step was carried out.
    StepDone {
        /// Which.
        step: Step,
    },
    /// A step was not carried out.
    StepFailed {
        /// Which.
        step: Step,
        /// Why not.
        error: PluginError,
    },
    /// The way the group stands has changed: another reason to wait, or converged.
    Report {
        /// How it stands.
        report: Report,
    },
    /// Something happened to a rollout.
    Rollout {
        /// What.
        turn: Turn,
    },
    /// Instances are not there any more, without the host having destroyed them.
    Vanished {
        /// Their names.
        names: Vec<String>,
    },
    /// An operator said something to the group.
    Control {
        /// What came of it, in one sentence.
        text: String,
    },
    /// The group is no longer kept: freed, or destroyed to the last instance.
    Gone,
    /// A plugin was loaded.
    PluginLoaded {
        /// Its name.
        plugin: String,
    },
    /// Another version of a plugin is in use.
    PluginSwapped {
        /// Its name.
        plugin: String,
        /// The SHA-256 of the file before.
        from: Option<String>,
        /// The SHA-256 of the file now.
        to: String,
    },
    /// A version of a plugin was not taken into use; the one before it goes on.
    PluginRefused {
        /// Its name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// The version before is in use again.
    PluginRolledBack {
        /// Its name.
        plugin: String,
        /// The SHA-256 of the file now.
        to: String,
        /// Why.
        reason: String,
    },
    /// A function of a plugin crashed so often that it is not called for a while.
    PluginDegraded {
        /// Its name.
        plugin: String,
        /// Which function.
        function: String,
        /// How the last call ended.
        reason: String,
    },
}

impl What {
    /// Whether it is kept, so that it can be replayed. That a step began is news for a moment: its intent is kept instead.
    fn is_kept(&self) -> bool {
        !matches!(self, Self::StepStarted { .. })
    }
}

/// Where events are published. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    sender: broadcast::Sender<Event>,
    journal: Journal,
    next: Arc<Mutex<u64>>,
}

impl Events {
    /// Number events from `next` on, and keep them in the journal.
    pub(crate) fn new(journal: Journal, next: u64) -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), journal, next: Arc::new(Mutex::new(next)) }
    }

    /// All events from now on. A subscriber that falls behind by 16,384 events is told how many it lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    pub(crate) fn publish(&self, at: Timestamp, group: Option<&str>, what: impl FnOnce() -> What) {
        // Numbered, kept and sent under one lock, so that nobody sees the numbers out of order.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { seq: *next, at, group: group.map(str::to_owned), what: what() };
        *next += 1;
        if event.what.is_kept() {
            match serde_json::to_vec(&event) {
                Ok(json) => {
                    let stored = StoredEvent { seq: event.seq, group: event.group.clone(), json };
                    self.journal.write([Write::Event(stored)]);
                }
                Err(error) => tracing::error!("an event cannot be written as JSON: {error}"),
            }
        }
        if self.sender.receiver_count() > 0 {
            // An error only says that the last listener has left meanwhile.
            let _ = self.sender.send(event);
        }
    }
}
