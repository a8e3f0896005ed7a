//! What the system tells of its processes (`proc(5)`).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// One process, as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its number.
    pub(crate) pid: u32,
    /// One letter.
    state: u8,
    /// Its parent.
    pub(crate) parent: u32,
    /// Its group.
    pub(crate) group: u32,
    /// Its session.
    pub(crate) session: u32,
    /// When it was started, in ticks since the boot.
    pub(crate) start_ticks: u64,
}

impl Stat {
    /// Whether it runs: a zombie has ended, and waits to be asked how.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// A process by its number; none where there is none.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Everything that runs or waits to be asked how it ended.
pub(crate) fn all() -> io::Result<impl Iterator<Item = Stat>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(stat))
}

fn parse(pid: u32, text: &[u8]) -> Option<Stat> {
    // The name stands in brackets and may hold anything, brackets too. What follows holds none.
    let after = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(after + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = |skip: usize| fields.nth(skip)?.parse::<i64>().ok();
    let (parent, group, session) = (number(0)?, number(0)?, number(0)?);
    let start_ticks = u64::try_from(number(15)?).ok()?;
    let id = |it: i64| u32::try_from(it).ok();
    Some(Stat { pid, state, parent: id(parent)?, group: id(group)?, session: id(session)?, start_ticks })
}

/// The boot that the machine is in: a random text that no other boot has.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// A handle of a process that stays its own, whatever becomes of the number; none where the number is free, or has come to
/// stand for another process.
pub(crate) fn handle(pid: u32, start_ticks: u64) -> io::Result<Option<OwnedFd>> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let handle = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(handle) => handle,
        // A thread that leads nothing is no process of ours either.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Asked after the handle was made: what has the right time now had it then.
    let same = stat(pid).is_some_and(|it| it.start_ticks == start_ticks && it.runs());
    Ok(same.then_some(handle))
}

/// Send a signal by a handle. A process that has ended is no error.
pub(crate) fn send(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(handle, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_that_look_like_fields() {
        let text = b"42 (a) R 1 (b) S 7 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200";
        let found = parse(42, text).expect("a process");
        assert_eq!((found.state, found.parent, found.group, found.session), (b'S', 7, 42, 40));
        assert_eq!(found.start_ticks, 987_654);
        assert!(found.runs());
        assert_eq!(parse(1, b""), None);
        assert_eq!(parse(1, b"1 (x) S 1 2"), None);
    }

    #[test]
    fn finds_this_process() {
        let own = std::process::id();
        let found = stat(own).expect("this process");
        assert!(all().expect("/proc").any(|it| it.pid == own));
        assert!(handle(own, found.start_ticks).expect("a handle").is_some());
        assert!(handle(own, found.start_ticks + 1).expect("no error").is_none());
        assert_eq!(boot_id().expect("a boot").len(), 36);
    }
}
