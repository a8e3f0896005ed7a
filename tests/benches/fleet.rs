//! Whole fleets on the real binary: from the command to the last file, from a deletion to its replacement, and what it
//! costs to do nothing. `make bench` runs it.
//!
//! Instances are files on tmpfs (`/dev/shm`), so that the disk's noise stays out; the host's state is on the disk. A
//! directory on tmpfs has a size of 20 bytes an entry and 40 for itself, which makes counting files cheap enough not to
//! disturb what is measured.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use homeostat_tests::{binary, plugin};

#[path = "fleet/hostile.rs"]
mod hostile;

const DEADLINE: Duration = Duration::from_secs(120);

/// A running `homeostat serve`, ended when dropped.
struct Host {
    child: Child,
    state: tempfile::TempDir,
    instances: tempfile::TempDir,
}

impl Host {
    fn start() -> Self {
        let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on the disk");
        let instances = tempfile::tempdir_in("/dev/shm").expect("tmpfs at /dev/shm");
        let (child, _) = serve(state.path());
        Self { child, state, instances }
    }

    fn group(&self, size: usize) -> PathBuf {
        let stack = serde_json::json!({
            "Plugins": {
                "file": {
                    "Path": plugin("instance_file"),
                    "Grants": { "Dirs": [{ "Host": self.instances.path(), "Guest": "/instances", "Mode": "rw" }] },
                },
                "vanilla": { "Path": plugin("flavor_vanilla") },
            },
            "Groups": [{ "ID": "fleet", "Properties": {
                "Allocation": { "Size": size },
                "Instance": { "Plugin": "file", "Properties": { "Note": "Collabnix Infrakit 101" } },
                "Flavor": { "Plugin": "vanilla", "Properties": {
                    "Init": ["docker pull dockercloud/hello-world", "docker run -d -p 8080:80 dockercloud/hello-world"],
                    "Tags": { "tier": "web", "project": "infrakit" },
                } },
            } }],
        });
        let path = self.state.path().join("stack.json");
        fs::write(&path, stack.to_string()).expect("a stack");
        path
    }

    fn run(&self, arguments: &[&str]) {
        let done = Command::new(binary()).args(arguments).arg("--state-dir").arg(self.state.path()).output();
        let done = done.expect("homeostat runs");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self, size: usize) {
        let path = self.group(size);
        self.run(&["group", "commit", path.to_str().expect("a plain path")]);
    }

    fn converged(&self, size: usize) {
        let path = self.group(size);
        self.run(&["group", "commit", path.to_str().expect("a plain path"), "--wait"]);
    }

    fn files(&self) -> usize {
        (fs::metadata(self.instances.path()).expect("the directory").len() as usize).saturating_sub(40) / 20
    }

    fn await_files(&self, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        while self.files() != count {
            assert!(Instant::now() < deadline, "{} files where {count} were expected", self.files());
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn names(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> = fs::read_dir(self.instances.path())
            .expect("the directory")
            .map(|it| it.expect("an entry").path())
            .collect();
        names.sort();
        names
    }

    /// Processor time used so far.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the process runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory in MiB.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find(|it| it.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") >> 10
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Start a host; returns when it says that it is ready, with how long that took.
fn serve(state: &Path) -> (Child, Duration) {
    let began = Instant::now();
    let mut command = Command::new(binary());
    command.args(["serve", "--log", "warn", "--state-dir"]).arg(state).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("homeostat runs");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("a line");
    assert!(line.starts_with("ready"), "{line:?}");
    // Whatever else it says has somewhere to go.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (child, began.elapsed())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |it: &Duration| it.as_secs_f64() * 1e3;
    let at = |part: f64| ms(&times[((times.len() - 1) as f64 * part).round() as usize]);
    println!(
        "{what:<52} median {:>8.1} ms   min {:>8.1}   p99 {:>8.1}   max {:>8.1}   ({} runs)",
        at(0.5),
        at(0.0),
        at(0.99),
        at(1.0),
        times.len()
    );
}

fn create(size: usize, runs: usize) {
    let times = (0..runs)
        .map(|_| {
            let host = Host::start();
            // The machine code of the plugins is in the cache after this, as it is on a host that has run before.
            host.converged(1);
            host.converged(0);
            host.await_files(0);
            let began = Instant::now();
            host.commit(size);
            host.await_files(size);
            let took = began.elapsed();
            host.converged(size);
            assert_eq!(host.files(), size, "no more than declared");
            took
        })
        .collect();
    report(&format!("command to last file, 0 to {size}"), times);
}

fn heal(size: usize, deleted: usize, rounds: usize) {
    let host = Host::start();
    host.converged(size);
    let mut times = Vec::new();
    for round in 0..rounds {
        // Well after what the host did itself, as a deletion in production is.
        std::thread::sleep(Duration::from_millis(150));
        let names = host.names();
        assert_eq!(names.len(), size);
        let step = size / deleted;
        let began = Instant::now();
        for victim in names.iter().skip(round % step).step_by(step) {
            fs::remove_file(victim).expect("a file");
        }
        host.await_files(size);
        times.push(began.elapsed());
    }
    report(&format!("deletion to replacement, {deleted} of {size}"), times);
}

fn idle(size: usize) {
    let host = Host::start();
    host.converged(size);
    std::thread::sleep(Duration::from_secs(3));
    let (before, window) = (host.cpu(), Duration::from_secs(60));
    std::thread::sleep(window);
    let percent = 100.0 * (host.cpu() - before).as_secs_f64() / window.as_secs_f64();
    println!(
        "idle with {size} instances{:<31} {percent:>8.2} % of a core, {} MiB resident, over {window:?}",
        "",
        host.resident()
    );
}

fn start(runs: usize) {
    let mut host = Host::start();
    host.converged(5);
    let mut times = Vec::new();
    for _ in 0..runs {
        host.child.kill().expect("ours");
        host.child.wait().expect("ours");
        let (child, took) = serve(host.state.path());
        host.child = child;
        times.push(took);
    }
    report("start to ready, warm code cache, a group of 5", times);
    let times = (0..runs)
        .map(|_| {
            let began = Instant::now();
            host.run(&["group", "ls"]);
            began.elapsed()
        })
        .collect();
    report("`homeostat group ls`, the whole process", times);
}

/// From the commit of another config to the last new instance, all healthy at once.
fn roll(size: usize, batch: usize, runs: usize) {
    let host = Host::start();
    let commit = |note: usize| {
        let path = host.group(size);
        let mut stack: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("a stack")).expect("written above");
        let properties = &mut stack["Groups"][0]["Properties"];
        properties["Instance"]["Properties"]["Note"] = note.to_string().into();
        properties["Updating"] = serde_json::json!({ "MaxUnavailable": batch });
        fs::write(&path, stack.to_string()).expect("a stack");
        host.run(&["group", "commit", path.to_str().expect("a plain path"), "--wait"]);
    };
    commit(0);
    let times = (1..=runs)
        .map(|run| {
            let before = host.names();
            let began = Instant::now();
            commit(run);
            let took = began.elapsed();
            assert!(host.names().iter().all(|it| !before.contains(it)), "all were replaced");
            took
        })
        .collect();
    report(&format!("rolling update of {size}, {batch} at a time"), times);
}

/// Many groups on one host: to converged, then doing nothing.
fn groups(count: usize, size: usize) {
    let host = Host::start();
    let group = |n: usize| {
        serde_json::json!({ "ID": format!("g{n}"), "Properties": {
            "Allocation": { "Size": size }, "Instance": { "Plugin": "brief" }, "Flavor": { "Plugin": "vanilla" },
        } })
    };
    let stack = serde_json::json!({
        "Plugins": {
            "brief": {
                "Path": plugin("brief_instance"),
                "Grants": { "Dirs": [{ "Host": host.instances.path(), "Guest": "/world", "Mode": "rw" }] },
            },
            "vanilla": { "Path": plugin("flavor_vanilla") },
        },
        "Groups": (0..count).map(group).collect::<Vec<_>>(),
    });
    let path = host.state.path().join("groups.json");
    fs::write(&path, stack.to_string()).expect("a stack");
    let began = Instant::now();
    host.run(&["group", "commit", path.to_str().expect("a plain path"), "--wait"]);
    println!("{count} groups of {size}, command to converged{:<20} {:>8.1?}", "", began.elapsed());
    // What was begun is watched for a while, and settled in the state file.
    std::thread::sleep(Duration::from_secs(30));
    let state = host.state.path().join("state.redb");
    let written = || fs::metadata(&state).expect("the state").modified().expect("a time");
    let (before, modified, window) = (host.cpu(), written(), Duration::from_secs(60));
    std::thread::sleep(window);
    let percent = 100.0 * (host.cpu() - before).as_secs_f64() / window.as_secs_f64();
    let quiet = if written() == modified { "no write of the state" } else { "THE STATE WAS WRITTEN" };
    println!(
        "idle with {count} groups of {size}{:<24} {percent:>8.2} % of a core, {} MiB resident, {quiet}, over {window:?}",
        "",
        host.resident()
    );
}

/// From the start of a host that was killed to its first plan: all instances are listed, and nothing is to be done.
fn restart(size: usize, runs: usize) {
    let mut host = Host::start();
    host.converged(size);
    let times = (0..runs)
        .map(|_| {
            host.child.kill().expect("ours");
            host.child.wait().expect("ours");
            let began = Instant::now();
            let (child, _) = serve(host.state.path());
            host.child = child;
            loop {
                let described = Command::new(binary())
                    .args(["group", "ls", "-o", "json", "--state-dir"])
                    .arg(host.state.path())
                    .output()
                    .expect("homeostat runs");
                let groups: serde_json::Value = serde_json::from_slice(&described.stdout).expect("JSON");
                if groups[0]["Report"]["Counts"]["Actual"] == size {
                    return began.elapsed();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        })
        .collect();
    report(&format!("kill to first plan with {size}"), times);
}

fn main() {
    // `cargo bench` passes --bench; anything else chooses sections by name.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    if chosen("start") {
        start(20);
    }
    if chosen("create") {
        for (size, runs) in [(100, 7), (1_000, 7), (5_000, 5), (20_000, 3)] {
            create(size, runs);
        }
    }
    if chosen("heal") {
        heal(100, 10, 100);
        heal(1_000, 100, 100);
    }
    if chosen("roll") {
        roll(100, 10, 20);
    }
    if chosen("hostile") {
        hostile::measure();
    }
    if chosen("restart") {
        restart(100_000, 3);
    }
    if chosen("groups") {
        groups(1_000, 100);
    }
    if chosen("idle") {
        idle(1_000);
        idle(10_000);
    }
}
