//! The host at work: it writes down what changed, begins steps when their intents are durable, and takes what comes of them.

use std::collections::BTreeMap;

use super::rules::{self, Broken, Coming, Rule, Start};
use super::world::{Event, World};
use crate::execute::Outcome;
use crate::ledger::SlotKey;
use crate::machine::Changes;
use crate::outcome::{DestroyReason, ErrorCode};
use crate::step::{Action, Destroy, Step};

impl World {
    /// What has to be done after the machine was told something: go back, write down, begin steps.
    pub(super) fn settle(&mut self, group: usize) -> Result<(), Broken> {
        let clock = self.clock();
        let Some(keeper) = self.groups[group].keeper.as_mut() else { return Ok(()) };
        let record = keeper.machine.rolled_back(clock);
        self.write(group)?;
        if let Some(record) = record
            && self.disk_until <= self.now
        {
            self.counts.rollbacks += 1;
            self.groups[group].book.returned = true;
            self.adopt(group, record)?;
        }
        self.begin_steps(group)
    }

    /// Hand over what changed, to be written when it can be. Answers with the number of the entry.
    pub(super) fn write(&mut self, group: usize) -> Result<u64, Broken> {
        let it = &mut self.groups[group];
        let Some(keeper) = it.keeper.as_mut() else { return Ok(it.store.last) };
        let changes: Changes = keeper.machine.take_changes();
        rules::after_turn(&keeper.machine, &mut it.book, &changes.turns)?;
        if !changes.is_empty() {
            if self.phase.is_resting() {
                rules::resting(&keeper.machine, &changes)?;
            }
            let turns = changes.turns.clone();
            it.store.append(changes);
            if !turns.is_empty() {
                self.tell(|| format!("group {group}: {turns:?}"));
            }
            if !self.flushing {
                self.flushing = true;
                let delay = self.random.between(50, 1_000);
                self.later(delay, Event::Flush { life: self.life });
            }
        }
        let it = &self.groups[group];
        if let Some(keeper) = &it.keeper {
            rules::replays(keeper.machine.ledger(), &it.store)?;
        }
        Ok(it.store.last)
    }

    fn begin_steps(&mut self, group: usize) -> Result<(), Broken> {
        let clock = self.clock();
        let mut steps = Vec::new();
        // While the store is known to fail nothing is begun.
        while !self.disk_failed {
            let Some(step) = self.keeper(group).and_then(|it| it.machine.start(clock)) else { break };
            self.check_start(group, &step)?;
            steps.push(step);
        }
        if steps.is_empty() {
            return Ok(());
        }
        if self.phase.is_idle() {
            return Err(Broken { rule: Rule::I9, detail: format!("it is at rest and does {steps:?}") });
        }
        let entry = self.write(group)?;
        let delay = self.random.latency(1, 40);
        self.later(delay, Event::Stored { group, life: self.life, entry, steps });
        Ok(())
    }

    fn check_start(&mut self, group: usize, step: &Step) -> Result<(), Broken> {
        let provider = &self.provider;
        let coming =
            self.calls.values().filter(|it| it.coming && it.group == group).filter_map(|it| match &it.step.action {
                // A call that was repeated and overtaken makes nothing, or what nobody could expect.
                Action::Provision(it) if provider.has_made(&it.name) => None,
                Action::Provision(it) => Some(Coming { name: it.name.clone(), logical_id: it.logical_id.clone() }),
                _ => None,
            });
        let mut coming: Vec<Coming> = coming.collect();
        coming.sort_by(|a, b| a.name.cmp(&b.name));
        coming.dedup_by(|a, b| a.name == b.name);
        let (now, parallel) = (self.clock(), self.parallel);
        let it = &mut self.groups[group];
        let Some(keeper) = it.keeper.as_mut() else { return Ok(()) };
        keeper.running += 1;
        let (machine, running) = (&keeper.machine, keeper.running);
        let planned = keeper.planned;
        let start =
            Start { machine, view: &it.view, provider: &self.provider, coming, running, parallel, now, planned };
        rules::may_start(&start, &mut it.book, step)?;
        if let Action::Destroy(it) = &step.action
            && it.reason == DestroyReason::Unhealthy
        {
            self.mark_replaced(&it.id);
        }
        Ok(())
    }

    /// The intents of steps are durable, or could not be written.
    pub(super) fn stored(&mut self, group: usize, entry: u64, steps: Vec<Step>) -> Result<(), Broken> {
        if self.disk_until > self.now {
            self.disk_failed = true;
            let error = super::call::error(ErrorCode::Unavailable, "it could not be written down", None);
            for step in steps {
                self.finished(group, &step, &Outcome::Failed(error.clone()))?;
            }
            return Ok(());
        }
        let it = &mut self.groups[group];
        it.store.sync(entry);
        let mut slots = BTreeMap::new();
        for step in &steps {
            if let Action::Destroy(step) = &step.action
                && let Destroy { retry: Some(_), slot, logical_id, name, .. } = step
                && !it.keeper.as_ref().is_some_and(|keeper| rules::share_a_slot(&keeper.machine, &it.view, step))
            {
                slots.insert(SlotKey::new(*slot, logical_id.as_deref()).0, name);
            }
        }
        for (slot, name) in slots {
            let healed = it.book.healed.entry(slot).or_default();
            if healed.1 != *name {
                *healed = (healed.0 + 1, name.clone());
            }
        }
        for step in steps {
            self.call(group, step);
        }
        Ok(())
    }

    /// A step has ended.
    pub(super) fn finished(&mut self, group: usize, step: &Step, outcome: &Outcome) -> Result<(), Broken> {
        let (clock, jitter) = (self.clock(), self.random.next());
        let it = &mut self.groups[group];
        let Some(keeper) = it.keeper.as_mut() else { return Ok(()) };
        keeper.running -= 1;
        keeper.machine.finish(step, outcome, clock, jitter);
        let work = step.action.work();
        match outcome {
            Outcome::Done => drop(it.book.held.remove(&work)),
            Outcome::Refused(error) | Outcome::Failed(error) | Outcome::Unknown(error) => {
                // Calls that fail together are one failure; what one of them is asked to wait holds.
                let asked = clock.0 + error.retry_after.map_or(0, |it| it.as_millis() as u64);
                let until = it.book.held.get(&work).map_or(clock.0 + 375, |it| it.0).max(asked);
                it.book.held.insert(work, (until, error.message.clone()));
            }
        }
        let idle = keeper.machine.executor().is_idle();
        self.settle(group)?;
        if idle {
            self.look_soon(group);
        }
        Ok(())
    }

    /// Everything that was written becomes durable, if it can.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        if self.disk_until > self.now {
            self.disk_failed = true;
            self.later(500, Event::Flush { life: self.life });
            return Ok(());
        }
        let failed = std::mem::take(&mut self.disk_failed);
        self.flushing = false;
        for group in 0..self.groups.len() {
            let store = &mut self.groups[group].store;
            store.sync(store.last);
            if failed {
                self.settle(group)?;
            }
        }
        Ok(())
    }
}
