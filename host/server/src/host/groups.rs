//! What can be asked of groups, and for them.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use homeostat_core::record::Goal;
use homeostat_core::spec::{Allocation, GroupSpec, MAX_GROUP_SIZE};

use super::commit::Manner;
use super::{Host, Until};
use crate::error::HostError;
use crate::store::Change;
use crate::view::{GroupCommit, GroupSummary, GroupView};

impl Host {
    /// All groups, by id.
    pub fn groups(&self) -> Vec<GroupSummary> {
        let groups = self.0.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.values().map(|it| it.state().summary()).collect()
    }

    /// A group with its instances, and why it waits.
    ///
    /// # Errors
    /// Where there is no such group.
    pub fn describe(&self, id: &str) -> Result<GroupView, HostError> {
        Ok(self.group(id)?.view())
    }

    /// The spec in force.
    ///
    /// # Errors
    /// Where there is no such group.
    pub fn inspect(&self, id: &str) -> Result<GroupSpec, HostError> {
        Ok(self.group(id)?.record.spec.clone())
    }

    /// Declare another size. It is carried out after this returns.
    ///
    /// # Errors
    /// Where the size is impossible, the group counts by logical ids, or its flavor does not accept it.
    pub async fn scale(&self, id: &str, size: i64) -> Result<GroupCommit, HostError> {
        let size = match u32::try_from(size) {
            Ok(size) if size <= MAX_GROUP_SIZE => size,
            Err(_) if size < 0 => return Err(HostError::Invalid("size cannot be negative".into())),
            _ => return Err(HostError::Invalid(format!("size {size} is more than {MAX_GROUP_SIZE}"))),
        };
        self.recommit(id, Manner::default(), |record| {
            let mut spec = record.spec.clone();
            let Allocation::Size(current) = &mut spec.properties.allocation else {
                return Err(HostError::Conflict("cannot set size if logic ids are explicitly set".into()));
            };
            *current = size;
            Ok(spec)
        })
        .await
    }

    /// Stop keeping a group and leave its instances. Returns when the calls under way have ended.
    ///
    /// # Errors
    /// Where there is no such group, or the state cannot be written.
    pub async fn free(&self, id: &str) -> Result<(), HostError> {
        let mut stopped = {
            let mut state = self.0.state.lock().await;
            self.record(&state, id)?;
            self.forget(&mut state, id).await?
        };
        // It never changes; it ends.
        let _ = stopped.changed().await;
        Ok(())
    }

    /// Destroy a group with its instances. It is carried out after this returns, and goes on until nothing is left.
    ///
    /// # Errors
    /// Where there is no such group, or the state cannot be written.
    pub async fn destroy(&self, id: &str) -> Result<(), HostError> {
        let mut state = self.0.state.lock().await;
        let mut record = self.record(&state, id)?.clone();
        if record.goal != Goal::Destroy {
            record.goal = Goal::Destroy;
            record.revision += 1;
            self.write(&mut state, vec![Change::PutGroup(record.clone())]).await?;
        }
        let plan = format!("Destroying {} instances", self.group(id)?.report.counts.actual);
        self.keep(record, &plan).await;
        Ok(())
    }

    /// Destroy these instances. A group of a size shrinks by their number; instances with a logical id that is still
    /// declared are replaced. It is carried out after this returns.
    ///
    /// # Errors
    /// Where one of the ids is not an instance of the group: nothing is touched then.
    pub async fn destroy_instances(&self, id: &str, ids: &[String]) -> Result<GroupCommit, HostError> {
        let condemned: BTreeSet<String> = ids.iter().cloned().collect();
        if condemned.is_empty() {
            return Err(HostError::Invalid("no instance is named".into()));
        }
        let spec = self.inspect(id)?;
        let listed = self.list(&spec, false).await?;
        let known: BTreeSet<&str> = listed.iter().map(|it| it.id.as_str()).collect();
        let unknown: Vec<&str> = condemned.iter().map(String::as_str).filter(|it| !known.contains(it)).collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Err(HostError::Invalid(format!("not in group {id}: {names}; nothing was destroyed")));
        }
        let protected = &self.group(id)?.record.protected;
        let shielded: Vec<&str> = condemned.intersection(protected).map(String::as_str).collect();
        if !shielded.is_empty() {
            let names = shielded.join(", ");
            return Err(HostError::Conflict(format!(
                "protected: {names}; nothing was destroyed. `homeostat group unprotect {id} {}` allows it",
                shielded.join(" ")
            )));
        }
        let manner = Manner { condemned: Some(&condemned), ..Manner::default() };
        self.recommit(id, manner, |record| {
            let mut spec = record.spec.clone();
            if let Allocation::Size(size) = &mut spec.properties.allocation {
                // What was asked for before and is still there was subtracted then.
                let news = condemned.iter().filter(|it| !record.condemned.contains(*it)).count();
                *size = size.saturating_sub(u32::try_from(news).unwrap_or(u32::MAX));
            }
            Ok(spec)
        })
        .await
    }

    /// Wait until a group is as it should be, or gone.
    ///
    /// # Errors
    /// [`HostError::TimedOut`] with the reason it waits for; where there is no such group to converge.
    pub async fn wait(&self, id: &str, until: Until, timeout: Duration) -> Result<(), HostError> {
        let (mut watch, revision) = match self.handle(id, |it| (it.watch(), it.revision())) {
            Some(found) => found,
            None if self.0.stopped.load(Ordering::SeqCst) => return Err(HostError::Stopping),
            None if until == Until::Gone => return Ok(()),
            None => return Err(self.no_group(id)),
        };
        let reached = watch.wait_for(|state| match until {
            Until::Converged => state.record.revision >= revision && state.is_converged(),
            Until::Gone => false,
        });
        match tokio::time::timeout(timeout, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_closed)) if self.0.stopped.load(Ordering::SeqCst) => Err(HostError::Stopping),
            Ok(Err(_closed)) if until == Until::Gone => Ok(()),
            Ok(Err(_closed)) => Err(self.no_group(id)),
            Err(_elapsed) => {
                let status = self.describe(id).map_or_else(|_| "gone".into(), |it| it.summary.status);
                Err(HostError::TimedOut(format!("group {id} is not there yet after {timeout:?}: {status}")))
            }
        }
    }
}
