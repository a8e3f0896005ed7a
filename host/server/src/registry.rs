//! Plugins by the name that groups use, and which version of each is in use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use homeostat_core::grant::{GrantKind, Grants, Limits};
use homeostat_core::plugin::{LockedVersion, PluginRecord};
use homeostat_core::spec::{PluginSource, PluginSpec};
use homeostat_core::time::Timestamp;
use homeostat_runtime::{LoadError, Plugin, Runtime};
use homeostat_source::{FetchError, Locked, Lookup, Sources, Wanted};
use thiserror::Error;
use tokio::sync::OwnedRwLockReadGuard;

use crate::error::{HostError, chain};
use crate::lock::DocumentLock;

/// How long a plugin that could not be loaded is left alone before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The plugins of a host.
pub(crate) struct Registry {
    runtime: Runtime,
    sources: Arc<Sources>,
    lock_dir: PathBuf,
    /// Held to read by versions that are being looked at, whose files nobody may take away.
    looking: Arc<tokio::sync::RwLock<()>>,
    entries: RwLock<BTreeMap<String, Entry>>,
    /// Held while the lock file is written, so that what is written last is what is so.
    settling: Mutex<()>,
    loading: tokio::sync::Mutex<()>,
}

/// A plugin by one name.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) record: PluginRecord,
    /// Whether an operator registered it; otherwise a group names its file.
    pub(crate) registered: bool,
    pub(crate) state: Result<Plugin, LoadFailure>,
    /// The version before it, loaded, so that a rollback waits for nothing.
    pub(crate) previous: Option<Plugin>,
    /// Crashes of this version since it is in use.
    pub(crate) crashes: u32,
    /// A version that was not taken into use, and why.
    pub(crate) refused: Option<Refused>,
}

/// A version that was not taken into use.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The SHA-256 of its file, where it got so far.
    pub(crate) digest: Option<String>,
    /// Why not.
    pub(crate) reason: String,
    pub(crate) at: Timestamp,
}

/// Why a plugin is not there.
#[derive(Clone)]
pub(crate) struct LoadFailure {
    pub(crate) message: Arc<str>,
    at: Instant,
}

/// A version that is loaded, and not in use yet.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) spec: PluginSpec,
    pub(crate) plugin: Plugin,
    pub(crate) locked: LockedVersion,
    _looking: Arc<OwnedRwLockReadGuard<()>>,
}

/// A version cannot be loaded.
#[derive(Debug, Error)]
pub enum CandidateError {
    /// Its file cannot be had.
    #[error("plugin {plugin:?} cannot be fetched")]
    Fetch {
        /// The plugin's name.
        plugin: String,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// It is no plugin that can be used.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Registry {
    /// The lock file of the registered plugins is kept in `lock_dir`.
    pub(crate) fn new(runtime: Runtime, sources: Sources, lock_dir: PathBuf) -> Self {
        Self {
            runtime,
            sources: Arc::new(sources),
            lock_dir,
            looking: Arc::default(),
            entries: RwLock::default(),
            settling: Mutex::default(),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// The runtime that the plugins run in.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Fetch a plugin, keep its file, and load it, without registering it.
    pub(crate) async fn candidate(
        &self,
        name: &str,
        spec: &PluginSpec,
        locked: Option<&Locked>,
        lookup: Lookup,
        now: Timestamp,
    ) -> Result<Candidate, CandidateError> {
        let failed = |source| CandidateError::Fetch { plugin: name.to_owned(), source: Box::new(source) };
        let advice =
            format!("`homeostat plugin lock` writes the lock file anew, and `--sha256` gives {name} another pin");
        let wanted = Wanted { pin: spec.sha256.as_deref(), locked, lookup, advice: &advice };
        if spec.source.file().is_some_and(|path| !path.is_file()) {
            // Says of what is no file more than whoever would read it.
            self.runtime.load(name, spec).await?;
        }
        let looking = Arc::new(self.looking.clone().read_owned().await);
        let fetched = self.sources.fetch(&spec.source, &wanted).await.map_err(failed)?;
        let file = self.sources.keep(&fetched.path, &fetched.digest).await.map_err(failed)?;
        let plugin = self.runtime.load_file(name, &file, spec).await?;
        let (sha256, size, resolved) = (fetched.digest, fetched.size, fetched.resolved);
        let locked = LockedVersion { sha256, size, resolved, since: now };
        Ok(Candidate { spec: spec.clone(), plugin, locked, _looking: looking })
    }

    /// Take a version into use. Calls under way on the one before it end there.
    pub(crate) fn put(&self, name: &str, record: PluginRecord, plugin: Plugin, previous: Option<Plugin>) {
        let entry = Entry { record, registered: true, state: Ok(plugin), previous, crashes: 0, refused: None };
        self.insert(name, entry);
    }

    /// Register a plugin from the store; where it cannot be loaded now, it is tried again when it is needed.
    pub(crate) async fn restore(&self, name: &str, record: PluginRecord) {
        let state = self.try_load(name, &record).await;
        let previous = match &record.previous {
            Some(version) => self.load_kept(name, &version.spec, &version.locked).await.ok(),
            None => None,
        };
        self.insert(name, Entry { record, registered: true, state, previous, crashes: 0, refused: None });
    }

    pub(crate) fn remove(&self, name: &str) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn find(&self, name: &str) -> Option<Entry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Change what is noted of a plugin, if it is there.
    pub(crate) fn note<T>(&self, name: &str, note: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).get_mut(name).map(note)
    }

    /// Which file a registered plugin is.
    pub(crate) fn digest(&self, name: &str) -> Option<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name)?.record.locked.as_ref().map(|it| it.sha256.clone())
    }

    /// The names that an operator registered.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|(_, it)| it.registered).map(|(name, _)| name.clone()).collect()
    }

    /// Write the lock file of the registered plugins, and forget kept files that none of them needs. Blocks.
    pub(crate) fn settle(&self) {
        let _one_at_a_time = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before it is asked what is needed: a version that was looked at until now is among that by then.
        let nobody_looks = self.looking.try_write();
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let versions = entries.values().flat_map(|it| {
            let previous = it.record.previous.as_deref().map(|it| it.locked.sha256.clone());
            it.record.locked.as_ref().map(|it| it.sha256.clone()).into_iter().chain(previous)
        });
        let keep: BTreeSet<String> = versions.collect();
        let mut lock = Vec::new();
        for (name, entry) in entries.iter().filter(|(_, it)| it.registered) {
            lock.extend(
                entry.record.locked.as_ref().map(|it| (name.clone(), entry.record.spec.source.clone(), it.clone())),
            );
        }
        drop(entries);
        if let Err(error) = write_lock(&self.lock_dir, &lock) {
            tracing::warn!("the lock file of the registered plugins is not up to date: {}", chain(&error));
        }
        // While a version is looked at, its file is needed and not known here. The next change clears up then.
        let Ok(_nobody_looks) = nobody_looks else { return };
        if let Err(error) = self.sources.prune(&keep) {
            tracing::warn!("files of plugins that are not needed any more are left: {}", chain(&error));
        }
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
        let known = self.find(name);
        let (record, registered) = match &known {
            Some(entry) => (entry.record.clone(), entry.registered),
            None if is_path(name) => (PluginRecord::new(bare(name)), false),
            None => {
                return Err(
                    format!("there is no plugin {name:?}; register it: homeostat plugin add {name} FILE").into()
                );
            }
        };
        let state = self.try_load(name, &record).await;
        let answer = state.clone().map_err(|it| it.message);
        let previous = known.and_then(|it| it.previous);
        self.insert(name, Entry { record, registered, state, previous, crashes: 0, refused: None });
        answer
    }

    fn ready(&self, name: &str) -> Option<Result<Plugin, Arc<str>>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        match &entries.get(name)?.state {
            Ok(plugin) => Some(Ok(plugin.clone())),
            Err(failure) if failure.at.elapsed() < RETRY_AFTER => Some(Err(failure.message.clone())),
            Err(_) => None,
        }
    }

    /// Load the version that is in use, from its kept file; without one, what its source gives.
    async fn try_load(&self, name: &str, record: &PluginRecord) -> Result<Plugin, LoadFailure> {
        let loaded = match &record.locked {
            Some(locked) => self.load_kept(name, &record.spec, locked).await,
            None => match record.spec.source.file() {
                Some(file) => self.runtime.load_file(name, file, &record.spec).await.map_err(CandidateError::from),
                None => {
                    let candidate = self.candidate(name, &record.spec, None, Lookup::AsLocked, Timestamp::default());
                    candidate.await.map(|it| it.plugin)
                }
            },
        };
        loaded.map_err(|error| {
            let message = format!("plugin {name} cannot be loaded: {}", chain(&error));
            tracing::warn!(plugin = name, "{message}");
            LoadFailure { message: message.into(), at: Instant::now() }
        })
    }

    /// Load a version from its kept file; where that is gone, its source may still give the same.
    async fn load_kept(&self, name: &str, spec: &PluginSpec, locked: &LockedVersion) -> Result<Plugin, CandidateError> {
        let pinned = PluginSpec { sha256: Some(locked.sha256.clone()), ..spec.clone() };
        let kept = self.sources.kept(&locked.sha256);
        match self.runtime.load_file(name, &kept, &pinned).await {
            Err(error) if error.kind.is_another_file() => {
                tracing::warn!(
                    plugin = name,
                    "its kept file cannot be used, so its source is asked: {}",
                    chain(&error)
                );
            }
            loaded => return Ok(loaded?),
        }
        let lock = Locked {
            source: spec.source.to_string(),
            resolved: locked.resolved.clone(),
            sha256: locked.sha256.clone(),
            size: locked.size,
        };
        let candidate = self.candidate(name, &pinned, Some(&lock), Lookup::AsLocked, locked.since);
        candidate.await.map(|it| it.plugin)
    }

    fn insert(&self, name: &str, entry: Entry) {
        if let Ok(plugin) = &entry.state {
            tell_missing_dirs(name, plugin, &entry.record.spec.grants);
        }
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), entry);
    }
}

/// What is not granted is denied when the plugin reaches for it, and told then. A directory is not there, so that nothing
/// is denied.
fn tell_missing_dirs(plugin: &str, loaded: &Plugin, grants: &Grants) {
    for gap in loaded.info().manifest.wants.against(grants).wanted_not_granted {
        if gap.kind == GrantKind::Dir {
            tracing::warn!(target: "homeostat::grant", plugin, "not granted: {gap}; to allow it: {}", gap.remedy);
        }
    }
}

fn write_lock(dir: &Path, plugins: &[(String, PluginSource, LockedVersion)]) -> Result<(), HostError> {
    let mut lock = DocumentLock::empty(dir);
    for (name, source, locked) in plugins {
        let (resolved, sha256) = (locked.resolved.clone(), locked.sha256.clone());
        lock.put(name, source, Locked { source: source.to_string(), resolved, sha256, size: locked.size });
    }
    lock.write().map(drop)
}

/// Whether a group's `Plugin` is a file rather than a registered name.
pub(crate) fn is_path(plugin: &str) -> bool {
    Path::new(plugin).extension().is_some_and(|it| it == "wasm")
}

/// A plugin that a group names by its file: granted nothing.
pub(crate) fn bare(path: &str) -> PluginSpec {
    PluginSpec {
        source: PluginSource::File(path.into()),
        sha256: None,
        grants: Grants::default(),
        limits: Limits::default(),
    }
}
