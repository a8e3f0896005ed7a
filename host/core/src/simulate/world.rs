//! The world of one seed: a clock, a queue of events, a provider's account, a host that may be killed, and its store.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::call::Call;
use super::fault::{Fault, Faults};
use super::phase::Phase;
use super::provider::{Provider, Reading};
use super::random::Random;
use super::rules::{Book, Broken, Rule};
use super::scenario::Scenario;
use super::store::Store;
use super::view::View;
use crate::ledger::SlotKey;
use crate::machine::Machine;
use crate::observed::{HealthReport, Instance, InstanceState};
use crate::outcome::ErrorCode;
use crate::step::Step;
use crate::time::Timestamp;

/// When a world begins, so that clocks can jump back.
pub(super) const BEGIN: u64 = 100_000_000;
/// How many events of a world are told when it fails.
pub(super) const TOLD: usize = 40;
/// No seed needs more: a world that goes on for ever is a fault.
const MOST_EVENTS: u64 = 2_000_000;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A group's timer.
    Wake { group: usize, life: u32, token: u64 },
    /// A list arrives. What it shows was read before, or is read now.
    Listed { group: usize, life: u32, started: Timestamp, read: Option<Vec<Instance>> },
    /// Judgements arrive.
    Judged { group: usize, life: u32, asked: Timestamp, reports: Vec<(String, HealthReport)> },
    /// The intents of these steps are durable.
    Stored { group: usize, life: u32, entry: u64, steps: Vec<Step> },
    /// A call takes effect.
    Arrive { call: u64 },
    /// A call is answered, or cut off.
    Answer { call: u64 },
    /// What was written lazily becomes durable.
    Flush { life: u32 },
    /// An instance gets into another state.
    Unit { serial: u64, state: Option<InstanceState> },
    /// What vanished returns.
    Revive { serial: u64 },
    /// Something goes wrong.
    Mischief,
    /// An operator does something.
    Operate,
    /// A killed host starts again.
    Restart,
    /// The state of affairs is looked at.
    Tick,
}

/// The provider fails for a while.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) code: ErrorCode,
    pub(super) until: u64,
    pub(super) retry_after: Option<Duration>,
}

/// A list that hides instances: since when, and how many it shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hiding {
    pub(super) since: Timestamp,
    pub(super) shows: usize,
}

/// The part of a host that keeps one group.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) machine: Machine,
    pub(super) looking: bool,
    pub(super) token: u64,
    pub(super) poll: u64,
    /// Calls that were begun, or whose intents are being stored.
    pub(super) running: usize,
    /// When the machine planned last.
    pub(super) planned: Timestamp,
    /// The last time it was woken at, and how often at that time.
    pub(super) woken: (u64, u32),
}

/// One group, in and out of the host.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) store: Store,
    pub(super) keeper: Option<Keeper>,
    pub(super) view: View,
    pub(super) book: Book,
    pub(super) hiding: Option<Hiding>,
}

impl Group {
    /// Forget how often slots were healed whose instances have done well for long enough.
    pub(super) fn prove(&mut self, now: Timestamp) {
        let Some(keeper) = &self.keeper else { return };
        let least = keeper.machine.desired().spec.properties.healing.min_healthy();
        for seen in self.view.seen.values().filter(|it| it.is_proven(least, now)) {
            self.book.healed.remove(&SlotKey::new(seen.slot, seen.logical_id.as_deref()).0);
        }
    }
}

/// What happened in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) steps: u64,
    pub(super) kills: u64,
    pub(super) commits: u64,
    pub(super) rollbacks: u64,
    /// A hash of everything that was done: the same for the same seed.
    pub(super) digest: u64,
}

/// Everything there is.
pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) scenario: Scenario,
    pub(super) provider: Provider,
    pub(super) groups: Vec<Group>,
    pub(super) calls: BTreeMap<u64, Call>,
    pub(super) next_call: u64,
    pub(super) life: u32,
    pub(super) up: bool,
    /// How far the host's clock is ahead of the world's, in milliseconds.
    pub(super) offset: i64,
    pub(super) parallel: usize,
    pub(super) list_lag: Duration,
    pub(super) reading: Reading,
    pub(super) outage: Option<Outage>,
    pub(super) flip_until: u64,
    pub(super) disk_until: u64,
    /// The host has met with a failing store.
    pub(super) disk_failed: bool,
    pub(super) flushing: bool,
    pub(super) phase: Phase,
    pub(super) counts: Counts,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    told: VecDeque<String>,
    tell: usize,
}

impl World {
    /// The world of a seed. Its last events are put into words, so many of them.
    pub(super) fn new(seed: u64, tell: usize) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::draw(&mut random);
        let lag = match faults.has(Fault::Lag) {
            true => random.pick(&[1_000, 5_000, 20_000]),
            false => 0,
        };
        let reading = Reading {
            lag,
            torn: random.permille(500),
            shuffled: faults.has(Fault::ShuffledList),
            foreign: faults.has(Fault::Foreign),
        };
        let mut world = Self {
            now: BEGIN,
            faults,
            scenario: Scenario::default(),
            provider: Provider::new(random.permille(500)),
            groups: Vec::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            life: 0,
            up: true,
            offset: 0,
            parallel: random.pick(&[1, 2, 4, 16]),
            list_lag: Duration::from_millis(lag),
            reading,
            outage: None,
            flip_until: 0,
            disk_until: 0,
            disk_failed: false,
            flushing: false,
            phase: Phase::Trouble { until: BEGIN + random.between(300, 1800) * 1000 },
            counts: Counts::default(),
            queue: BTreeMap::new(),
            queued: 0,
            told: VecDeque::new(),
            tell,
            random,
        };
        world.begin();
        world
    }

    /// Let it run to its end.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            debug_assert!(at >= self.now, "time goes forwards");
            self.now = at;
            self.counts.events += 1;
            self.counts.digest = (self.counts.digest ^ at).wrapping_mul(0x0000_0100_0000_01b3);
            if self.counts.events > MOST_EVENTS {
                return Err(Broken { rule: Rule::Busy, detail: "it goes on for ever".into() });
            }
            if self.is_fatal(&event) {
                self.kill()?;
            }
            self.happen(event)?;
            if matches!(self.phase, Phase::Over) {
                return Ok(());
            }
        }
        Err(Broken { rule: Rule::Busy, detail: "nothing happens any more, and the end was not reached".into() })
    }

    /// Whether the host is killed at the moment before this.
    fn is_fatal(&mut self, event: &Event) -> bool {
        if !self.up || !self.faults.may(Fault::Kill) {
            return false;
        }
        let often = match event {
            Event::Stored { .. } | Event::Arrive { .. } | Event::Answer { .. } => 25,
            _ => 2,
        };
        self.faults.strikes(Fault::Kill, &mut self.random, often)
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Wake { group, life, token } if self.lives(group, life) => self.wake(group, token),
            Event::Listed { group, life, started, read } if self.lives(group, life) => {
                self.listed(group, started, read)
            }
            Event::Judged { group, life, asked, reports } if self.lives(group, life) => {
                self.judged(group, asked, reports)
            }
            Event::Stored { group, life, entry, steps } if self.lives(group, life) => self.stored(group, entry, steps),
            Event::Flush { life } if life == self.life => self.flush(),
            Event::Wake { .. }
            | Event::Listed { .. }
            | Event::Judged { .. }
            | Event::Stored { .. }
            | Event::Flush { .. } => Ok(()),
            Event::Arrive { call } => {
                self.arrive(call);
                Ok(())
            }
            Event::Answer { call } => self.answer(call),
            Event::Unit { serial, state } => {
                // What has died meanwhile comes not to life, and what is on its way out dies no other death.
                let before = self.provider.units.get(&serial).and_then(|it| it.state());
                if state.is_none() || before.is_some_and(InstanceState::is_live) {
                    self.provider.set(serial, state, self.now);
                }
                Ok(())
            }
            Event::Revive { serial } => {
                if self.faults.active && self.provider.revive(serial, self.now) {
                    self.faults.note(Fault::Zombie);
                    self.tell(|| format!("unit {serial} is back"));
                }
                Ok(())
            }
            Event::Mischief => {
                self.mischief();
                Ok(())
            }
            Event::Operate => self.operate(),
            Event::Restart => self.restart(),
            Event::Tick => self.tick(),
        }
    }

    /// Whether the host that asked for it still lives, and keeps that group.
    fn lives(&self, group: usize, life: u32) -> bool {
        self.up && self.life == life && self.groups[group].keeper.is_some()
    }

    /// Let something happen so many milliseconds from now.
    pub(super) fn later(&mut self, delay: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + delay, self.queued), event);
    }

    /// The time as the host knows it.
    pub(super) fn clock(&self) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.offset))
    }

    /// Put into words what happens, where somebody listens.
    pub(super) fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.tell > 0 {
            if self.told.len() == self.tell {
                self.told.pop_front();
            }
            let at = self.now - BEGIN;
            self.told.push_back(format!("{:>6}.{:03} {}", at / 1000, at % 1000, words()));
        }
    }

    /// The last events in words.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told).into()
    }
}
