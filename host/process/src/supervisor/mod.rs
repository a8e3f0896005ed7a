//! The supervisor of one process.
//!
//! It is a process of its own, in a session of its own, and lives as long as the process it watches. There are as many of
//! them as processes, so it is kept small: no threads but one that waits, nothing but this crate is touched.

mod child;
mod limits;
mod watch;

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::{setsid, umask};

use crate::answer::Answer;
use crate::clock::now_ms;
use crate::place::{Found, Lock, Place};
use crate::record::{End, Ending, Record};
use crate::{leftover, proc};

use child::Orphans;
use watch::Watch;

/// The verb that makes a program a supervisor. It is nothing for people, and no help shows it.
pub const VERB: &str = "supervise";

/// How long a supervisor tries to write down how its process ended, where the disk is full.
const PERSISTENCE: Duration = Duration::from_secs(3600);

/// Be a supervisor, where the arguments say so (`PROGRAM supervise DIR`), and return how to exit. To be called at the very
/// beginning of `main`, with `std::env::args_os()`: before any thread is started, and before anything is set up that a
/// supervisor does not need.
pub fn as_supervisor(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    if args.next()? != VERB {
        return None;
    }
    let (directory, rest) = (args.next().map(PathBuf::from), args.next());
    let result = match (directory, rest) {
        (Some(directory), None) if directory.is_absolute() => supervise(Place::new(directory)),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "the host starts this by itself: supervise DIRECTORY")),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "homeostat supervise: {error}");
            ExitCode::FAILURE
        }
    })
}

fn supervise(place: Place) -> io::Result<()> {
    // Away from the host's terminal: its Ctrl-C is not meant for the processes. It fails for who leads a group already,
    // and so was started by something else than a host.
    let _ = setsid();
    // No mounted disk is kept busy.
    env::set_current_dir("/")?;
    // What a process makes is readable by others as is usual, and not as the host's user happens to have it.
    umask(Mode::WGRP | Mode::WOTH);
    let _lock = lock(&place)?;
    match place.record()? {
        Found::Nothing => start(place),
        Found::Whole(record) if record.end.is_none() => take_over(place, record),
        // It ended, and there was no supervisor left to forget it.
        Found::Whole(_) if place.is_stopping() => place.remove(),
        Found::Whole(_) => Ok(()),
        Found::Damaged(why) => Err(io::Error::new(ErrorKind::InvalidData, why)),
    }
}

/// The directory's lock: handed over as standard input, or free to be taken.
fn lock(place: &Place) -> io::Result<File> {
    let handed = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Where it is held by this very file already, locking it succeeds.
    if place.is_lock(&handed)? && handed.try_lock().is_ok() {
        return Ok(handed);
    }
    match place.lock()? {
        Lock::Taken(lock) => Ok(lock),
        Lock::Busy => Err(io::Error::new(ErrorKind::ResourceBusy, "this process has a supervisor")),
        Lock::Gone => Err(ErrorKind::NotFound.into()),
    }
}

/// Start the process of a directory that has none, and watch it to its end.
fn start(place: Place) -> io::Result<()> {
    let started = begin(&place);
    tell_host(&match &started {
        Ok(_) => Answer::Started,
        Err(error) => {
            // Where that fails, it is a claim without a process, and the next look clears it away.
            let _ = place.remove();
            Answer::NotStarted(error.to_string())
        }
    });
    let (mut watch, record, orphans) = started?;
    watch.run(&record)?;
    let status = orphans.finish();
    let how = match status.map(|it| (it.exit_status(), it.terminating_signal())) {
        Some((Some(status), _)) => Ending::Exited(status),
        Some((_, Some(number))) => Ending::Signalled(number),
        _ => Ending::Lost("the system did not tell how it ended".into()),
    };
    let at = now_ms();
    let (own, session) = (std::process::id(), record.session);
    if !child::none_left() {
        leftover::end(|it| it.parent == own || (it.group == record.pid && it.session == session))?;
    }
    end(place, watch, record, End { at, how })
}

fn begin(place: &Place) -> io::Result<(Watch, Record, Orphans)> {
    leftover::end_unknown(place)?;
    let command = match place.command()? {
        Found::Whole(command) => command,
        Found::Damaged(why) => return Err(io::Error::new(ErrorKind::InvalidData, why)),
        Found::Nothing => return Err(ErrorKind::NotFound.into()),
    };
    // Whatever the process starts becomes a child of this one when its own parent ends, and is found in the end.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let output = Watch::output(place)?;
    let process = child::spawn(place, &command)?;
    let begun = (|| {
        let stat = proc::stat(process.pid).ok_or(ErrorKind::NotFound)?;
        let record = Record {
            pid: process.pid,
            start_ticks: stat.start_ticks,
            boot: proc::boot_id()?,
            session: stat.session,
            started_at: process.started_at,
            end: None,
        };
        let watch = Watch::new(place, &command, process.handle()?, output)?;
        let orphans = Orphans::await_all(process.pid)?;
        place.write_record(&record)?;
        Ok((watch, record, orphans))
    })();
    if begun.is_err() {
        // What is not written down must not run.
        let own = std::process::id();
        leftover::end(|it| it.parent == own)?;
    }
    begun
}

/// Say one line to the host that waits for it. It may have been killed since.
fn tell_host(answer: &Answer) {
    if let Ok(mut line) = serde_json::to_vec(answer) {
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    }
}

/// Watch a process whose supervisor was killed.
fn take_over(place: Place, record: Record) -> io::Result<()> {
    let command = match place.command()? {
        Found::Whole(command) => command,
        _ => return Err(io::Error::new(ErrorKind::InvalidData, "nobody knows what was started")),
    };
    let output = Watch::output(&place)?;
    let Some(handle) = proc::handle(record.pid, record.start_ticks)? else { return Ok(()) };
    let mut watch = Watch::new(&place, &command, handle, output)?;
    watch.run(&record)?;
    let at = now_ms();
    leftover::end_left_behind(&place, &record)?;
    let how = Ending::Lost("it ended; how is not known, since its first supervisor was killed before".into());
    end(place, watch, record, End { at, how })
}

/// Write down how the process ended, or forget it where it was told to end.
fn end(place: Place, mut watch: Watch, mut record: Record, end: End) -> io::Result<()> {
    watch.read_rest();
    if watch.is_stopping() && place.remove().is_ok() {
        return Ok(());
    }
    record.end = Some(end);
    let patience = Instant::now() + PERSISTENCE;
    let mut written = place.write_record(&record);
    // From here on the host does not take the process for running, and a mark that it makes is seen here.
    let log = watch.close();
    while let Err(error) = written {
        if place.is_stopping() || Instant::now() >= patience {
            break;
        }
        if error.kind() == ErrorKind::NotFound {
            return Err(error);
        }
        log.make_room();
        thread::sleep(Duration::from_millis(200));
        written = place.write_record(&record);
    }
    match place.is_stopping() {
        true => place.remove(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_verbs_are_left_alone() {
        for args in [vec![], vec!["homeostat"], vec!["homeostat", "serve"], vec!["homeostat", "--", "supervise", "/x"]]
        {
            assert!(as_supervisor(args.iter().map(OsString::from)).is_none(), "{args:?}");
        }
    }

    #[test]
    fn a_relative_directory_is_refused() {
        let refused = as_supervisor(["homeostat", "supervise", "x"].map(OsString::from)).expect("an exit code");
        assert_eq!(format!("{refused:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
