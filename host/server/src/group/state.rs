//! How a group stands: what its task publishes after each pass, and how that is shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use homeostat_core::hash::config_hash;
use homeostat_core::ledger::Ledger;
use homeostat_core::observed::{Health, Instance, InstanceState, Observation};
use homeostat_core::plan::{Goal, Report};
use homeostat_core::time::Timestamp;

use crate::store::GroupRecord;
use crate::view::{GroupSummary, GroupView, InstanceView, Progress};

/// How a group stands.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) record: Arc<GroupRecord>,
    pub(crate) hash: Arc<str>,
    /// The last look; none before the first.
    pub(crate) observation: Option<Arc<Observation>>,
    pub(crate) report: Report,
    pub(crate) progress: Progress,
    /// Names being made that the list does not show, with their slots and identities.
    creating: Vec<(String, u32, Option<String>, Timestamp)>,
    removing: BTreeSet<String>,
}

impl State {
    /// A group that was not looked at yet.
    pub(crate) fn new(record: GroupRecord) -> Self {
        let properties = &record.spec.properties;
        let hash = config_hash(&properties.instance, &properties.flavor);
        let mut report = Report::default();
        report.counts.desired = properties.allocation.len();
        Self {
            hash: hash.into(),
            record: Arc::new(record),
            observation: None,
            report,
            progress: Progress::default(),
            creating: Vec::new(),
            removing: BTreeSet::new(),
        }
    }

    /// Take over what the ledger says is under way.
    pub(crate) fn note(&mut self, ledger: &Ledger) {
        self.removing = ledger.removing.keys().cloned().collect();
        let listed: BTreeSet<&str> =
            self.observation.iter().flat_map(|it| &it.instances).map(|it| it.name.as_str()).collect();
        self.creating = ledger
            .creating
            .iter()
            .filter(|(name, _)| !listed.contains(name.as_str()))
            .map(|(name, it)| (name.clone(), it.slot, it.logical_id.clone(), it.since))
            .collect();
    }

    /// Whether exactly what was declared exists, and the look that says so came after the spec.
    pub(crate) fn is_converged(&self) -> bool {
        self.observation.is_some() && self.report.converged
    }

    pub(crate) fn summary(&self) -> GroupSummary {
        let properties = &self.record.spec.properties;
        GroupSummary {
            id: self.record.spec.id.clone(),
            revision: self.record.revision,
            instance_plugin: properties.instance.plugin.clone(),
            flavor_plugin: properties.flavor.plugin.clone(),
            goal: self.record.goal,
            report: self.report.clone(),
            status: self.status(),
        }
    }

    /// How the group stands, in one sentence.
    fn status(&self) -> String {
        if self.is_converged() {
            return "converged".into();
        }
        if self.progress.total > 0 {
            let verb = if self.record.goal == Goal::Destroy { "destroying" } else { "converging" };
            return format!("{verb}: {} of {} steps done", self.progress.done, self.progress.total);
        }
        match (self.report.waiting.first(), &self.observation) {
            (Some(reason), _) => format!("waiting: {reason}"),
            (None, None) => "waiting: its instances are being listed for the first time".into(),
            (None, Some(_)) => "converging".into(),
        }
    }

    pub(crate) fn view(&self) -> GroupView {
        let mut instances: Vec<InstanceView> = self
            .observation
            .iter()
            .flat_map(|it| it.instances.iter().map(|instance| self.instance(it, instance)))
            .chain(self.creating.iter().map(|(name, slot, logical_id, since)| InstanceView {
                id: String::new(),
                name: name.clone(),
                slot: Some(*slot),
                logical_id: logical_id.clone(),
                state: InstanceState::Pending,
                health: Health::Unknown,
                message: "being made".into(),
                current: true,
                removing: false,
                created_at: Some(*since),
                addresses: Vec::new(),
                tags: Default::default(),
            }))
            .collect();
        instances.sort_by(|a, b| {
            (a.slot.unwrap_or(u32::MAX), &a.id, &a.name).cmp(&(b.slot.unwrap_or(u32::MAX), &b.id, &b.name))
        });
        GroupView {
            summary: self.summary(),
            config_hash: self.hash.to_string(),
            observed_at: self.observation.as_ref().map(|it| it.started),
            waiting: self.report.waiting.iter().map(ToString::to_string).collect(),
            instances,
            progress: self.progress,
            findings: self.observation.as_ref().map(|it| it.findings.clone()).unwrap_or_default(),
        }
    }

    fn instance(&self, observed: &Observation, instance: &Instance) -> InstanceView {
        let health = observed.health.get(&instance.id);
        let message = match health {
            _ if !instance.message.is_empty() => instance.message.clone(),
            Some(report) => report.message.clone(),
            None => String::new(),
        };
        InstanceView {
            id: instance.id.clone(),
            name: instance.name.clone(),
            slot: instance.slot(),
            logical_id: instance.logical_id().map(str::to_owned),
            state: instance.state,
            health: health.map_or(Health::Unknown, |it| it.status),
            message,
            current: instance.is_current(&self.hash),
            removing: self.removing.contains(&instance.id),
            created_at: instance.created_at_ms.map(Timestamp),
            addresses: instance.addresses.clone(),
            tags: instance.tags.clone(),
        }
    }
}
