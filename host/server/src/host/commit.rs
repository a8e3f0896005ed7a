//! Changing what is declared: a document, or an edit of one group's spec.
//!
//! A change is worked out on a copy of the state, because plugins may take their time over it, and taken over only if
//! nobody was faster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use homeostat_core::hash::config_hash;
use homeostat_core::observed::Instance;
use homeostat_core::plan::explain;
use homeostat_core::plugin::PluginRecord;
use homeostat_core::record::{Goal, GroupRecord};
use homeostat_core::spec::{Allocation, GroupSpec};
use homeostat_core::tags;
use tokio::sync::watch;

use super::Host;
use crate::admit::{Admitted, admit, plugin_pointer};
use crate::error::{HostError, chain};
use crate::event::What;
use crate::group::GroupHandle;
use crate::store::{Change, Snapshot, StoredGroup};
use crate::view::{CommitReply, CommitRequest, GroupCommit, PlanReply};

/// How often a change is made anew when others come before it.
const ATTEMPTS: usize = 10;

/// What a commit would change.
#[derive(Default)]
pub(super) struct Proposal {
    pub(super) reply: CommitReply,
    changes: Vec<Change>,
    pub(super) records: Vec<GroupRecord>,
    plugins: BTreeMap<String, PluginRecord>,
}

/// How a spec takes the place of the one in force.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner<'a> {
    /// Instances to destroy, by id.
    pub(super) condemned: Option<&'a BTreeSet<String>>,
    /// Cattle may become pets, and back.
    pub(super) convert: bool,
    /// Nothing is to be changed, not even by a plugin that is asked something.
    pub(super) pretend: bool,
}

fn contended() -> HostError {
    HostError::Conflict("others keep changing the state at the same time; try again".into())
}

impl Host {
    /// Commit a document: register its plugins and keep its groups, all or nothing. With `pretend`, only say what that
    /// would do.
    ///
    /// # Errors
    /// [`HostError::Document`] with all faults of the document, or why it does not fit the state things are in. Nothing
    /// was changed then.
    pub async fn commit(&self, request: &CommitRequest) -> Result<CommitReply, HostError> {
        self.commit_planned(request, None).await
    }

    /// Commit a document; where it was planned before, only if nothing has moved since.
    pub(super) async fn commit_planned(
        &self,
        request: &CommitRequest,
        plan: Option<&PlanReply>,
    ) -> Result<CommitReply, HostError> {
        for _ in 0..ATTEMPTS {
            // Plugins may take their time, so nobody else is kept waiting meanwhile.
            let base = self.0.state.lock().await.clone();
            let admitted = admit(request, &self.0.registry, self.0.context.clock.now()).await?;
            let mut proposal = self.propose(&base, &admitted, request).await?;
            if request.pretend {
                return Ok(proposal.reply);
            }
            if let Some(plan) = plan {
                self.check_fresh(plan, &base, &proposal, &admitted).await?;
            }
            let mut state = self.0.state.lock().await;
            if state.revision != base.revision {
                continue;
            }
            self.write(&mut state, proposal.changes).await?;
            let mut swapped = Vec::new();
            for (name, candidate) in admitted.plugins {
                if let Some(record) = proposal.plugins.remove(&name)
                    && self.install(&name, record, candidate.plugin)
                {
                    swapped.push(name);
                }
            }
            for (record, commit) in proposal.records.into_iter().zip(&proposal.reply.groups) {
                self.keep(record, &commit.plan).await;
            }
            drop(state);
            for name in swapped {
                self.roll_groups(&name).await;
            }
            return Ok(proposal.reply);
        }
        Err(contended())
    }

    /// What committing a document would change.
    pub(super) async fn propose(
        &self,
        base: &Snapshot,
        admitted: &Admitted,
        request: &CommitRequest,
    ) -> Result<Proposal, HostError> {
        let manner = Manner { convert: request.convert, pretend: request.pretend, ..Manner::default() };
        let mut proposal = Proposal::default();
        let mut faults = Vec::new();
        let committed: Vec<&str> = admitted.groups.iter().map(|it| it.spec.id.as_str()).collect();
        for (name, candidate) in &admitted.plugins {
            if let Err(error) = self.hold_against_users(name, candidate, &committed).await {
                faults.push(admitted.document.diagnostic_at(&plugin_pointer(name), error.to_string()));
            }
            let record = base.plugins.get(name).cloned();
            let record = record.unwrap_or_else(|| PluginRecord::new(candidate.spec.clone()));
            let record = record.swapped(candidate.spec.clone(), candidate.locked.clone());
            proposal.reply.plugins.push(name.clone());
            proposal.changes.push(Change::PutPlugin(name.clone(), record.clone()));
            proposal.plugins.insert(name.clone(), record);
        }
        for (index, group) in admitted.groups.iter().enumerate() {
            match self.change(base, group.spec.clone(), &group.hash, manner).await {
                Ok((record, plan)) => {
                    let (id, revision) = (record.spec.id.clone(), record.revision);
                    proposal.reply.groups.push(GroupCommit { id, plan, revision });
                    proposal.changes.push(Change::PutGroup(record.clone()));
                    proposal.records.push(record);
                }
                Err(error @ (HostError::Refused(_) | HostError::Conflict(_))) => {
                    let pointer = admitted.document.group_pointer(index);
                    faults.push(admitted.document.diagnostic_at(&pointer, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        if faults.is_empty() { Ok(proposal) } else { Err(HostError::Document(faults)) }
    }

    /// What committing `spec` makes of a group: the record to store, and what that does.
    async fn change(
        &self,
        state: &Snapshot,
        spec: GroupSpec,
        hash: &str,
        manner: Manner<'_>,
    ) -> Result<(GroupRecord, String), HostError> {
        let now = self.0.context.clock.now();
        let Some(old) = state.groups.get(&spec.id).map(|it| &it.record) else {
            let plan = explain(None, &spec, hash, &[], manner.convert)?;
            return Ok((GroupRecord::new(spec, now), plan));
        };
        if old.goal == Goal::Destroy {
            let id = &spec.id;
            return Err(HostError::Conflict(format!("group {id} is being destroyed; commit it again when it is gone")));
        }
        let instances = self.list(&old.spec, manner.pretend).await?;
        let plan = explain(Some(&old.spec), &spec, hash, &instances, manner.convert)?;
        let known = self.group(&spec.id)?;
        let (was, is) = (&old.spec.properties.allocation, &spec.properties.allocation);
        // Identities are given until all have one.
        let converting = match (was, is) {
            (Allocation::Size(_), Allocation::LogicalIds(_)) => true,
            (Allocation::LogicalIds(_), Allocation::LogicalIds(_)) => old.converting && !known.is_converged(),
            (_, Allocation::Size(_)) => false,
        };
        let mut record = old.commit(spec, &known.stable, now);
        record.converting = converting;
        // What an operator condemned or protected stays so until it is gone; ids are never used again.
        let exists = |id: &&String| instances.iter().any(|it| &it.id == *id);
        record.condemned =
            old.condemned.iter().filter(exists).chain(manner.condemned.into_iter().flatten()).cloned().collect();
        record.protected = old.protected.iter().filter(exists).cloned().collect();
        if record != *old && record.revision == old.revision {
            record.revision += 1;
        }
        Ok((record, plan))
    }

    /// Commit a spec that is made from the one in force.
    pub(super) async fn recommit(
        &self,
        id: &str,
        manner: Manner<'_>,
        edit: impl Fn(&GroupRecord) -> Result<GroupSpec, HostError>,
    ) -> Result<GroupCommit, HostError> {
        for _ in 0..ATTEMPTS {
            let base = self.0.state.lock().await.clone();
            let spec = edit(self.record(&base, id)?)?;
            let properties = &spec.properties;
            let flavor = self.0.registry.get(&properties.flavor.plugin).await;
            if let Some(flavor) = flavor.map_err(|it| HostError::Conflict(it.to_string()))?.as_flavor() {
                let answer = flavor.validate(&properties.flavor.properties, &properties.allocation).await;
                answer.map_err(|error| HostError::Invalid(chain(&error)))?;
            }
            let hash = config_hash(&properties.instance, &properties.flavor);
            let (record, plan) = self.change(&base, spec, &hash, manner).await?;
            let mut state = self.0.state.lock().await;
            if state.revision != base.revision {
                continue;
            }
            self.write(&mut state, vec![Change::PutGroup(record.clone())]).await?;
            let reply = GroupCommit { id: id.to_owned(), plan, revision: record.revision };
            self.keep(record, &reply.plan).await;
            return Ok(reply);
        }
        Err(contended())
    }

    /// A group's instances as its provider lists them now; where it does not answer, as it did last.
    pub(super) async fn list(&self, spec: &GroupSpec, pretend: bool) -> Result<Vec<Instance>, HostError> {
        let failed =
            |reason: String| HostError::Conflict(format!("the instances of {} cannot be listed: {reason}", spec.id));
        let plugin = self.0.registry.get(&spec.properties.instance.plugin).await;
        let wanted = tags::of_group(&spec.id);
        let answer = match plugin.as_ref().map(|it| it.as_instance()) {
            Ok(Some(instance)) if pretend => instance.read_only().list(&wanted, false).await.map_err(|it| chain(&it)),
            Ok(Some(instance)) => instance.list(&wanted, false).await.map_err(|it| chain(&it)),
            Ok(None) => Err("its plugin is not an instance plugin".into()),
            Err(error) => Err(error.to_string()),
        };
        let answer = answer.map(|it| it.instances);
        answer.or_else(|reason| {
            let seen = self.handle(&spec.id, |it| it.state().observation.clone()).flatten();
            seen.map(|it| it.instances.clone()).ok_or_else(|| failed(reason))
        })
    }

    /// Hand a record to its group's task, which is started if there is none.
    pub(super) async fn keep(&self, record: GroupRecord, plan: &str) {
        let id = record.spec.id.clone();
        // One that was freed a moment ago may still have calls under way.
        let stopping = self.0.stopping.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(mut stopping) = stopping {
            let _ = stopping.changed().await;
        }
        tracing::info!(group = id, revision = record.revision, "committed: {plan}");
        self.event(Some(&id), What::Committed { revision: record.revision, plan: plan.to_owned() });
        let order = {
            let mut groups = self.0.groups.write().unwrap_or_else(PoisonError::into_inner);
            match groups.get(&id) {
                Some(handle) => handle.adopt(record),
                None => {
                    let stored = StoredGroup::new(record);
                    groups.insert(id, GroupHandle::start(stored, false, self.0.context.clone()));
                    return;
                }
            }
        };
        order.await;
    }

    /// Remove a group from the store, and tell its task to end. What is returned closes when it has.
    pub(super) async fn forget(&self, state: &mut Snapshot, id: &str) -> Result<watch::Receiver<()>, HostError> {
        self.write(state, vec![Change::RemoveGroup(id.to_owned())]).await?;
        let (ended, stopped) = watch::channel(());
        let handle = self.0.groups.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(handle) = handle {
            self.0.stopping.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), stopped.clone());
            let (host, id) = (self.clone(), id.to_owned());
            tokio::spawn(async move {
                handle.stop().await;
                host.0.stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                host.event(Some(&id), What::Gone);
                drop(ended);
            });
        }
        Ok(stopped)
    }
}
