//! Safety rules that tests can switch off, to show that the [simulator](crate::simulate) sees what they are for.
//!
//! Outside of tests none ever is: [`is`] is a constant there, and the compiler leaves nothing of it.

/// A rule that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mutant {
    /// A list that is not whole is taken for all there is.
    IncompleteIsWhole,
    /// A list without half of what was known needs no confirmation.
    LossIsBelieved,
    /// A list that failed is forgotten.
    ListErrorIgnored,
    /// What is being made does not count.
    CreationsForgotten,
    /// A creation that was cut off is tried again under another name.
    UnknownIsNothing,
    /// What was under way is forgotten when the host starts.
    IntentsLostAtRestart,
    /// Intents are not written down.
    IntentsUnwritten,
    /// An update may leave any number available.
    FloorIgnored,
    /// There may be more than the surge.
    SurgeIgnored,
    /// Protection is for nothing.
    ProtectedIgnored,
    /// Two instances may have one identity.
    IdentityShared,
    /// Healing goes on, however many are unhealthy.
    BreakerOff,
    /// Healing takes any number at a time.
    HealingAtOnce,
    /// Slots are healed any number of times.
    RetriesUnlimited,
    /// What failed is tried again at once.
    BackoffOff,
    /// A paused rollout goes on.
    PauseIgnored,
    /// A rollback that fails is rolled back.
    RollbackRolledBack,
    /// A rollout may go on for ever without progress.
    DeadlineOff,
    /// The group's tag does not matter.
    TagIgnored,
    /// Any number of calls may run.
    LimitIgnored,
    /// A host that starts does not wait for a list that lags.
    SettlingOff,
    /// What a list does not show is gone at once.
    MissingForgotten,
    /// Instances are taken in the order of the list.
    OrderOfTheList,
    /// Times that were written down hold, although the clock has jumped.
    ClockTrusted,
    /// What was not judged yet is as good as gone.
    UnjudgedIsUnavailable,
    /// A creation whose instance was seen is still not known to have worked.
    SeenIsUnknown,
    /// A repeated creation that failed speaks for the first one too.
    RepeatSpeaksForAll,
    /// An id is an instance's for ever.
    IdIsForEver,
}

#[cfg(not(test))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(not(test))]
pub(crate) const fn skips_linter() -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::{is, skips_linter, with};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static OFF: Cell<Option<(Mutant, bool)>> = const { Cell::new(None) };
    }

    /// Whether this rule is off.
    pub(crate) fn is(mutant: Mutant) -> bool {
        OFF.get().is_some_and(|(off, _)| off == mutant)
    }

    /// Whether plans are not linted, so that the linter does not hide what the planner does.
    pub(crate) fn skips_linter() -> bool {
        OFF.get().is_some_and(|(_, linter)| !linter)
    }

    /// Do something with a rule switched off in this thread, with or without the linter.
    pub(crate) fn with<T>(mutant: Mutant, linter: bool, act: impl FnOnce() -> T) -> T {
        OFF.set(Some((mutant, linter)));
        let done = act();
        OFF.set(None);
        done
    }
}
