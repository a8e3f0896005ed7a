//! What happens, as it happens.

use homeostat_core::outcome::PluginError;
use homeostat_core::plan::Report;
use homeostat_core::step::Step;
use homeostat_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many events a subscriber may lag behind before it loses the oldest.
const CAPACITY: usize = 16_384;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Counts up by one from 1 while the host runs.
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
    /// The group is no longer kept: freed, or destroyed to the last instance.
    Gone,
    /// A plugin was loaded.
    PluginLoaded {
        /// Its name.
        plugin: String,
    },
}

/// Where events are published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<Event>,
    seq: std::sync::Arc<std::sync::Mutex<u64>>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), seq: std::sync::Arc::default() }
    }

    /// All events from now on. A subscriber that falls behind by 16,384 events is told how many it lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    pub(crate) fn publish(&self, at: Timestamp, group: Option<&str>, what: impl FnOnce() -> What) {
        // Numbered and sent under one lock, so that subscribers see the numbers in order.
        let mut seq = self.seq.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *seq += 1;
        if self.sender.receiver_count() > 0 {
            // An error only says that the last listener has left meanwhile.
            let _ = self.sender.send(Event { seq: *seq, at, group: group.map(str::to_owned), what: what() });
        }
    }
}
