//! One call: a fresh store, its limits, and what came of it.
//!
//! A caller may be on any tokio runtime. The guest runs on the guests' own threads, so one that spins takes nothing from
//! the caller; dropping the caller's future stops the guest.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use homeostat_core::grant::Limits;
use homeostat_core::outcome::PluginError;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::Wires;
use crate::abi::Linked;
use crate::breaker::{Breaker, End, Open};
use crate::cache::Compiled;
use crate::cpu;
use crate::error::{CallError, CallErrorKind};
use crate::files::{CutOff, FileTap};
use crate::grant::{Access, Authority};
use crate::host::Host;
use crate::output::Log;
use crate::state::{Budget, CallState, Verdict};
use crate::threads::{Credit, Owned};

/// How long after the wall-clock limit the caller gives up by itself: the guest's thread may hang in the kernel.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes of what a guest says of an error; more is cut off.
const MESSAGE: usize = 8 << 10;

/// Why a call gave nothing that can be used, before it is known whose fault it is.
pub(crate) enum Fault {
    /// The guest could not be instantiated.
    Instantiate(wasmtime::Error),
    /// The guest trapped, or was stopped.
    Run(wasmtime::Error),
    /// The plugin's own error.
    Plugin(PluginError),
    /// The answer breaks the contract.
    Nonsense(String),
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Run(error)
    }
}

/// How an attempt failed.
pub(crate) enum Failure {
    /// The component is not what its exports say: instantiation refused it without running it.
    Link(String),
    Call(CallErrorKind),
}

/// A call that the sandbox had to end: a trap, or a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The plugin's name.
    pub plugin: String,
    /// Which version of it: the SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// What was called.
    pub function: &'static str,
    /// Whether the function is not called for a while now, because it happened too often.
    pub opened: bool,
    /// What happened.
    pub reason: String,
}

/// What a plugin was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallStats {
    /// Calls that have ended.
    pub calls: u64,
    /// Of these, the ones that ended with any error, the plugin's own included.
    pub failed: u64,
    /// Of these, the ones that the sandbox ended: a trap or a limit.
    pub trapped: u64,
    /// Calls that run or wait for their turn.
    pub in_flight: u64,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    failed: AtomicU64,
    trapped: AtomicU64,
    in_flight: AtomicU64,
}

/// A future of a guest, borrowed from its store.
pub(crate) type Guest<'a, R> = Pin<Box<dyn Future<Output = Result<R, Fault>> + Send + 'a>>;

/// A component that can be instantiated.
pub(crate) struct Code {
    /// The SHA-256 of its file.
    pub digest: Arc<str>,
    pub linked: Linked,
    /// Keeps the machine code findable for the next plugin of the same file.
    pub compiled: Arc<Compiled>,
}

/// All that a call of one plugin needs.
pub(crate) struct Sandbox {
    pub name: Arc<str>,
    pub linked: Linked,
    /// What comes between the plugin and the world. Where anything does, it is checked rather than used, and called however
    /// often it crashes.
    wires: Wires,
    host: Arc<Host>,
    authority: Arc<Authority>,
    limits: Limits,
    turns: Semaphore,
    counters: Counters,
    breaker: Breaker,
    credit: Arc<Credit>,
    digest: Arc<str>,
    log: Arc<Log>,
    _compiled: Arc<Compiled>,
}

impl Sandbox {
    pub(crate) fn new(
        host: Arc<Host>,
        name: &str,
        code: Code,
        authority: Authority,
        limits: Limits,
        wires: Wires,
    ) -> Self {
        let name: Arc<str> = name.into();
        let Code { digest, linked, compiled } = code;
        authority.egress.interpose(wires.http.clone());
        let log = Arc::new(Log::new(name.clone(), wires.log.clone()));
        Self {
            linked,
            wires,
            authority: Arc::new(authority),
            turns: Semaphore::new((limits.calls.max(1) as usize).min(Semaphore::MAX_PERMITS)),
            limits,
            counters: Counters::default(),
            breaker: Breaker::default(),
            credit: Arc::new(Credit::new()),
            digest,
            log,
            name,
            host,
            _compiled: compiled,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn stats(&self) -> CallStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { calls, failed, trapped, in_flight } = &self.counters;
        CallStats { calls: read(calls), failed: read(failed), trapped: read(trapped), in_flight: read(in_flight) }
    }

    /// Call a function of the guest, in a fresh store.
    pub(crate) async fn call<R, F>(
        self: &Arc<Self>,
        function: &'static str,
        access: Access,
        body: F,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(&'a Linked, &'a mut Store<CallState>) -> Guest<'a, R> + Send + 'static,
    {
        if !self.wires.any()
            && let Err(open) = self.breaker.admit(function, Instant::now())
        {
            return Err(self.error(function, CallErrorKind::Degraded { retry_after: open.rest, reason: open.reason }));
        }
        let mut judged = Judged { sandbox: self, function, done: false };
        let result = self.attempt(self.limits.wall, self.limits.cpu, access, body).await.map_err(|failure| {
            let kind = match failure {
                Failure::Call(kind) => kind,
                Failure::Link(message) => CallErrorKind::Trap { message, stderr: String::new() },
            };
            self.error(function, kind)
        });
        judged.ended(result.as_ref().err());
        result
    }

    /// The functions that are not called for now, because they crashed too often.
    pub(crate) fn degraded(&self) -> Vec<Open> {
        self.breaker.open(Instant::now())
    }

    pub(crate) fn error(&self, function: &'static str, kind: CallErrorKind) -> CallError {
        CallError { plugin: self.name.to_string(), function, kind }
    }

    /// As [`Sandbox::call`], with limits of its own.
    pub(crate) async fn attempt<R, F>(
        self: &Arc<Self>,
        wall: Duration,
        cpu: Duration,
        access: Access,
        body: F,
    ) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(&'a Linked, &'a mut Store<CallState>) -> Guest<'a, R> + Send + 'static,
    {
        let counted = InFlight::new(self.clone());
        let result = self.on_guest_thread(wall, cpu, access, body).await;
        counted.ended(result.as_ref().err());
        result
    }

    async fn on_guest_thread<R, F>(
        self: &Arc<Self>,
        wall: Duration,
        cpu: Duration,
        access: Access,
        body: F,
    ) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(&'a Linked, &'a mut Store<CallState>) -> Guest<'a, R> + Send + 'static,
    {
        // Neither semaphore is ever closed.
        let turn = self.turns.acquire().await;
        let slot = self.host.slots().clone().acquire_owned().await;
        let (send, receive) = oneshot::channel();
        let sandbox = self.clone();
        let mut task = Owned(self.host.threads().run(&self.credit, async move {
            let _slot = slot;
            let _busy = sandbox.host.ticker().busy();
            let mut store = match sandbox.store(cpu, access) {
                Ok(store) => store,
                Err(missing) => {
                    send.send(Err(Failure::Call(CallErrorKind::Grant(missing)))).ok();
                    return;
                }
            };
            let outcome = timeout(wall, cpu::metered(body(&sandbox.linked, &mut store))).await;
            let result = match outcome {
                Ok(answer) => answer.map_err(|fault| sandbox.judge(fault, &store, cpu)),
                Err(_) => Err(Failure::Call(CallErrorKind::Timeout { limit: wall })),
            };
            store.data().output.finish();
            // The caller may go on while the store is taken down. It may also have gone: then nobody wants the answer.
            send.send(result).ok();
        }));
        let result = match timeout(wall + GRACE, receive).await {
            Ok(Ok(result)) => result,
            Err(_) => Err(Failure::Call(CallErrorKind::Timeout { limit: wall })),
            Ok(Err(_)) => Err(Failure::Call(match (&mut task.0).await {
                Err(error) if error.is_panic() => {
                    tracing::error!(plugin = &*self.name, %error, "a host function panicked");
                    CallErrorKind::Trap { message: "a host function panicked".into(), stderr: String::new() }
                }
                _ => CallErrorKind::Stopped,
            })),
        };
        drop(turn);
        result
    }

    /// A fresh store with the limits set.
    ///
    /// # Errors
    /// A grant that cannot be given.
    pub(crate) fn store(&self, cpu: Duration, access: Access) -> Result<Store<CallState>, String> {
        let Limits { memory, answer, .. } = self.limits;
        let budget = Budget { memory, cpu };
        let mut state = CallState::new(self.authority.clone(), access, budget, self.log.clone())?;
        state.files = self.wires.files.clone().map(|wire| Arc::new(FileTap::new(wire)));
        Ok(state.into_store(self.host.engine(), answer))
    }

    /// Say whose fault it was.
    pub(crate) fn judge(&self, fault: Fault, store: &Store<CallState>, cpu: Duration) -> Failure {
        let (error, starting) = match fault {
            Fault::Plugin(mut error) => {
                store.data().output.redact(&mut error.message);
                error.message = cut(error.message);
                error.path = error.path.map(cut);
                return Failure::Call(CallErrorKind::Plugin(error));
            }
            Fault::Nonsense(what) => return Failure::Call(CallErrorKind::Nonsense(cut(what))),
            Fault::Instantiate(error) => (error, true),
            Fault::Run(error) => (error, false),
        };
        let state = store.data();
        Failure::Call(match state.verdict {
            Some(Verdict::Cpu) => CallErrorKind::CpuBudget { limit: cpu },
            Some(Verdict::Memory) => CallErrorKind::Memory { limit: self.limits.memory },
            None => {
                if error.is::<CutOff>() {
                    // Nothing that the plugin has to answer for. The wire knows where it was.
                    return Failure::Call(CallErrorKind::Stopped);
                }
                let message = if let Some(trap) = error.downcast_ref::<Trap>() {
                    trap.to_string()
                } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
                    format!("it ended itself with exit status {status}")
                } else if starting {
                    return Failure::Link(format!("{error:#}"));
                } else {
                    format!("{error:#}")
                };
                CallErrorKind::Trap { message, stderr: state.output.stderr() }
            }
        })
    }
}

/// A guest's words, no longer than anybody will read: they are kept in events and shown in tables.
fn cut(mut text: String) -> String {
    if text.len() > MESSAGE {
        text.truncate(text.floor_char_boundary(MESSAGE));
        text.push('\u{2026}');
    }
    text
}

/// Tells the breaker how a call ended, also when its caller goes away.
struct Judged<'a> {
    sandbox: &'a Sandbox,
    function: &'static str,
    done: bool,
}

impl Judged<'_> {
    fn ended(&mut self, error: Option<&CallError>) {
        self.done = true;
        let Self { sandbox, function, .. } = *self;
        let reason = error.filter(|it| it.kind.is_trap()).map(|it| it.kind.to_string());
        let end = match (&reason, error) {
            (Some(reason), _) => End::Trapped(reason),
            (None, Some(CallError { kind: CallErrorKind::Stopped, .. })) => End::Dropped,
            (None, _) => End::Answered,
        };
        let opened = sandbox.breaker.ended(function, end, Instant::now());
        let (Some(reason), plugin) = (reason, &*sandbox.name) else { return };
        if opened {
            tracing::warn!(plugin, function, "degraded after repeated crashes, calls pause: {reason}");
        }
        let trouble =
            Trouble { plugin: plugin.to_owned(), digest: sandbox.digest.to_string(), function, opened, reason };
        // Nobody needs to listen.
        let _ = sandbox.host.troubles().send(trouble);
    }
}

impl Drop for Judged<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.sandbox.breaker.ended(self.function, End::Dropped, Instant::now());
        }
    }
}

/// Counts a call while it lives; one that is dropped midway counts as failed.
struct InFlight(Option<Arc<Sandbox>>);

impl InFlight {
    fn new(sandbox: Arc<Sandbox>) -> Self {
        sandbox.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Some(sandbox))
    }

    fn ended(mut self, failure: Option<&Failure>) {
        let trapped = match failure {
            Some(Failure::Link(_)) => true,
            Some(Failure::Call(kind)) => kind.is_trap(),
            None => false,
        };
        self.count(failure.is_some(), trapped);
    }

    fn count(&mut self, failed: bool, trapped: bool) {
        if let Some(sandbox) = self.0.take() {
            let Counters { calls, failed: failures, trapped: traps, in_flight } = &sandbox.counters;
            failures.fetch_add(failed.into(), Ordering::Relaxed);
            traps.fetch_add(trapped.into(), Ordering::Relaxed);
            calls.fetch_add(1, Ordering::Relaxed);
            in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count(true, false);
    }
}
