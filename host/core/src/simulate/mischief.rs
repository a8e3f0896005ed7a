//! What goes wrong at the provider, and with the host itself.

use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::rules::{self, Broken};
use super::world::{Event, Keeper, Outage, World};
use crate::ledger::Ledger;
use crate::machine::{Machine, Setting};
use crate::observed::InstanceState;
use crate::outcome::ErrorCode;
use crate::time::Timestamp;

impl World {
    /// Something goes wrong, if this seed has it.
    pub(super) fn mischief(&mut self) {
        if !self.faults.active {
            return;
        }
        let pause = self.random.between(1_000, 20_000);
        self.later(pause, Event::Mischief);
        let kinds = [
            Fault::Death,
            Fault::Revival,
            Fault::Vanish,
            Fault::ZoneLoss,
            Fault::Sickness,
            Fault::MassFlip,
            Fault::Unavailable,
            Fault::Throttled,
            Fault::Denied,
            Fault::Quota,
            Fault::StoreFailure,
        ];
        let fault = self.random.pick(&kinds);
        let often = if fault == Fault::ZoneLoss { 150 } else { 500 };
        if !self.faults.may(fault) || !self.random.permille(often) {
            return;
        }
        self.strike(fault);
    }

    fn strike(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Unavailable | Fault::Throttled | Fault::Denied | Fault::Quota => {
                let (code, retry_after) = match fault {
                    Fault::Throttled => (ErrorCode::Unavailable, Some(self.random.between(1, 60))),
                    Fault::Denied => (ErrorCode::PermissionDenied, None),
                    Fault::Quota => (ErrorCode::ResourceExhausted, None),
                    _ => (ErrorCode::Unavailable, None),
                };
                let until = now + self.random.latency(2_000, 240_000);
                self.outage = Some(Outage { code, until, retry_after: retry_after.map(Duration::from_secs) });
            }
            Fault::MassFlip => self.flip_until = now + self.random.latency(2_000, 200_000),
            Fault::StoreFailure => self.disk_until = now + self.random.latency(100, 30_000),
            _ => {
                if !self.strike_units(fault) {
                    return;
                }
            }
        }
        self.faults.note(fault);
        self.tell(|| format!("mischief: {fault}"));
    }

    fn strike_units(&mut self, fault: Fault) -> bool {
        let now = self.now;
        let dead = |it: Option<InstanceState>| matches!(it, Some(InstanceState::Stopped | InstanceState::Failed));
        let wanted = |it: &super::provider::Unit| match fault {
            Fault::Revival => dead(it.state()),
            _ => it.is_live() && !rules::is_foreign(it),
        };
        let units: Vec<u64> =
            self.provider.units.iter().filter(|(_, it)| wanted(it)).map(|(serial, _)| *serial).collect();
        if units.is_empty() {
            return false;
        }
        let victim = self.random.pick(&units);
        match fault {
            Fault::Death => {
                let state = self.random.pick(&[InstanceState::Stopped, InstanceState::Failed]);
                self.provider.set(victim, Some(state), now);
            }
            Fault::Revival => {
                self.provider.set(victim, Some(InstanceState::Running), now);
                // The host took it for dead, and has filled its place or not.
                if let Some(unit) = self.provider.units.get_mut(&victim) {
                    unit.outside = true;
                }
            }
            Fault::Vanish => {
                self.provider.set(victim, None, now);
                if self.faults.may(Fault::Zombie) && self.random.permille(500) {
                    let delay = self.random.between(500, 120_000);
                    self.later(delay, Event::Revive { serial: victim });
                }
            }
            Fault::ZoneLoss => {
                for serial in units {
                    if self.random.permille(500) {
                        let state = self.random.pick(&[None, Some(InstanceState::Failed)]);
                        self.provider.set(serial, state, now);
                    }
                }
            }
            _ => {
                let until = self.random.pick(&[now + 8_000, now + 60_000, now + 400_000, u64::MAX]);
                self.provider.fall_ill(victim, now, until);
            }
        }
        true
    }

    /// The host is killed.
    pub(super) fn kill(&mut self) -> Result<(), Broken> {
        self.counts.kills += 1;
        self.tell(|| "the host is killed".into());
        for group in 0..self.groups.len() {
            let it = &mut self.groups[group];
            let Some(_) = it.keeper.take() else { continue };
            let synced = match self.faults.may(Fault::LostTail) && !it.store.is_synced() {
                true => {
                    self.faults.note(Fault::LostTail);
                    self.random.between(it.store.synced, it.store.last)
                }
                false if self.disk_until > self.now => it.store.synced,
                false => it.store.last,
            };
            it.store.sync(synced);
            it.store.lose_tail();
            let running = self.calls.values().filter(|it| it.waited_for && it.group == group && it.life == self.life);
            rules::after_kill(&it.store, &it.book, running.map(|it| &it.step))?;
            it.book.killed(synced);
            it.view = Default::default();
            it.hiding = None;
        }
        self.lose_calls();
        self.life += 1;
        self.up = false;
        let delay = self.random.latency(100, 90_000);
        self.later(delay, Event::Restart);
        Ok(())
    }

    /// It starts again from what was durable.
    pub(super) fn restart(&mut self) -> Result<(), Broken> {
        // By less than a day, after which healing forgets.
        if self.faults.strikes(Fault::ClockJump, &mut self.random, 500) {
            let most = 39_600_000;
            self.offset = self.random.between(0, 2 * most) as i64 - most as i64;
        }
        self.up = true;
        self.disk_failed = false;
        self.flushing = false;
        self.tell(|| "the host starts".into());
        for group in 0..self.groups.len() {
            self.take_over(group)?;
        }
        Ok(())
    }

    fn take_over(&mut self, group: usize) -> Result<(), Broken> {
        let now = self.clock();
        let it = &self.groups[group];
        let Some(record) = it.store.record.clone() else { return Ok(()) };
        let kept = it.store.durable().clone();
        let ledger = Ledger::restore(kept.intents, kept.memory, now);
        rules::after_restart(&it.store, &ledger)?;
        self.groups[group].store.recovered(&ledger);
        self.keep(group, Machine::new(Arc::new(record), ledger, self.setting(), true, now));
        self.look_soon(group);
        Ok(())
    }

    /// Let the host keep a group.
    pub(super) fn keep(&mut self, group: usize, machine: Machine) {
        self.groups[group].keeper = Some(Keeper {
            machine,
            looking: false,
            token: 0,
            poll: super::keeper::FIRST_POLL,
            running: 0,
            planned: Timestamp(0),
            woken: (0, 0),
        });
    }

    pub(super) fn setting(&self) -> Setting {
        Setting { parallel: self.parallel, host: None, list_lag: self.list_lag }
    }
}
