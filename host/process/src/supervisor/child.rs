//! The process itself, and what it starts in its turn.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, wait};

use super::limits::Limits;
use crate::clock::now_ms;
use crate::command::Command;
use crate::place::{OUTPUT, Place, WORK};

/// Where programs are looked for by a process that is not told otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that was just started.
pub(super) struct Started {
    pub(super) pid: u32,
    /// In milliseconds since 1970-01-01T00:00:00Z.
    pub(super) started_at: u64,
}

impl Started {
    /// It was not waited for, so its number is its own.
    pub(super) fn handle(&self) -> io::Result<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or(ErrorKind::InvalidData)?;
        Ok(pidfd_open(pid, PidfdFlags::empty())?)
    }
}

pub(super) fn spawn(place: &Place, command: &Command) -> io::Result<Started> {
    let directory = match &command.directory {
        Some(directory) => directory.clone(),
        None => {
            let own = place.file(WORK);
            DirBuilder::new().mode(0o700).create(&own)?;
            own
        }
    };
    // Open for reading too, so that a process that writes while there is no supervisor waits instead of being killed.
    let output: File = place.pipe(OUTPUT, OFlags::empty())?;
    let limits = Limits::new(&command.limits)?;
    let mut spawning = std::process::Command::new(&command.path);
    spawning
        .args(&command.args)
        .env_clear()
        .env("PATH", PATH)
        .envs(&command.env)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    let started_at = now_ms();
    let child = limits.around(|| spawning.spawn())?;
    Ok(Started { pid: child.id(), started_at })
}

/// The thread that waits for the process and for everything that became a child of the supervisor.
pub(super) struct Orphans {
    thread: JoinHandle<Option<WaitStatus>>,
}

impl Orphans {
    pub(super) fn await_all(process: u32) -> io::Result<Self> {
        let wait_for_it = move || {
            loop {
                match wait(WaitOptions::empty()) {
                    Ok(Some((pid, status))) if pid.as_raw_pid().cast_unsigned() == process => return Some(status),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(_) => return None,
                }
            }
        };
        Ok(Self { thread: thread::Builder::new().stack_size(64 << 10).spawn(wait_for_it)? })
    }

    /// How the process ended, when it has.
    pub(super) fn finish(self) -> Option<WaitStatus> {
        self.thread.join().ok().flatten()
    }
}

/// Whether nothing is left that the process started.
pub(super) fn none_left() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}
