//! Stopping a process, and forgetting it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::place::{Found, Lock, Place};
use crate::processes::Processes;
use crate::start::PATIENCE;
use crate::{ExecError, leftover};

impl Processes {
    /// Have a process end, and forget it with all that it left: SIGTERM to it; when it has ended, or its time to stop is
    /// over, SIGKILL to its group and to all else that it started; then its directory is removed. Returns when it has been
    /// told to: the rest is the supervisor's, and goes on without the host. Until the end it shows as stopping. Succeeds
    /// where there is no such process.
    ///
    /// # Errors
    /// [`ExecError::Invalid`], [`ExecError::Io`], [`ExecError::Busy`].
    pub fn stop(&self, plugin: &str, key: &str) -> Result<(), ExecError> {
        let place = self.place(plugin, key)?;
        let error = |source| ExecError::io("stop the process in", place.path())(source);
        let patience = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(500);
        loop {
            // Written down first: a supervisor that is just starting, or takes over from another one, looks for it.
            let marked = place.mark_stopping();
            if matches!(marked, Ok(false)) {
                return Ok(());
            }
            if tell(&place).map_err(error)? {
                return Ok(());
            }
            match place.lock().map_err(error)? {
                Lock::Gone => {}
                Lock::Taken(lock) => {
                    // A supervisor that comes now has nothing but the mark to go by.
                    marked.map_err(error)?;
                    return self.finish(&place, lock).map_err(error);
                }
                // The supervisor is about to begin its work, or to end.
                Lock::Busy if Instant::now() >= patience => return Err(ExecError::Busy { key: key.into() }),
                Lock::Busy => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(20));
                }
            }
        }
    }

    /// Stop what has no supervisor.
    pub(crate) fn finish(&self, place: &Place, lock: File) -> std::io::Result<()> {
        match place.record()? {
            Found::Whole(record) if record.end.is_none() && self.runs(&record)? => return self.hand_over(place, lock),
            Found::Whole(record) if record.end.is_none() => leftover::end_left_behind(place, &record)?,
            Found::Whole(_) => {}
            Found::Nothing | Found::Damaged(_) => leftover::end_unknown(place)?,
        }
        place.remove()
    }
}

/// Tell the supervisor; false where there is none at work.
fn tell(place: &Place) -> std::io::Result<bool> {
    let Some(mut pipe) = place.supervisor()? else { return Ok(false) };
    match pipe.write(b"s") {
        Ok(_) => Ok(true),
        // A full pipe: it was told often enough.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        // It ended in between.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
