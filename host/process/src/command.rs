//! What to start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ExecError;

/// The most bytes of all arguments, or of all variables, with what ends each: Linux takes no single one that is longer.
const MAX_WORDS: usize = 128 << 10;
/// The longest note, in bytes.
const MAX_NOTE: usize = 64 << 10;
/// The longest that a process may take to end by itself.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// What to start, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Command {
    /// The program, by the name of the grant.
    pub program: String,
    /// Its file, as the grant has it: absolute.
    pub path: PathBuf,
    /// Its arguments, without the program itself.
    pub args: Vec<String>,
    /// Its environment, but for `PATH`, which it has unless another one is here.
    pub env: BTreeMap<String, String>,
    /// The directory it runs in: absolute; none for an empty one of its own.
    pub directory: Option<PathBuf>,
    /// What the system limits it to.
    pub limits: BTreeMap<Resource, u64>,
    /// How long it has to end by itself after it was told to.
    #[serde(with = "homeostat_core::duration")]
    pub stop_timeout: Duration,
    /// How much of what it writes is kept.
    pub retention: Retention,
}

/// What the system can limit a process to (`setrlimit`). What it starts itself has the same limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// Bytes of address space.
    AddressSpace,
    /// Open files.
    OpenFiles,
    /// Seconds of computing.
    CpuSeconds,
    /// Bytes of a file that it writes.
    FileSize,
    /// Bytes of a core dump.
    CoreSize,
}

/// How much of what a process writes is kept: so many files of so many bytes, the oldest of them dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Retention {
    /// Bytes of a file; at least 64 KiB.
    pub bytes: u64,
    /// Files; at least 1, at most 100.
    pub files: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { bytes: 1 << 20, files: 5 }
    }
}

impl Command {
    /// Whether a plugin asked for the same. What the operator chose (where the program is, what is kept) may have changed
    /// since, and makes no other command of it.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        let theirs = |it: &Self| {
            let Self { program, args, env, directory, limits, stop_timeout, .. } = it.clone();
            (program, args, env, directory, limits, stop_timeout)
        };
        theirs(self) == theirs(other)
    }

    /// Whether it can be started at all, as far as words tell.
    pub(crate) fn check(&self) -> Result<(), ExecError> {
        let invalid = |what: String| Err(ExecError::Invalid(what));
        if let Some(at) = self.args.iter().position(|word| word.contains('\0')) {
            return invalid(format!("argument {} holds a NUL character, which no argument can", at + 1));
        }
        let bytes: usize = self.args.iter().map(|word| word.len() + 1).sum();
        if bytes > MAX_WORDS {
            return invalid(format!("the arguments have {bytes} bytes; at most {MAX_WORDS} are allowed"));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return invalid(format!(
                    "{name:?} is no environment variable: a name is not empty and holds no \"=\", and neither it nor the value holds a NUL character"
                ));
            }
        }
        let bytes: usize = self.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        if bytes > MAX_WORDS {
            return invalid(format!("the environment has {bytes} bytes; at most {MAX_WORDS} are allowed"));
        }
        if self.stop_timeout > MAX_STOP_TIMEOUT {
            return invalid("the time to stop is longer than a day".into());
        }
        if let Some(directory) = self.directory.as_deref().filter(|it| !it.is_absolute()) {
            return invalid(format!("the directory {} is not absolute", directory.display()));
        }
        if self.retention.bytes < 64 << 10 || !(1..=100).contains(&self.retention.files) {
            return invalid("what is kept of the output: 1 to 100 files of at least 64KiB".into());
        }
        Ok(())
    }
}

pub(crate) fn check_note(note: &str) -> Result<(), ExecError> {
    match note.len() {
        0..=MAX_NOTE => Ok(()),
        bytes => Err(ExecError::Invalid(format!("the note has {bytes} bytes; at most {MAX_NOTE} are allowed"))),
    }
}
