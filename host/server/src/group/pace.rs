//! When to look: often while there is something to see, and never all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Looks that changes keep leading to take at most one part in so many of the time.
const DUTY: u32 = 4;
/// So many looks may follow each other closely before that holds.
const EAGER: u32 = 4;
/// Periodic looks at one group take at most one part in so many of the time.
const IDLE_DUTY: u32 = 500;
/// And those at all groups together one part in so many.
const TOTAL_DUTY: u32 = 100;
/// And are at most so many times as far apart as they should be: a provider may be slow without costing the host anything.
const LONGEST_REST: u32 = 30;
/// At most so many times for the sake of other groups.
const LONGEST_TURN: u32 = 6;
/// The first and the longest wait between looks at a group on which somebody else works.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// What one look at each group of a host takes, together. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load(Arc<AtomicU64>);

impl Load {
    fn replace(&self, old: Duration, new: Duration) {
        let micros = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        // Wrapping, so that taking away more than was added is the same as adding less.
        self.0.fetch_add(micros(new).wrapping_sub(micros(old)), Ordering::Relaxed);
    }

    fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// When to look next.
#[derive(Debug)]
pub(super) struct Pace {
    /// The longest time between two looks that cost little.
    resync: Duration,
    load: Load,
    look_at: Instant,
    poll: Duration,
    /// When the last look ended, and how long it took.
    looked_at: Instant,
    cost: Duration,
    /// Before this, a change leads to no look: looks must not take all of the time.
    rested: Instant,
    /// Looks that followed each other closely.
    streak: u32,
    /// Something changed since the look under way began.
    dirty: bool,
}

impl Pace {
    pub(super) fn new(resync: Duration, load: Load) -> Self {
        let now = Instant::now();
        Self {
            resync,
            load,
            look_at: now,
            poll: POLL.0,
            looked_at: now,
            cost: Duration::ZERO,
            rested: now,
            streak: 0,
            dirty: false,
        }
    }

    /// When the next look is due.
    pub(super) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// A look begins.
    pub(super) fn begin(&mut self) {
        self.dirty = false;
    }

    /// A look that began at that time has ended.
    pub(super) fn end(&mut self, began: Instant) {
        let rest = began.saturating_duration_since(self.looked_at);
        self.streak = if rest < self.cost * DUTY { self.streak.saturating_add(1) } else { 0 };
        self.looked_at = Instant::now();
        let cost = self.looked_at - began;
        self.load.replace(self.cost, cost);
        self.cost = cost;
    }

    /// How far apart periodic looks are: a host of many groups has the time for fewer looks at each.
    pub(super) fn rest(&self) -> Duration {
        let own = (self.cost * IDLE_DUTY).min(self.resync * LONGEST_REST);
        let others = (self.load.total() * TOTAL_DUTY).min(self.resync * LONGEST_TURN);
        self.resync.max(own).max(others)
    }

    /// Look at once.
    pub(super) fn now(&mut self) {
        self.look_at = Instant::now();
    }

    /// There is something new to do, so that others' work shows soon.
    pub(super) fn hurry(&mut self) {
        self.poll = POLL.0;
    }

    /// Something changed; where no look is under way, it leads to one soon.
    pub(super) fn woken(&mut self, busy: bool) {
        self.dirty = true;
        if !busy {
            self.look_at = self.look_at.min(self.rested);
        }
    }

    /// Choose the time of the next look: no later than `due`, and soon where somebody else is at work.
    pub(super) fn schedule(&mut self, due: Option<Instant>, restless: bool) {
        let now = Instant::now();
        let mut next = now + self.rest();
        if let Some(due) = due {
            // What is overdue is looked at again, but not in a circle.
            next = next.min(due.max(now + POLL.0.max(self.cost * DUTY)));
        }
        if restless {
            next = next.min(now + self.poll.max(self.cost * DUTY));
            self.poll = (self.poll * 2).min(POLL.1);
        }
        self.rested = if self.streak < EAGER { now } else { now + self.cost * DUTY };
        if self.dirty {
            next = next.min(self.rested);
        }
        self.look_at = next;
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.load.replace(self.cost, Duration::ZERO);
    }
}
