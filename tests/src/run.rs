//! One command, run to its end.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::LONG;

/// What a command answered.
#[derive(Debug)]
pub struct Run {
    /// What was typed.
    pub command: String,
    /// Its exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// Run a command to its end, with this text as standard input.
    ///
    /// # Panics
    /// Where it cannot be started, or does not end within twice [`LONG`]; it is killed then.
    #[track_caller]
    pub(crate) fn finish(mut command: Command, input: &[u8]) -> Self {
        let typed = typed(&command);
        let began = Instant::now();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{typed}: {error}"));
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        // A command that does not read all of its input closes the pipe.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = drain(child.stdout.take().expect("piped"));
        let stderr = drain(child.stderr.take().expect("piped"));
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if began.elapsed() > LONG * 2 {
                let _ = child.kill();
                let _ = child.wait();
                let (stdout, stderr) = (stdout.join().expect("read"), stderr.join().expect("read"));
                panic!("`{typed}` did not end within {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", LONG * 2);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = began.elapsed();
        writer.join().expect("written");
        let (stdout, stderr) = (stdout.join().expect("read"), stderr.join().expect("read"));
        let run = Self { command: typed, code: status.code(), stdout, stderr, took };
        assert!(!host_panicked(&run.stderr), "{}", run.told());
        run
    }

    /// Everything about it, for a failed test.
    pub fn told(&self) -> String {
        let Self { command, code, stdout, stderr, .. } = self;
        format!("`{command}` ended with {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }

    /// It did what was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.ends_with(0)
    }

    /// It ended with this exit status, and said why to standard error where that is not 0.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.told());
        assert!(code == 0 || !self.stderr.trim().is_empty(), "nothing was said of why: {}", self.told());
        self
    }

    /// Standard output holds this.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "{text:?} is not printed: {}", self.told());
        self
    }

    /// Standard error holds this, wherever its lines were wrapped.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&self.stderr).contains(&words(text)), "{text:?} is not said: {}", self.told());
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.told()))
    }
}

/// A command as it would be typed.
pub(crate) fn typed(command: &Command) -> String {
    let words = command.get_args().map(|it| it.to_string_lossy().into_owned());
    std::iter::once("homeostat".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Whether homeostat itself panicked. What a plugin said when it did is a line of the log, under the plugin's name.
pub(crate) fn host_panicked(stderr: &str) -> bool {
    stderr.lines().any(|line| line.contains("panicked at") && !line.contains("plugin="))
}
