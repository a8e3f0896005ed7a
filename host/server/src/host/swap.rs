//! Another version for a plugin, while the host runs: loaded beside the one in use, held against everything that uses it,
//! and taken into use in one step, or not at all. One that crashes soon after gives way to the one before it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use homeostat_core::grant::Gap;
use homeostat_core::plugin::{CRASHES, PluginRecord};
use homeostat_core::record::GroupRecord;
use homeostat_core::spec::{GroupSpec, MAX_PLUGIN_SIZE, OnPluginChange, PluginSpec, VictimOrder};
use homeostat_runtime::{Plugin, Trouble};
use homeostat_source::{Locked, Lookup};
use tokio::sync::broadcast;

use super::commit::Manner;
use super::{Host, Inner};
use crate::admit::violations;
use crate::error::{HostError, chain};
use crate::event::What;
use crate::group::GroupHandle;
use crate::registry::{Candidate, Refused};
use crate::store::Change;
use crate::view::{PluginView, SwapRequest};

/// How often a swap is tried when others change the plugin at the same time.
const ATTEMPTS: usize = 10;

impl Host {
    /// Take another version of a plugin into use. Calls under way end on the one before it, and no group is touched, unless
    /// it asks for a rollout when a plugin changes.
    ///
    /// # Errors
    /// Where it cannot be loaded, wants more than the one in use and nobody agreed, or a group that uses it could not go on
    /// with it. The one in use goes on then, and the plugin's view says why.
    pub async fn swap_plugin(&self, name: &str, request: &SwapRequest) -> Result<PluginView, HostError> {
        let swapped = self.try_swap(name, request).await;
        if let Err((error, digest)) = swapped {
            let reason = chain(&error);
            let at = self.0.context.clock.now();
            self.0.registry.note(name, |it| it.refused = Some(Refused { digest, reason: reason.clone(), at }));
            if !matches!(error, HostError::NoPlugin { .. }) {
                tracing::warn!(plugin = name, "not swapped, the version in use goes on: {reason}");
                self.event(None, What::PluginRefused { plugin: name.to_owned(), reason });
            }
            return Err(error);
        }
        self.plugin(name)
    }

    async fn try_swap(&self, name: &str, request: &SwapRequest) -> Result<(), (HostError, Option<String>)> {
        let early = |error| (error, None);
        for _ in 0..ATTEMPTS {
            let entry = self.0.registry.find(name).filter(|it| it.registered);
            let old = entry.ok_or_else(|| early(self.no_plugin(name)))?;
            let in_use = &old.record.spec;
            let spec = PluginSpec {
                source: request.source.clone().unwrap_or_else(|| in_use.source.clone()),
                // A pin binds until another one is given.
                sha256: request.sha256.clone().or_else(|| in_use.sha256.clone()),
                grants: request.grants.clone().unwrap_or_else(|| in_use.grants.clone()),
                limits: in_use.limits.clone(),
            };
            let spec = super::plugins::checked(name, spec).map_err(early)?;
            let candidate = self.candidate(name, &spec, None, Lookup::Anew).await.map_err(early)?;
            let refused = |error| (error, Some(candidate.locked.sha256.clone()));
            // Who states the grants anew has seen them.
            if !request.consent && request.grants.is_none() {
                consent(old.state.as_ref().ok(), &candidate).map_err(refused)?;
            }
            self.hold_against_users(name, &candidate, &[]).await.map_err(refused)?;
            if self.take_into_use(name, &old.record, candidate).await.map_err(early)? {
                return Ok(());
            }
        }
        Err(early(HostError::Conflict(format!("others keep changing plugin {name} at the same time; try again"))))
    }

    /// Take the version before the one in use into use again.
    ///
    /// # Errors
    /// Where there is none, or a group that uses the plugin could not go on with it.
    pub async fn rollback_plugin(&self, name: &str) -> Result<PluginView, HostError> {
        self.bring_back(name, "an operator asked for it", true).await?;
        self.plugin(name)
    }

    /// Without `gates`, whatever is wrong with the version before is better than what is wrong with this one.
    async fn bring_back(&self, name: &str, reason: &str, gates: bool) -> Result<(), HostError> {
        let entry = self.0.registry.find(name).filter(|it| it.registered).ok_or_else(|| self.no_plugin(name))?;
        let none = || HostError::Conflict(format!("plugin {name} has had no other version since it was registered"));
        let record = entry.record.rolled_back(self.0.context.clock.now()).ok_or_else(none)?;
        let version = entry.record.previous.as_deref().ok_or_else(none)?;
        let plugin = match &entry.previous {
            Some(plugin) => plugin.clone(),
            None => {
                let lock = Locked {
                    source: version.spec.source.to_string(),
                    resolved: version.locked.resolved.clone(),
                    sha256: version.locked.sha256.clone(),
                    size: version.locked.size,
                };
                self.candidate(name, &version.spec, Some(&lock), Lookup::AsLocked).await?.plugin
            }
        };
        if gates {
            self.hold_users(name, &plugin, &[]).await?;
            self.check_sight(name, &plugin).await?;
        }
        let to = version.locked.sha256.clone();
        let mut state = self.0.state.lock().await;
        if state.plugins.get(name) != Some(&entry.record) {
            return Err(HostError::Conflict(format!(
                "somebody else changed plugin {name} at the same time; try again"
            )));
        }
        self.write(&mut state, vec![Change::PutPlugin(name.to_owned(), record.clone())]).await?;
        self.publish(name, record, plugin, entry.state.ok());
        drop(state);
        tracing::warn!(plugin = name, digest = to, "rolled back: {reason}");
        self.event(None, What::PluginRolledBack { plugin: name.to_owned(), to, reason: reason.to_owned() });
        self.roll_groups(name).await;
        Ok(())
    }

    /// Take a version into use, unless somebody else changed the plugin meanwhile: then nothing was done.
    async fn take_into_use(&self, name: &str, old: &PluginRecord, candidate: Candidate) -> Result<bool, HostError> {
        let Candidate { spec, plugin, locked, .. } = candidate;
        let record = old.swapped(spec, locked);
        let mut state = self.0.state.lock().await;
        if state.plugins.get(name) != Some(old) {
            return Ok(false);
        }
        self.write(&mut state, vec![Change::PutPlugin(name.to_owned(), record.clone())]).await?;
        if self.install(name, record, plugin) {
            drop(state);
            self.roll_groups(name).await;
        }
        Ok(true)
    }

    /// Make a version that is stored already the one that is called. Says whether it is another one than before: then the
    /// groups that ask for it are to be rolled.
    pub(super) fn install(&self, name: &str, record: PluginRecord, plugin: Plugin) -> bool {
        let old = self.0.registry.find(name);
        let digest = |record: &PluginRecord| record.locked.as_ref().map(|it| it.sha256.clone());
        let from = old.as_ref().and_then(|it| digest(&it.record));
        let to = digest(&record);
        let swapped = from.is_some() && from != to;
        let previous = match swapped {
            true => old.and_then(|it| it.state.ok()),
            false => old.and_then(|it| it.previous),
        };
        self.publish(name, record, plugin, previous);
        let plugin = name.to_owned();
        match to {
            Some(to) if swapped => {
                tracing::info!(plugin, digest = to, "swapped");
                self.event(None, What::PluginSwapped { plugin, from, to });
            }
            _ => self.event(None, What::PluginLoaded { plugin }),
        }
        swapped
    }

    fn publish(&self, name: &str, record: PluginRecord, plugin: Plugin, previous: Option<Plugin>) {
        self.0.watches.unwatch(name);
        self.0.watches.watch(name, &record.spec.grants);
        self.0.registry.put(name, record, plugin, previous);
        let registry = self.0.registry.clone();
        tokio::task::spawn_blocking(move || registry.settle());
        for id in self.users(name) {
            self.handle(&id, GroupHandle::retry);
        }
    }

    /// Load a version, without taking it into use.
    pub(super) async fn candidate(
        &self,
        name: &str,
        spec: &PluginSpec,
        locked: Option<&Locked>,
        lookup: Lookup,
    ) -> Result<Candidate, HostError> {
        Ok(self.0.registry.candidate(name, spec, locked, lookup, self.0.context.clock.now()).await?)
    }

    /// Make sure that all groups that use a plugin could go on with another version of it, but for those that are about to
    /// be committed anew.
    pub(super) async fn hold_against_users(
        &self,
        name: &str,
        candidate: &Candidate,
        but: &[&str],
    ) -> Result<(), HostError> {
        let entry = self.0.registry.find(name);
        let same = entry.is_some_and(|it| {
            it.record.spec == candidate.spec
                && it.record.locked.is_some_and(|locked| locked.sha256 == candidate.locked.sha256)
        });
        if same {
            return Ok(());
        }
        self.hold_users(name, &candidate.plugin, but).await?;
        self.check_sight(name, &candidate.plugin).await
    }

    async fn hold_users(&self, name: &str, plugin: &Plugin, but: &[&str]) -> Result<(), HostError> {
        for id in self.users(name) {
            let Ok(state) = self.group(&id) else { continue };
            if but.contains(&id.as_str()) {
                continue;
            }
            let refused = |why: String| HostError::Conflict(format!("group {id} could not go on with it: {why}"));
            hold(name, &state.record.spec, plugin).await.map_err(refused)?;
        }
        Ok(())
    }

    /// Commit the groups anew that are to be rolled when a plugin of theirs changes.
    pub(super) async fn roll_groups(&self, plugin: &str) {
        for id in self.users(plugin) {
            let Ok(state) = self.group(&id) else { continue };
            if state.record.spec.properties.updating.on_plugin_change != Some(OnPluginChange::Roll) {
                continue;
            }
            let stamped = |record: &GroupRecord| Ok(stamped(record.spec.clone(), |it| self.0.registry.digest(it)));
            let committed = self.recommit(&id, Manner::default(), stamped).await;
            if let Err(error) = committed {
                tracing::error!(
                    group = id,
                    plugin,
                    "the new version of its plugin is not rolled out: {}",
                    chain(&error)
                );
            }
        }
    }

    /// Note a crash, and take a young version back that crashes again and again.
    async fn crashed(&self, trouble: Trouble) {
        let Trouble { plugin, digest, function, opened, reason } = trouble;
        let noted = self.0.registry.note(&plugin, |it| {
            let current = it.record.locked.as_ref().is_some_and(|locked| locked.sha256 == digest);
            it.crashes += u32::from(current);
            (current, it.crashes, it.record.clone())
        });
        let Some((true, crashes, record)) = noted else { return };
        if opened {
            let function = function.to_owned();
            self.event(None, What::PluginDegraded { plugin: plugin.clone(), function, reason: reason.clone() });
        }
        if crashes >= CRASHES && record.on_probation(self.0.context.clock.now()) {
            let why = format!("the new version crashed {crashes} times; last in {function}: {reason}");
            if let Err(error) = self.bring_back(&plugin, &why, false).await {
                tracing::error!(plugin, "a new version that crashes is not rolled back: {}", chain(&error));
            }
        }
    }
}

/// A spec with the versions of its plugins, where its group is to be rolled when they change.
pub(crate) fn stamped(mut spec: GroupSpec, digest: impl Fn(&str) -> Option<String>) -> GroupSpec {
    let roll = spec.properties.updating.on_plugin_change == Some(OnPluginChange::Roll);
    let properties = &mut spec.properties;
    for used in [&mut properties.instance, &mut properties.flavor] {
        used.digest = if roll { digest(&used.plugin) } else { None };
    }
    spec
}

/// Whether a version wants more than the one in use, or can use more of what is granted.
fn consent(old: Option<&Plugin>, candidate: &Candidate) -> Result<(), HostError> {
    let wants = &candidate.plugin.info().manifest.wants;
    let beyond = match old {
        Some(old) => wants.beyond(&old.info().manifest.wants),
        // What the one in use wanted is not known where it cannot be loaded.
        None => wants.against(&candidate.spec.grants).wanted_not_granted,
    };
    if beyond.is_empty() {
        return Ok(());
    }
    let lines = beyond.iter().map(|gap: &Gap| format!("\n  {gap}\n    to grant it: {}", gap.remedy.flag));
    Err(HostError::Conflict(format!(
        "the new version wants more than the one in use:{}\ngrant what it is to have, or give --consent to go on with the \
         grants as they are",
        lines.collect::<String>()
    )))
}

/// Whether a group could go on with a version of one of its plugins.
async fn hold(name: &str, spec: &GroupSpec, plugin: &Plugin) -> Result<(), String> {
    let properties = &spec.properties;
    let schema = |value| {
        let found = violations(&plugin.info().description.properties_schema, value);
        match found.first() {
            None => Ok(()),
            Some((path, message)) if path.is_empty() => Err(message.clone()),
            Some((path, message)) => Err(format!("{path}: {message}")),
        }
    };
    if properties.instance.plugin == name {
        let instance = plugin.as_instance().ok_or("it is not an instance plugin")?.read_only();
        schema(&properties.instance.properties)?;
        instance.validate(&properties.instance.properties).await.map_err(|error| chain(&error))?;
    }
    if properties.flavor.plugin == name {
        let flavor = plugin.as_flavor().ok_or("it is not a flavor plugin")?;
        schema(&properties.flavor.properties)?;
        let checked = flavor.read_only().validate(&properties.flavor.properties, &properties.allocation).await;
        checked.map_err(|error| chain(&error))?;
        if properties.removal.order() == VictimOrder::Plugin && !flavor.orders_removal() {
            return Err("it does not rank instances (interface removal), and Removal.Order asks for that".into());
        }
    }
    Ok(())
}

/// Look after crashes.
pub(super) async fn watch_crashes(host: Weak<Inner>, mut troubles: broadcast::Receiver<Trouble>) {
    loop {
        let trouble = match troubles.recv().await {
            Ok(trouble) => trouble,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let Some(inner) = host.upgrade() else { return };
        Host(inner).crashed(trouble).await;
    }
}

/// Swap plugins whose files change. Files are looked at rather than watched: that works on every file system, and sees a
/// new file under an old name too.
pub(super) async fn watch_files(host: Weak<Inner>) {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(inner) = host.upgrade() else { return };
        let host = Host(inner);
        for name in host.0.registry.names() {
            let Some(entry) = host.0.registry.find(&name) else { continue };
            let Some(file) = entry.record.spec.source.file().map(Path::to_owned) else { continue };
            let looked = file.clone();
            let now = tokio::task::spawn_blocking(move || Identity::of(&looked)).await.ok().flatten();
            let known = seen.entry(name.clone()).or_default();
            // One look in between, so that no file is read that is still being written.
            let settled = now.is_some() && now == known.last;
            known.last = now;
            if !settled || now == known.taken {
                continue;
            }
            let first = known.taken.is_none();
            known.taken = now;
            let digest = tokio::task::spawn_blocking(move || digest(&file)).await.ok().flatten();
            let in_use = entry.record.locked.as_ref().map(|it| &it.sha256);
            // What was given up before the host started is not taken again by itself.
            let given_up = entry.record.previous.as_ref().filter(|_| first).map(|it| &it.locked.sha256);
            if digest.is_some() && (digest.as_ref() == in_use || digest.as_ref() == given_up) {
                continue;
            }
            // Refusals are told by the plugin's view, the events and the log.
            let _ = host.swap_plugin(&name, &SwapRequest::default()).await;
        }
    }
}

/// The SHA-256 of a file that is not too large for a plugin. Blocks.
fn digest(file: &Path) -> Option<String> {
    let size = std::fs::metadata(file).ok()?.len();
    let bytes = (size <= MAX_PLUGIN_SIZE).then(|| std::fs::read(file)).and_then(Result::ok)?;
    Some(homeostat_source::sha256(&bytes))
}

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A file that is looked at.
#[derive(Default)]
struct Seen {
    /// The one that is in use, was taken into use, or was refused; none at the first look.
    taken: Option<Identity>,
    last: Option<Identity>,
}

/// What tells a file from the one that was there before.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &Path) -> Option<Self> {
        let it = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
        Some(Self { inode: it.ino(), size: it.size(), changed: (it.mtime(), it.mtime_nsec()) })
    }
}
