//! Durable intents a second with group commit: 128 callers, each of which waits for its intent before it writes the next.
//!
//! `cargo bench -p homeostat-server --bench journal [-- DIR]`; the state file is made in DIR, by default where the
//! command runs: what is measured is that disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use homeostat_core::ledger::{Creation, Intent, Status};
use homeostat_core::record::GroupRecord;
use homeostat_core::time::Timestamp;
use homeostat_server::store::{Change, Journal, RedbStore, Write};

const CALLERS: usize = 128;
const TIME: Duration = Duration::from_secs(5);

fn group() -> GroupRecord {
    let plugin = |name: &str| serde_json::json!({ "Plugin": name, "Properties": {} });
    let spec = serde_json::json!({
        "ID": "web",
        "Properties": {
            "Allocation": { "Size": 3 }, "Instance": plugin("file"), "Flavor": plugin("vanilla"),
        },
    });
    GroupRecord::new(serde_json::from_value(spec).expect("a spec"), Timestamp(0))
}

fn intent(slot: u32) -> Option<Intent> {
    Some(Intent::Create(Creation {
        slot,
        logical_id: None,
        revision: 1,
        hash: "abcdefghijklmnopqrstuvwxyz".into(),
        since: Timestamp(1_700_000_000_000),
        status: Status::InFlight,
        tried: None,
    }))
}

fn main() {
    let dir = std::env::args().skip(1).find(|it| !it.starts_with('-')).unwrap_or_else(|| ".".into());
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let store = RedbStore::open(&dir.path().join("state.redb")).expect("a store");
    let journal = Journal::start(Arc::new(store)).expect("a thread");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (elapsed, count, worst) = runtime.block_on(async {
        journal.commit(0, vec![Change::PutGroup(group())]).await.expect("open").expect("committed");
        let started = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (journal, done, stop) = (journal.clone(), Arc::clone(&done), Arc::clone(&stop));
                tokio::spawn(async move {
                    let (mut turn, mut worst) = (0u32, Duration::ZERO);
                    while !stop.load(Ordering::Relaxed) {
                        let key = format!("+web-{caller}-{turn}");
                        let began = Instant::now();
                        let write = Write::Intent { group: "web".into(), key: key.clone(), intent: intent(turn) };
                        journal.flush([write]).await.expect("durable");
                        worst = worst.max(began.elapsed());
                        done.fetch_add(1, Ordering::Relaxed);
                        // The end of a step need not be durable before the next one begins.
                        journal.write([Write::Intent { group: "web".into(), key, intent: None }]);
                        turn += 1;
                    }
                    worst
                })
            })
            .collect();
        tokio::time::sleep(TIME).await;
        let (elapsed, count) = (started.elapsed(), done.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
        let mut worst = Duration::ZERO;
        for caller in callers {
            worst = worst.max(caller.await.expect("a caller"));
        }
        journal.close().await.expect("closed");
        (elapsed, count, worst)
    });
    println!(
        "journal: {:.0} durable intents/s with {CALLERS} callers ({count} in {:.1} s; the slowest took {:.1} ms)",
        count as f64 / elapsed.as_secs_f64(),
        elapsed.as_secs_f64(),
        worst.as_secs_f64() * 1e3
    );
}
