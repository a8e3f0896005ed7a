//! What sixteen hostile plugins that are called without pause cost everybody else: by how much later a group of another plugin
//! is healed, and how long the API takes to answer.
//!
//! Each is called through the API by a thread of its own, its deed and then something harmless, so that it is never in a row
//! that it crashes: the host may leave none of them alone. Beside that each has a group, and does its deed in its looks too.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use homeostat_tests::plugin;
use serde_json::{Value, json};

use super::{DEADLINE, Host, report};

/// Whether it is done in `list`, or in `validate`; and the deed.
const DEEDS: [(bool, &str); 16] = [
    (false, "spin"),
    (false, "sleep"),
    (false, "twitch"),
    (false, "memory"),
    (false, "stack"),
    (false, "long-panic"),
    (false, "exit"),
    (false, "log"),
    (false, "stderr"),
    (false, "http"),
    (false, "secrets"),
    (false, "handles"),
    (false, "huge"),
    (true, "gigabytes"),
    (true, "many-tags"),
    (true, "bad-json"),
];

/// Instances of the good group.
const SIZE: usize = 10;
/// How often one of them is taken away.
const ROUNDS: usize = 300;
/// The time between two questions to the API.
const ASK: Duration = Duration::from_millis(10);

/// Measure without and with the hostile plugins, and print both.
pub(crate) fn measure() {
    let host = Host::start();
    commit(&host);
    let quiet = look(&host, "nothing else at work");
    let busy = beside_spinners(|| look(&host, "a busy machine"));
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let hostile = thread::scope(|scope| {
        let _stop = Stop(&stop);
        for (in_list, deed) in DEEDS {
            // A list that is well-formed and false has its group made again and again, which is another matter.
            if deed != "many-tags" {
                fs::write(world(&host, deed).join("list"), format!("do {deed}")).expect("a file");
            }
            let (socket, stop, calls) = (socket(&host), &stop, &calls);
            scope.spawn(move || torment(&socket, deed, in_list, stop, calls));
        }
        thread::sleep(Duration::from_secs(3));
        let before = (host.resident(), calls.load(Ordering::Relaxed), Instant::now());
        let hostile = look(&host, "16 hostile plugins at work");
        let (calls, time) = (calls.load(Ordering::Relaxed) - before.1, before.2.elapsed());
        println!(
            "{calls} hostile calls ended meanwhile, in {time:.1?}; {} MiB resident before, {} after",
            before.0,
            host.resident()
        );
        hostile
    });
    println!("slip of a healing, p99 beyond p99: {:+.1} ms (at most 10)", (hostile - quiet) * 1e3);
    println!("on a machine whose processors are kept busy by others: {:+.1} ms", (busy - quiet) * 1e3);
}

/// Measure while every processor has something else to do: what the machine itself, and whoever shares it, takes.
fn beside_spinners<T>(measure: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // Also where measuring panics: the spinners are waited for.
        let _stop = Stop(&stop);
        measure()
    })
}

/// Says that it is over when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Heal again and again, ask the API beside it, and answer with the p99 of a healing in seconds.
fn look(host: &Host, when: &str) -> f64 {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asked_enough = Stop(&stop);
        let asking = scope.spawn(|| {
            let mut client = Client::connect(&socket(host));
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let groups = client.ask("GET", "/v1/groups", None);
                times.push(began.elapsed());
                assert_eq!(groups.as_array().map(Vec::len), Some(DEEDS.len() + 1), "{groups}");
                thread::sleep(ASK);
            }
            times
        });
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            // Well after what the host did itself, as a deletion in production is.
            thread::sleep(Duration::from_millis(150));
            let names = until_all_are_there(host);
            let began = Instant::now();
            fs::remove_file(&names[round % SIZE]).expect("a file");
            until_all_are_there(host);
            times.push(began.elapsed());
        }
        drop(asked_enough);
        let asked = asking.join().expect("ends");
        report(&format!("deletion to replacement, {when}"), times.clone());
        report(&format!("GET /v1/groups, {when}"), asked);
        times.sort_unstable();
        times[((times.len() - 1) as f64 * 0.99).round() as usize].as_secs_f64()
    })
}

/// Wait until the good group has its instances, and return their files: not those that a call needs for a moment.
fn until_all_are_there(host: &Host) -> Vec<PathBuf> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut names = host.names();
        names.retain(|it| it.extension().is_some_and(|it| it == "json"));
        if names.len() == SIZE {
            return names;
        }
        assert!(Instant::now() < deadline, "{} instances where {SIZE} were expected", names.len());
        thread::sleep(Duration::from_micros(500));
    }
}

/// Call a plugin without pause.
fn torment(socket: &Path, deed: &str, in_list: bool, stop: &AtomicBool, calls: &AtomicU64) {
    let mut client = Client::connect(socket);
    let path = format!("/v1/plugins/{deed}/call");
    let call = |what: &str| match in_list {
        true => json!({ "Function": "instance-list", "Tags": { "do": what }, "WithProperties": true }),
        false => json!({ "Function": "instance-validate", "Properties": { "Do": what } }),
    };
    while !stop.load(Ordering::Relaxed) {
        client.ask("POST", &path, Some(&call(deed)));
        let answer = client.ask("POST", &path, Some(&call("nothing")));
        assert!(answer.get("detail").is_none(), "after {deed}: {answer}");
        calls.fetch_add(2, Ordering::Relaxed);
    }
}

fn world(host: &Host, deed: &str) -> PathBuf {
    host.state.path().join(format!("world-{deed}"))
}

fn socket(host: &Host) -> PathBuf {
    host.state.path().join("homeostat.sock")
}

fn commit(host: &Host) {
    let group = |id: &str, plugin: &str, size: usize| {
        let properties = if plugin == "file" { json!({ "Note": "Collabnix Infrakit 101" }) } else { json!({}) };
        json!({ "ID": id, "Properties": {
            "Allocation": { "Size": size },
            "Instance": { "Plugin": plugin, "Properties": properties },
            "Flavor": { "Plugin": "vanilla", "Properties": {} },
        } })
    };
    let file = json!({
        "Path": plugin("instance_file"),
        "Grants": { "Dirs": [{ "Host": host.instances.path(), "Guest": "/instances", "Mode": "rw" }] },
    });
    let mut plugins = json!({ "file": file, "vanilla": { "Path": plugin("flavor_vanilla") } });
    let mut groups = vec![group("fleet", "file", SIZE)];
    for (_, deed) in DEEDS {
        let world = world(host, deed);
        fs::create_dir(&world).expect("a directory");
        fs::write(world.join("file"), "").expect("a file");
        plugins[deed] = json!({
            "Path": plugin("hostile_instance"),
            "Grants": { "Dirs": [{ "Host": world, "Guest": "/world", "Mode": "rw" }] },
            // One that sleeps would be called once a minute.
            "Limits": { "Wall": if deed == "sleep" { "1s" } else { "60s" }, "Memory": "256MiB" },
        });
        groups.push(group(deed, deed, 1));
    }
    let path = host.state.path().join("hostile.json");
    fs::write(&path, json!({ "Plugins": plugins, "Groups": groups }).to_string()).expect("a stack");
    host.run(&["group", "commit", path.to_str().expect("a plain path"), "--wait"]);
}

/// A connection to the host's API that is kept.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(socket: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).expect("the host's socket")))
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: homeostat\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).expect("the host reads");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("the host answers");
            assert!(line.ends_with("\r\n"), "the answer to {method} {path} was cut off: {line:?}");
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the host answers");
        serde_json::from_slice(&body).expect("JSON")
    }
}
