//! The granted directory, by WASI's own functions.

use std::time::{Duration, SystemTime};

use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags};

use super::{Directory, Entry, Failure, MAX_FILE, Scan, Stat};

/// How much the first read of a file asks for: more than an instance usually needs, and cheap for the host to provide.
const FIRST_READ: u64 = 4096;

/// A directory that the operator granted.
pub struct Granted(Descriptor);

impl Granted {
    /// The directory granted as `guest`, if there is one.
    pub fn open(guest: &str) -> Option<Self> {
        preopens::get_directories()
            .into_iter()
            .find(|(_, path)| path.trim_end_matches('/') == guest)
            .map(|(descriptor, _)| Self(descriptor))
    }
}

impl Directory for Granted {
    fn scan(&self) -> Result<Scan, Failure> {
        let stream = self.0.read_directory()?;
        let mut scan = Scan::default();
        loop {
            match stream.read_directory_entry() {
                Ok(Some(entry)) => {
                    let is_file = entry.type_ == DescriptorType::RegularFile;
                    scan.entries.push(Entry { name: entry.name, is_file });
                }
                Ok(None) => return Ok(scan),
                Err(ErrorCode::IllegalByteSequence) => scan.unnamed += 1,
                // It went while the host looked at it.
                Err(ErrorCode::NoEntry) => {}
                Err(code) => {
                    scan.cut_off = Some(code.into());
                    return Ok(scan);
                }
            }
        }
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, Failure> {
        let opened = self.0.open_at(PathFlags::empty(), file, OpenFlags::empty(), DescriptorFlags::READ)?;
        let (mut content, mut end) = opened.read(FIRST_READ, 0)?;
        // A regular file gives less than it was asked for at its end only, so that a second read is seldom needed.
        end |= (content.len() as u64) < FIRST_READ;
        while !end && content.len() <= MAX_FILE {
            let (more, last) = opened.read(1 << 16, content.len() as u64)?;
            content.extend_from_slice(&more);
            end = last || more.is_empty();
        }
        if content.len() > MAX_FILE { Err(Failure::TooBig) } else { Ok(content) }
    }

    fn create(&self, file: &str, content: &[u8]) -> Result<(), Failure> {
        let how = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let opened = self.0.open_at(PathFlags::empty(), file, how, DescriptorFlags::WRITE)?;
        let written = write_all(&opened, content);
        if written.is_err() {
            // The first failure is the one to report; what stays behind is a helper file, which `list` reports.
            let _ = self.remove(file);
        }
        written
    }

    fn link(&self, file: &str, other: &str) -> Result<(), Failure> {
        Ok(self.0.link_at(PathFlags::empty(), file, &self.0, other)?)
    }

    fn rename(&self, file: &str, other: &str) -> Result<(), Failure> {
        Ok(self.0.rename_at(file, &self.0, other)?)
    }

    fn remove(&self, file: &str) -> Result<(), Failure> {
        Ok(self.0.unlink_file_at(file)?)
    }

    fn stat(&self, file: &str) -> Result<Stat, Failure> {
        let stat = self.0.stat_at(PathFlags::empty(), file)?;
        let modified = match stat.data_modification_timestamp {
            Some(at) => SystemTime::UNIX_EPOCH + Duration::new(at.seconds, at.nanoseconds),
            // A file system without times: nothing is ever stale.
            None => SystemTime::now(),
        };
        Ok(Stat { is_file: stat.type_ == DescriptorType::RegularFile, modified })
    }

    fn unique(&self) -> u64 {
        wasip2::random::random::get_random_u64()
    }
}

fn write_all(file: &Descriptor, content: &[u8]) -> Result<(), Failure> {
    let mut done = 0;
    while done < content.len() {
        match file.write(&content[done..], done as u64)? {
            0 => return Err(Failure::Full),
            written => done += written as usize,
        }
    }
    Ok(())
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NoEntry => Self::NotFound,
            ErrorCode::Exist => Self::Exists,
            ErrorCode::NotPermitted => Self::NotGranted,
            ErrorCode::Access | ErrorCode::ReadOnly => Self::Denied,
            ErrorCode::InsufficientSpace | ErrorCode::Quota => Self::Full,
            ErrorCode::IsDirectory | ErrorCode::Loop => Self::NotAFile,
            ErrorCode::Unsupported => Self::Unsupported,
            other => Self::Other(other.name().to_owned()),
        }
    }
}
