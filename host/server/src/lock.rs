//! The lock file of a document: which files its plugins are. Whoever commits the document elsewhere gets the same.

use std::path::{Path, PathBuf};

use homeostat_core::spec::{PluginSource, PluginSpec};
use homeostat_source::{Lock, Locked};

use crate::error::{HostError, chain};

/// What the lock file of a document is called. It lies beside the document.
pub const LOCK_FILE: &str = "homeostat.lock";

/// A lock file, and where it lies.
pub struct DocumentLock {
    dir: PathBuf,
    lock: Lock,
}

impl DocumentLock {
    /// The lock file in the folder of a document. One that is not there locks nothing.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn beside(dir: &Path) -> Result<Self, HostError> {
        let lock = Lock::read(&dir.join(LOCK_FILE)).map_err(|error| HostError::Invalid(chain(&error)))?;
        Ok(Self { dir: dir.to_owned(), lock })
    }

    /// The lock file in the folder of a document, as if it were not there.
    pub fn empty(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), lock: Lock::default() }
    }

    /// The entry of a plugin, where it is one of the source that the document names. What is locked to another source is
    /// out of date.
    pub fn of(&self, name: &str, spec: &PluginSpec) -> Option<Locked> {
        let entry = self.lock.plugins.get(name)?;
        let written = self.written(&spec.source);
        (entry.source == written).then(|| Locked { source: spec.source.to_string(), ..entry.clone() })
    }

    /// Note a plugin.
    pub fn put(&mut self, name: &str, source: &PluginSource, locked: Locked) {
        let written = self.written(source);
        let resolved = if source.file().is_some() { written.clone() } else { locked.resolved };
        self.lock.plugins.insert(name.to_owned(), Locked { source: written, resolved, ..locked });
    }

    /// Write the file.
    ///
    /// # Errors
    /// Where it cannot be written; it is as before then.
    pub fn write(&self) -> Result<PathBuf, HostError> {
        let path = self.dir.join(LOCK_FILE);
        self.lock.write(&path).map_err(|error| HostError::Invalid(chain(&error)))?;
        Ok(path)
    }

    /// A source as the lock file has it: files below its folder are relative to it, so that the folder can be moved.
    fn written(&self, source: &PluginSource) -> String {
        match source.file().and_then(|file| file.strip_prefix(&self.dir).ok()) {
            Some(relative) => relative.display().to_string(),
            None => source.to_string(),
        }
    }
}
