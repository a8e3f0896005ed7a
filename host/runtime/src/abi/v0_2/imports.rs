//! What a guest of this version may import.

use homeostat_core::outcome::{ErrorCode, PluginError};
use tracing::Level;
use wasmtime::component::{HasSelf, Linker};

use super::instance_world::homeostat::plugin::{config, exec, log, secrets, types as wit};
use crate::state::CallState;

/// Link all of it.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    config::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    secrets::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    exec::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl log::Host for CallState {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.output.line(level, &message);
    }
}

impl config::Host for CallState {
    fn get(&mut self, name: String) -> Option<String> {
        self.config(&name)
    }
}

impl secrets::Host for CallState {
    fn get(&mut self, name: String) -> Result<String, wit::Error> {
        self.secret(&name).map_err(said)
    }
}

/// An error of the host's, for a guest.
pub(super) fn said(error: PluginError) -> wit::Error {
    let code = match error.code {
        ErrorCode::InvalidArgument => wit::ErrorCode::InvalidArgument,
        ErrorCode::NotFound => wit::ErrorCode::NotFound,
        ErrorCode::AlreadyExists => wit::ErrorCode::AlreadyExists,
        ErrorCode::PermissionDenied => wit::ErrorCode::PermissionDenied,
        ErrorCode::ResourceExhausted => wit::ErrorCode::ResourceExhausted,
        ErrorCode::Unavailable => wit::ErrorCode::Unavailable,
        ErrorCode::Aborted => wit::ErrorCode::Aborted,
        ErrorCode::Unimplemented => wit::ErrorCode::Unimplemented,
        ErrorCode::Internal => wit::ErrorCode::Internal,
    };
    let retry_after_ms = error.retry_after.map(|it| u32::try_from(it.as_millis()).unwrap_or(u32::MAX));
    wit::Error { code, message: error.message, path: error.path, retry_after_ms, details: None }
}
