//! What an operator can say to a group's rollout, and of its instances.

use std::collections::BTreeSet;

use homeostat_core::machine::Control;
use homeostat_core::record::Goal;

use super::Host;
use crate::error::{HostError, chain};
use crate::store::Change;
use crate::view::{GroupCommit, Said, Why, WhyReply};

impl Host {
    /// Pause, resume or promote a rollout, or let healing try again. What it changed is durable when this returns.
    ///
    /// # Errors
    /// Where there is no such group, the word makes no sense now, or it cannot be written down.
    pub async fn control(&self, id: &str, control: Control) -> Result<Said, HostError> {
        let answer = self.handle(id, |it| it.control(control)).ok_or_else(|| self.no_group(id))?;
        let taken = answer.await.ok_or(HostError::Stopping)?;
        let (text, durable) = taken.map_err(|refused| HostError::Conflict(refused.to_string()))?;
        match durable.await {
            Ok(()) => Ok(Said { text }),
            Err(error) => {
                let error = chain(&error);
                Err(HostError::Conflict(format!("it holds for now, and is not written down yet: {error}")))
            }
        }
    }

    /// Go back to the config of an earlier revision: the one given, or else the last that was stable. Allocation and
    /// policies stay as they are. It is carried out after this returns.
    ///
    /// # Errors
    /// Where there is no such group or revision, or the state cannot be written.
    pub async fn roll_back(&self, id: &str, to: Option<u64>) -> Result<GroupCommit, HostError> {
        let mut state = self.0.state.lock().await;
        let record = self.record(&state, id)?;
        if record.goal == Goal::Destroy {
            return Err(HostError::Conflict(format!("group {id} is being destroyed")));
        }
        let stable = self.group(id)?.stable.clone();
        let target = match to {
            Some(revision) => record.config_of(revision).ok_or_else(|| {
                let known: Vec<String> = record.configs.iter().map(|it| it.revision.to_string()).collect();
                let known = known.join(", ");
                HostError::Invalid(format!("group {id} remembers no config of revision {revision}; it has {known}"))
            })?,
            None => record.last_stable(&stable).ok_or_else(|| {
                HostError::Conflict(format!(
                    "group {id} has no earlier revision that was stable; say which with --to, or commit another spec"
                ))
            })?,
        };
        let to = target.revision;
        if target.instance.plugin != record.spec.properties.instance.plugin {
            let plugin = &target.instance.plugin;
            return Err(HostError::Conflict(format!(
                "revision {to} was made by {plugin}, which does not see the instances of the present plugin"
            )));
        }
        let from = record.config().revision;
        let Some(record) = record.roll_back(to, &stable, self.0.context.clock.now()) else {
            return Err(HostError::Conflict(format!("group {id} has the config of revision {to} already")));
        };
        self.write(&mut state, vec![Change::PutGroup(record.clone())]).await?;
        let plan = format!("Rolling back revision {from} to revision {to}");
        let reply = GroupCommit { id: id.to_owned(), plan, revision: record.revision };
        self.keep(record, &reply.plan).await;
        Ok(reply)
    }

    /// Protect instances from being destroyed, or allow it again.
    ///
    /// # Errors
    /// Where one of the ids is not an instance of the group: nothing is changed then.
    pub async fn protect(&self, id: &str, ids: &[String], protected: bool) -> Result<Said, HostError> {
        if ids.is_empty() {
            return Err(HostError::Invalid("no instance is named".into()));
        }
        let listed = self.list(&self.inspect(id)?, false).await?;
        let known: BTreeSet<&str> = listed.iter().map(|it| it.id.as_str()).collect();
        let mut state = self.0.state.lock().await;
        let mut record = self.record(&state, id)?.clone();
        let unknown = |it: &&String| !known.contains(it.as_str()) && (protected || !record.protected.contains(*it));
        let unknown: Vec<&str> = ids.iter().filter(unknown).map(String::as_str).collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Err(HostError::Invalid(format!("not in group {id}: {names}; nothing was changed")));
        }
        let before = record.protected.clone();
        match protected {
            true => record.protected.extend(ids.iter().cloned()),
            false => record.protected.retain(|it| !ids.contains(it)),
        }
        let verb = if protected { "Protected" } else { "Unprotected" };
        let text = format!("{verb} {} of {id}", ids.join(", "));
        if record.protected != before {
            record.revision += 1;
            self.write(&mut state, vec![Change::PutGroup(record.clone())]).await?;
            self.keep(record, &text).await;
        }
        Ok(Said { text })
    }

    /// Why a group, or an instance of it, is as it is.
    ///
    /// # Errors
    /// Where there is no such group or instance.
    pub async fn why(&self, id: &str, instance: Option<&str>) -> Result<WhyReply, HostError> {
        let asked = self.handle(id, |it| (it.why(instance.map(str::to_owned)), it.state()));
        let (answer, state) = asked.ok_or_else(|| self.no_group(id))?;
        let answer = answer.await.ok_or(HostError::Stopping)?;
        let (subject, reasons) = answer.ok_or_else(|| {
            let instance = instance.unwrap_or_default();
            HostError::Invalid(format!(
                "group {id} has no instance {instance:?} now; `homeostat group history {id}` shows what it had"
            ))
        })?;
        let status = match instance {
            None => state.summary().status,
            Some(_) => state.instance_status(&subject).unwrap_or_else(|| "not listed".into()),
        };
        let reasons = reasons.into_iter().map(|it| Why { text: it.text, since: it.since, next: it.next }).collect();
        Ok(WhyReply { subject, status, reasons })
    }
}
