//! Plugins by the name that groups use.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use homeostat_core::grant::{Grants, Limits};
use homeostat_core::spec::PluginSpec;
use homeostat_runtime::{LoadError, Plugin, Runtime};

use crate::error::chain;

/// How long a plugin that could not be loaded is left alone before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The plugins of a host.
pub(crate) struct Registry {
    runtime: Runtime,
    entries: RwLock<BTreeMap<String, Entry>>,
    loading: tokio::sync::Mutex<()>,
}

/// A plugin by one name.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) spec: PluginSpec,
    /// Whether an operator registered it; otherwise a group names its file.
    pub(crate) registered: bool,
    pub(crate) state: Result<Plugin, LoadFailure>,
}

/// Why a plugin is not there.
#[derive(Clone)]
pub(crate) struct LoadFailure {
    pub(crate) message: Arc<str>,
    at: Instant,
}

impl Registry {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { runtime, entries: RwLock::default(), loading: tokio::sync::Mutex::new(()) }
    }

    /// The runtime that the plugins run in.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Load a plugin without registering it.
    pub(crate) async fn load(&self, name: &str, spec: &PluginSpec) -> Result<Plugin, LoadError> {
        self.runtime.load(name, spec).await
    }

    /// Register a plugin that was loaded. Calls under way on the one it replaces end there.
    pub(crate) fn put(&self, name: &str, spec: PluginSpec, plugin: Plugin) {
        self.insert(name, Entry { spec, registered: true, state: Ok(plugin) });
    }

    /// Register a plugin from the store; where it cannot be loaded now, it is tried again when it is needed.
    pub(crate) async fn restore(&self, name: &str, spec: PluginSpec) {
        let state = self.try_load(name, &spec).await;
        self.insert(name, Entry { spec, registered: true, state });
    }

    pub(crate) fn remove(&self, name: &str) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn find(&self, name: &str) -> Option<Entry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The names that an operator registered.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|(_, it)| it.registered).map(|(name, _)| name.clone()).collect()
    }

    /// The plugin that a group calls `name`: registered, or loaded from the file that the name is.
    ///
    /// # Errors
    /// A sentence that says why it is not there.
    pub(crate) async fn get(&self, name: &str) -> Result<Plugin, Arc<str>> {
        if let Some(ready) = self.ready(name) {
            return ready;
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(ready) = self.ready(name) {
            return ready;
        }
        let (spec, registered) = match self.find(name) {
            Some(entry) => (entry.spec, entry.registered),
            None if is_path(name) => (bare(name), false),
            None => {
                return Err(
                    format!("there is no plugin {name:?}; register it: homeostat plugin add {name} FILE").into()
                );
            }
        };
        let state = self.try_load(name, &spec).await;
        let answer = state.clone().map_err(|it| it.message);
        self.insert(name, Entry { spec, registered, state });
        answer
    }

    fn ready(&self, name: &str) -> Option<Result<Plugin, Arc<str>>> {
        match self.find(name)?.state {
            Ok(plugin) => Some(Ok(plugin)),
            Err(failure) if failure.at.elapsed() < RETRY_AFTER => Some(Err(failure.message)),
            Err(_) => None,
        }
    }

    async fn try_load(&self, name: &str, spec: &PluginSpec) -> Result<Plugin, LoadFailure> {
        self.load(name, spec).await.map_err(|error| {
            let message = format!("plugin {name} cannot be loaded: {}", chain(&error));
            tracing::warn!(plugin = name, "{message}");
            LoadFailure { message: message.into(), at: Instant::now() }
        })
    }

    fn insert(&self, name: &str, entry: Entry) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), entry);
    }
}

/// Whether a group's `Plugin` is a file rather than a registered name.
pub(crate) fn is_path(plugin: &str) -> bool {
    Path::new(plugin).extension().is_some_and(|it| it == "wasm")
}

/// A plugin that a group names by its file: granted nothing.
pub(crate) fn bare(path: &str) -> PluginSpec {
    PluginSpec { path: path.into(), grants: Grants::default(), limits: Limits::default() }
}
