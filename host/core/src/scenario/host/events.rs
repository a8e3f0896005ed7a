//! What the script does to a host and its world.

use std::sync::Arc;

use super::Host;
use crate::hash::config_hash;
use crate::plan::{explain, forecast};
use crate::record::{Goal, GroupRecord};
use crate::scenario::script::Event;
use crate::spec::{Allocation, GroupSpec};
use crate::tags;

impl Host {
    /// Let something happen now.
    pub(in crate::scenario) fn take(&mut self, event: &Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::Commit { pretend, convert, changes } => self.commit(*pretend, *convert, changes)?,
            Event::State(which, state) => {
                let ids = self.find(which)?;
                self.provider.set_state(&ids, *state);
                self.say(format!("## {} {}", ids.join(", "), state.name()));
            }
            Event::Vanish(which) => {
                let ids = self.find(which)?;
                ids.iter().for_each(|id| self.provider.destroy(id, now));
                self.say(format!("## {} vanished", ids.join(", ")));
            }
            Event::Health(which, health) => {
                let ids = self.provider.find(which, now);
                self.provider.set_health(which, *health, ids);
                self.say(format!("## {} {}", name(which), health.name()));
            }
            Event::Speed(speeds) => {
                for (key, value) in speeds {
                    self.provider.set_speed(key, *value)?;
                }
            }
            Event::Fault { call, how, times, slot } => {
                self.provider.set_fault(*call, *how, *times, *slot);
                self.say(format!("## {} {}", format!("{call:?}").to_lowercase(), fault(how, *times, *slot)));
            }
            Event::Exists(pairs) => self.exists(pairs)?,
            Event::Host(pairs) => self.set_up(pairs)?,
            Event::Restart { lost } => self.restart(*lost),
            Event::Control(control) => {
                let machine = self.machine.as_mut().ok_or("there is no group")?;
                let said = machine.control(*control, now);
                match said {
                    Ok(text) => self.say(format!("## {text}")),
                    Err(error) => self.say(format!("## refused: {error}")),
                }
                self.write();
                let random = self.random();
                if let Some(machine) = &mut self.machine {
                    machine.replan(now, random);
                }
                self.planned();
                self.look_at = now;
            }
            Event::Protect(which, protect) => {
                let ids = self.find(which)?;
                self.say(format!("## {} {}", ids.join(", "), if *protect { "protected" } else { "unprotected" }));
                self.edit(|record| match protect {
                    true => record.protected.extend(ids),
                    false => record.protected.retain(|it| !ids.contains(it)),
                })?;
            }
            Event::Condemn(which) => {
                let ids = self.provider.find(which, now);
                if ids.is_empty() {
                    self.say(format!("## refused: there is no {}", name(which)));
                    return Ok(());
                }
                self.say(format!("## destroy {}", ids.join(", ")));
                self.edit(|record| {
                    // As many fewer are declared: they are not to be made again.
                    if let Allocation::Size(size) = &mut record.spec.properties.allocation {
                        *size = size.saturating_sub(u32::try_from(ids.len()).unwrap_or(u32::MAX));
                    }
                    record.condemned.extend(ids);
                })?;
            }
            Event::Rank(slots) => self.provider.ranking = Some(slots.clone()),
            Event::Destroy => {
                self.say("## destroy the group".into());
                self.edit(|record| record.goal = Goal::Destroy)?;
            }
            Event::Free => {
                self.say("## free the group".into());
                self.forget();
            }
            Event::Describe => self.describe()?,
            Event::End => self.say("end".into()),
        }
        Ok(())
    }

    fn find(&self, which: &crate::scenario::script::Which) -> Result<Vec<String>, String> {
        let ids = self.provider.find(which, self.now);
        if ids.is_empty() { Err(format!("there is no {}", name(which))) } else { Ok(ids) }
    }

    fn commit(&mut self, pretend: bool, convert: bool, changes: &[(String, String)]) -> Result<(), String> {
        let words = self.words.with(changes);
        let spec = words.spec()?;
        let properties = &spec.properties;
        let hash = config_hash(&properties.instance, &properties.flavor);
        let init = properties.flavor.properties["Init"][0].as_str().unwrap_or_default().to_owned();
        let old = self.store.record.clone();
        let listed = self.provider.list(self.now).map(|it| it.instances).unwrap_or_default();
        let listed = if old.is_some() { listed } else { Vec::new() };
        let said = match explain(old.as_deref().map(|it| &it.spec), &spec, &hash, &listed, convert) {
            Ok(said) => said,
            Err(refusal) => {
                self.say(format!("## commit is refused: {refusal}"));
                return Ok(());
            }
        };
        let record = match &old {
            Some(old) => {
                let mut record = old.commit(spec, &self.store.memory.stable, self.now);
                let kind = |it: &GroupSpec| it.properties.allocation.is_pets();
                record.converting = kind(&record.spec) && (!kind(&old.spec) || old.converting);
                record
            }
            None => GroupRecord::new(spec, self.now),
        };
        if pretend {
            self.say(format!("## commit would involve: {said}"));
            self.foretell(&record);
            return Ok(());
        }
        self.say(format!("## commit: {said}"));
        self.words = words;
        self.provider.inits.insert(hash, init);
        self.keep(record);
        Ok(())
    }

    /// What would come of a record, if nothing went wrong.
    fn foretell(&mut self, record: &GroupRecord) {
        let Ok(observation) = self.provider.list(self.now) else { return };
        let mut ledger = self.machine.as_ref().map(|it| it.ledger().clone()).unwrap_or_default();
        let setting = &self.setting;
        let (host, lag) = (setting.host.clone(), setting.list_lag);
        let desired = crate::plan::Desired::new(record, &ledger.memory.stable, host, lag);
        ledger.memory.backoff.clear();
        let forecast = forecast(&desired, &observation, &ledger, self.now, 1);
        for (round, steps) in forecast.rounds.iter().enumerate() {
            let steps: Vec<String> = steps.iter().map(brief).collect();
            self.say(format!("   round {}: {}", round + 1, steps.join(", ")));
        }
    }

    fn keep(&mut self, record: GroupRecord) {
        let record = Arc::new(record);
        self.store.record = Some(Arc::clone(&record));
        match &mut self.machine {
            Some(machine) => {
                machine.adopt(record);
                self.look_at = self.now;
                self.poll = super::POLL.0;
            }
            None => self.start(false),
        }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut GroupRecord)) -> Result<(), String> {
        let record = self.store.record.as_ref().ok_or("there is no group")?;
        let mut record = (**record).clone();
        edit(&mut record);
        record.revision += 1;
        self.keep(record);
        Ok(())
    }

    fn set_up(&mut self, pairs: &[(String, String)]) -> Result<(), String> {
        for (key, value) in pairs {
            match key.as_str() {
                "parallel" => self.setting.parallel = value.parse().map_err(|_| "so many at once is a number")?,
                "lag" => self.setting.list_lag = crate::duration::parse(value)?,
                "self" => self.this = Some(value.clone()),
                other => return Err(format!("{other} is nothing to set up")),
            }
        }
        let words: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.say(format!("## the host is set up with {}", words.join(" ")));
        self.restart(false);
        Ok(())
    }

    /// Kill the host, and start another.
    fn restart(&mut self, lost: bool) {
        let lives = self.machine.is_some();
        self.calls.iter_mut().for_each(|it| it.orphaned = true);
        // A slot is known by the instance in it.
        let this = self.this.clone();
        self.setting.host = this.map(|it| match it.parse() {
            Ok(slot) => {
                let ids = self.provider.find(&crate::scenario::script::Which::Slot(slot), self.now);
                ids.into_iter().next().unwrap_or(it)
            }
            Err(_) => it,
        });
        if !lives {
            return;
        }
        self.say(format!(
            "## the host is killed and started again{}",
            if lost { ", and its state is lost" } else { "" }
        ));
        self.machine = None;
        if lost {
            self.store = super::Store::default();
            self.transcript.forget();
        } else {
            self.start(true);
        }
    }

    /// An instance that this host did not make: `id`, `slot`, `group`, `config` (`bootstrap`, `current` or any), `LogicalID`.
    fn exists(&mut self, pairs: &[(String, String)]) -> Result<(), String> {
        let mut tags = tags::of_group("web");
        let mut id = self.provider.next_id();
        for (key, value) in pairs {
            let value = value.clone();
            match key.as_str() {
                "id" => id = value,
                "slot" => drop(tags.insert(tags::SLOT.into(), value)),
                "group" => drop(tags.insert(tags::GROUP.into(), value)),
                "LogicalID" => drop(tags.insert(tags::LOGICAL_ID.into(), value)),
                "config" => drop(tags.insert(tags::CONFIG_HASH.into(), value)),
                other => return Err(format!("{other} is nothing that an instance has")),
            }
        }
        self.provider.add(id.clone(), String::new(), tags, self.now);
        self.say(format!("## {id} was made by somebody else"));
        Ok(())
    }

    fn describe(&mut self) -> Result<(), String> {
        let report = self.machine.as_ref().ok_or("there is no group")?.report().clone();
        let it = report.counts;
        let state = if report.converged { "converged" } else { "not converged" };
        self.say(format!(
            "## {state}: {} declared, {} there, {} running, {} healthy, {} out of date",
            it.desired, it.actual, it.running, it.healthy, it.outdated
        ));
        for reason in &report.waiting {
            let since = crate::scenario::clock(reason.since);
            let next =
                reason.next.map_or_else(String::new, |at| format!(", next attempt at {}", crate::scenario::clock(at)));
            self.say(format!("   {reason} (since {since}{next})"));
        }
        Ok(())
    }
}

fn brief(step: &crate::step::Step) -> String {
    use crate::step::Action;
    match &step.action {
        Action::Provision(it) => {
            format!("make {}", it.logical_id.clone().unwrap_or_else(|| format!("slot {}", it.slot)))
        }
        Action::Destroy(it) => {
            let slot = it.slot.map_or_else(String::new, |slot| format!("slot {slot}"));
            format!("destroy {}", it.logical_id.clone().unwrap_or(slot))
        }
        Action::Label(it) => format!("label {}", it.id),
    }
}

fn name(which: &crate::scenario::script::Which) -> String {
    use crate::scenario::script::Which;
    match which {
        Which::All => "all".into(),
        Which::Init(init) => format!("all with Init {init}"),
        Which::Slot(slot) => format!("slot {slot}"),
        Which::Id(id) => id.clone(),
    }
}

fn fault(how: &crate::scenario::script::How, times: Option<u32>, slot: Option<u32>) -> String {
    use crate::scenario::script::How;
    let how = match how {
        How::Works => "works again".into(),
        How::Fails(code) => format!("fails: {}", crate::scenario::provider::error(*code)),
        How::Lost => "is done, and the answer is lost".into(),
        How::Unheard => "is not done, and the answer is lost".into(),
        How::Partial => "says that it is not whole".into(),
        How::Empty => "shows nothing and says that it is whole".into(),
    };
    let times = times.map_or_else(String::new, |it| format!(", {it} times"));
    let slot = slot.map_or_else(String::new, |it| format!(" in slot {it}"));
    format!("{how}{slot}{times}")
}
