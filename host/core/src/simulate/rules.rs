//! What must always hold: the catalogue of invariants, by the numbers of the design, and the judge that checks them.
//!
//! I6 (no call with a stale lease) has no part here: a group has one host. It comes with the lease store.

mod end;
mod order;
mod start;
mod state;

use std::collections::BTreeMap;
use std::fmt;

pub(super) use end::{converged, destroyed, resting, terminal};
pub(super) use order::indifferent_to_order;
pub(super) use start::{Coming, Start, is_foreign, may_start, share_a_slot};
pub(super) use state::{after_kill, after_restart, after_turn, replays};

use crate::step::Work;

/// A rule, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most one live instance for each name: no name is used again once the host has seen its instance.
    I1,
    /// At most one live instance for each logical id.
    I2,
    /// No voluntary disruption (rolling update, removal of what is too many) brings the available ones below the floor,
    /// as the host could know them.
    I3,
    /// No creation brings the total above size and surge, but for what came from outside or is being replaced.
    I4,
    /// Nothing is destroyed or labelled that is not the group's, and nothing destroyed that is protected.
    I5,
    /// Nothing is done that is paused, held back after a failure, or past the breakers of healing.
    I7,
    /// No more calls run at once than may.
    I8,
    /// At rest there are no steps, and nothing is written.
    I9,
    /// Every intent is settled in the end.
    I10,
    /// Every rollout comes to an end.
    I11,
    /// When nothing goes wrong any more, the group becomes what was declared.
    I12,
    /// Nothing is done out of a list that failed, is not whole, or is implausible.
    I13,
    /// What is remembered of a rollout only ever goes forwards.
    I14,
    /// What was stored is what is in memory.
    I15,
    /// A host can be killed anywhere: every call that was begun is known to the next one.
    I16,
    /// No rollback is ever rolled back by itself.
    I17,
    /// The plan does not depend on the order of the list, and the same input gives the same plan.
    I18,
    /// The planner makes no plan that the linter refuses.
    Linter,
    /// The engine does not ask to be called again at once for ever.
    Busy,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) detail: String,
}

pub(super) type Checked = Result<(), Broken>;

/// It must be so.
pub(super) fn hold(rule: Rule, so: bool, detail: impl FnOnce() -> String) -> Checked {
    if so { Ok(()) } else { Err(Broken { rule, detail: detail() }) }
}

/// What the last list was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ListKind {
    /// There was none.
    #[default]
    None,
    /// All there was to see.
    Whole,
    /// It failed.
    Failed,
    /// It said that it was not whole.
    Partial,
    /// It said that it was whole, and hid what nobody could believe to be gone.
    Hiding,
}

/// What the judge remembers of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// Names that the host has seen in a list, and the number of the last entry of its store then.
    pub(super) names: BTreeMap<String, u64>,
    /// The revision whose rollout an operator paused.
    pub(super) paused: Option<u64>,
    pub(super) list: ListKind,
    /// Before when work of a kind must not begin, and why.
    pub(super) held: BTreeMap<Work, (u64, String)>,
    /// How many instances of each slot were healed in a row, and the name of the last one.
    pub(super) healed: BTreeMap<String, (u32, String)>,
    /// The rollout when it was last looked at: revision, whether it succeeded, was promoted, and its checkpoint.
    pub(super) rollout: Option<(u64, bool, bool, usize)>,
    /// Since the last commit there was a rollback that the host began by itself.
    pub(super) returned: bool,
}

impl Book {
    /// Operators have spoken: what failed may be tried again.
    pub(super) fn forgive(&mut self) {
        self.held.clear();
    }

    /// The host was killed: what it knew without having written it down is gone.
    pub(super) fn killed(&mut self, synced: u64) {
        self.names.retain(|_, seq| *seq <= synced);
        let (names, healed) = (std::mem::take(&mut self.names), std::mem::take(&mut self.healed));
        *self = Self { names, healed, returned: self.returned, ..Self::default() };
    }
}
