//! The directory of one process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use crate::command::Command;
use crate::record::Record;

/// What the names of directories begin with that are no process's: those that are being made, and those that are being
/// removed. No key holds the sign.
pub(crate) const ASIDE: char = '~';

pub(crate) const COMMAND: &str = "command.json";
pub(crate) const CONTROL: &str = "control";
const LOCK: &str = "lock";
pub(crate) const LOG: &str = "output.log";
pub(crate) const NOTE: &str = "note";
pub(crate) const OUTPUT: &str = "output";
const PROCESS: &str = "process.json";
const STOP: &str = "stop";
pub(crate) const WORK: &str = "work";

/// The directory of one process, which may be there or not.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

/// What came of the wish to change a directory alone.
#[derive(Debug)]
pub(crate) enum Lock {
    /// Nobody else may change it while the file is open, here or in a process that it was handed to.
    Taken(File),
    /// Somebody else may.
    Busy,
    /// There is no such directory.
    Gone,
}

/// What a file holds that is meant to hold JSON.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// What it should.
    Whole(T),
    /// Something else: what is wrong. A power failure leaves such files.
    Damaged(String),
    /// Nothing: there is no such file.
    Nothing,
}

impl Place {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Make the directory with all that a start needs, under a name that is no key's, and hold its lock. It becomes a
    /// process's place by [`Self::take_name`].
    pub(crate) fn prepare(folder: &Path, command: &Command, note: &str) -> io::Result<(Self, File)> {
        let place = loop {
            let path = aside(folder, "new");
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break Self { path },
                // Left by a host that was killed, whose number came round again.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        match place.fill(command, note) {
            Ok(lock) => Ok((place, lock)),
            Err(error) => {
                let _ = fs::remove_dir_all(&place.path);
                Err(error)
            }
        }
    }

    fn fill(&self, command: &Command, note: &str) -> io::Result<File> {
        let lock = create(&self.file(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            // Only a host that clears away what others left could have it, and then the directory is as good as gone.
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::ResourceBusy.into()),
        }
        let text = serde_json::to_vec(command).map_err(io::Error::other)?;
        create(&self.file(COMMAND))?.write_all(&text)?;
        create(&self.file(NOTE))?.write_all(note.as_bytes())?;
        for pipe in [CONTROL, OUTPUT] {
            rustix::fs::mkfifoat(CWD, self.file(pipe), Mode::RUSR | Mode::WUSR)?;
        }
        Ok(lock)
    }

    /// Give the directory its name; false where another one has it.
    pub(crate) fn take_name(&self, name: &Self) -> io::Result<bool> {
        match fs::rename(&self.path, &name.path) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Remove the directory and what is in it. Its name is free at once; what is left after an error is cleared away when
    /// a host opens the root next. The caller holds the lock.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let folder = self.path.parent().ok_or(ErrorKind::InvalidInput)?;
        loop {
            let away = aside(folder, "old");
            match fs::rename(&self.path, &away) {
                Ok(()) => {
                    if let Err(error) = fs::remove_dir_all(&away) {
                        tracing::warn!(path = %away.display(), %error, "what is left of a process cannot be removed");
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Try to become the one who may change the directory.
    pub(crate) fn lock(&self) -> io::Result<Lock> {
        let path = self.file(LOCK);
        let Some(file) = present(OpenOptions::new().read(true).write(true).open(&path))? else { return Ok(Lock::Gone) };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Lock::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The directory may have been removed, and another one made, between the opening and the locking.
        Ok(if self.is_lock(&file)? { Lock::Taken(file) } else { Lock::Gone })
    }

    /// Whether an open file is this directory's lock.
    pub(crate) fn is_lock(&self, file: &File) -> io::Result<bool> {
        let Some(ours) = present(fs::metadata(self.file(LOCK)))? else { return Ok(false) };
        let theirs = file.metadata()?;
        Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
    }

    pub(crate) fn command(&self) -> io::Result<Found<Command>> {
        self.json(COMMAND)
    }

    pub(crate) fn record(&self) -> io::Result<Found<Record>> {
        self.json(PROCESS)
    }

    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        self.replace(PROCESS, &serde_json::to_vec(record).map_err(io::Error::other)?)
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> io::Result<Found<T>> {
        let Some(text) = present(fs::read(self.file(name)))? else { return Ok(Found::Nothing) };
        Ok(match serde_json::from_slice(&text) {
            Ok(value) => Found::Whole(value),
            Err(error) => Found::Damaged(format!("{name} is damaged: {error}")),
        })
    }

    /// The note; empty where it is gone.
    pub(crate) fn note(&self) -> io::Result<String> {
        let note = present(fs::read(self.file(NOTE)))?.unwrap_or_default();
        Ok(String::from_utf8(note).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Write a file so that whoever reads it finds all of the old or all of the new.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let next = aside(&self.path, name);
        let written =
            create(&next).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&next, self.file(name)));
        if written.is_err() {
            let _ = fs::remove_file(&next);
        }
        written
    }

    /// Whether it is known that the process is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        rustix::fs::access(self.file(STOP), rustix::fs::Access::EXISTS).is_ok()
    }

    /// Write down that the process is to end; false where the directory is gone.
    pub(crate) fn mark_stopping(&self) -> io::Result<bool> {
        Ok(present(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.file(STOP)))?
            .is_some())
    }

    /// The pipe to the supervisor; none where there is no supervisor at work.
    pub(crate) fn supervisor(&self) -> io::Result<Option<File>> {
        self.pipe_with_reader(CONTROL)
    }

    /// Whether a process has its output open that nobody wrote down: its supervisor was killed between starting it and
    /// recording it. Only to be asked by who holds the lock, and has not opened the pipe itself.
    pub(crate) fn has_unknown_process(&self) -> io::Result<bool> {
        Ok(self.pipe_with_reader(OUTPUT)?.is_some())
    }

    /// A pipe opened for writing; none where nobody reads from it, or there is none.
    fn pipe_with_reader(&self, name: &str) -> io::Result<Option<File>> {
        match rustix::fs::open(self.file(name), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(pipe) => Ok(Some(pipe.into())),
            Err(Errno::NXIO | Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A pipe opened for reading and writing: it never seems to be closed, whoever else comes and goes.
    pub(crate) fn pipe(&self, name: &str, flags: OFlags) -> io::Result<File> {
        Ok(rustix::fs::open(self.file(name), OFlags::RDWR | OFlags::CLOEXEC | flags, Mode::empty())?.into())
    }
}

/// Turn "there is no such file" into none.
pub(crate) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A path that nobody else in this or another process uses.
fn aside(folder: &Path, what: &str) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{ASIDE}{what}-{}-{number}", std::process::id()))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}
