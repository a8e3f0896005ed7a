//! Operators: what they commit and say in the middle of everything.

use std::sync::Arc;

use super::fault::Fault;
use super::phase::Phase;
use super::rules::Broken;
use super::scenario::Quality;
use super::world::{Event, Group, World};
use crate::ledger::Ledger;
use crate::machine::{Control, Machine};
use crate::observed::{Instance, InstanceState};
use crate::plan::Goal;
use crate::record::GroupRecord;
use crate::spec::Allocation;
use crate::tags;

impl World {
    /// The first moment.
    pub(super) fn begin(&mut self) {
        let count = if self.random.permille(250) { 2 } else { 1 };
        for group in 0..count {
            let id = ["web", "db"][group].to_owned();
            let spec = self.scenario.first(&id, &mut self.faults, &mut self.random);
            self.groups.push(Group {
                id,
                store: Default::default(),
                keeper: None,
                view: Default::default(),
                book: Default::default(),
                hiding: None,
            });
            if self.random.permille(150) {
                self.settle_before(&spec);
            }
            let now = self.clock();
            self.create(group, GroupRecord::new(spec, now));
        }
        if self.faults.has(Fault::Foreign) {
            self.faults.note(Fault::Foreign);
            self.place("stranger", Default::default(), None);
        }
        self.later(3_000, Event::Mischief);
        self.later(10_000, Event::Operate);
        let Phase::Trouble { until } = self.phase else { return };
        self.later(until - self.now, Event::Tick);
    }

    /// Instances that another tool made: to be adopted, or of another config.
    fn settle_before(&mut self, spec: &crate::spec::GroupSpec) {
        let size = spec.properties.allocation.len();
        for at in 0..self.random.index(size + 2) {
            let mut tags = tags::of_group(&spec.id);
            let hash = self.random.pick(&[tags::BOOTSTRAP, "another"]);
            tags.insert(tags::CONFIG_HASH.into(), hash.into());
            let mut logical_id = None;
            if let Allocation::LogicalIds(ids) = &spec.properties.allocation {
                let Some(id) = ids.get(at) else { break };
                logical_id = Some(id.clone());
                tags.insert(tags::LOGICAL_ID.into(), id.clone());
            }
            self.place(&format!("{}-before-{at}", spec.id), tags, logical_id);
        }
    }

    fn place(&mut self, name: &str, tags: tags::Tags, logical_id: Option<String>) {
        let instance = Instance {
            id: format!("x-{name}"),
            name: name.to_owned(),
            logical_id,
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: None,
            addresses: Vec::new(),
            tags,
            properties: None,
        };
        // It was there long before the host, so that no list is too old to show it.
        let since = self.now - 60_000;
        let serial = self.provider.add(instance, Quality::Good(0), false, since);
        self.provider.set(serial, Some(InstanceState::Running), since);
    }

    /// Keep a group that was not kept before.
    pub(super) fn create(&mut self, group: usize, record: GroupRecord) {
        let now = self.clock();
        self.groups[group].store.record = Some(record.clone());
        self.groups[group].keeper = None;
        let machine = Machine::new(Arc::new(record), Ledger::default(), self.setting(), false, now);
        self.keep(group, machine);
        self.look_soon(group);
    }

    /// Keep another record of the group from now on.
    pub(super) fn adopt(&mut self, group: usize, record: GroupRecord) -> Result<(), Broken> {
        let it = &mut self.groups[group];
        let Some(keeper) = it.keeper.as_mut() else { return Ok(()) };
        if record.config().hash != keeper.machine.record().config().hash {
            it.book.healed.clear();
        }
        it.book.forgive();
        it.store.record = Some(record.clone());
        keeper.machine.adopt(Arc::new(record));
        self.write(group)?;
        self.look_soon(group);
        Ok(())
    }

    /// An operator does something, if this seed has it.
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        if !self.faults.active {
            return Ok(());
        }
        let pause = self.random.between(2_000, 240_000);
        self.later(pause, Event::Operate);
        // What cannot be written down is not taken.
        if !self.up || self.disk_until > self.now {
            return Ok(());
        }
        let group = self.random.index(self.groups.len());
        let kind = self.random.pick(&[
            Fault::Commits,
            Fault::Commits,
            Fault::Verbs,
            Fault::Verbs,
            Fault::Protection,
            Fault::Condemnation,
            Fault::Destruction,
        ]);
        if !self.faults.may(kind) {
            return Ok(());
        }
        self.faults.note(kind);
        let Some(keeper) = &self.groups[group].keeper else { return self.commit_again(group) };
        let record = (**keeper.machine.record()).clone();
        let ids: Vec<String> = self.groups[group].view.seen.keys().cloned().collect();
        match kind {
            Fault::Commits if record.goal == Goal::Keep => {
                let spec = self.scenario.change(&record.spec, &mut self.faults, &mut self.random);
                self.commit(group, spec)
            }
            Fault::Verbs => self.speak(group, record),
            Fault::Protection if !ids.is_empty() => {
                let mut record = record;
                let id = ids[self.random.index(ids.len())].clone();
                match self.random.permille(600) {
                    true => drop(record.protected.insert(id)),
                    false => drop(record.protected.pop_first()),
                }
                self.tell(|| format!("group {group}: protected are {:?}", record.protected));
                self.adopt(group, record)
            }
            Fault::Condemnation if !ids.is_empty() => {
                let mut record = record;
                record.condemned.insert(ids[self.random.index(ids.len())].clone());
                self.tell(|| format!("group {group}: condemned are {:?}", record.condemned));
                self.adopt(group, record)
            }
            Fault::Destruction if self.random.permille(300) => {
                let mut record = record;
                record.goal = Goal::Destroy;
                self.tell(|| format!("group {group} is to be destroyed"));
                self.adopt(group, record)
            }
            _ => Ok(()),
        }
    }

    /// Commit a spec over the one in force.
    pub(super) fn commit(&mut self, group: usize, spec: crate::spec::GroupSpec) -> Result<(), Broken> {
        let now = self.clock();
        let Some(keeper) = &self.groups[group].keeper else { return Ok(()) };
        let mut record = keeper.machine.record().commit(spec, &keeper.machine.ledger().memory.stable, now);
        record.goal = Goal::Keep;
        self.counts.commits += 1;
        self.groups[group].book.returned = false;
        let quality = self.scenario.quality(&record.config().hash);
        self.tell(|| {
            format!("group {group}: commit of revision {} ({quality:?}): {:?}", record.revision, record.spec.properties)
        });
        self.adopt(group, record)
    }

    /// Commit a group again that was destroyed.
    fn commit_again(&mut self, group: usize) -> Result<(), Broken> {
        let id = self.groups[group].id.clone();
        let spec = self.scenario.first(&id, &mut self.faults, &mut self.random);
        let now = self.clock();
        self.counts.commits += 1;
        self.tell(|| format!("group {group} is committed again: {:?}", spec.properties));
        self.create(group, GroupRecord::new(spec, now));
        Ok(())
    }

    fn speak(&mut self, group: usize, record: GroupRecord) -> Result<(), Broken> {
        let now = self.clock();
        let verbs = [Control::Pause, Control::Resume, Control::Resume, Control::Promote, Control::Reset];
        let Some(verb) = verbs.get(self.random.index(verbs.len() + 1)).copied() else {
            let Some(keeper) = &self.groups[group].keeper else { return Ok(()) };
            let stable = &keeper.machine.ledger().memory.stable;
            let targets: Vec<u64> = record.configs.iter().map(|it| it.revision).collect();
            let Some(back) = record.roll_back(self.random.pick(&targets), stable, now) else { return Ok(()) };
            self.tell(|| format!("group {group}: an operator rolls back to {:?}", back.config()));
            self.groups[group].book.returned = false;
            return self.adopt(group, back);
        };
        self.control(group, verb).map(drop)
    }

    pub(super) fn control(&mut self, group: usize, verb: Control) -> Result<bool, Broken> {
        let now = self.clock();
        let it = &mut self.groups[group];
        let Some(keeper) = it.keeper.as_mut() else { return Ok(false) };
        let taken = keeper.machine.control(verb, now).is_ok();
        if taken {
            match verb {
                Control::Pause => it.book.paused = Some(keeper.machine.desired().config.revision),
                Control::Reset => {
                    it.book.healed.clear();
                    it.book.forgive();
                }
                _ => {}
            }
            self.tell(|| format!("group {group}: an operator says {verb:?}"));
        }
        self.settle(group)?;
        self.look_soon(group);
        Ok(taken)
    }
}
