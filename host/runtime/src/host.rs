//! What all plugins of a process share: the engine, the linker, the guests' threads and their clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use homeostat_egress::HostSecrets;
use homeostat_process::{Processes, Supervisor};
use tokio::sync::{Semaphore, broadcast};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::RuntimeConfig;
use crate::abi;
use crate::cache::Cache;
use crate::call::Trouble;
use crate::engine::{self, Built};
use crate::error::RuntimeError;
use crate::files;
use crate::state::CallState;
use crate::threads::Threads;
use crate::ticker::Ticker;

/// Troubles that are kept for one who does not keep up.
const TROUBLES: usize = 256;

pub(crate) struct Host {
    engine: Engine,
    pooled: bool,
    linker: Linker<CallState>,
    ticker: Ticker,
    slots: Arc<Semaphore>,
    cache: Cache,
    secrets: HostSecrets,
    processes: Option<Processes>,
    drafts: bool,
    troubles: broadcast::Sender<Trouble>,
    threads: Threads,
}

impl Host {
    pub(crate) fn start(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let Built { engine, pooled } = engine::build()?;
        let cache = Cache::open(config.cache_dir, &engine)?;
        let mut linker = Linker::new(&engine);
        // All of WASI 0.2 is linked, since guests of many languages import it whole. What is not granted is empty
        // (files, environment, arguments) or refused (sockets).
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)
            .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
            .and_then(|()| abi::add_to_linker(&mut linker, config.drafts))
            .map_err(|e| RuntimeError::Engine(format!("{e:#}")))?;
        let threads = match config.guest_threads {
            0 => thread::available_parallelism().map_or(2, usize::from).max(2),
            threads => threads,
        };
        let threads = Threads::start(threads).map_err(RuntimeError::Threads)?;
        let ticker = Ticker::start(engine.clone()).map_err(RuntimeError::Threads)?;
        let slots = Arc::new(Semaphore::new(engine::GUESTS as usize));
        let secrets = HostSecrets { store: config.secrets };
        let open = |dir: PathBuf| Processes::open(&dir, Supervisor::default()).map_err(RuntimeError::Processes);
        let processes = config.processes.map(open).transpose()?;
        let (troubles, _) = broadcast::channel(TROUBLES);
        Ok(Self {
            engine,
            pooled,
            linker,
            ticker,
            slots,
            cache,
            secrets,
            processes,
            drafts: config.drafts,
            troubles,
            threads,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn pooled(&self) -> bool {
        self.pooled
    }

    pub(crate) fn linker(&self) -> &Linker<CallState> {
        &self.linker
    }

    /// A linker for a plugin that has a wire before its files. Made anew each time: nobody but a check asks for it.
    pub(crate) fn wired_linker(&self) -> wasmtime::Result<Linker<CallState>> {
        let mut linker = self.linker.clone();
        files::add_to_linker(&mut linker)?;
        Ok(linker)
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Who reads the secrets that are granted.
    pub(crate) fn secrets(&self) -> &HostSecrets {
        &self.secrets
    }

    /// Who keeps the processes that plugins start, where this host does.
    pub(crate) fn processes(&self) -> Option<&Processes> {
        self.processes.as_ref()
    }

    /// Whether guests of drafts of the contract are served.
    pub(crate) fn drafts(&self) -> bool {
        self.drafts
    }

    /// Told of each call that the sandbox has to end.
    pub(crate) fn troubles(&self) -> &broadcast::Sender<Trouble> {
        &self.troubles
    }

    /// A place for each guest that may live at once.
    pub(crate) fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }

    /// The guests' own threads. Blocking work of the runtime (files, the compiler) runs beside the slow ones.
    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }
}
