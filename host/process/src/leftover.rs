//! Processes that nobody waits for any more.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::place::{OUTPUT, Place, present};
use crate::proc::{self, Stat};
use crate::record::Record;

/// How long the system may take to end what was killed. What hangs in the kernel longer than that is left alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kill what a process left behind, where its supervisor is not its own parent any more: what is in its group and its
/// session, so that the number of the group cannot have come to stand for another one; and, wherever it went, what still
/// has its output open.
pub(crate) fn end_left_behind(place: &Place, record: &Record) -> io::Result<()> {
    if proc::boot_id()? != record.boot {
        return Ok(());
    }
    let writes = writers(place)?;
    end(|it| (it.group == record.pid && it.session == record.session) || writes(it))
}

/// Kill what was started for a directory, and was not written down there because the supervisor was killed just then. It
/// is known by its output.
pub(crate) fn end_unknown(place: &Place) -> io::Result<()> {
    if !place.has_unknown_process()? {
        return Ok(());
    }
    end(writers(place)?)
}

/// Whether a process is another one than this, and what it writes goes to a directory's pipe.
fn writers(place: &Place) -> io::Result<impl Fn(&Stat) -> bool> {
    let pipe = present(fs::metadata(place.file(OUTPUT)))?.map(|it| (it.dev(), it.ino()));
    let own = std::process::id();
    Ok(move |it: &Stat| {
        let holds = |fd: u8| {
            let open = fs::metadata(format!("/proc/{}/fd/{fd}", it.pid));
            open.is_ok_and(|open| pipe == Some((open.dev(), open.ino())))
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
