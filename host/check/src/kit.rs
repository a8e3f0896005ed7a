//! What the checks work with: the plugin, loaded with more or less granted, and all that was made with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use homeostat_core::grant::{DirGrant, Grants, Limits, SecretSource};
use homeostat_core::observed::{Instance, InstanceState, Listing};
use homeostat_core::outcome::{DestroyReason, ErrorCode};
use homeostat_core::spec::{InstanceSpec, PluginSource, PluginSpec};
use homeostat_core::tags::Tags;
use homeostat_egress::wire::TapeError;
use homeostat_runtime::{CallError, FlavorPlugin, InstancePlugin, LoadError, Plugin, PluginInfo, Runtime};
use tempfile::TempDir;

use crate::catalog::Id;
use crate::fault::Faults;
use crate::made::Made;
use crate::outcome::{Expect, Stop, fail, skip};
use crate::sample::Samples;
use crate::secret::{self, Listener};
use crate::wire::{Between, Tape};
use crate::{NAME, Options};

/// The tag by which what a run made is found again: its value is the run's id.
pub(crate) const RUN: &str = "homeostat.check";

/// How long a call that was refused for now is repeated.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a call may take where answers are made to come too late, whatever its limit is.
const LATE: Duration = Duration::from_secs(10);

/// How much of what it wants a plugin gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nothing.
    Bare,
    /// Directories of the kit's own, made for this load alone, settings and secrets: no network, nothing of the operator's.
    Sandbox,
    /// What the operator granted, and directories of the kit's own for the rest.
    Full,
}

/// One plugin under examination.
pub(crate) struct Kit {
    pub(crate) runtime: Runtime,
    pub(crate) file: PathBuf,
    pub(crate) info: PluginInfo,
    pub(crate) options: Options,
    pub(crate) samples: Samples,
    /// The run's id: a part of each name, and the value of [`RUN`].
    pub(crate) run: String,
    pub(crate) faults: Vec<Arc<dyn Faults>>,
    between: Between,
    /// What was seen of the plugin that could hold a secret.
    pub(crate) heard: Mutex<Vec<(String, String)>>,
    /// What it wrote to its log, to standard output and to standard error.
    pub(crate) listener: Arc<Listener>,
    pub(crate) made: Mutex<Made>,
    /// The plugin with all that it may have.
    plugin: Plugin,
    dirs: Dirs,
    /// The check that is run.
    check: Mutex<Option<Id>>,
    next: AtomicU32,
    sweep: Mutex<Option<Sweep>>,
}

/// What came of the calls with hostile input: how many there were, and those that ended as no call may.
pub(crate) type Sweep = Arc<(usize, Vec<(String, CallError)>)>;

/// The directories and files that the kit made for the plugin.
pub(crate) struct Dirs {
    root: TempDir,
    count: AtomicU32,
    /// Those of the load with [`Trust::Full`].
    full: Mutex<Vec<DirGrant>>,
}

impl Dirs {
    /// A secret of the kit's own.
    fn secret(&self, name: &str) -> std::io::Result<SecretSource> {
        let file = self.root.path().join(format!("secret-{}", self.count.fetch_add(1, Ordering::Relaxed)));
        fs::write(&file, secret::canary(name))?;
        Ok(SecretSource::File(file))
    }
}

impl Kit {
    /// Load the plugin and get ready.
    ///
    /// # Errors
    /// Where the plugin cannot be loaded, or not with what it is granted.
    pub(crate) async fn open(
        runtime: &Runtime,
        file: &Path,
        mut options: Options,
        info: PluginInfo,
    ) -> Result<Self, OpenError> {
        let example = &info.description.properties_example;
        let samples = Samples::new(&info.description.properties_schema, example, &options.config);
        let dirs = Dirs {
            root: tempfile::Builder::new().prefix("homeostat-check-").tempdir().map_err(OpenError::Directory)?,
            count: AtomicU32::new(0),
            full: Mutex::new(Vec::new()),
        };
        if let Some(Tape::Replay(_)) = options.tape {
            // Who plays a tape need not have what it was recorded with.
            let granted = options.config.grants.secrets.iter_mut();
            for (name, source) in granted.filter(|(_, source)| secret::read(source).is_none()) {
                *source = dirs.secret(name).map_err(OpenError::Directory)?;
            }
        }
        let wants = &info.manifest.wants;
        let (files, http) = (!wants.dirs.is_empty(), !wants.http.is_empty());
        let slow = trial_wall(&options) * 2;
        let secrets: Vec<_> = wants.secrets.iter().map(|it| it.name.clone()).collect();
        let secrets = secret::values(&secrets, &options.config.grants);
        let redactor = secret::redactor(&secrets);
        let listener = Arc::new(Listener::new(secrets));
        let between = Between::new((files, http), options.tape.as_ref(), redactor, listener.clone(), slow)
            .map_err(OpenError::Tape)?;
        let grants = grants(&dirs, &info, &options, Trust::Full).map_err(OpenError::Directory)?;
        *dirs.full.lock().unwrap_or_else(PoisonError::into_inner) = grants.dirs.clone();
        let limits = options.config.limits.clone();
        let plugin =
            load(runtime, file, limits, grants, &between).await.map_err(|error| OpenError::Load(Box::new(error)))?;
        let run = options.run.clone().unwrap_or_else(|| {
            let letters = "abcdefghijklmnopqrstuvwxyz0123456789".as_bytes();
            (0..8).map(|_| char::from(letters[fastrand::usize(..letters.len())])).collect()
        });
        Ok(Self {
            runtime: runtime.clone(),
            file: file.to_owned(),
            info,
            options,
            samples,
            run,
            faults: between.faults(),
            between,
            heard: Mutex::default(),
            listener,
            made: Mutex::default(),
            plugin,
            dirs,
            check: Mutex::default(),
            next: AtomicU32::new(0),
            sweep: Mutex::default(),
        })
    }

    /// How often something is repeated that has to be the same each time.
    pub(crate) fn repeat(&self) -> u32 {
        self.options.repeat.max(1)
    }

    /// Load the plugin once more. What went wrong with another load counts nothing for this one.
    pub(crate) async fn load(&self, trust: Trust) -> Result<Plugin, Stop> {
        self.load_file(&self.file, trust).await
    }

    /// Whether the tape that is played has had all that the plugin asked for so far.
    ///
    /// # Errors
    /// The first that it did not have.
    pub(crate) fn follows_tape(&self) -> Result<(), TapeError> {
        self.between.follows()
    }

    /// Whether the tape of the run is whole; and, where all of it should have been played, whether it was.
    ///
    /// # Errors
    /// What is missing on it, or what of it was not played.
    pub(crate) fn finish(&self, all: bool) -> Result<(), TapeError> {
        self.between.finish(all)
    }

    /// Load another version of the plugin, or the same.
    pub(crate) async fn load_file(&self, file: &Path, trust: Trust) -> Result<Plugin, Stop> {
        let failed = |error: &dyn std::fmt::Display| fail("the plugin can be loaded again", error.to_string());
        let grants = match trust {
            Trust::Full => {
                let dirs = self.dirs.full.lock().unwrap_or_else(PoisonError::into_inner).clone();
                grants(&self.dirs, &self.info, &self.options, trust).map(|it| Grants { dirs, ..it })
            }
            _ => grants(&self.dirs, &self.info, &self.options, trust),
        };
        let grants = match grants {
            Ok(grants) => grants,
            Err(error) => return failed(&error),
        };
        let limits = Limits { wall: trial_wall(&self.options), ..self.options.config.limits.clone() };
        match load(&self.runtime, file, limits, grants, &self.between).await {
            Ok(plugin) => Ok(plugin),
            Err(error) => failed(&error),
        }
    }

    /// The plugin with what it is granted, as an instance plugin.
    pub(crate) fn instance(&self) -> Result<InstancePlugin, Stop> {
        self.plugin.as_instance().map_or_else(|| skip("it is no instance plugin"), Ok)
    }

    /// The plugin with what it is granted, as a flavor plugin.
    pub(crate) fn flavor(&self) -> Result<FlavorPlugin, Stop> {
        self.plugin.as_flavor().map_or_else(|| skip("it is no flavor plugin"), Ok)
    }

    /// The directories that the kit made for the plugin with all its grants.
    pub(crate) fn own_dirs(&self) -> Vec<PathBuf> {
        let dirs = self.dirs.full.lock().unwrap_or_else(PoisonError::into_inner);
        dirs.iter().map(|it| it.host.clone()).filter(|it| it.starts_with(self.dirs.root.path())).collect()
    }

    /// A check begins. Its names tell which one it is, and are counted anew, so that on a tape they are the same whatever
    /// became of the checks before.
    pub(crate) fn begin(&self, check: Id) {
        *self.check.lock().unwrap_or_else(PoisonError::into_inner) = Some(check);
        self.next.store(0, Ordering::Relaxed);
    }

    /// A name that no instance has had.
    pub(crate) fn name(&self, what: &str) -> String {
        let check = *self.check.lock().unwrap_or_else(PoisonError::into_inner);
        let check = check.map(|it| format!("{it}-").to_lowercase()).unwrap_or_default();
        format!("check-{}-{check}{what}-{}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The sample as a spec, with the run's tag.
    pub(crate) fn spec(&self) -> InstanceSpec {
        InstanceSpec {
            properties: self.samples.sample().clone(),
            tags: self.tags(&[]),
            init: "#!/bin/sh\necho homeostat plugin check\n".into(),
            logical_id: None,
            attachments: Vec::new(),
        }
    }

    /// The run's tag, and others.
    pub(crate) fn tags(&self, more: &[(&str, &str)]) -> Tags {
        let own = (RUN.to_owned(), self.run.clone());
        more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain([own]).collect()
    }

    /// Have an instance made. It is destroyed when the check is over, whatever comes of this.
    pub(crate) async fn provision(&self, name: &str, spec: &InstanceSpec) -> Result<String, CallError> {
        self.provision_by(&self.instance_or_stopped("provision")?, name, spec).await
    }

    /// The same, by another load of the plugin.
    pub(crate) async fn provision_by(
        &self,
        plugin: &InstancePlugin,
        name: &str,
        spec: &InstanceSpec,
    ) -> Result<String, CallError> {
        self.made().expect(name);
        let answer = plugin.provision(name, spec).await;
        match &answer {
            Ok(id) => self.made().is(name, id),
            Err(error) => self.hear("an error of provision", &error.to_string()),
        }
        answer
    }

    /// Have an instance made, or fail.
    pub(crate) async fn make(&self, what: &str, spec: &InstanceSpec) -> Result<(String, String), Stop> {
        let name = self.name(what);
        let id =
            self.provision(&name, spec).await.expect_call("an instance is made from the sample").map_err(granted)?;
        Ok((name, id))
    }

    pub(crate) async fn destroy(&self, id: &str) -> Result<(), CallError> {
        self.instance_or_stopped("destroy")?.destroy(id, DestroyReason::Terminate).await
    }

    pub(crate) async fn list(&self, tags: &Tags, with_properties: bool) -> Result<Listing, CallError> {
        self.listed(self.instance_or_stopped("list")?.list(tags, with_properties).await)
    }

    /// The same, with so many instances on a page at most.
    pub(crate) async fn list_paged(&self, tags: &Tags, with_properties: bool, most: u32) -> Result<Listing, CallError> {
        self.listed(self.instance_or_stopped("list")?.list_paged(tags, with_properties, most).await)
    }

    /// Hear what a listing says.
    fn listed(&self, answer: Result<Listing, CallError>) -> Result<Listing, CallError> {
        match &answer {
            Ok(listing) => {
                for instance in &listing.instances {
                    self.hear("a listed instance", &serde_json::to_string(instance).unwrap_or_default());
                }
                listing
                    .findings
                    .iter()
                    .for_each(|it| self.hear("a finding", &format!("{} {}", it.subject, it.message)));
            }
            Err(error) => self.hear("an error of list", &error.to_string()),
        }
        answer
    }

    /// The instances of a name that exist, among those of this run. Waits for them to be so many, as long as the list may
    /// lag.
    pub(crate) async fn named(&self, name: &str, wanted: usize) -> Result<Vec<Instance>, Stop> {
        let begun = Instant::now();
        loop {
            let listing = self.list(&self.tags(&[]), false).await.expect_call("the run's instances are listed")?;
            let found: Vec<_> = listing.instances.into_iter().filter(|it| it.name == name && exists(it)).collect();
            if found.len() == wanted || begun.elapsed() >= self.options.config.limits.list_lag {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// There is exactly one of a name, or none.
    pub(crate) async fn count(&self, name: &str, wanted: usize) -> Result<(), Stop> {
        let found = self.named(name, wanted).await?;
        if found.len() == wanted {
            return Ok(());
        }
        let ids: Vec<_> = found.iter().map(|it| it.id.as_str()).collect();
        fail(format!("{wanted} of the name {name}"), format!("{} ({})", found.len(), ids.join(", ")))
    }

    /// Repeat what a host repeats: what was refused for now, and what another call stood in the way of.
    pub(crate) async fn patiently<T>(
        &self,
        mut call: impl AsyncFnMut() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let passes = error.plugin_error().filter(|it| {
                matches!(it.code, ErrorCode::Unavailable | ErrorCode::Aborted | ErrorCode::ResourceExhausted)
            });
            let Some(wait) = passes.map(|it| it.retry_after.unwrap_or_default().max(pause)) else { return Err(error) };
            // A tape that does not go on like this never will.
            if begun.elapsed() + wait > PATIENCE || self.follows_tape().is_err() {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// What came of the calls with hostile input, where they were made already.
    pub(crate) fn swept(&self) -> Option<Sweep> {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn keep_sweep(&self, sweep: Sweep) {
        *self.sweep.lock().unwrap_or_else(PoisonError::into_inner) = Some(sweep);
    }

    /// Keep a text of the plugin's, to be searched for secrets.
    pub(crate) fn hear(&self, place: &str, text: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push((place.to_owned(), text.to_owned()));
    }

    pub(crate) fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asked for by what is written for instance plugins alone.
    fn instance_or_stopped(&self, function: &'static str) -> Result<InstancePlugin, CallError> {
        self.plugin.as_instance().ok_or_else(|| CallError {
            plugin: self.info.name.clone(),
            function,
            kind: homeostat_runtime::CallErrorKind::Nonsense("it is no instance plugin".into()),
        })
    }
}

/// Whether an instance still counts: one that is on its way out does not.
pub(crate) fn exists(instance: &Instance) -> bool {
    instance.state != InstanceState::Stopping
}

/// Say what to do where the plugin lacks a grant.
fn granted(stop: Stop) -> Stop {
    match stop {
        Stop::Failed(failure) if failure.actual.contains("permission-denied") => {
            let hint = "grant what it needs with the flags of `plugin add`, or with Grants in --config";
            Stop::Failed(Box::new(failure.with_hint(hint)))
        }
        other => other,
    }
}

/// Why a run did not begin.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The kit could not make a directory.
    Directory(std::io::Error),
    /// The tape cannot be written or read.
    Tape(TapeError),
    /// The plugin could not be loaded with what it is granted.
    Load(Box<LoadError>),
}

/// What a plugin gets.
fn grants(dirs: &Dirs, info: &PluginInfo, options: &Options, trust: Trust) -> std::io::Result<Grants> {
    let given = &options.config.grants;
    if trust == Trust::Bare {
        return Ok(Grants::default());
    }
    let mut grants = match trust {
        Trust::Full => given.clone(),
        _ => Grants { config: given.config.clone(), ..Grants::default() },
    };
    let wants = &info.manifest.wants;
    for want in &wants.dirs {
        if grants.dirs.iter().all(|it| it.guest != want.guest) {
            let host = dirs.root.path().join(dirs.count.fetch_add(1, Ordering::Relaxed).to_string());
            fs::create_dir(&host)?;
            grants.dirs.push(DirGrant { host, guest: want.guest.clone(), mode: want.mode });
        }
    }
    for want in &wants.secrets {
        if !grants.secrets.contains_key(&want.name) {
            grants.secrets.insert(want.name.clone(), dirs.secret(&want.name)?);
        }
    }
    Ok(grants)
}

/// The longest a call may take where answers are made to come too late.
fn trial_wall(options: &Options) -> Duration {
    options.config.limits.wall.min(LATE)
}

async fn load(
    runtime: &Runtime,
    file: &Path,
    limits: Limits,
    grants: Grants,
    between: &Between,
) -> Result<Plugin, LoadError> {
    let source = PluginSource::File(file.to_owned());
    let spec = PluginSpec { source, sha256: None, grants, limits };
    between.load(runtime, NAME, file, &spec).await
}
