//! How a group stands: what its task publishes after each pass, and how that is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use homeostat_core::ledger::{Retries, Rollout};
use homeostat_core::machine::Machine;
use homeostat_core::observed::{Health, HealthReport, Instance, InstanceState, Observation};
use homeostat_core::plan::{Reason, Report};
use homeostat_core::record::{Goal, GroupRecord};
use homeostat_core::time::Timestamp;

use crate::view::{GroupSummary, GroupView, InstanceView, Progress, RetryView, RevisionView, RolloutView, Why};

/// How a group stands.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) record: Arc<GroupRecord>,
    /// The last look; none before the first.
    pub(crate) observation: Option<Arc<Observation>>,
    /// The health of its instances, in their order.
    pub(crate) health: Arc<[HealthReport]>,
    pub(crate) report: Report,
    pub(crate) progress: Progress,
    /// The revisions that were stable.
    pub(crate) stable: BTreeSet<u64>,
    rollout: Option<RolloutView>,
    retries: Retries,
    /// Names being made that the list does not show, with their slots and identities.
    creating: Vec<(String, u32, Option<String>, Timestamp)>,
    removing: BTreeSet<String>,
}

impl State {
    /// A group that was not looked at yet.
    pub(crate) fn new(record: Arc<GroupRecord>) -> Self {
        let mut report = Report::default();
        report.counts.desired = record.spec.properties.allocation.len();
        Self {
            record,
            observation: None,
            health: Arc::new([]),
            report,
            progress: Progress::default(),
            stable: BTreeSet::new(),
            rollout: None,
            retries: Retries::new(),
            creating: Vec::new(),
            removing: BTreeSet::new(),
        }
    }

    /// Take over what the machine knows.
    pub(crate) fn note(&mut self, machine: &Machine) {
        let ledger = machine.ledger();
        self.observation = machine.observation().cloned();
        self.health = ledger.tracks.iter().map(|it| it.health.clone()).collect();
        self.stable.clone_from(&ledger.memory.stable);
        self.rollout = ledger.memory.rollout.as_ref().map(|it| rollout(it, machine));
        self.retries.clone_from(&ledger.memory.retries);
        self.removing = ledger.removing.keys().cloned().collect();
        if ledger.creating.is_empty() {
            self.creating = Vec::new();
            return;
        }
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
            rollout: self.rollout.clone(),
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
        let listed = self.observation.iter().flat_map(|it| it.instances.iter().enumerate());
        let mut instances: Vec<InstanceView> = listed
            .map(|(index, instance)| self.instance(self.health.get(index), instance))
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
                protected: false,
                created_at: Some(*since),
                addresses: Vec::new(),
                tags: BTreeMap::new(),
            }))
            .collect();
        instances.sort_by(|a, b| {
            (a.slot.unwrap_or(u32::MAX), &a.id, &a.name).cmp(&(b.slot.unwrap_or(u32::MAX), &b.id, &b.name))
        });
        let revision = |it: &homeostat_core::record::Config| RevisionView {
            revision: it.revision,
            hash: it.hash.clone(),
            at: it.at,
            stable: self.stable.contains(&it.revision),
            rollback_of: it.rollback_of,
        };
        let retry = |(slot, it): (&homeostat_core::ledger::SlotKey, &homeostat_core::ledger::Retry)| RetryView {
            slot: slot.to_string(),
            failures: it.failures,
            last: it.last,
        };
        GroupView {
            summary: self.summary(),
            config_hash: self.record.config().hash.clone(),
            observed_at: self.observation.as_ref().map(|it| it.started),
            waiting: self.report.waiting.iter().map(why).collect(),
            revisions: self.record.configs.iter().map(revision).collect(),
            retries: self.retries.iter().map(retry).collect(),
            instances,
            progress: self.progress,
            findings: self.observation.as_ref().map(|it| it.findings.clone()).unwrap_or_default(),
        }
    }

    /// How a listed instance stands, in a few words.
    pub(crate) fn instance_status(&self, id: &str) -> Option<String> {
        let seen = self.observation.as_ref()?;
        let (index, instance) = seen.instances.iter().enumerate().find(|(_, it)| it.id == id)?;
        let view = self.instance(self.health.get(index), instance);
        let spec = if view.current { "up to date" } else { "out of date" };
        let going = if view.removing { ", being destroyed" } else { "" };
        Some(format!("{}, {}, {spec}{going}", view.state.name(), view.health.name()))
    }

    fn instance(&self, health: Option<&HealthReport>, instance: &Instance) -> InstanceView {
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
            current: instance.is_current(&self.record.config().hash),
            removing: self.removing.contains(&instance.id),
            protected: self.record.protected.contains(&instance.id),
            created_at: instance.created_at_ms.map(Timestamp),
            addresses: instance.addresses.clone(),
            tags: instance.tags.clone(),
        }
    }
}

fn why(reason: &Reason) -> Why {
    Why { text: reason.to_string(), since: Some(reason.since), next: reason.next }
}

fn rollout(it: &Rollout, machine: &Machine) -> RolloutView {
    let desired = machine.desired();
    RolloutView {
        revision: it.revision,
        kind: it.kind,
        status: it.status.clone(),
        text: machine.rollout_in_words(),
        since: it.since,
        total: it.total,
        ready: it.ready,
        failed: it.failed,
        last_failure: it.last_failure.clone(),
        deadline: it.deadline(&desired.spec.properties.updating, desired.size()),
    }
}
