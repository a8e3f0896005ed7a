//! The host: plugins, groups and the state they are remembered in.

mod commit;
mod events;
mod groups;
mod plan;
mod plugins;
mod rollout;
mod swap;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use homeostat_core::document::nearest;
use homeostat_core::record::{Goal, GroupRecord};
use homeostat_core::time::Timestamp;
use homeostat_runtime::{Runtime, RuntimeConfig};
use homeostat_source::Sources;
use tokio::sync::{broadcast, mpsc, watch};

use crate::clock::Clock;
use crate::error::{HostError, OpenError, chain};
use crate::event::{Event, Events, What};
use crate::group::{Context, GroupHandle, Load, State, Wish};
use crate::registry::Registry;
use crate::store::{Change, Journal, RedbStore, STATE_FILE, Snapshot, Store, StoreError, StoredGroup};
use crate::view::HostView;
use crate::watch::{Changes, Watches};

pub(crate) use plugins::known;
pub(crate) use swap::stamped;

/// How a host is to run.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where the state and the code cache are. Made if missing, readable by its owner alone.
    pub state_dir: PathBuf,
    /// How many steps of one group run at once. How many calls a plugin takes at once is its own limit (`Limits.Calls`).
    pub parallel: usize,
    /// The longest time between two looks at a group that is as declared. Looks that cost much are made less often.
    pub resync: Duration,
    /// The instance that this host itself runs on, by id or logical id, if it is one of a group that it keeps: it is
    /// replaced and destroyed after all others.
    pub self_instance: Option<String>,
    /// How plugins are fetched that are not files of this machine.
    pub sources: homeostat_source::Config,
    /// Whether a plugin is swapped when its file changes.
    pub swap_changed: bool,
    /// Whether plugins are loaded that were built against a draft of the contract. A draft may change any day.
    pub drafts: bool,
}

impl HostConfig {
    /// The defaults: 128 steps at once, a look every 10 seconds (InfraKit's poll interval).
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            parallel: 128,
            resync: Duration::from_secs(10),
            self_instance: None,
            sources: homeostat_source::Config::default(),
            swap_changed: false,
            drafts: false,
        }
    }
}

/// How long a store that is in use is waited for.
const HANDOVER: Duration = Duration::from_secs(1);

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Exactly what was declared exists, up to date and healthy.
    Converged,
    /// The group is no longer kept: destroyed to the last instance, or freed.
    Gone,
}

/// A running host. Cheap to clone; all clones are one host.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    config: HostConfig,
    registry: Arc<Registry>,
    watches: Watches,
    journal: Journal,
    context: Context,
    groups: RwLock<BTreeMap<String, GroupHandle>>,
    /// What is stored. Whoever changes anything holds it, so that changes come one after another.
    state: tokio::sync::Mutex<Snapshot>,
    /// Groups that were forgotten and have calls under way.
    stopping: Mutex<BTreeMap<String, watch::Receiver<()>>>,
    helpers: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    started: Timestamp,
    /// No group is kept any more.
    stopped: AtomicBool,
}

impl Host {
    /// Open the state, load the plugins registered in it, and go on keeping its groups.
    ///
    /// # Errors
    /// Where the state directory, the state or the plugin runtime cannot be used. A plugin that cannot be loaded is no
    /// error: its groups wait, and say so.
    pub async fn open(config: HostConfig) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::StateDir { path: config.state_dir.display().to_string(), source };
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.state_dir);
        made.map_err(unusable)?;
        let store: Arc<dyn Store> = Arc::new(open_store(&config.state_dir.join(STATE_FILE)).await?);
        let mut snapshot = store.load()?;
        let journal = Journal::start(store).map_err(unusable)?;
        let runtime = Runtime::new(RuntimeConfig {
            secrets: Some(config.state_dir.join("secrets")),
            processes: Some(config.state_dir.join("exec")),
            drafts: config.drafts,
            ..RuntimeConfig::new(config.state_dir.join("cache"))
        })?;
        let troubles = runtime.troubles();
        let sources = Sources::new(&config.state_dir.join("plugins"), &config.sources)?;
        let registry = Arc::new(Registry::new(runtime, sources, config.state_dir.clone()));
        let (watches, changes) = Watches::new();
        let (wishes, wished) = mpsc::channel(64);
        let clock = Clock::start();
        let context = Context {
            registry: Arc::clone(&registry),
            events: Events::new(journal.clone(), snapshot.next_event),
            journal: journal.clone(),
            clock,
            parallel: config.parallel,
            resync: config.resync,
            load: Load::default(),
            self_instance: config.self_instance.clone(),
            wishes,
        };
        for (name, record) in &snapshot.plugins {
            registry.restore(name, record.clone()).await;
            watches.watch(name, &record.spec.grants);
        }
        let now = clock.now();
        let mut groups = BTreeMap::new();
        for (id, stored) in &mut snapshot.groups {
            stored.record.mend(now);
            // From here on the group's own task knows what is under way.
            let record = stored.record.clone();
            let stored = std::mem::replace(stored, StoredGroup::new(record));
            groups.insert(id.clone(), GroupHandle::start(stored, true, context.clone()));
        }
        let host = Self(Arc::new(Inner {
            registry,
            watches,
            journal,
            context,
            groups: RwLock::new(groups),
            state: tokio::sync::Mutex::new(snapshot),
            stopping: Mutex::default(),
            helpers: Mutex::default(),
            started: clock.now(),
            stopped: AtomicBool::new(false),
            config,
        }));
        let mut helpers = vec![
            tokio::spawn(wake_changed(Arc::downgrade(&host.0), changes)),
            tokio::spawn(grant_wishes(Arc::downgrade(&host.0), wished)),
            tokio::spawn(swap::watch_crashes(Arc::downgrade(&host.0), troubles)),
        ];
        if host.0.config.swap_changed {
            helpers.push(tokio::spawn(swap::watch_files(Arc::downgrade(&host.0))));
        }
        *host.0.helpers.lock().unwrap_or_else(PoisonError::into_inner) = helpers;
        Ok(host)
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.context.events.subscribe()
    }

    /// The host itself.
    pub fn view(&self) -> HostView {
        HostView {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            state_dir: self.0.config.state_dir.clone(),
            started_at: self.0.started,
        }
    }

    /// Stop keeping the groups and leave their instances. Returns when the calls under way have ended, which the plugins'
    /// wall-clock limits bound. Nothing is kept after this; what is stored stays.
    pub async fn shutdown(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        for helper in self.0.helpers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            helper.abort();
        }
        let groups = std::mem::take(&mut *self.0.groups.write().unwrap_or_else(PoisonError::into_inner));
        // All are told before any is waited for.
        let stops: Vec<_> = groups.into_values().map(|it| tokio::spawn(it.stop())).collect();
        for stop in stops {
            let _ = stop.await;
        }
        if let Err(error) = self.0.journal.close().await {
            tracing::error!("what happened last is not written down: {}", chain(&error));
        }
    }

    /// Store changes, and take them over once they are durable.
    async fn write(&self, state: &mut Snapshot, changes: Vec<Change>) -> Result<(), HostError> {
        let written = self.0.journal.commit(state.revision, changes.clone()).await;
        let revision = written.ok_or(HostError::Stopping)??;
        state.revision = revision;
        for change in changes {
            match change {
                Change::PutPlugin(name, record) => drop(state.plugins.insert(name, record)),
                Change::RemovePlugin(name) => drop(state.plugins.remove(&name)),
                Change::PutGroup(record) => {
                    let stored = StoredGroup::new(record);
                    state.groups.insert(stored.record.spec.id.clone(), stored);
                }
                Change::RemoveGroup(id) => drop(state.groups.remove(&id)),
            }
        }
        Ok(())
    }

    fn event(&self, group: Option<&str>, what: What) {
        self.0.context.events.publish(self.0.context.clock.now(), group, || what);
    }

    fn handle<T>(&self, id: &str, read: impl FnOnce(&GroupHandle) -> T) -> Option<T> {
        self.0.groups.read().unwrap_or_else(PoisonError::into_inner).get(id).map(read)
    }

    fn group(&self, id: &str) -> Result<Arc<State>, HostError> {
        self.handle(id, GroupHandle::state).ok_or_else(|| self.no_group(id))
    }

    fn record<'a>(&self, state: &'a Snapshot, id: &str) -> Result<&'a GroupRecord, HostError> {
        state.groups.get(id).map(|it| &it.record).ok_or_else(|| self.no_group(id))
    }

    fn no_group(&self, id: &str) -> HostError {
        let groups = self.0.groups.read().unwrap_or_else(PoisonError::into_inner);
        HostError::NoGroup {
            name: id.to_owned(),
            nearest: nearest(id, groups.keys().map(String::as_str)).map(str::to_owned),
        }
    }

    fn no_plugin(&self, name: &str) -> HostError {
        let names = self.0.registry.names();
        HostError::NoPlugin {
            name: name.to_owned(),
            nearest: nearest(name, names.iter().map(String::as_str)).map(str::to_owned),
        }
    }
}

/// Open the store. A host that was killed a moment ago may hold it for a little longer.
async fn open_store(path: &Path) -> Result<RedbStore, StoreError> {
    let deadline = tokio::time::Instant::now() + HANDOVER;
    loop {
        match RedbStore::open(path) {
            Err(StoreError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            opened => return opened,
        }
    }
}

/// Wake the groups whose plugins' directories changed.
async fn wake_changed(host: std::sync::Weak<Inner>, mut changes: Changes) {
    while let Some(plugins) = changes.next().await {
        let Some(inner) = host.upgrade() else { return };
        Host(inner).wake_users(&plugins);
    }
}

/// Do what groups ask for: forget those that were destroyed to the last instance, and take failed rollouts back.
async fn grant_wishes(host: std::sync::Weak<Inner>, mut wishes: mpsc::Receiver<Wish>) {
    while let Some(wish) = wishes.recv().await {
        let Some(inner) = host.upgrade() else { return };
        let host = Host(inner);
        let mut state = host.0.state.lock().await;
        match wish {
            Wish::Forget { group, revision } => {
                let current = state.groups.get(&group).map(|it| &it.record);
                if !current.is_some_and(|it| it.goal == Goal::Destroy && it.revision == revision) {
                    continue;
                }
                match host.forget(&mut state, &group).await {
                    Ok(_) => tracing::info!(group, "destroyed"),
                    Err(error) => tracing::error!(group, "destroyed, but not forgotten: {}", chain(&error)),
                }
            }
            Wish::RollBack(record) => {
                let group = record.spec.id.clone();
                // Somebody may have committed something else meanwhile: then that is what holds.
                let current = state.groups.get(&group).map(|it| &it.record);
                if !current.is_some_and(|it| it.revision + 1 == record.revision && it.goal == Goal::Keep) {
                    continue;
                }
                match host.write(&mut state, vec![Change::PutGroup((*record).clone())]).await {
                    Ok(()) => {
                        let to = record.config().rollback_of.unwrap_or_default();
                        let plan = format!("Rolling back revision {to}");
                        host.keep(*record, &plan).await;
                    }
                    Err(error) => tracing::error!(group, "not rolled back: {}", chain(&error)),
                }
            }
        }
    }
}
