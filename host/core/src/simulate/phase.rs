//! The end of a world: when nothing goes wrong any more, how operators mend what the host left to them, and what has to
//! hold then.

use super::rules::{self, Broken, Rule};
use super::world::{Event, World};
use crate::ledger::RolloutStatus;
use crate::machine::Control;
use crate::plan::{Goal, Waiting};
use crate::record::GroupRecord;

/// How often the state of affairs is looked at when nothing goes wrong any more.
const TICK: u64 = 5_000;
/// Within so long every rollout has ended: deadlines of at most 15 minutes, for each of at most nine instances.
const BOUND: u64 = 4 * 3_600_000;
/// After so long at rest nothing may be written any more: the longest `MinHealthy`, and more.
const SETTLED: u64 = 700_000;
/// So long nothing happens at all.
const REST: u64 = 120_000;

/// After so long operators do not wait for instances that come and go.
const PATIENCE: u64 = 3_600_000;
/// So long a rollout without anything to do may take.
const ORPHANED: u64 = 400_000;

/// How far a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything goes wrong.
    Trouble { until: u64 },
    /// Nothing goes wrong any more, and nobody mends what went wrong.
    Calm { since: u64 },
    /// Operators mend what the host left to them.
    Mend { since: u64 },
    /// It is as declared, and the last memories fade.
    Fade { since: u64 },
    /// Nothing is done, and nothing written.
    Rest { since: u64 },
    /// The store was lost, and the same was committed again: still nothing is done.
    Orphan { since: u64 },
    /// The end.
    Over,
}

impl Phase {
    /// Whether writes are wrong.
    pub(super) fn is_resting(self) -> bool {
        matches!(self, Self::Rest { .. })
    }

    /// Whether steps are wrong.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::Rest { .. } | Self::Orphan { .. })
    }
}

impl World {
    /// Look how far the world is.
    pub(super) fn tick(&mut self) -> Result<(), Broken> {
        self.later(TICK, Event::Tick);
        if !self.up {
            return Ok(());
        }
        let (now, groups) = (self.now, self.groups.len());
        let done = |world: &Self, test: fn(&Self, usize) -> rules::Checked| {
            (0..groups).try_for_each(|group| test(world, group))
        };
        match self.phase {
            Phase::Trouble { .. } => self.calm_down(),
            Phase::Calm { since } => match done(self, Self::has_ended) {
                Ok(()) => self.phase = Phase::Mend { since: now },
                Err(broken) if now - since > BOUND => return Err(broken),
                Err(_) => {}
            },
            Phase::Mend { since } => match done(self, Self::is_as_declared) {
                Ok(()) => self.phase = Phase::Fade { since: now },
                Err(broken) if now - since > BOUND => return Err(broken),
                Err(_) => self.mend()?,
            },
            Phase::Fade { since } => {
                done(self, Self::is_as_declared)?;
                if now - since > SETTLED {
                    self.phase = Phase::Rest { since: now };
                }
            }
            Phase::Rest { since } => {
                done(self, Self::is_as_declared)?;
                if now - since > REST {
                    self.lose_store();
                    self.phase = Phase::Orphan { since: now };
                }
            }
            Phase::Orphan { since } => {
                if now - since > ORPHANED {
                    done(self, Self::is_as_declared)?;
                    self.phase = Phase::Over;
                }
            }
            Phase::Over => {}
        }
        Ok(())
    }

    fn calm_down(&mut self) {
        self.tell(|| "nothing goes wrong any more".into());
        self.faults.active = false;
        (self.outage, self.flip_until, self.disk_until) = (None, 0, 0);
        self.reading.lag = 0;
        for group in &mut self.groups {
            group.hiding = None;
        }
        self.phase = Phase::Calm { since: self.now };
    }

    fn has_ended(&self, group: usize) -> rules::Checked {
        let it = &self.groups[group];
        let Some(keeper) = &it.keeper else { return Ok(()) };
        // Instances that do well for a while and then do not are healed again and again.
        let erratic = |hash: &str| self.scenario.quality(hash).is_erratic();
        let Phase::Calm { since } = self.phase else { return Ok(()) };
        if self.now - since > PATIENCE && keeper.machine.record().configs.iter().any(|it| erratic(&it.hash)) {
            return Ok(());
        }
        rules::terminal(&keeper.machine, &it.store)
    }

    fn is_as_declared(&self, group: usize) -> rules::Checked {
        let it = &self.groups[group];
        let Some(keeper) = &it.keeper else { return Ok(()) };
        // Instances of another config may yet die of old faults.
        let quality = self.scenario.quality(&keeper.machine.desired().config.hash);
        rules::hold(Rule::I12, quality.is_good(), || format!("its instances are {quality:?}"))?;
        rules::terminal(&keeper.machine, &it.store)?;
        rules::hold(Rule::I10, self.calls.is_empty(), || format!("calls still run: {:?}", self.calls))?;
        rules::converged(&keeper.machine, &self.provider, self.now)
    }

    /// Operators do what the reports ask them to.
    fn mend(&mut self) -> Result<(), Broken> {
        for group in 0..self.groups.len() {
            let Some(keeper) = &self.groups[group].keeper else { continue };
            let record = (**keeper.machine.record()).clone();
            let reasons: Vec<Waiting> = keeper.machine.report().waiting.iter().map(|it| it.waiting.clone()).collect();
            if record.goal == Goal::Destroy {
                if !record.protected.is_empty() {
                    self.adopt(group, GroupRecord { protected: Default::default(), ..record })?;
                }
                continue;
            }
            if !self.scenario.quality(&record.config().hash).is_good() {
                let mut spec = record.spec.clone();
                self.scenario.configure(&mut spec, &mut self.faults, &mut self.random, true);
                self.commit(group, spec)?;
                continue;
            }
            let mut mended = record.clone();
            mended.protected.clear();
            for reason in &reasons {
                match reason {
                    Waiting::AwaitsPromotion { .. } => {
                        self.control(group, Control::Promote)?;
                    }
                    Waiting::RetriesExhausted { .. } => {
                        self.control(group, Control::Reset)?;
                    }
                    Waiting::Backoff { error, .. } if error.code.is_hopeless() => {
                        self.control(group, Control::Reset)?;
                    }
                    Waiting::Stray { id } => drop(mended.condemned.insert(id.clone())),
                    // Those that will not get well by themselves.
                    Waiting::TooManyUnhealthy { .. }
                    | Waiting::NotHealthy { .. }
                    | Waiting::RollAwaitsHealth { .. } => {
                        let ill = self.provider.of(&self.groups[group].id).filter(|(_, it)| it.is_ill_for_good());
                        mended.condemned.extend(ill.map(|(_, it)| it.instance.id.clone()));
                    }
                    _ => {}
                }
            }
            let paused = self.groups[group].keeper.as_ref().is_some_and(|it| {
                let rollout = it.machine.ledger().memory.rollout.as_ref();
                rollout.is_some_and(|it| matches!(it.status, RolloutStatus::Paused { .. }))
            });
            if paused {
                self.control(group, Control::Resume)?;
            }
            if mended != record {
                self.adopt(group, mended)?;
            }
        }
        Ok(())
    }

    /// The store is lost, and operators commit the same specs again.
    fn lose_store(&mut self) {
        self.tell(|| "the store is lost, and the same is committed again".into());
        self.life += 1;
        let now = self.clock();
        for group in 0..self.groups.len() {
            let Some(keeper) = &self.groups[group].keeper else { continue };
            let spec = keeper.machine.record().spec.clone();
            let it = &mut self.groups[group];
            it.store.forget();
            (it.view, it.book) = Default::default();
            self.create(group, GroupRecord::new(spec, now));
        }
        self.flushing = false;
    }
}
