//! What can be asked of plugins, and for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use homeostat_core::document::{Document, Source};
use homeostat_core::spec::{PluginSpec, Stack};
use homeostat_core::tags;
use homeostat_runtime::Plugin;
use serde_json::Value;

use super::Host;
use crate::call::Call;
use crate::error::{HostError, chain};
use crate::event::What;
use crate::group::{GroupHandle, State};
use crate::store::Change;
use crate::view::{AddPlugin, PluginView};

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
        Ok(PluginView {
            name: name.to_owned(),
            path: entry.spec.path,
            info: entry.state.as_ref().ok().map(|it| it.info().clone()),
            error: entry.state.as_ref().err().map(|it| it.message.to_string()),
            stats: entry.state.as_ref().map(|it| it.stats()).unwrap_or_default(),
            used_by: self.users(name),
        })
    }

    /// Register a plugin, or register it anew.
    ///
    /// # Errors
    /// Where it cannot be loaded, or the name cannot be one.
    pub async fn add_plugin(&self, request: &AddPlugin) -> Result<PluginView, HostError> {
        let name = &request.name;
        if !request.path.is_absolute() {
            return Err(HostError::Invalid(format!("the path {:?} is not absolute", request.path)));
        }
        let spec = checked(request)?;
        // Compiling may take a while, so nobody else is kept waiting meanwhile.
        let plugin = self.0.registry.load(name, &spec).await?;
        self.check_sight(name, &spec, &plugin).await?;
        let mut state = self.0.state.lock().await;
        self.write(&mut state, vec![Change::PutPlugin(name.clone(), spec.clone())]).await?;
        self.register(name, spec, plugin);
        self.plugin(name)
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

    pub(super) fn register(&self, name: &str, spec: PluginSpec, plugin: Plugin) {
        self.0.watches.unwatch(name);
        self.0.watches.watch(name, &spec.grants);
        self.0.registry.put(name, spec, plugin);
        self.event(None, What::PluginLoaded { plugin: name.to_owned() });
        for id in self.users(name) {
            self.handle(&id, GroupHandle::retry);
        }
    }

    /// Make sure that a plugin under another spec still sees the instances that groups made with it: one with another
    /// directory would see none, and the host would make them all again.
    pub(super) async fn check_sight(&self, name: &str, spec: &PluginSpec, plugin: &Plugin) -> Result<(), HostError> {
        if self.0.registry.find(name).is_none_or(|it| it.spec == *spec) {
            return Ok(());
        }
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
    fn users(&self, plugin: &str) -> Vec<String> {
        let groups = self.0.groups.read().unwrap_or_else(PoisonError::into_inner);
        let uses = |state: &State| {
            let properties = &state.record.spec.properties;
            properties.instance.plugin == plugin || properties.flavor.plugin == plugin
        };
        groups.iter().filter(|(_, it)| uses(&it.state())).map(|(id, _)| id.clone()).collect()
    }
}

/// A registration, checked as the entry of a stack that it could be.
fn checked(request: &AddPlugin) -> Result<PluginSpec, HostError> {
    let AddPlugin { name, path, grants, limits } = request.clone();
    let entry = PluginSpec { path, grants, limits };
    let stack = Stack { plugins: BTreeMap::from([(name, entry)]), groups: Vec::new() };
    let text = serde_json::to_string(&stack).map_err(|error| HostError::Invalid(error.to_string()))?;
    let source = Source { name: "plugin.json", text: &text, base_dir: std::path::Path::new("/") };
    match Document::read(&source) {
        Ok(document) => {
            let entry = document.stack.plugins.into_values().next();
            entry.ok_or_else(|| HostError::Invalid("no plugin is named".into()))
        }
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
