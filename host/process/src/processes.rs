//! All processes below one directory.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::check_note;
use crate::key::{check_key, plugin_folder, valid_key};
use crate::place::{ASIDE, Found, LOG, Lock, NOTE, Place, present};
use crate::record::{Ending, Record};
use crate::{ExecError, Process, ProcessState, leftover, log, proc};

/// How many processes a plugin may have, those that have ended included.
pub(crate) const MAX_PROCESSES: usize = 10_000;
/// How many bytes of notes one answer of [`Processes::list`] may hold.
const MAX_NOTES: usize = 4 << 20;
/// How long a host waits for others when it clears away what was left half done.
const SWEEP: Duration = Duration::from_millis(500);
/// The most that [`Processes::output`] answers with.
const MAX_OUTPUT: u32 = 1 << 20;

/// The processes of all plugins of a host. Cheap to clone. All of it blocks, if only for a short time.
#[derive(Clone, Debug)]
pub struct Processes {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    root: PathBuf,
    pub(crate) supervisor: Supervisor,
    /// How many processes each folder has, at most: what was stopped since the last count is still in it.
    pub(crate) counts: Mutex<HashMap<PathBuf, usize>>,
}

/// What is started as a supervisor: a program whose `main` begins with [`crate::as_supervisor`].
#[derive(Clone, Debug)]
pub struct Supervisor {
    /// Its file.
    pub program: PathBuf,
}

impl Default for Supervisor {
    /// The program that runs now, also where its file has been replaced since.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into() }
    }
}

/// Signals that can be sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Signal {
    fn raw(self) -> rustix::process::Signal {
        use rustix::process::Signal as Raw;
        match self {
            Self::Hangup => Raw::HUP,
            Self::Interrupt => Raw::INT,
            Self::Quit => Raw::QUIT,
            Self::User1 => Raw::USR1,
            Self::User2 => Raw::USR2,
            Self::Terminate => Raw::TERM,
            Self::Kill => Raw::KILL,
        }
    }
}

/// What is known of a process.
pub(crate) struct Look {
    pub(crate) record: Option<Record>,
    pub(crate) process: Process,
}

impl Processes {
    /// Open the directory that holds all processes, and make it where it is missing. What a killed host left half done is
    /// cleared away.
    ///
    /// # Errors
    /// [`ExecError::Io`]; [`ExecError::Invalid`] where the path is relative, or others may write there.
    pub fn open(root: &Path, supervisor: Supervisor) -> Result<Self, ExecError> {
        if !root.is_absolute() {
            return Err(ExecError::Invalid(format!("the directory {} is not absolute", root.display())));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(ExecError::io("make", root))?;
        let found = fs::metadata(root).map_err(ExecError::io("read", root))?;
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != user || found.mode() & 0o022 != 0 {
            let what = format!(
                "{} can be written by others than this user, and says what is run; `chmod 700` it",
                root.display()
            );
            return Err(ExecError::Invalid(what));
        }
        let shared = Shared { root: root.to_owned(), supervisor, counts: Mutex::default() };
        let processes = Self { shared: Arc::new(shared) };
        processes.sweep()?;
        Ok(processes)
    }

    /// Remove what was being made or removed when a host was killed.
    fn sweep(&self) -> Result<(), ExecError> {
        let root = &self.shared.root;
        let patience = Instant::now() + SWEEP;
        for folder in fs::read_dir(root).map_err(ExecError::io("read", root))? {
            let folder = folder.map_err(ExecError::io("read", root))?.path();
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.filter_map(Result::ok).filter(|it| it.file_name().to_string_lossy().starts_with(ASIDE))
            {
                // Another host may be at work with it. So may what a host was about to start when it was killed, but not
                // for long: it has the lock open until it becomes another program.
                let place = Place::new(entry.path());
                while matches!(place.lock(), Ok(Lock::Busy)) && Instant::now() < patience {
                    thread::sleep(Duration::from_millis(1));
                }
                let lock = place.lock();
                if matches!(lock, Ok(Lock::Busy)) {
                    continue;
                }
                if let Err(error) = fs::remove_dir_all(entry.path()) {
                    tracing::warn!(path = %entry.path().display(), %error, "what is left of a process cannot be removed");
                }
            }
        }
        Ok(())
    }

    pub(crate) fn folder(&self, plugin: &str) -> Result<PathBuf, ExecError> {
        Ok(self.shared.root.join(plugin_folder(plugin)?))
    }

    pub(crate) fn place(&self, plugin: &str, key: &str) -> Result<Place, ExecError> {
        check_key(key)?;
        Ok(Place::new(self.folder(plugin)?.join(key)))
    }

    /// The process of a key; none where there is none.
    ///
    /// # Errors
    /// [`ExecError::Invalid`], [`ExecError::Io`].
    pub fn find(&self, plugin: &str, key: &str) -> Result<Option<Process>, ExecError> {
        Ok(self.look(&self.place(plugin, key)?, key)?.map(|look| look.process))
    }

    /// Processes of a plugin, by key: those after the key `after`, and at most `limit` of them. There may be fewer where
    /// their notes are long; the end is where there are none.
    ///
    /// # Errors
    /// [`ExecError::Invalid`], [`ExecError::Io`].
    pub fn list(&self, plugin: &str, after: Option<&str>, limit: usize) -> Result<Vec<Process>, ExecError> {
        let folder = self.folder(plugin)?;
        let mut processes: Vec<Process> = Vec::new();
        let mut notes = 0;
        for key in keys(&folder)?.into_iter().filter(|key| after.is_none_or(|after| key.as_str() > after)) {
            if processes.len() >= limit {
                break;
            }
            let Some(look) = self.look(&Place::new(folder.join(&key)), &key)? else { continue };
            notes += look.process.note.len();
            if notes > MAX_NOTES && !processes.is_empty() {
                break;
            }
            processes.push(look.process);
        }
        Ok(processes)
    }

    /// Write another note to a process.
    ///
    /// # Errors
    /// [`ExecError::NotFound`]; [`ExecError::Invalid`] for one that is too long; [`ExecError::Io`].
    pub fn annotate(&self, plugin: &str, key: &str, note: &str) -> Result<(), ExecError> {
        check_note(note)?;
        let place = self.place(plugin, key)?;
        self.known(&place, key)?;
        match present(place.replace(NOTE, note.as_bytes())) {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(ExecError::NotFound { key: key.into() }),
            Err(error) => Err(ExecError::io("write", &place.file(NOTE))(error)),
        }
    }

    /// Send a signal to a process, and to it alone. Nothing happens where it has ended.
    ///
    /// # Errors
    /// [`ExecError::NotFound`], [`ExecError::Invalid`], [`ExecError::Io`].
    pub fn signal(&self, plugin: &str, key: &str, signal: Signal) -> Result<(), ExecError> {
        let place = self.place(plugin, key)?;
        let look = self.known(&place, key)?;
        let Some(record) = look.record.filter(|_| look.process.pid.is_some()) else { return Ok(()) };
        proc::handle(record.pid, record.start_ticks)
            .and_then(|handle| handle.map_or(Ok(()), |handle| proc::send(&handle, signal.raw())))
            .map_err(ExecError::io("send a signal to the process of", place.path()))
    }

    /// The end of what a process wrote: at most so many bytes, and at most 1 MiB. What is no text is replaced by signs
    /// that say so.
    ///
    /// # Errors
    /// [`ExecError::NotFound`], [`ExecError::Invalid`], [`ExecError::Io`].
    pub fn output(&self, plugin: &str, key: &str, limit: u32) -> Result<String, ExecError> {
        let place = self.place(plugin, key)?;
        self.known(&place, key)?;
        let limit = limit.min(MAX_OUTPUT) as usize;
        let path = place.file(LOG);
        let tail = log::tail(&path, limit).map_err(ExecError::io("read", &path))?;
        // The cut may have gone through a character.
        let start = tail.iter().take(3).take_while(|&&byte| byte & 0xc0 == 0x80).count();
        let mut text = String::from_utf8_lossy(&tail[start..]).into_owned();
        // The signs are longer than what they replace.
        while text.len() > limit {
            let over = text.len() - limit;
            let cut = text.char_indices().map(|(at, _)| at).find(|&at| at >= over).unwrap_or(text.len());
            text.drain(..cut);
        }
        Ok(text)
    }

    fn known(&self, place: &Place, key: &str) -> Result<Look, ExecError> {
        self.look(place, key)?.ok_or_else(|| ExecError::NotFound { key: key.into() })
    }

    /// How a process is. One that has lost its supervisor gets another one.
    pub(crate) fn look(&self, place: &Place, key: &str) -> Result<Option<Look>, ExecError> {
        let error = |source| ExecError::io("read what is known of the process in", place.path())(source);
        let mut record = match place.record().map_err(error)? {
            Found::Whole(record) => record,
            Found::Nothing => {
                self.clear_claim(place)?;
                return Ok(None);
            }
            Found::Damaged(why) => {
                let process = Process {
                    key: key.into(),
                    pid: None,
                    state: ProcessState::Lost(why),
                    started_at_ms: 0,
                    ended_at_ms: None,
                    note: place.note().map_err(error)?,
                };
                return Ok(Some(Look { record: None, process }));
            }
        };
        let mut alive = false;
        if record.end.is_none() {
            alive = place.supervisor().map_err(error)?.is_some();
            if !alive {
                // Its supervisor may have written down the end, and ended itself, in between.
                match place.record().map_err(error)? {
                    Found::Whole(newer) => record = newer,
                    _ => return Ok(None),
                }
            }
            if !alive && record.end.is_none() && self.runs(&record).map_err(error)? {
                alive = true;
                self.supervise_again(place, key);
            }
        }
        if !alive
            && place.is_stopping()
            && let Lock::Taken(lock) = place.lock().map_err(error)?
        {
            // It ended when it was told to, and its supervisor was killed before it could forget it.
            self.finish(place, lock).map_err(error)?;
            return Ok(None);
        }
        let state = match (&record.end, alive) {
            (None, true) if place.is_stopping() => ProcessState::Stopping,
            (None, true) => ProcessState::Running,
            (None, false) if record.boot != self.boot().map_err(error)? => {
                ProcessState::Lost("the machine was started anew".into())
            }
            (None, false) => ProcessState::Lost("it ended while its supervisor was gone, and how is not known".into()),
            (Some(end), _) => match &end.how {
                Ending::Exited(status) => ProcessState::Exited(*status),
                Ending::Signalled(number) => ProcessState::Signalled(*number),
                Ending::Lost(why) => ProcessState::Lost(why.clone()),
            },
        };
        let process = Process {
            key: key.into(),
            pid: alive.then_some(record.pid),
            state,
            started_at_ms: record.started_at,
            ended_at_ms: record.end.as_ref().map(|end| end.at),
            note: place.note().map_err(error)?,
        };
        Ok(Some(Look { record: Some(record), process }))
    }

    /// Whether a process runs that has no supervisor.
    pub(crate) fn runs(&self, record: &Record) -> std::io::Result<bool> {
        let found = proc::stat(record.pid);
        let same = found.is_some_and(|it| it.start_ticks == record.start_ticks && it.runs());
        Ok(same && record.boot == self.boot()?)
    }

    fn boot(&self) -> std::io::Result<String> {
        proc::boot_id()
    }

    /// Remove a directory whose process was never started, because the host was killed on the way.
    fn clear_claim(&self, place: &Place) -> Result<(), ExecError> {
        let error = |source| ExecError::io("clear away", place.path())(source);
        if let Lock::Taken(_lock) = place.lock().map_err(error)?
            && matches!(place.record().map_err(error)?, Found::Nothing)
        {
            leftover::end_unknown(place).map_err(error)?;
            place.remove().map_err(error)?;
        }
        Ok(())
    }
}

/// The keys in a plugin's folder, in order.
pub(crate) fn keys(folder: &Path) -> Result<Vec<String>, ExecError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ExecError::io("read", folder)(error)),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ExecError::io("read", folder))?;
        keys.extend(entry.file_name().into_string().ok().filter(|name| valid_key(name)));
    }
    keys.sort_unstable();
    Ok(keys)
}
