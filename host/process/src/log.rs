//! What a process wrote, in a bounded number of bounded files.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::command::Retention;
use crate::place::present;

/// The file for what is newest, and how it becomes an older one.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    retention: Retention,
    file: Option<File>,
    size: u64,
    /// Bytes that could not be written since the last that could.
    lost: u64,
}

impl Log {
    /// Go on with what is there.
    pub(crate) fn new(path: PathBuf, retention: Retention) -> Self {
        Self { path, retention, file: None, size: 0, lost: 0 }
    }

    /// Write what a process wrote. What cannot be written is dropped and counted, so that a full disk does not stop the
    /// process; when it can be again, a line says how much is missing.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let mut gap = Vec::new();
        if self.lost > 0 {
            gap = format!("\nhomeostat: {} bytes are missing here, because they could not be written\n", self.lost)
                .into();
        }
        let mut written = 0;
        if let Err(error) = self.append(&gap).and_then(|()| {
            self.lost = 0;
            bytes.chunks(64 << 10).try_for_each(|part| self.append(part).map(|()| written += part.len() as u64))
        }) {
            tracing::debug!(%error, path = %self.path.display(), "output is lost");
            self.lost += bytes.len() as u64 - written;
            // Another attempt may find another disk.
            self.file = None;
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        if self.size > 0 && self.size + bytes.len() as u64 > self.retention.bytes {
            self.rotate()?;
        }
        let file = self.file.as_mut().ok_or(ErrorKind::NotFound)?;
        file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.retention.files).rev() {
            present(fs::rename(older(&self.path, number - 1), older(&self.path, number)))?;
        }
        if self.retention.files == 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = Some(OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?);
        self.size = 0;
        Ok(())
    }

    /// Drop the files that are not the newest, to make room for what matters more.
    pub(crate) fn make_room(&self) {
        for number in 1..self.retention.files {
            let _ = fs::remove_file(older(&self.path, number));
        }
    }
}

/// The end of what was written: at most so many bytes of it.
pub(crate) fn tail(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut parts = Vec::new();
    let mut missing = limit as u64;
    // While one reads, another may make the newest file the second.
    let mut seen = HashSet::new();
    for number in 0.. {
        if missing == 0 {
            break;
        }
        let Some(mut file) = present(File::open(older(path, number)))? else {
            match number {
                // Between two newest files there is none for a moment.
                0 => continue,
                _ => break,
            }
        };
        let found = file.metadata()?;
        if !seen.insert(found.ino()) {
            continue;
        }
        let wanted = found.len().min(missing);
        file.seek(SeekFrom::Start(found.len() - wanted))?;
        let mut part = Vec::new();
        file.take(wanted).read_to_end(&mut part)?;
        missing -= part.len() as u64;
        parts.push(part);
    }
    parts.reverse();
    Ok(parts.concat())
}

fn older(path: &Path, number: u32) -> PathBuf {
    match number {
        0 => path.to_owned(),
        _ => path.with_added_extension(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Retention = Retention { bytes: 64 << 10, files: 3 };

    #[test]
    fn a_flood_is_bounded_and_its_end_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("output.log");
        let mut log = Log::new(path.clone(), SMALL);
        for number in 0..100_000 {
            log.write(format!("line {number}\n").as_bytes());
        }
        let sizes: Vec<u64> = fs::read_dir(folder.path())
            .expect("files")
            .map(|it| it.expect("a file").metadata().expect("its size").len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|&size| size <= SMALL.bytes), "{sizes:?}");
        // More than the newest file can hold, so that two are read and put together in the right order.
        let tail = String::from_utf8(tail(&path, 100_000).expect("the end")).expect("text");
        assert_eq!(tail.len(), 100_000);
        let numbers: Vec<u32> =
            tail.lines().skip(1).map(|it| it.trim_start_matches("line ").parse().expect("a number")).collect();
        assert_eq!(numbers.last(), Some(&99_999));
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "lines are missing or out of order");
    }

    #[test]
    fn goes_on_with_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("output.log");
        Log::new(path.clone(), SMALL).write(b"first\n");
        Log::new(path.clone(), SMALL).write(b"second\n");
        assert_eq!(tail(&path, 1000).expect("the end"), b"first\nsecond\n");
        assert_eq!(tail(&path, 3).expect("the end"), b"nd\n");
        assert_eq!(tail(&path, 0).expect("the end"), b"");
        assert_eq!(tail(&folder.path().join("none"), 10).expect("no error"), b"");
    }

    #[test]
    fn a_full_disk_loses_output_and_says_how_much() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("output.log");
        // The system's own full disk.
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        let mut log = Log::new(path.clone(), SMALL);
        log.write(b"12345");
        log.write(b"678");
        fs::remove_file(&path).expect("the link is gone");
        log.write(b"9\n");
        let text = String::from_utf8(tail(&path, 1000).expect("the end")).expect("text");
        assert_eq!(text, "\nhomeostat: 8 bytes are missing here, because they could not be written\n9\n");
    }
}
