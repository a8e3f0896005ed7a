//! A command that runs beside the test: a host.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::run::{Run, host_panicked, typed};
use crate::until;

/// A running command. It is killed when this is dropped, and what it said is shown where the test has failed.
pub struct Process {
    child: Child,
    typed: String,
    began: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    over: bool,
}

impl Process {
    /// Start a command, which writes what it says to files that begin with `log`.
    pub(crate) fn start(mut command: Command, log: &str) -> Self {
        let (stdout, stderr) = (PathBuf::from(format!("{log}.out")), PathBuf::from(format!("{log}.err")));
        let file = |path: &PathBuf| File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        command.stdin(Stdio::null()).stdout(file(&stdout)).stderr(file(&stderr));
        let typed = typed(&command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{typed}: {error}"));
        Self { child, typed, began: Instant::now(), stdout, stderr, over: false }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap_or_default()).into_owned()
    }

    /// What it has printed to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Wait until it has printed this.
    ///
    /// # Panics
    /// Where it ends before, or does not come to it in time.
    #[track_caller]
    pub fn until_prints(&mut self, text: &str) {
        let what = format!("{} prints {text:?}", self.typed);
        until(&what, || {
            // Asked for before it is read, so that nothing can be said in between.
            let over = self.child.try_wait().expect("a child can be waited for");
            let found = self.stdout().contains(text);
            assert!(found || over.is_none(), "{} ended before it printed {text:?}: {}", self.typed, self.stderr());
            found.then_some(())
        });
    }

    /// Send it a signal.
    pub fn signal(&self, signal: Signal) {
        assert!(!self.over, "{} has ended already", self.typed);
        kill_process(self.pid(), signal).expect("a child that was not waited for can be sent signals");
    }

    /// `kill -9`: it has no chance to put anything in order.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        self.over = true;
    }

    /// Ask it to end, and wait until it has.
    #[track_caller]
    pub fn stop(self, signal: Signal) -> Run {
        self.signal(signal);
        self.finish()
    }

    /// Wait until it ends by itself.
    ///
    /// # Panics
    /// Where it does not in time.
    #[track_caller]
    pub fn finish(mut self) -> Run {
        let what = format!("`{}` ends", self.typed);
        let status = until(&what, || self.child.try_wait().expect("a child can be waited for"));
        self.over = true;
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let run = Run { command: self.typed.clone(), code: status.code(), stdout, stderr, took: self.began.elapsed() };
        assert!(!host_panicked(&run.stderr), "{}", run.told());
        run
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let said = self.stdout() + &self.stderr();
            let lines: Vec<&str> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(100)..];
            eprintln!("--- `{}` said, at the end\n{}", self.typed, last.join("\n"));
        }
    }
}
