//! A guest that lives on between calls.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use wasmtime::Store;

use crate::abi::instance::Guest;
use crate::call::{Failure, Sandbox};
use crate::cpu;
use crate::error::{CallError, CallErrorKind};
use crate::grant::Access;
use crate::instance;
use crate::state::CallState;

/// An instance plugin's guest that is instantiated once and called many times, on the caller's own thread. It shows what
/// a call costs without a fresh instance. **For benchmarks and pure functions**: the contract promises plugins a fresh
/// instance for each call, and a guest that spins here spins on the caller's thread, if with a pause every millisecond.
pub struct WarmInstance {
    sandbox: Arc<Sandbox>,
    store: Store<CallState>,
    guest: Guest,
}

impl WarmInstance {
    pub(crate) async fn new(sandbox: Arc<Sandbox>) -> Result<Self, CallError> {
        let cpu = sandbox.limits().cpu;
        let failed = |kind| sandbox.error("instantiate", kind);
        let mut store = sandbox.store(cpu, Access::Granted).map_err(|missing| failed(CallErrorKind::Grant(missing)))?;
        let busy = sandbox.host().ticker().busy();
        let guest = cpu::metered(instance::guest(&sandbox.linked, &mut store)).await;
        let guest = guest.map_err(|fault| failed(kind(sandbox.judge(fault, &store, cpu))))?;
        drop(busy);
        Ok(Self { sandbox, store, guest })
    }

    /// As [`InstancePlugin::validate`](crate::InstancePlugin::validate). After any error but the plugin's own, this guest
    /// is of no more use.
    ///
    /// # Errors
    /// The plugin's; any failure of a call.
    pub async fn validate(&mut self, properties: &Value) -> Result<(), CallError> {
        let Self { sandbox, store, guest } = self;
        let (wall, cpu): (Duration, Duration) = (sandbox.limits().wall, sandbox.limits().cpu);
        let properties = properties.to_string();
        let _busy = sandbox.host().ticker().busy();
        store.set_epoch_deadline(1);
        match timeout(wall, cpu::metered(guest.validate(&mut *store, properties))).await {
            Ok(answer) => answer.map_err(|fault| sandbox.error("validate", kind(sandbox.judge(fault, store, cpu)))),
            Err(_) => Err(sandbox.error("validate", CallErrorKind::Timeout { limit: wall })),
        }
    }
}

fn kind(failure: Failure) -> CallErrorKind {
    match failure {
        Failure::Call(kind) => kind,
        Failure::Link(message) => CallErrorKind::Trap { message, stderr: String::new() },
    }
}
