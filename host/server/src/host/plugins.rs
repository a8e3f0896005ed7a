//! What can be asked of plugins, and for them.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use homeostat_core::document::check_plugin;
use homeostat_core::plugin::PluginRecord;
use homeostat_core::spec::PluginSpec;
use homeostat_core::tags;
use homeostat_runtime::Plugin;
use homeostat_source::{Locked, Lookup};
use serde_json::Value;

use super::Host;
use crate::call::Call;
use crate::error::{HostError, chain};
use crate::group::State;
use crate::store::Change;
use crate::view::{AddPlugin, PluginView, RefusedVersion};

/// How often a registration is tried when others change the plugin at the same time.
const ATTEMPTS: usize = 10;

impl Host {
    /// The registered plugins, by name.
    pub fn plugins(&self) -> Vec<PluginView> {
        self.0.registry.names().iter().filter_map(|name| self.plugin(name).ok()).collect()
    }

    /// A plugin.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub fn plugin(&self, name: &str) -> Result<PluginView, HostError> {
        let entry = self.0.registry.find(name).ok_or_else(|| self.no_plugin(name))?;
        let record = entry.record;
        let loaded = entry.state.as_ref().ok();
        let agreement = loaded.map(|it| it.info().manifest.wants.against(&record.spec.grants)).unwrap_or_default();
        Ok(PluginView {
            name: name.to_owned(),
            source: record.spec.source,
            info: loaded.map(|it| it.info().clone()),
            error: entry.state.as_ref().err().map(|it| it.message.to_string()),
            locked: record.locked,
            previous: record.previous.map(|it| it.locked),
            refused: entry.refused.map(|it| RefusedVersion { digest: it.digest, reason: it.reason, at: it.at }),
            degraded: loaded.map(Plugin::degraded).unwrap_or_default(),
            crashes: entry.crashes,
            wanted_not_granted: agreement.wanted_not_granted,
            granted_not_wanted: agreement.granted_not_wanted,
            stats: loaded.map(Plugin::stats).unwrap_or_default(),
            used_by: self.users(name),
        })
    }

    /// Register a plugin, or register it anew.
    ///
    /// # Errors
    /// Where it cannot be loaded, or the name cannot be one.
    pub async fn add_plugin(&self, request: &AddPlugin) -> Result<PluginView, HostError> {
        let AddPlugin { name, source, sha256, update, grants, limits } = request.clone();
        let spec = checked(&name, PluginSpec { source, sha256, grants, limits })?;
        for _ in 0..ATTEMPTS {
            let base = self.0.state.lock().await.plugins.get(&name).cloned();
            // Fetching and compiling may take a while, so nobody else is kept waiting meanwhile.
            let known = base.as_ref().filter(|_| !update).and_then(|it| known(it, &spec));
            let lookup = if known.is_some() { Lookup::AsLocked } else { Lookup::Anew };
            let candidate = self.candidate(&name, &spec, known.as_ref(), lookup).await?;
            self.hold_against_users(&name, &candidate, &[]).await?;
            let record = base.clone().unwrap_or_else(|| PluginRecord::new(spec.clone()));
            let record = record.swapped(candidate.spec, candidate.locked);
            let mut state = self.0.state.lock().await;
            if state.plugins.get(&name) != base.as_ref() {
                continue;
            }
            self.write(&mut state, vec![Change::PutPlugin(name.clone(), record.clone())]).await?;
            let swapped = self.install(&name, record, candidate.plugin);
            drop(state);
            if swapped {
                self.roll_groups(&name).await;
            }
            return self.plugin(&name);
        }
        Err(HostError::Conflict(format!("others keep changing plugin {name} at the same time; try again")))
    }

    /// Forget a plugin.
    ///
    /// # Errors
    /// Where there is no such plugin, or a group uses it.
    pub async fn remove_plugin(&self, name: &str) -> Result<(), HostError> {
        let mut state = self.0.state.lock().await;
        if !state.plugins.contains_key(name) {
            return Err(self.no_plugin(name));
        }
        let users = self.users(name);
        if !users.is_empty() {
            let groups = users.join(", ");
            return Err(HostError::Conflict(format!(
                "plugin {name} is used by {groups}; destroy or free these groups, or commit them with another plugin first"
            )));
        }
        self.write(&mut state, vec![Change::RemovePlugin(name.to_owned())]).await?;
        self.0.registry.remove(name);
        let registry = self.0.registry.clone();
        tokio::task::spawn_blocking(move || registry.settle());
        self.0.watches.unwatch(name);
        Ok(())
    }

    /// Call one function of a plugin, outside any group.
    ///
    /// # Errors
    /// Where there is no such plugin, it is of the other kind, or the call fails.
    pub async fn call(&self, plugin: &str, call: Call) -> Result<Value, HostError> {
        if self.0.registry.find(plugin).is_none() {
            return Err(self.no_plugin(plugin));
        }
        let plugin = self.0.registry.get(plugin).await.map_err(|it| HostError::Conflict(it.to_string()))?;
        Ok(call.run(&plugin).await?)
    }

    /// Make sure that another version of a plugin, or one under other grants, still sees the instances that groups made with
    /// it: one with another directory would see none, and the host would make them all again.
    pub(super) async fn check_sight(&self, name: &str, plugin: &Plugin) -> Result<(), HostError> {
        let Some(instances) = plugin.as_instance() else { return Ok(()) };
        for group in self.users(name) {
            let Ok(state) = self.group(&group) else { continue };
            let known = state.observation.iter().flat_map(|it| &it.instances);
            if state.record.spec.properties.instance.plugin != name || known.clone().count() == 0 {
                continue;
            }
            let wanted = tags::of_group(&group);
            let unseen = match instances.read_only().list(&wanted, false).await {
                Ok(listing) => {
                    let seen: BTreeSet<&str> = listing.instances.iter().map(|it| it.id.as_str()).collect();
                    known.filter(|it| !seen.contains(it.id.as_str())).count()
                }
                Err(error) => {
                    return Err(HostError::Conflict(format!("group {group} would lose {name}: {}", chain(&error))));
                }
            };
            if unseen > 0 {
                return Err(HostError::Conflict(format!(
                    "with this path and these grants, {name} does not see {unseen} instances of group {group}, which \
                     would be made again; mend the grants, or destroy or free the group first"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn wake_users(&self, plugins: &BTreeSet<String>) {
        let groups = self.0.groups.read().unwrap_or_else(PoisonError::into_inner);
        for handle in groups.values() {
            let properties = &handle.state().record.spec.properties;
            if plugins.contains(&properties.instance.plugin) || plugins.contains(&properties.flavor.plugin) {
                handle.wake();
            }
        }
    }

    /// The groups that use a plugin.
    pub(super) fn users(&self, plugin: &str) -> Vec<String> {
        let groups = self.0.groups.read().unwrap_or_else(PoisonError::into_inner);
        let uses = |state: &State| {
            let properties = &state.record.spec.properties;
            properties.instance.plugin == plugin || properties.flavor.plugin == plugin
        };
        groups.iter().filter(|(_, it)| uses(&it.state())).map(|(id, _)| id.clone()).collect()
    }
}

/// What a source is locked to, where it has to be asked for it. What a file is, the operator decides by writing it.
pub(crate) fn known(record: &PluginRecord, spec: &PluginSpec) -> Option<Locked> {
    let same = record.spec.source == spec.source && spec.source.file().is_none();
    let locked = record.locked.as_ref().filter(|_| same)?;
    Some(Locked {
        source: spec.source.to_string(),
        resolved: locked.resolved.clone(),
        sha256: locked.sha256.clone(),
        size: locked.size,
    })
}

/// A registration, checked as the entry of a stack that it could be.
pub(super) fn checked(name: &str, entry: PluginSpec) -> Result<PluginSpec, HostError> {
    if entry.source.file().is_some_and(|path| !path.is_absolute()) {
        return Err(HostError::Invalid(format!("the path \"{}\" is not absolute", entry.source)));
    }
    match check_plugin(name, entry) {
        Ok(entry) => Ok(entry),
        Err(faults) => {
            // Its line and column are of no use: the user wrote no such text.
            let said = faults.iter().map(|it| match &it.help {
                Some(help) => format!("{}: {} ({help})", it.path, it.message),
                None => format!("{}: {}", it.path, it.message),
            });
            Err(HostError::Invalid(said.collect::<Vec<_>>().join("; ")))
        }
    }
}
