//! What can go wrong. Each seed has a random subset of these (swarm testing: Groce et al., 2012), because a world in which
//! everything goes wrong hides what happens when one thing does.

use std::fmt;

use super::random::Random;

macro_rules! faults {
    ($($name:ident: $text:literal,)*) => {
        /// One kind of thing that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Fault {
            $(#[doc = $text] $name,)*
        }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// What it is, in a few words.
            pub fn text(self) -> &'static str {
                match self {
                    $(Fault::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    LateEffect: "a call is cut off and takes effect up to 25 s later",
    LostCall: "a call is cut off and never takes effect",
    LyingFailure: "a call that succeeded is answered with a failure",
    Unavailable: "the provider is unavailable for a while",
    Throttled: "the provider throttles and says how long",
    Quota: "a quota is used up",
    Denied: "permission is denied for a while",
    Aborted: "another call works on the same instance",
    Unmakeable: "a config can never be made",
    SlowProvider: "calls take up to a minute",
    SlowStart: "instances take long to run",
    Lag: "the list is stale, within what the setting says",
    PartialList: "the list is not complete",
    EmptyList: "the list is empty for less than the time of confirmation",
    ShrunkList: "the list hides more than half for less than the time of confirmation",
    FlickeringPet: "the list hides one pet for less than the time of confirmation",
    ListError: "listing fails",
    SlowList: "listing takes up to 20 s",
    ShuffledList: "the list comes in another order each time",
    HealthError: "asking for health fails",
    HealthUnknown: "the health of some cannot be told",
    MassFlip: "all are said to be unhealthy for a while",
    Flapping: "health flaps with the period of the checks",
    Sickness: "an instance falls ill",
    DrainFailure: "draining fails",
    Death: "an instance stops or fails",
    Revival: "a dead instance runs again",
    Vanish: "an instance vanishes",
    Zombie: "an instance that vanished returns",
    ZoneLoss: "half of all instances die at once",
    IdReuse: "ids of instances that are gone are given to new ones",
    ClockJump: "the clock jumps while the host is down",
    StoreFailure: "the store cannot be written for a while",
    Kill: "the host is killed",
    LostTail: "what was written lazily is lost when the host is killed",
    Foreign: "the list shows instances of others",
    Commits: "operators commit specs in the middle of everything",
    Verbs: "operators pause, resume, promote, reset and roll back in the middle of everything",
    Protection: "operators protect instances and allow them to go again",
    Condemnation: "operators condemn instances",
    Destruction: "operators destroy the group, and commit it again",
    BadConfig: "configs are committed whose instances never do well, or not for long",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Which faults a seed has, and how often each struck.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    has: [bool; Fault::ALL.len()],
    struck: [u64; Fault::ALL.len()],
    /// Whether they strike at all at the moment.
    pub(super) active: bool,
}

impl Faults {
    /// A random subset.
    pub(super) fn draw(random: &mut Random) -> Self {
        let density = random.pick(&[80, 250, 450, 700]);
        let mut has = [false; Fault::ALL.len()];
        for it in &mut has {
            *it = random.permille(density);
        }
        // What operators do is most of what a group goes through.
        has[Fault::Commits as usize] |= random.permille(700);
        Self { has, struck: [0; Fault::ALL.len()], active: true }
    }

    /// Whether this seed has it at all.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.has[fault as usize]
    }

    /// Whether it may strike now.
    pub(super) fn may(&self, fault: Fault) -> bool {
        self.active && self.has(fault)
    }

    /// Whether it strikes now, where it does so often in a thousand times. Counted.
    pub(super) fn strikes(&mut self, fault: Fault, random: &mut Random, permille: u64) -> bool {
        let strikes = self.may(fault) && random.permille(permille);
        if strikes {
            self.note(fault);
        }
        strikes
    }

    /// Count one.
    pub(super) fn note(&mut self, fault: Fault) {
        self.struck[fault as usize] += 1;
    }

    /// How often each struck.
    pub(super) fn struck(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.iter().map(|it| (*it, self.struck[*it as usize]))
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        Fault::ALL.iter().filter(|it| self.has(**it)).map(|it| it.text()).collect()
    }
}
