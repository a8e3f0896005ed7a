//! Planning before acting: every step that a commit would lead to, and carrying out a plan that was saved.
//!
//! Whatever is asked of plugins here is asked through readers: they have no functions that change anything, and their
//! directories are opened read-only.

use data_encoding::HEXLOWER;
use homeostat_core::ledger::Ledger;
use homeostat_core::observed::{Instance, Observation};
use homeostat_core::plan::{Desired, forecast};
use homeostat_core::record::GroupRecord;
use homeostat_core::tags;
use sha1::{Digest, Sha1};

use super::Host;
use super::commit::Proposal;
use crate::admit::{Admitted, admit};
use crate::error::{HostError, chain};
use crate::group::GroupHandle;
use crate::store::Snapshot;
use crate::view::{CommitReply, CommitRequest, GroupPlan, PlanReply};

impl Host {
    /// Say step by step what committing a document would do. Nothing is changed, and no plugin can change anything.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn plan(&self, request: &CommitRequest) -> Result<PlanReply, HostError> {
        let request = CommitRequest { pretend: true, ..request.clone() };
        let base = self.0.state.lock().await.clone();
        let admitted = admit(&request, &self.0.registry, self.0.context.clock.now()).await?;
        let proposal = self.propose(&base, &admitted, &request).await?;
        let mut groups = Vec::with_capacity(proposal.records.len());
        for (record, commit) in proposal.records.iter().zip(&proposal.reply.groups) {
            let old = base.groups.get(&commit.id).map(|it| &it.record);
            let now = self.0.context.clock.now();
            let (mut ledger, observation) = self.picture(record, old, &admitted).await?;
            let world = fingerprint(&observation.instances, &ledger);
            let list_lag = std::time::Duration::ZERO;
            let host = self.0.config.self_instance.clone();
            let desired = Desired::new(record, &ledger.memory.stable, host, list_lag);
            if old.is_none_or(|it| it.config().hash != record.config().hash) {
                ledger.memory.retries.clear();
            }
            let played = tokio::task::spawn_blocking(move || forecast(&desired, &observation, &ledger, now, 0)).await;
            let played = played.map_err(|_| HostError::Stopping)?;
            groups.push(GroupPlan {
                id: commit.id.clone(),
                plan: commit.plan.clone(),
                revision: old.map_or(0, |it| it.revision),
                world,
                old: old.map(|it| it.spec.clone()),
                new: record.spec.clone(),
                rounds: played.rounds,
                complete: played.complete,
            });
        }
        Ok(PlanReply { request, plugins: proposal.reply.plugins, groups })
    }

    /// Carry out a plan that was made before. Its document is committed if every group's spec and instances are what they
    /// were.
    ///
    /// # Errors
    /// [`HostError::Conflict`] where something has moved since; otherwise as [`commit`](Self::commit).
    pub async fn apply(&self, plan: &PlanReply) -> Result<CommitReply, HostError> {
        let request = CommitRequest { pretend: false, ..plan.request.clone() };
        self.commit_planned(&request, Some(plan)).await
    }

    /// Make sure that what a plan was made from is still so.
    pub(super) async fn check_fresh(
        &self,
        plan: &PlanReply,
        base: &Snapshot,
        proposal: &Proposal,
        admitted: &Admitted,
    ) -> Result<(), HostError> {
        let stale = |what: String| Err(HostError::Conflict(format!("the plan is stale: {what}; plan anew")));
        if !plan.groups.iter().map(|it| &it.id).eq(proposal.records.iter().map(|it| &it.spec.id)) {
            return stale("its groups are not those of its document".into());
        }
        for (group, record) in plan.groups.iter().zip(&proposal.records) {
            let id = &group.id;
            let old = base.groups.get(id).map(|it| &it.record);
            let (was, is) = (group.revision, old.map_or(0, |it| it.revision));
            if was != is {
                return stale(format!("it was made when group {id} had revision {was}, and now it has {is}"));
            }
            if record.spec != group.new {
                return stale(format!("its document now gives group {id} another spec"));
            }
            let (ledger, observation) = self.picture(record, old, admitted).await?;
            if fingerprint(&observation.instances, &ledger) != group.world {
                return stale(format!("the instances of group {id} are not what they were"));
            }
        }
        Ok(())
    }

    /// What is known of a group, and its instances as they are listed now. The instance plugin may be one that the
    /// document registers.
    async fn picture(
        &self,
        record: &GroupRecord,
        old: Option<&GroupRecord>,
        admitted: &Admitted,
    ) -> Result<(Ledger, Observation), HostError> {
        let name = &record.spec.properties.instance.plugin;
        match admitted.plugins.get(name).filter(|_| self.0.registry.find(name).is_none()) {
            Some(candidate) => {
                let reader = candidate.plugin.as_instance().map(|it| it.read_only());
                let reader = reader.ok_or_else(|| HostError::Conflict(format!("{name} is not an instance plugin")))?;
                self.list_with(&reader, record, Ledger::default()).await
            }
            None => self.look_closely(record, old).await,
        }
    }

    async fn look_closely(
        &self,
        record: &GroupRecord,
        old: Option<&GroupRecord>,
    ) -> Result<(Ledger, Observation), HostError> {
        let id = &record.spec.id;
        let asked = match old {
            Some(_) => self.handle(id, GroupHandle::ledger),
            None => None,
        };
        let known = match asked {
            Some(answer) => answer.await.ok_or(HostError::Stopping)?,
            None => Ledger::default(),
        };
        let name = &record.spec.properties.instance.plugin;
        let plugin = self.0.registry.get(name).await.map_err(|it| HostError::Conflict(it.to_string()))?;
        let reader = plugin.as_instance().map(|it| it.read_only());
        let reader = reader.ok_or_else(|| HostError::Conflict(format!("{name} is not an instance plugin")))?;
        self.list_with(&reader, record, known).await
    }

    async fn list_with(
        &self,
        reader: &homeostat_runtime::InstanceReader,
        record: &GroupRecord,
        mut ledger: Ledger,
    ) -> Result<(Ledger, Observation), HostError> {
        let id = &record.spec.id;
        let started = self.0.context.clock.now();
        let listing = reader.list(&tags::of_group(id), false).await;
        let listing = listing.map_err(|error| {
            HostError::Conflict(format!("the instances of {id} cannot be listed: {}", chain(&error)))
        })?;
        if !listing.complete {
            return Err(HostError::Conflict(format!("the list of the instances of {id} is not complete; try again")));
        }
        let observation = Observation {
            started,
            instances: listing.instances,
            complete: true,
            findings: listing.findings,
            ranking: None,
        };
        ledger.doubt = None;
        Ok((ledger, observation))
    }
}

/// What a plan was made from: the instances, their configs and states, and what is under way.
fn fingerprint(instances: &[Instance], ledger: &Ledger) -> String {
    let mut lines: Vec<String> = instances
        .iter()
        .map(|it| {
            let (hash, identity) = (it.config_hash().unwrap_or_default(), it.logical_id().unwrap_or_default());
            format!("{}\0{}\0{}\0{hash}\0{identity}", it.id, it.name, it.state.name())
        })
        .chain(ledger.creating.keys().map(|it| format!("+{it}")))
        .chain(ledger.removing.keys().map(|it| format!("-{it}")))
        .collect();
    lines.sort_unstable();
    HEXLOWER.encode(&Sha1::digest(lines.join("\n").as_bytes()))
}
