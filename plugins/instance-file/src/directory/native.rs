//! Any directory, by `std::fs`: what the native tests run on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Directory, Entry, Failure, MAX_FILE, Scan, Stat};

/// A directory of this machine.
pub struct Native(
    /// Where it is.
    pub PathBuf,
);

impl Directory for Native {
    fn scan(&self) -> Result<Scan, Failure> {
        let mut scan = Scan::default();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let is_file = entry.file_type()?.is_file();
            match entry.file_name().into_string() {
                Ok(name) => scan.entries.push(Entry { name, is_file }),
                Err(_) => scan.unnamed += 1,
            }
        }
        Ok(scan)
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, Failure> {
        let mut content = Vec::new();
        let limit = MAX_FILE as u64 + 1;
        File::open(self.0.join(file))?.take(limit).read_to_end(&mut content)?;
        if content.len() > MAX_FILE { Err(Failure::TooBig) } else { Ok(content) }
    }

    fn create(&self, file: &str, content: &[u8]) -> Result<(), Failure> {
        let mut opened = OpenOptions::new().write(true).create_new(true).open(self.0.join(file))?;
        Ok(opened.write_all(content)?)
    }

    fn link(&self, file: &str, other: &str) -> Result<(), Failure> {
        Ok(fs::hard_link(self.0.join(file), self.0.join(other))?)
    }

    fn rename(&self, file: &str, other: &str) -> Result<(), Failure> {
        Ok(fs::rename(self.0.join(file), self.0.join(other))?)
    }

    fn remove(&self, file: &str) -> Result<(), Failure> {
        Ok(fs::remove_file(self.0.join(file))?)
    }

    fn stat(&self, file: &str) -> Result<Stat, Failure> {
        let stat = fs::symlink_metadata(self.0.join(file))?;
        Ok(Stat { is_file: stat.is_file(), modified: stat.modified()? })
    }

    fn unique(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::Exists,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::IsADirectory => Self::NotAFile,
            ErrorKind::Unsupported => Self::Unsupported,
            _ => Self::Other(error.to_string()),
        }
    }
}
