//! What a supervisor does while its process runs: it keeps what the process writes, and ends it when it is told to.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Signal;

use crate::command::Command;
use crate::log::Log;
use crate::place::{CONTROL, LOG, OUTPUT, Place};
use crate::proc;
use crate::record::Record;

/// What a pipe holds at most, unless somebody made it larger.
const PIPE: usize = 64 << 10;
/// How much is read at most of what a process left in its pipe. It may have been made larger; nobody writes any more.
const REST: usize = 8 << 20;
/// How often those are killed that still did not end.
const AGAIN: Duration = Duration::from_secs(1);

/// A process under watch.
pub(super) struct Watch {
    handle: OwnedFd,
    output: File,
    control: File,
    log: Log,
    buffer: Vec<u8>,
    stop_timeout: Duration,
    /// When it is killed, where it was told to end.
    deadline: Option<Instant>,
    told: bool,
}

impl Watch {
    /// The end of the pipe from which the process's output is read. To be opened before the process can end: what is
    /// written is gone with the last who has the pipe open.
    pub(super) fn output(place: &Place) -> io::Result<File> {
        place.pipe(OUTPUT, OFlags::NONBLOCK)
    }

    pub(super) fn new(place: &Place, command: &Command, handle: OwnedFd, output: File) -> io::Result<Self> {
        let log = Log::new(place.file(LOG), command.retention);
        // From here on the host takes this supervisor for one at work, and tells it what it has to know. What it wrote
        // down before is looked for afterwards, so that nothing falls in between.
        let control = place.pipe(CONTROL, OFlags::NONBLOCK)?;
        let told = place.is_stopping();
        let (stop_timeout, buffer) = (command.stop_timeout, Vec::new());
        Ok(Self { handle, output, control, log, buffer, stop_timeout, deadline: None, told })
    }

    /// Watch the process to its end.
    pub(super) fn run(&mut self, record: &Record) -> io::Result<()> {
        loop {
            if self.told && self.deadline.is_none() {
                self.ask_to_end()?;
            }
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                self.kill(record)?;
                self.deadline = Some(now + AGAIN);
            }
            let left = self.deadline.map(|deadline| Timespec::try_from(deadline.saturating_duration_since(now)));
            let left = left.transpose().map_err(io::Error::other)?;
            let mut watched = [
                PollFd::new(&self.handle, PollFlags::IN),
                PollFd::new(&self.output, PollFlags::IN),
                PollFd::new(&self.control, PollFlags::IN),
            ];
            match poll(&mut watched, left.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [ended, written, told] = watched.map(|it| !it.revents().is_empty());
            if written {
                self.read_output();
            }
            if told {
                self.told = true;
                while matches!((&self.control).read(&mut [0; 64]), Ok(1..)) {}
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn ask_to_end(&mut self) -> io::Result<()> {
        self.deadline = Some(Instant::now() + self.stop_timeout);
        proc::send(&self.handle, Signal::TERM)?;
        // One that was halted could not hear it.
        proc::send(&self.handle, Signal::CONT)
    }

    fn kill(&self, record: &Record) -> io::Result<()> {
        proc::send(&self.handle, Signal::KILL)?;
        for found in proc::all()?.filter(|it| it.group == record.pid && it.session == record.session) {
            if let Some(handle) = proc::handle(found.pid, found.start_ticks)? {
                proc::send(&handle, Signal::KILL)?;
            }
        }
        Ok(())
    }

    /// Move one part from the pipe to the log; how much.
    fn read_output(&mut self) -> usize {
        self.buffer.resize(PIPE, 0);
        match (&self.output).read(&mut self.buffer) {
            Ok(count) => {
                self.log.write(&self.buffer[..count]);
                count
            }
            Err(_) => 0,
        }
    }

    /// Read what is left when nobody writes any more.
    pub(super) fn read_rest(&mut self) {
        let mut rest = 0;
        while rest < REST {
            match self.read_output() {
                0 => return,
                count => rest += count,
            }
        }
    }

    /// Whether the process was told to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.told
    }

    /// Have the host know that nobody is at work here any more.
    pub(super) fn close(self) -> Log {
        self.log
    }
}
