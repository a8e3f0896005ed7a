//! The Wasm side of homeostat: loads component plugins, sandboxes them, and calls them.
//!
//! **Invariants.** Only this crate names wasmtime. Only `abi` knows WIT types: what goes in and comes out is
//! `homeostat-core`'s model. One engine a process; a fresh store a call; nothing is granted that the operator did not
//! grant, and to a guest that is asked for a plan only to read; a guest that spins, floods or crashes costs its own call and
//! nothing else.
//!
//! A plugin comes in through `load` (file -> `inspect` -> `cache` or compiler -> link -> `describe`), with the
//! directories of `grant`. A call goes `instance` or `flavor` -> `call` (limits, threads) -> `abi` -> guest.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use homeostat_core::spec::PluginSpec;
use tokio::sync::broadcast;

mod abi;
mod breaker;
mod cache;
mod call;
mod cpu;
mod describe;
mod engine;
mod error;
mod exec;
mod files;
mod flavor;
mod grant;
mod host;
mod http;
mod inspect;
mod instance;
mod load;
mod manifest;
mod output;
mod plugin;
mod state;
mod threads;
mod ticker;
mod warm;

pub use abi::instance::Provisioned;
pub use call::{CallStats, Trouble};
pub use describe::PluginDescription;
pub use error::{CallError, CallErrorKind, LoadError, LoadErrorKind, RuntimeError};
pub use files::{FaultAt, FileError, FileOperation, FileVerdict, FileWire};
pub use flavor::{FlavorPlugin, FlavorReader};
pub use instance::{InstancePlugin, InstanceReader};
pub use manifest::{parse as parse_manifest, seal};
pub use output::LogWire;
pub use plugin::{Degraded, Plugin, PluginInfo, PluginKind};
pub use warm::WarmInstance;

/// How a runtime is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Where compiled plugins are kept between runs. Made with mode 0700 where it is not there.
    pub cache_dir: PathBuf,
    /// Threads that guests run on. 0: as many as there are cores, and 2 at least.
    pub guest_threads: usize,
    /// Where the host's own secrets are, a file each; none where it has no such store.
    pub secrets: Option<PathBuf>,
    /// Where the processes that plugins start are kept track of; none where they may start none. The program that embeds
    /// this has to begin with `homeostat_process::as_supervisor`.
    pub processes: Option<PathBuf>,
    /// Whether plugins are loaded that were built against a draft of the contract. A draft may change any day.
    pub drafts: bool,
}

impl RuntimeConfig {
    /// The usual setup, with this cache.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self { cache_dir: cache_dir.into(), guest_threads: 0, secrets: None, processes: None, drafts: false }
    }
}

/// What comes between a plugin and the world, where it is checked rather than used.
#[derive(Clone, Default)]
pub struct Wires {
    /// Before its operations on files.
    pub files: Option<Arc<dyn FileWire>>,
    /// Before its HTTP requests.
    pub http: Option<Arc<dyn homeostat_egress::wire::Wire>>,
    /// Beside its log.
    pub log: Option<Arc<dyn LogWire>>,
}

impl Wires {
    /// Whether anything comes between.
    fn any(&self) -> bool {
        let Self { files, http, log } = self;
        files.is_some() || http.is_some() || log.is_some()
    }
}

/// A future that runs on the guests' threads. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Beside<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Beside<T> {
    /// None where it panicked, or the runtime is gone.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for Beside<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Loads plugins. Cheap to clone; one a process is enough. Its threads end when it and all its plugins are gone.
#[derive(Clone)]
pub struct Runtime(Arc<host::Host>);

impl Runtime {
    /// Start the engine and the threads of the guests.
    ///
    /// # Errors
    /// A cache directory that others may write; no threads or no engine on this machine.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        host::Host::start(config).map(|host| Self(Arc::new(host)))
    }

    /// Load a plugin from its file, which was fetched where its source is no file, and ask it what it is. Needs a tokio runtime with time, and does not block it.
    ///
    /// # Errors
    /// What is wrong with the file, its imports, its exports, its description or its grants, and how to mend it.
    pub async fn load_file(&self, name: &str, file: &Path, spec: &PluginSpec) -> Result<Plugin, LoadError> {
        self.load_wired(name, file, spec, Wires::default()).await
    }

    /// As [`Self::load_file`], with something that decides what becomes of each of the plugin's operations on files, and of
    /// each of its requests: for checking plugins. It costs each of them a little.
    ///
    /// # Errors
    /// As [`Self::load_file`].
    pub async fn load_wired(
        &self,
        name: &str,
        file: &Path,
        spec: &PluginSpec,
        wires: Wires,
    ) -> Result<Plugin, LoadError> {
        load::load(&self.0, name, file, spec, wires).await.map_err(|kind| LoadError {
            plugin: name.to_owned(),
            source: spec.source.clone(),
            kind: Box::new(kind),
        })
    }

    /// Load a plugin whose source is a file.
    ///
    /// # Errors
    /// As [`Self::load_file`]; where the source has to be fetched first.
    pub async fn load(&self, name: &str, spec: &PluginSpec) -> Result<Plugin, LoadError> {
        match spec.source.file() {
            Some(file) => self.load_file(name, file, spec).await,
            None => Err(LoadError {
                plugin: name.to_owned(),
                source: spec.source.clone(),
                kind: Box::new(LoadErrorKind::NotFetched),
            }),
        }
    }

    /// Calls that the sandbox has to end, from now on. One that does not keep up misses the oldest.
    pub fn troubles(&self) -> broadcast::Receiver<Trouble> {
        self.0.troubles().subscribe()
    }

    /// Run a future on the guests' threads until it ends or the answer is dropped. Worth it for one that makes several
    /// calls: it spares each of them the way from the caller's thread and back. It must not block.
    pub fn beside_guests<F>(&self, future: F) -> Beside<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Beside(self.0.threads().quick().spawn(future))
    }

    /// Whether guests get pooled memory. Without (too little address space), calls are several times slower.
    pub fn is_pooled(&self) -> bool {
        self.0.pooled()
    }
}
