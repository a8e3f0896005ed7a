//! Real processes in a folder of their own, all of them ended with the test.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use homeostat_process::{Command, Process, ProcessState, Processes, Retention, Supervisor};
use rustix::process::{Pid, Signal, kill_process};

/// The plugin of all tests that need no second one.
pub(crate) const PLUGIN: &str = "acme/web";

pub(crate) struct World {
    pub(crate) processes: Processes,
    pub(crate) root: PathBuf,
    /// Removed when the test ends, after all that runs in it was ended.
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("exec");
        Self { processes: open(&root), root, _folder: folder }
    }

    pub(crate) fn dir(&self, key: &str) -> PathBuf {
        self.root.join(PLUGIN.replace('/', "%")).join(key)
    }

    pub(crate) fn start(&self, key: &str, command: &Command) -> Process {
        self.processes.start(PLUGIN, key, command, "").expect("it starts")
    }

    pub(crate) fn find(&self, key: &str) -> Option<Process> {
        self.processes.find(PLUGIN, key).expect("no error")
    }

    pub(crate) fn state(&self, key: &str) -> ProcessState {
        self.find(key).expect("a process").state
    }

    /// Wait until a process is as it should be.
    #[track_caller]
    pub(crate) fn until(&self, key: &str, right: impl Fn(&Option<Process>) -> bool) -> Option<Process> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.find(key);
            if right(&found) {
                return found;
            }
            assert!(Instant::now() < end, "{key} stays {found:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub(crate) fn until_ended(&self, key: &str) -> Process {
        let ended = |it: &Option<Process>| it.as_ref().is_some_and(|it| it.pid.is_none());
        self.until(key, ended).expect("a process")
    }

    #[track_caller]
    pub(crate) fn until_gone(&self, key: &str) {
        self.until(key, Option::is_none);
    }

    /// Wait until nothing is left of any process: a name is free a moment before what it stood for is removed.
    #[track_caller]
    pub(crate) fn until_empty(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        let folder = self.root.join(PLUGIN.replace('/', "%"));
        while fs::read_dir(&folder).expect("a folder").count() > 0 {
            assert!(Instant::now() < end, "something is left in {}", folder.display());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The supervisor of a process: its only parent.
    pub(crate) fn supervisor(&self, key: &str) -> u32 {
        let pid = self.find(key).and_then(|it| it.pid).expect("it runs");
        parent(pid).expect("a parent")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        end(&self.root);
    }
}

/// End what runs below a directory, whatever a test did to it: all that has it in its command line, or runs or writes
/// there.
fn end(root: &Path) {
    for _ in 0..200 {
        let mut found = false;
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse::<i32>().ok()) else { continue };
            let ours = |link: &str| fs::read_link(entry.path().join(link)).is_ok_and(|it| it.starts_with(root));
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let supervises = words.split(|&it| it == 0).any(|it| it.starts_with(root.as_os_str().as_encoded_bytes()));
            if supervises || ours("fd/1") || ours("fd/2") || ours("cwd") {
                found = true;
                let _ = kill_process(Pid::from_raw(pid).expect("a number"), Signal::KILL);
            }
        }
        if !found {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("{} has processes that do not end", root.display());
}

pub(crate) fn open(root: &Path) -> Processes {
    let supervisor = Supervisor { program: env!("CARGO_BIN_EXE_homeostat-supervise").into() };
    Processes::open(root, supervisor).expect("it opens")
}

pub(crate) fn command(path: &str, args: &[&str]) -> Command {
    Command {
        program: "program".into(),
        path: path.into(),
        args: args.iter().map(|&it| it.to_owned()).collect(),
        env: BTreeMap::new(),
        directory: None,
        limits: BTreeMap::new(),
        stop_timeout: Duration::from_secs(5),
        retention: Retention::default(),
    }
}

pub(crate) fn sleep() -> Command {
    command("/bin/sleep", &["300"])
}

pub(crate) fn shell(script: &str) -> Command {
    command("/bin/sh", &["-c", script])
}

pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a number");
    kill_process(pid, Signal::KILL).expect("it is there to be killed");
}

/// The fields of `/proc/PID/stat` after the name.
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

pub(crate) fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|it| it[0] != "Z" && it[0] != "X")
}

#[track_caller]
pub(crate) fn until_dead(pid: u32) {
    let end = Instant::now() + Duration::from_secs(10);
    while runs(pid) {
        assert!(Instant::now() < end, "{pid} does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?[1].parse().ok()
}

/// The children of this process that have ended and were not buried.
pub(crate) fn zombies() -> usize {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).filter(|it| it[0] == "Z" && it[1] == own.to_string()).count()
}

/// Numbers that a script wrote, one a line.
pub(crate) fn numbers(path: &Path) -> Vec<u32> {
    fs::read_to_string(path).unwrap_or_default().lines().filter_map(|it| it.parse().ok()).collect()
}
