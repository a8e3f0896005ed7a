//! The few things that are done with a directory, as a trait: WASI in the guest, `std::fs` in native tests.
//!
//! The trait is this narrow because in the guest each operation is a call of the host, which is what a call of the
//! plugin costs. `std::fs` would need five of them to read a file; this needs three.

use std::time::{Duration, SystemTime};

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod wasi;

/// The longest file that is read, in bytes. An instance's file is far smaller; another file of this size is not ours.
pub const MAX_FILE: usize = 1 << 20;

/// A directory whose files have plain names (no separators).
pub trait Directory {
    /// All entries, without following links.
    fn scan(&self) -> Result<Scan, Failure>;

    /// The whole content of what [`Self::scan`] or [`Self::stat`] called a file, or [`Failure::TooBig`] past
    /// [`MAX_FILE`]. Does not follow links. To open a pipe could block for ever, so a name alone is not enough to go by.
    fn read(&self, file: &str) -> Result<Vec<u8>, Failure>;

    /// Make a new file with this content; [`Failure::Exists`] where there is one. A file that could not be written to
    /// the end is removed again.
    fn create(&self, file: &str, content: &[u8]) -> Result<(), Failure>;

    /// Give `file` the name `other` as well, in one step; [`Failure::Exists`] where that is taken.
    fn link(&self, file: &str, other: &str) -> Result<(), Failure>;

    /// Give `file` the name `other` instead, in one step, in place of what had it.
    fn rename(&self, file: &str, other: &str) -> Result<(), Failure>;

    /// Remove one file.
    fn remove(&self, file: &str) -> Result<(), Failure>;

    /// What is there under this name, without following links.
    fn stat(&self, file: &str) -> Result<Stat, Failure>;

    /// A number that no other call draws.
    fn unique(&self) -> u64;

    /// How long ago `file` was last written; zero where it says in the future.
    fn age(&self, file: &str) -> Result<Duration, Failure> {
        Ok(SystemTime::now().duration_since(self.stat(file)?.modified).unwrap_or_default())
    }

    /// [`Self::read`] of a name that nothing is known of; [`Failure::NotAFile`] where it is something else.
    fn read_by_name(&self, file: &str) -> Result<Vec<u8>, Failure> {
        if self.stat(file)?.is_file { self.read(file) } else { Err(Failure::NotAFile) }
    }
}

/// What is known of a file before it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Whether it is a regular file: not a directory, link, pipe or device.
    pub is_file: bool,
    /// When it was last written.
    pub modified: SystemTime,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// What has a name that is UTF-8.
    pub entries: Vec<Entry>,
    /// How many have one that is not.
    pub unnamed: usize,
    /// Why there may be more: the directory could not be read to its end.
    pub cut_off: Option<Failure>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a regular file: not a directory, link, pipe or device.
    pub is_file: bool,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no such file.
    NotFound,
    /// There is such a file already.
    Exists,
    /// The sandbox does not allow it: the directory is granted read-only.
    NotGranted,
    /// The operating system does not allow it.
    Denied,
    /// The disk or a quota is used up.
    Full,
    /// The file is larger than [`MAX_FILE`].
    TooBig,
    /// It is not a regular file.
    NotAFile,
    /// The file system cannot do this.
    Unsupported,
    /// Anything else, in the system's words.
    Other(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotFound => "it does not exist",
            Self::Exists => "it exists already",
            Self::NotGranted => "it is granted read-only",
            Self::Denied => "permission denied",
            Self::Full => "no space left",
            Self::TooBig => "it is larger than 1 MiB",
            Self::NotAFile => "it is not a regular file",
            Self::Unsupported => "the file system does not support this",
            Self::Other(text) => text,
        })
    }
}
