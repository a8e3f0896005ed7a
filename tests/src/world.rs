//! A world of its own for each test: a state directory, a directory of instances, the plugins registered over it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::run::Run;
use crate::{LONG, binary, plugin, until_eq};

/// Files by name, with what would tell that one was written anew: inode, time of change in seconds and nanoseconds, size.
pub type Fingerprint = BTreeMap<String, (u64, i64, i64, u64)>;

/// A temporary directory with everything that one test touches. Commands run in it, and know its state directory.
pub struct World {
    dir: TempDir,
    processes: AtomicU32,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world with an empty directory `instances`, and no host yet.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("homeostat-").tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("instances")).expect("a directory of instances");
        Self { dir, processes: AtomicU32::new(0) }
    }

    /// A path in this world.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Write a file, and return its path.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Write a document, and return its path.
    pub fn document(&self, relative: &str, document: &Value) -> PathBuf {
        self.write(relative, format!("{document:#}\n"))
    }

    /// The command with these words, not started yet.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command.args(words).current_dir(self.dir.path()).env("HOMEOSTAT_STATE_DIR", self.path("state"));
        // What the person at this machine has set must not matter, and texts must not be cut to a narrow terminal.
        command.env_remove("HOMEOSTAT_LOG").env_remove("RUST_BACKTRACE").env("NO_COLOR", "1").env("TERM", "dumb");
        command
    }

    /// Run the command with the words of this text, which are separated by blanks.
    #[track_caller]
    pub fn run(&self, words: &str) -> Run {
        self.run_words(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Run the command with these words.
    #[track_caller]
    pub fn run_words(&self, words: &[&str]) -> Run {
        Run::finish(self.command(words), b"")
    }

    /// Run the command with the words of this text and standard input.
    #[track_caller]
    pub fn run_with(&self, words: &str, input: &str) -> Run {
        Run::finish(self.command(words.split_whitespace()), input.as_bytes())
    }

    /// Start a command that is to run beside the test.
    pub fn start(&self, words: &str) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        Process::start(self.command(words.split_whitespace()), &self.path(&format!("log-{number}")).to_string_lossy())
    }

    /// Start a host, and wait until it answers.
    #[track_caller]
    pub fn serve(&self) -> Process {
        self.serve_with("")
    }

    /// Start a host with more options, and wait until it answers.
    #[track_caller]
    pub fn serve_with(&self, options: &str) -> Process {
        let mut host = self.start(&format!("serve {options}"));
        host.until_prints("ready");
        host
    }

    /// Start a host with more options and variables in its environment, and wait until it answers.
    #[track_caller]
    pub fn serve_knowing(&self, options: &str, variables: &[(&str, &str)]) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let mut command = self.command(format!("serve {options}").split_whitespace());
        command.envs(variables.iter().copied());
        let mut host = Process::start(command, &self.path(&format!("log-{number}")).to_string_lossy());
        host.until_prints("ready");
        host
    }

    /// The `Plugins` of a stack: `file` over this world's `instances`, and `vanilla`.
    pub fn plugins(&self) -> Value {
        json!({"file": self.file_plugin("instances"), "vanilla": {"Path": plugin("flavor_vanilla")}})
    }

    /// The file plugin over a directory of this world, as an entry of `Plugins`.
    pub fn file_plugin(&self, dir: &str) -> Value {
        json!({
            "Path": plugin("instance_file"),
            "Grants": {"Dirs": [{"Host": self.path(dir), "Guest": "/instances", "Mode": "rw"}]},
        })
    }

    /// The flavor plugin that does what files in a directory of this world say, as an entry of `Plugins`; see its source,
    /// `guests/probe-flavor`.
    pub fn probe_plugin(&self, dir: &str) -> Value {
        fs::create_dir_all(self.path(dir).join("health")).expect("a directory of a probe");
        json!({
            "Path": plugin("probe_flavor"),
            "Grants": {"Dirs": [{"Host": self.path(dir), "Guest": "/probe", "Mode": "rw"}]},
        })
    }

    /// The provider that misbehaves as files in a directory of this world say, as an entry of `Plugins`; see its source,
    /// `guests/hostile-instance/src/world.rs`.
    pub fn hostile_plugin(&self, dir: &str) -> Value {
        for made in ["instances", "gone", "state"] {
            fs::create_dir_all(self.path(dir).join(made)).expect("a directory of a provider");
        }
        json!({
            "Path": plugin("hostile_instance"),
            "Grants": {"Dirs": [{"Host": self.path(dir), "Guest": "/world", "Mode": "rw"}]},
        })
    }

    /// Write a file at once: nobody reads half of it.
    pub fn put(&self, relative: &str, content: &str) {
        let aside = self.write(".aside", content);
        fs::rename(aside, self.path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"));
    }

    /// Take a file away, if it is there.
    pub fn remove(&self, relative: &str) {
        match fs::remove_file(self.path(relative)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{relative}: {error}"),
            _ => {}
        }
    }

    /// Write `stack.json`: [`Self::plugins`] and these groups.
    pub fn stack(&self, groups: &[Value]) {
        self.document("stack.json", &json!({"Plugins": self.plugins(), "Groups": groups}));
    }

    /// Commit these groups with [`Self::plugins`], and wait until they are as declared.
    #[track_caller]
    pub fn commit(&self, groups: &[Value]) -> Run {
        self.stack(groups);
        self.run("group commit stack.json --wait --timeout 30s").ok()
    }

    /// What `group describe` answers.
    #[track_caller]
    pub fn describe(&self, group: &str) -> Value {
        self.run(&format!("group describe {group} -o json")).ok().json()
    }

    /// Why a group does nothing, as `group describe` tells it.
    #[track_caller]
    pub fn waiting(&self, group: &str) -> String {
        self.describe(group)["Waiting"].to_string()
    }

    /// What `group why` says, in one line.
    #[track_caller]
    pub fn why(&self, words: &str) -> String {
        self.run(&format!("group why {words}")).ok().stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Wait until `group why` says this.
    #[track_caller]
    pub fn until_why(&self, words: &str, text: &str) -> String {
        let what = format!("`group why {words}` says {text:?}");
        let mut last = String::new();
        let deadline = std::time::Instant::now() + LONG;
        while !last.contains(text) {
            assert!(std::time::Instant::now() < deadline, "waited {LONG:?} in vain: {what}; it says: {last}");
            last = self.why(words);
        }
        last
    }

    /// Wait until a group is converged.
    #[track_caller]
    pub fn until_converged(&self, group: &str) {
        until_eq(&format!("{group} is converged"), Value::from("converged"), || self.describe(group)["Status"].clone());
    }

    /// The instances in a directory, by id: files that end in `.json` and hold a whole instance.
    pub fn instances_in(&self, dir: &str) -> BTreeMap<String, Value> {
        let read = |path: &Path| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
        let found = self.names_in(dir).into_iter().filter_map(|name| {
            let value = read(&self.path(dir).join(&name)).filter(|it| it["Format"] == "homeostat/instance-file/1")?;
            Some((name.strip_suffix(".json")?.to_owned(), value))
        });
        found.collect()
    }

    /// The instances in `instances`.
    pub fn instances(&self) -> BTreeMap<String, Value> {
        self.instances_in("instances")
    }

    /// The ids of the instances in `instances`, in order.
    pub fn ids(&self) -> Vec<String> {
        self.names_in("instances").iter().filter_map(|it| it.strip_suffix(".json").map(str::to_owned)).collect()
    }

    /// All that a directory holds, in order, but for the files that a call needs for a moment.
    pub fn names_in(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).unwrap_or_else(|error| panic!("{dir}: {error}"));
        let names = entries.filter_map(|it| Some(it.ok()?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.filter(|it| !it.starts_with('.')).collect();
        names.sort();
        names
    }

    /// All files of `instances`.
    pub fn fingerprint(&self) -> Fingerprint {
        let names = self.names_in("instances").into_iter();
        let print = |name: String| {
            let it = fs::metadata(self.path("instances").join(&name)).ok()?;
            Some((name, (it.ino(), it.mtime(), it.mtime_nsec(), it.len())))
        };
        names.filter_map(print).collect()
    }
}

/// A group of so many files alike: `Init` is what a test changes to get another config.
pub fn group(id: &str, size: i64, init: &str) -> Value {
    json!({"ID": id, "Properties": {
        "Allocation": {"Size": size},
        "Instance": {"Plugin": "file", "Properties": {"Note": id}},
        "Flavor": {"Plugin": "vanilla", "Properties": {"Init": [init], "Tags": {"tier": "web"}}},
    }})
}
