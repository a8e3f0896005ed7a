//! Processes that nobody waits for any more.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::place::{OUTPUT, Place};
use crate::proc::{self, Stat};
use crate::record::Record;

/// How long the system may take to end what was killed. What hangs in the kernel longer than that is left alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kill what a process left behind in its group, where its supervisor is not its own parent any more and could not keep
/// the number of the group from coming to stand for another one: only what is in the same session counts.
pub(crate) fn end_group(record: &Record) -> io::Result<()> {
    if proc::boot_id()? != record.boot {
        return Ok(());
    }
    end(|it| it.group == record.pid && it.session == record.session)
}

/// Kill what was started for a directory, and was not written down there because the supervisor was killed just then. It
/// is known by its output.
pub(crate) fn end_unknown(place: &Place) -> io::Result<()> {
    if !place.has_unknown_process()? {
        return Ok(());
    }
    let pipe = std::fs::metadata(place.file(OUTPUT))?;
    let own = std::process::id();
    end(|it| {
        let holds = |fd: u8| {
            let open = std::fs::metadata(format!("/proc/{}/fd/{fd}", it.pid));
            open.is_ok_and(|open| (open.dev(), open.ino()) == (pipe.dev(), pipe.ino()))
        };
        it.pid != own && (holds(1) || holds(2))
    })
}

/// Kill all that run and are meant, and those that they start meanwhile, and return when they have ended.
pub(crate) fn end(meant: impl Fn(&Stat) -> bool) -> io::Result<()> {
    let patience = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let mut running = false;
        for found in proc::all()?.filter(|it| it.runs() && meant(it)) {
            running = true;
            if let Some(handle) = proc::handle(found.pid, found.start_ticks)? {
                proc::send(&handle, Signal::KILL)?;
            }
        }
        if !running || Instant::now() >= patience {
            return Ok(());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
