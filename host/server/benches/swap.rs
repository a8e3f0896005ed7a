//! Swapping a plugin that is used a thousand times a second: calls that fail (none may), the longest call beside the longest
//! without any swap, and what 500 swaps leave behind in memory.
//!
//! `cargo bench -p homeostat-server --bench swap` after `make build`. The two versions are the file plugin and the same with
//! one more custom section, so that each has machine code of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use homeostat_server::call::Call;
use homeostat_server::view::{AddPlugin, SwapRequest};
use homeostat_server::{Host, HostConfig};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// The time between two calls.
const EVERY: Duration = Duration::from_millis(1);
/// How long calls are watched without a swap.
const NORMAL: Duration = Duration::from_secs(20);
const SWAPS: usize = 500;
/// The time between two swaps.
const PAUSE: Duration = Duration::from_millis(40);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let files = versions(dir.path());
    runtime.block_on(async {
        let host = Host::open(HostConfig::new(dir.path().join("state"))).await.expect("a host");
        let request: AddPlugin =
            serde_json::from_value(json!({ "Name": "file", "Path": files[0] })).expect("a request");
        host.add_plugin(&request).await.expect("is registered");
        // Both are compiled, and what is allocated once is there.
        for n in 0..20 {
            swap(&host, &files[(n + 1) % 2]).await;
        }
        let normal = calls(&host, tokio::time::sleep(NORMAL)).await;
        report("calls without swaps", &normal);

        let before = resident();
        let mut took = Vec::new();
        let swapped = calls(&host, async {
            for n in 0..SWAPS {
                tokio::time::sleep(PAUSE).await;
                let began = Instant::now();
                swap(&host, &files[(n + 1) % 2]).await;
                took.push(Ok(began.elapsed()));
            }
        })
        .await;
        report(&format!("calls during {SWAPS} swaps"), &swapped);
        report("the swaps themselves", &took);
        let longest = |of: &[Timed]| of.iter().filter_map(|it| it.as_ref().ok()).max().copied().unwrap_or_default();
        let beyond = longest(&swapped).as_secs_f64() - longest(&normal).as_secs_f64();
        println!("longest call beyond the longest without swaps: {:+.2} ms (at most 5)", beyond * 1e3);
        println!("resident memory before {before} MiB, after {} MiB", resident());
        host.shutdown().await;
    });
}

/// How long a call took, or how it failed.
type Timed = Result<Duration, String>;

/// Make calls until this is over. They are begun by the clock, whatever becomes of those before.
async fn calls(host: &Host, until: impl Future<Output = ()>) -> Vec<Timed> {
    let stop = Arc::new(AtomicBool::new(false));
    let (send, mut receive) = mpsc::unbounded_channel();
    let caller = tokio::spawn({
        let (host, stop) = (host.clone(), stop.clone());
        async move {
            let mut clock = tokio::time::interval(EVERY);
            clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while !stop.load(Ordering::Relaxed) {
                clock.tick().await;
                let (host, send) = (host.clone(), send.clone());
                tokio::spawn(async move {
                    let began = Instant::now();
                    let properties = json!({ "Note": "Collabnix Infrakit 101" });
                    let answer = host.call("file", Call::InstanceValidate { properties }).await;
                    let timed = answer.map(|_| began.elapsed()).map_err(|error| error.to_string());
                    send.send(timed).expect("is received");
                });
            }
        }
    });
    until.await;
    stop.store(true, Ordering::Relaxed);
    caller.await.expect("ends");
    let mut ended = Vec::new();
    while let Some(timed) = receive.recv().await {
        ended.push(timed);
    }
    ended
}

async fn swap(host: &Host, file: &Path) {
    let request = SwapRequest { source: Some(file.to_owned().into()), ..SwapRequest::default() };
    host.swap_plugin("file", &request).await.expect("is swapped");
}

/// Two files that are the same plugin.
fn versions(dir: &Path) -> [PathBuf; 2] {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let built = workspace.join(target).join("wasm32-wasip2/release/instance_file.wasm");
    let bytes = std::fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}: `make build`", built.display()));
    ["a", "b"].map(|version| {
        let path = dir.join(format!("{version}.wasm"));
        // A custom section: its id, its size, the size of its name, its name, its content.
        let section = [&[0, 9, 7][..], b"version", version.as_bytes()].concat();
        std::fs::write(&path, [&bytes[..], &section].concat()).expect("a file");
        path
    })
}

fn report(what: &str, all: &[Timed]) {
    let mut times: Vec<Duration> = all.iter().filter_map(|it| it.as_ref().ok().copied()).collect();
    times.sort_unstable();
    let failed: Vec<&String> = all.iter().filter_map(|it| it.as_ref().err()).collect();
    assert!(!times.is_empty(), "all failed: {failed:?}");
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
    println!(
        "{what:<28} {:>6} ended well, {} failed   median {:>7.3} ms   p99 {:>7.3}   max {:>7.3}",
        times.len(),
        failed.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    if let Some(first) = failed.first() {
        println!("  the first that failed: {first}");
    }
}

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") >> 10
}
