//! What the host keeps of one guest while it is called.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::cpu;
use crate::engine::TABLE_ELEMENTS;
use crate::files::{FileTap, HasFileTap};
use crate::grant::{Access, Authority};
use crate::http::Hooks;
use crate::output::{Log, Output, Pipe, Stream};

/// Handles (files, streams, requests) that a guest may hold at once.
const HANDLES: usize = 4096;

/// Random bytes that a guest may ask for in one call.
const RANDOM: u64 = 1 << 20;

/// Bytes of one set of HTTP headers, as they are kept in memory.
const HEADERS: usize = 64 << 10;

/// What the host keeps of one guest.
pub(crate) struct CallState {
    pub(crate) authority: Arc<Authority>,
    pub(crate) access: Access,
    pub(crate) output: Arc<Output>,
    pub(crate) files: Option<Arc<FileTap>>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) table: ResourceTable,
    memory_limit: u64,
    memory: u64,
    cpu_limit: Duration,
    pub(crate) verdict: Option<Verdict>,
}

/// Why the host stopped a guest.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Cpu,
    Memory,
}

/// What one call may cost.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) memory: u64,
    pub(crate) cpu: Duration,
}

impl CallState {
    /// The state of a guest that has not begun.
    ///
    /// # Errors
    /// A grant that cannot be given.
    pub(crate) fn new(
        authority: Arc<Authority>,
        access: Access,
        budget: Budget,
        log: Arc<Log>,
    ) -> Result<Self, String> {
        let output = Output::new(log);
        let mut wasi = WasiCtx::builder();
        wasi.allow_blocking_current_thread(true)
            .stdout(Pipe(output.clone(), Stream::Out))
            .stderr(Pipe(output.clone(), Stream::Err))
            .max_random_size(RANDOM);
        let mut wasi = wasi.build();
        *wasi.filesystem() = authority.dirs.view(access)?;
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADERS);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Ok(Self {
            hooks: Hooks::new(authority.clone(), access),
            authority,
            access,
            output,
            files: None,
            wasi,
            http,
            table,
            memory_limit: budget.memory,
            memory: 0,
            cpu_limit: budget.cpu,
            verdict: None,
        })
    }

    /// A store around it, with the limits set.
    pub(crate) fn into_store(self, engine: &wasmtime::Engine, answer: u64) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| state);
        store.set_hostcall_fuel(usize::try_from(answer).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut cx| {
            let state = cx.data_mut();
            if cpu::used() > state.cpu_limit {
                state.verdict = Some(Verdict::Cpu);
                return Err(wasmtime::Error::msg("CPU budget"));
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }
}

impl ResourceLimiter for CallState {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory + desired.saturating_sub(current) as u64;
        if memory > self.memory_limit {
            self.verdict = Some(Verdict::Memory);
            return Err(wasmtime::Error::msg("memory limit"));
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.verdict = Some(Verdict::Memory);
            return Err(wasmtime::Error::msg("table limit"));
        }
        Ok(true)
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl HasFileTap for CallState {
    fn file_tap(&self) -> Option<&Arc<FileTap>> {
        self.files.as_ref()
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}
