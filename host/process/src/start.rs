//! Starting a process: exactly one for a key, whoever asks, and whoever is killed on the way.
//!
//! 1. A directory is made with all that a start needs, under a name that is no key's. Its lock is held from the beginning.
//! 2. It is renamed to the key: the claim. Of several that do so at once one succeeds, and the others wait for its process.
//! 3. The supervisor is started with the lock as its standard input. From here on the host may be killed.
//! 4. The supervisor starts the process, writes it down, and says so.
//!
//! A host that is killed between 2 and 3 leaves a directory without a process, whose lock is free. Whoever asks for the key
//! next goes on from there. A supervisor that is killed between starting and writing down leaves a process that nobody
//! knows; it is found by its open output, and ended before another one is started.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::answer::Answer;
use crate::command::{Command, check_note};
use crate::place::{COMMAND, Found, Lock, Place};
use crate::processes::{MAX_PROCESSES, Processes, keys};
use crate::supervisor::VERB;
use crate::{ExecError, Process, check_program, nursery};

/// How long a supervisor may take to start its process, and others with the same key wait for that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer of a supervisor.
const MAX_ANSWER: u64 = 64 << 10;

impl Processes {
    /// Start a process under a key. Idempotent by key: the same key and command give the same process, also when it has
    /// ended since, however many ask at once, and also when one of them was killed on the way. The note, and what the
    /// operator chose (the program's path, what is kept of the output), may differ.
    ///
    /// # Errors
    /// Any but [`ExecError::NotFound`]. After all but [`ExecError::Supervisor`] and [`ExecError::Busy`], nothing was
    /// started.
    pub fn start(&self, plugin: &str, key: &str, command: &Command, note: &str) -> Result<Process, ExecError> {
        let place = self.place(plugin, key)?;
        command.check()?;
        check_note(note)?;
        let patience = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(500);
        loop {
            if Instant::now() >= patience {
                return Err(ExecError::Busy { key: key.into() });
            }
            let read = ExecError::io("read", &place.file(COMMAND));
            let same = match place.command().map_err(read)? {
                Found::Nothing => {
                    self.claim(&self.folder(plugin)?, plugin, &place, key, command, note)?;
                    continue;
                }
                Found::Whole(known) => known.asks_the_same(command),
                Found::Damaged(_) => false,
            };
            if let Some(look) = self.look(&place, key)? {
                return if same { Ok(look.process) } else { Err(ExecError::AlreadyExists { key: key.into() }) };
            }
            // Either another one is starting it, or there was nothing but a claim, which is gone now.
            if !same && matches!(place.lock(), Ok(Lock::Busy)) {
                return Err(ExecError::AlreadyExists { key: key.into() });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn claim(
        &self,
        folder: &Path,
        plugin: &str,
        place: &Place,
        key: &str,
        command: &Command,
        note: &str,
    ) -> Result<(), ExecError> {
        check_program(&command.path)?;
        if let Some(directory) = command.directory.as_deref().filter(|it| !it.is_dir()) {
            return Err(ExecError::Invalid(format!("there is no directory {} to run in", directory.display())));
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ExecError::io("make", folder)(error)),
        }
        self.count_one_more(folder, plugin)?;
        let (prepared, lock) = match Place::prepare(folder, command, note) {
            Ok(prepared) => prepared,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ResourceBusy) => {
                // Another host took it for something left behind.
                return Ok(());
            }
            Err(error) => return Err(ExecError::io("make a directory for a process in", folder)(error)),
        };
        match prepared.take_name(place) {
            Ok(true) => self.launch(place, key, command, lock),
            Ok(false) => prepared.remove().map_err(ExecError::io("remove", prepared.path())),
            Err(error) => {
                let _ = prepared.remove();
                Err(ExecError::io("make", place.path())(error))
            }
        }
    }

    fn count_one_more(&self, folder: &Path, plugin: &str) -> Result<(), ExecError> {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(folder.to_owned()).or_insert(usize::MAX);
        if *count >= MAX_PROCESSES {
            *count = keys(folder)?.len();
        }
        if *count >= MAX_PROCESSES {
            return Err(ExecError::TooMany { plugin: plugin.into(), limit: MAX_PROCESSES });
        }
        *count += 1;
        Ok(())
    }

    /// Have a supervisor start the process of a directory that was just claimed.
    fn launch(&self, place: &Place, key: &str, command: &Command, lock: File) -> Result<(), ExecError> {
        let kept = lock.try_clone().map_err(ExecError::io("keep the lock of", place.path()))?;
        let mut child = match self.supervisor_of(place).stdin(lock).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = place.remove();
                let what = format!("cannot be started from {}", self.shared.supervisor.program.display());
                return Err(ExecError::Supervisor { key: key.into(), what, source: Some(error) });
            }
        };
        // From here on it is the supervisor's alone.
        drop(kept);
        let answer = child.stdout.take().map(answer);
        nursery::adopt(child);
        let silent = |what: &str, source| Err(ExecError::Supervisor { key: key.into(), what: what.into(), source });
        match answer {
            Some(Ok(Some(Answer::Started))) => Ok(()),
            Some(Ok(Some(Answer::NotStarted(why)))) => Err(ExecError::NotStarted { path: command.path.clone(), why }),
            Some(Err(error)) => silent("gave no answer", Some(error)),
            Some(Ok(None)) | None => silent("ended before it had started anything", None),
        }
    }

    /// Give a process that lost its supervisor another one. Where that fails, the next look tries again.
    pub(crate) fn supervise_again(&self, place: &Place, key: &str) {
        let again = || match place.lock()? {
            Lock::Taken(lock) => self.hand_over(place, lock),
            // Somebody else is about to.
            Lock::Busy | Lock::Gone => Ok(()),
        };
        match again() {
            Ok(()) => tracing::info!(process = key, "its supervisor was gone; it has another one"),
            Err(error) => {
                tracing::warn!(process = key, %error, "its supervisor is gone, and no other one can be started")
            }
        }
    }

    /// Start a supervisor for a process that runs.
    pub(crate) fn hand_over(&self, place: &Place, lock: File) -> std::io::Result<()> {
        nursery::adopt(self.supervisor_of(place).stdin(lock).stdout(Stdio::null()).spawn()?);
        Ok(())
    }

    fn supervisor_of(&self, place: &Place) -> std::process::Command {
        let mut command = std::process::Command::new(&self.shared.supervisor.program);
        // It gets nothing of the host's, so that no secret of the environment stays in another process. The allocator of the
        // `homeostat` command takes this for not having all its memory at once: with huge pages that would be 4 MiB for each.
        command.env_clear().env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        command.arg0("homeostat").arg(VERB).arg(place.path()).current_dir("/").stderr(Stdio::null());
        command
    }
}

/// Wait for the line that a supervisor answers with; none where it ended without one.
fn answer(mut pipe: ChildStdout) -> std::io::Result<Option<Answer>> {
    let patience = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    loop {
        let left = patience.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(std::io::Error::other)?;
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut part = [0; 4096];
        let count = pipe.read(&mut part)?;
        text.extend_from_slice(&part[..count]);
        let whole = text.ends_with(b"\n");
        if whole || count == 0 || text.len() as u64 > MAX_ANSWER {
            return Ok(serde_json::from_slice(&text).ok().filter(|_| whole));
        }
    }
}
