//! The wire that fails one operation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::files::{FileOperation, FileVerdict, FileWire};

/// Counts operations, over all calls since it was armed, and gives the `k`-th of them a verdict; all others pass. So a
/// caller lets a clean run be counted ([`FaultAt::new`], [`FaultAt::seen`]), and then arms it for each `k` in turn
/// ([`FaultAt::arm`]), with the plugin loaded once.
#[derive(Debug, Default)]
pub struct FaultAt(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    armed: Option<(u64, FileVerdict)>,
    seen: u64,
    hit: Option<FileOperation>,
}

impl FaultAt {
    /// One that only counts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begin to count anew, and give the `k`-th operation from now (the next is 1) this verdict. It strikes once.
    pub fn arm(&self, k: u64, verdict: FileVerdict) {
        *self.state() = State { armed: Some((k, verdict)), ..State::default() };
    }

    /// Begin to count anew, and let all pass.
    pub fn disarm(&self) {
        *self.state() = State::default();
    }

    /// How many operations there were since it was made, armed or disarmed.
    pub fn seen(&self) -> u64 {
        self.state().seen
    }

    /// The operation that it struck. None while there were fewer than `k`.
    pub fn hit(&self) -> Option<FileOperation> {
        self.state().hit.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileWire for FaultAt {
    fn verdict(&self, operation: &FileOperation) -> FileVerdict {
        let mut state = self.state();
        state.seen += 1;
        match state.armed {
            Some((k, verdict)) if k == state.seen => {
                state.hit = Some(operation.clone());
                verdict
            }
            _ => FileVerdict::Pass,
        }
    }
}
