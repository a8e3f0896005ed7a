//! Where a call's operations meet its wire.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::{FsError, StreamError};

use crate::files::{FileError, FileOperation, FileVerdict, FileWire};

/// A store's data that may have a wire.
pub(crate) trait HasFileTap {
    /// None: all operations pass.
    fn file_tap(&self) -> Option<&Arc<FileTap>>;
}

/// A wire, and what is known of one call.
pub(crate) struct FileTap {
    wire: Arc<dyn FileWire>,
    operations: AtomicU64,
    /// The paths of the guest's handles, by their numbers.
    paths: Mutex<HashMap<u32, String>>,
}

/// The host ended a call because its wire said so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it was cut off {when} {operation}", when = if *.done { "after" } else { "before" })]
pub(crate) struct CutOff {
    operation: FileOperation,
    done: bool,
}

/// An error that a wire gave to a stream. The guest may ask what it means in terms of files.
#[derive(Clone, Copy, Debug, Error)]
#[error("{0}")]
pub(super) struct Injected(pub(super) FileError);

/// What an operation answers instead of its own result.
#[derive(Debug)]
pub(super) enum Fault {
    Fail(FileError),
    CutOff(CutOff),
}

/// What is left to do when an operation is done.
#[must_use]
pub(super) struct After(Option<Fault>);

impl FileTap {
    pub(crate) fn new(wire: Arc<dyn FileWire>) -> Self {
        Self { wire, operations: AtomicU64::new(0), paths: Mutex::default() }
    }

    /// Count an operation, and ask the wire about it.
    ///
    /// # Errors
    /// It must not be done.
    pub(super) fn begin(&self, name: &'static str, path: Option<String>, to: Option<String>) -> Result<After, Fault> {
        let number = self.operations.fetch_add(1, Ordering::Relaxed) + 1;
        let operation = FileOperation { number, name, path, to };
        match self.wire.verdict(&operation) {
            FileVerdict::Pass => Ok(After(None)),
            FileVerdict::Fail(error) => Err(Fault::Fail(error)),
            FileVerdict::FailAfter(error) => Ok(After(Some(Fault::Fail(error)))),
            FileVerdict::CutOff => Err(Fault::CutOff(CutOff { operation, done: false })),
            FileVerdict::CutOffAfter => Ok(After(Some(Fault::CutOff(CutOff { operation, done: true })))),
        }
    }

    /// Remember the path of a handle.
    pub(super) fn name(&self, handle: u32, path: Option<String>) {
        if let Some(path) = path {
            self.paths().insert(handle, path);
        }
    }

    /// Forget a handle that was dropped: its number is given again.
    pub(super) fn forget(&self, handle: u32) {
        self.paths().remove(&handle);
    }

    /// The path of a handle.
    pub(super) fn path(&self, handle: u32) -> Option<String> {
        self.paths().get(&handle).cloned()
    }

    /// The path of what is called `name` in a directory.
    pub(super) fn path_in(&self, directory: u32, name: &str) -> Option<String> {
        Some(match self.paths().get(&directory) {
            Some(directory) => format!("{}/{name}", directory.trim_end_matches('/')),
            None => name.to_owned(),
        })
    }

    fn paths(&self) -> MutexGuard<'_, HashMap<u32, String>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl After {
    /// Nobody asked for anything.
    pub(super) const NOTHING: Self = Self(None);

    /// Whether an operation that was done is reported as failed.
    pub(super) fn hides_success(&self) -> bool {
        self.0.is_some()
    }

    /// What the guest gets to see of the operation's result.
    pub(super) fn end<T, E: From<Fault>>(self, result: Result<T, E>) -> Result<T, E> {
        match (self.0, result) {
            (None, result) => result,
            (Some(Fault::Fail(_)), Err(own)) => Err(own),
            (Some(fault), _) => Err(fault.into()),
        }
    }
}

impl From<Fault> for FsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fail(error) => ErrorCode::from(error).into(),
            Fault::CutOff(cut_off) => Self::trap(cut_off),
        }
    }
}

impl From<Fault> for StreamError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fail(error) => Self::LastOperationFailed(Injected(error).into()),
            Fault::CutOff(cut_off) => Self::Trap(cut_off.into()),
        }
    }
}

impl From<FileError> for ErrorCode {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io => Self::Io,
            FileError::InsufficientSpace => Self::InsufficientSpace,
            FileError::Quota => Self::Quota,
            FileError::Access => Self::Access,
            FileError::Interrupted => Self::Interrupted,
            FileError::Busy => Self::Busy,
        }
    }
}
