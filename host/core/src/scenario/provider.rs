//! A provider and a flavor that are made up: slow, late and faulty as the script says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::script::{Call, How, Which};
use crate::observed::{Health, HealthReport, Instance, InstanceState, Observation};
use crate::outcome::{ErrorCode, PluginError};
use crate::step::{Action, Label, Provision};
use crate::tags;
use crate::time::Timestamp;

/// All that exists, and all that goes wrong.
#[derive(Default)]
pub(super) struct Provider {
    things: Vec<Thing>,
    speeds: BTreeMap<String, Duration>,
    faults: Vec<Fault>,
    /// `Init` by config hash.
    pub(super) inits: BTreeMap<String, String>,
    by_id: BTreeMap<String, Health>,
    by_init: BTreeMap<String, Health>,
    health: Option<Health>,
    /// The flavor's ranking, by slot.
    pub(super) ranking: Option<Vec<u32>>,
    made: u32,
    /// Ids by the names that were asked for.
    ids: BTreeMap<String, String>,
}

struct Thing {
    instance: Instance,
    made: Timestamp,
    /// When it was destroyed.
    gone: Option<Timestamp>,
    /// What the script says of its state.
    state: Option<InstanceState>,
}

struct Fault {
    call: Call,
    how: How,
    times: Option<u32>,
    slot: Option<u32>,
}

impl Provider {
    pub(super) fn set_speed(&mut self, key: &str, value: Duration) -> Result<(), String> {
        if !["provision", "boot", "healthy", "drain", "destroy", "lag"].contains(&key) {
            return Err(format!("{key} is no speed of a provider"));
        }
        self.speeds.insert(key.into(), value);
        Ok(())
    }

    pub(super) fn speed(&self, key: &str) -> Duration {
        self.speeds.get(key).copied().unwrap_or_default()
    }

    pub(super) fn set_fault(&mut self, call: Call, how: How, times: Option<u32>, slot: Option<u32>) {
        self.faults.retain(|it| it.call != call || slot.is_some() && it.slot != slot);
        if how != How::Works {
            self.faults.push(Fault { call, how, times, slot });
        }
    }

    /// How the next call of that kind goes wrong, if it does.
    pub(super) fn fault(&mut self, call: Call, slot: Option<u32>) -> Option<How> {
        let at = self.faults.iter().position(|it| it.call == call && (it.slot.is_none() || it.slot == slot))?;
        let fault = &mut self.faults[at];
        let how = fault.how;
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                self.faults.remove(at);
            }
        }
        Some(how)
    }

    /// The id that the instance of a name has or gets.
    pub(super) fn id_of(&mut self, name: &str) -> String {
        if let Some(id) = self.ids.get(name) {
            return id.clone();
        }
        let id = self.next_id();
        self.ids.insert(name.to_owned(), id.clone());
        id
    }

    /// The id that the next instance gets.
    pub(super) fn next_id(&mut self) -> String {
        self.made += 1;
        format!("i{}", self.made)
    }

    /// Make an instance; one of that name is made once.
    pub(super) fn provision(&mut self, id: String, wanted: &Provision, now: Timestamp) {
        if self.things.iter().any(|it| it.instance.name == wanted.name && it.gone.is_none()) {
            return;
        }
        self.add(id, wanted.name.clone(), wanted.tags.clone(), now);
    }

    pub(super) fn add(&mut self, id: String, name: String, tags: tags::Tags, now: Timestamp) {
        let instance = Instance {
            id,
            name,
            logical_id: tags.get(tags::LOGICAL_ID).cloned(),
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: Some(now.0),
            addresses: Vec::new(),
            tags,
            properties: None,
        };
        self.things.push(Thing { instance, made: now, gone: None, state: None });
    }

    pub(super) fn destroy(&mut self, id: &str, now: Timestamp) {
        for thing in self.things.iter_mut().filter(|it| it.instance.id == id) {
            thing.gone.get_or_insert(now);
        }
    }

    pub(super) fn label(&mut self, label: &Label) {
        for thing in self.things.iter_mut().filter(|it| it.instance.id == label.id) {
            thing.instance.tags.extend(label.tags.clone());
        }
    }

    /// Carry out an action at once.
    pub(super) fn apply(&mut self, id: &str, action: &Action, now: Timestamp) {
        match action {
            Action::Provision(it) => self.provision(id.to_owned(), it, now),
            Action::Destroy(it) => self.destroy(&it.id, now),
            Action::Label(it) => self.label(it),
        }
    }

    /// The instances that truly exist.
    pub(super) fn instances(&self, now: Timestamp) -> Vec<Instance> {
        self.things.iter().filter(|it| it.gone.is_none()).map(|it| self.seen(it, now)).collect()
    }

    fn seen(&self, thing: &Thing, now: Timestamp) -> Instance {
        let boots = now < thing.made.after(self.speed("boot"));
        let state = thing.state.unwrap_or(if boots { InstanceState::Pending } else { InstanceState::Running });
        Instance { state, ..thing.instance.clone() }
    }

    /// What the list says: late, partial, empty or not at all.
    pub(super) fn list(&mut self, now: Timestamp) -> Result<Observation, PluginError> {
        let fault = self.fault(Call::List, None);
        if let Some(How::Fails(code)) = fault {
            return Err(error(code));
        }
        let lag = self.speed("lag");
        let visible = |it: &&Thing| it.made.after(lag) <= now && it.gone.is_none_or(|gone| now < gone.after(lag));
        let mut instances: Vec<_> = self.things.iter().filter(visible).map(|it| self.seen(it, now)).collect();
        match fault {
            Some(How::Empty) => instances.clear(),
            Some(How::Partial) => instances.truncate(instances.len() / 2),
            _ => {}
        }
        let complete = fault != Some(How::Partial);
        let ranking = self.ranking.as_ref().map(|slots| {
            let of = |slot: &u32| instances.iter().find(|it| it.slot() == Some(*slot)).map(|it| it.id.clone());
            slots.iter().filter_map(of).collect()
        });
        Ok(Observation { started: now, instances, complete, ranking, ..Observation::default() })
    }

    /// The flavor's judgement.
    pub(super) fn health(&self, instance: &Instance, now: Timestamp) -> HealthReport {
        let init = instance.config_hash().and_then(|hash| self.inits.get(hash));
        let made = instance.created_at_ms.unwrap_or_default();
        let said = self.by_id.get(&instance.id).or_else(|| self.by_init.get(init?)).copied();
        let early = now < Timestamp(made).after(self.speed("boot") + self.speed("healthy"));
        let status = match said.or(self.health) {
            Some(health) => health,
            None if early => Health::Unknown,
            None => Health::Healthy,
        };
        HealthReport { status, message: String::new() }
    }

    pub(super) fn set_health(&mut self, which: &Which, health: Health, ids: Vec<String>) {
        match which {
            Which::All => {
                self.by_id.clear();
                self.by_init.clear();
                self.health = Some(health);
            }
            Which::Init(init) => drop(self.by_init.insert(init.clone(), health)),
            _ => self.by_id.extend(ids.into_iter().map(|id| (id, health))),
        }
    }

    pub(super) fn set_state(&mut self, ids: &[String], state: InstanceState) {
        for thing in self.things.iter_mut().filter(|it| ids.contains(&it.instance.id)) {
            thing.state = Some(state);
        }
    }

    /// The ids of instances that exist.
    pub(super) fn find(&self, which: &Which, now: Timestamp) -> Vec<String> {
        let fits = |it: &Instance| match which {
            Which::All => true,
            Which::Init(init) => it.config_hash().and_then(|hash| self.inits.get(hash)) == Some(init),
            Which::Slot(slot) => it.slot() == Some(*slot),
            Which::Id(id) => it.id == *id || it.logical_id() == Some(id),
        };
        self.instances(now).into_iter().filter(fits).map(|it| it.id).collect()
    }
}

/// An error of the provider's.
pub(super) fn error(code: ErrorCode) -> PluginError {
    let name = serde_json::to_value(code).ok().and_then(|it| it.as_str().map(str::to_owned));
    PluginError { code, message: name.unwrap_or_default(), path: None, retry_after: None }
}
