//! Faults in the files of a guest, on demand: what the conformance kit fails a plugin with.
//!
//! A [`FileWire`] is asked before each operation on a file, and says what becomes of it. It sits in front of WASI's own
//! implementation ([`filesystem`], and [`streams`] for what goes through a stream), in a linker that only a plugin that is loaded
//! with a wire is linked by: other plugins pay nothing for it.
//!
//! **What an operation is.** Each call of a guest that the operating system may refuse: those of `wasi:filesystem/types` that
//! answer with a result, and each read or write of a file's stream. Not counted is what cannot fail or touches nothing: to
//! open a stream, to look up what is granted, to drop a handle.

mod fault;
mod filesystem;
mod streams;
mod tap;
#[cfg(test)]
mod tests;

use std::fmt;

pub use fault::FaultAt;
pub(crate) use filesystem::add_to_linker;
pub(crate) use tap::{CutOff, FileTap, HasFileTap};

/// Decides what becomes of each operation on files of a plugin. Calls that run at once ask it at once.
pub trait FileWire: Send + Sync {
    /// What becomes of this operation, which has not begun.
    fn verdict(&self, operation: &FileOperation) -> FileVerdict;
}

/// One operation of a guest on a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOperation {
    /// Its place among those of its call, from 1.
    pub number: u64,
    /// As WASI calls it: `open-at`, `write`, `rename-at`. A stream's are `read` and `write` as well.
    pub name: &'static str,
    /// What it works on, as the guest sees it: `/instances/a.json`.
    pub path: Option<String>,
    /// The second path of `link-at`, `rename-at` and `symlink-at`.
    pub to: Option<String>,
}

impl fmt::Display for FileOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file operation {}, {}", self.number, self.name)?;
        match (&self.path, &self.to) {
            (Some(path), Some(to)) => write!(f, " {path:?} to {to:?}"),
            (Some(path), None) => write!(f, " {path:?}"),
            _ => Ok(()),
        }
    }
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileVerdict {
    /// It is done.
    Pass,
    /// It is not done, and the guest gets this error.
    Fail(FileError),
    /// It is done, and the guest gets this error all the same, as from a network's file system that loses an answer. Where
    /// it fails by itself, the guest gets the true error.
    FailAfter(FileError),
    /// It is not done, and the call ends here, as if the plugin were killed.
    CutOff,
    /// It is done, and then the call ends, as if the plugin were killed before it saw the answer.
    CutOffAfter,
}

/// The errors that an operating system may give for no fault of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// The disk does not work (`EIO`).
    Io,
    /// The disk is full (`ENOSPC`).
    InsufficientSpace,
    /// The quota is used up (`EDQUOT`).
    Quota,
    /// The operating system does not allow it (`EACCES`).
    Access,
    /// A signal came between (`EINTR`).
    Interrupted,
    /// Somebody else is at it (`EBUSY`).
    Busy,
}

impl FileError {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Io, Self::InsufficientSpace, Self::Quota, Self::Access, Self::Interrupted, Self::Busy];

    /// As WASI calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::InsufficientSpace => "insufficient-space",
            Self::Quota => "quota",
            Self::Access => "access",
            Self::Interrupted => "interrupted",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
