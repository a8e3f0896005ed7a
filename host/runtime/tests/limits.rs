//! What a guest may cost: each limit is hit for real, and costs the call that hit it and nothing else.

mod common;

use std::time::{Duration, Instant};

use common::{Fixture, built, grant, please, spec};
use homeostat_core::grant::DirMode;
use homeostat_core::outcome::{DestroyReason, ErrorCode};
use homeostat_runtime::{CallError, CallErrorKind, Plugin};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MEMORY: u64 = 32 << 20;

async fn ask(plugin: &Plugin, what: &str) -> Result<(), CallError> {
    plugin.as_instance().expect("an instance plugin").validate(&please(what)).await
}

async fn kind(plugin: &Plugin, what: &str) -> CallErrorKind {
    let error = ask(plugin, what).await.expect_err("succeeded");
    assert!(error.to_string().starts_with("plugin \"hostile\", validate: "), "{error}");
    error.kind
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_wall_and_memory() {
    let f = Fixture::new();
    let plugin = f.limited(MEMORY, MS(100), MS(1500)).await;

    let start = Instant::now();
    assert_eq!(kind(&plugin, "spin").await, CallErrorKind::CpuBudget { limit: MS(100) });
    assert!(start.elapsed() >= MS(100) && start.elapsed() < MS(1500), "{:?}", start.elapsed());

    let start = Instant::now();
    assert_eq!(kind(&plugin, "sleep").await, CallErrorKind::Timeout { limit: MS(1500) });
    assert!(start.elapsed() >= MS(1500) && start.elapsed() < MS(3000), "{:?}", start.elapsed());

    // Three in a row would have it left alone for a while.
    ask(&plugin, "nothing").await.expect("works as before");
    assert_eq!(kind(&plugin, "memory").await, CallErrorKind::Memory { limit: MEMORY });

    // Waiting is not computing: longer than the CPU budget, and fine.
    ask(&plugin, "nap").await.expect("may wait");
    ask(&plugin, "nothing").await.expect("works as before");
    let stats = plugin.stats();
    assert_eq!((stats.failed, stats.trapped, stats.in_flight), (3, 3, 0));
    assert_eq!(stats.calls, 7, "six calls, and the one that described it");
}

#[tokio::test]
async fn crashes() {
    let f = Fixture::new();
    let plugin = f.limited(MEMORY, MS(5000), MS(10_000)).await;
    for (what, message, err) in [
        ("panic", "unreachable", "deliberately"),
        ("unreachable", "unreachable", ""),
        ("exit", "exit status", ""),
        ("stack", "", ""),
        ("flood", "unreachable", "after the flood"),
    ] {
        let CallErrorKind::Trap { message: said, stderr } = kind(&plugin, what).await else {
            panic!("{what}: no trap")
        };
        assert!(said.contains(message), "{what}: {said}");
        assert!(stderr.contains(err), "{what}: {stderr}");
        assert!(stderr.len() < 17 << 10, "{what}: kept {} bytes", stderr.len());
        if what == "flood" {
            assert!(stderr.starts_with("line 0 ") && stderr.contains("bytes left out"), "{stderr:.100}");
        }
        // Three crashes in a row would have it left alone for a while.
        ask(&plugin, "nothing").await.expect("works as before");
    }
    let shown = ask(&plugin, "panic").await.expect_err("succeeded");
    assert!(shown.to_string().ends_with("(deliberately)"), "{shown}");
    assert!(shown.effect_unknown());
}

#[tokio::test]
async fn what_the_host_copies_is_bounded() {
    let f = Fixture::new();
    let plugin = f.limited(512 << 20, MS(5000), MS(10_000)).await;
    let CallErrorKind::Trap { message, .. } = kind(&plugin, "huge").await else { panic!("no trap") };
    assert!(message.contains("fuel"), "{message}");
}

#[tokio::test]
async fn a_memory_limit_below_what_the_guest_begins_with() {
    let f = Fixture::new();
    let mut spec = spec(&built("hostile_instance"));
    spec.limits.memory = 64 << 10;
    let (_, text) = f.refused(&spec).await;
    assert!(text.contains("needs more memory than 64KiB"), "{text}");
}

#[tokio::test]
async fn the_plugins_own_errors() {
    let f = Fixture::new();
    let plugin = f.hostile().await;
    let error = plugin.validate(&please("unavailable")).await.expect_err("succeeded");
    let own = error.plugin_error().expect("the plugin's own");
    assert_eq!((own.code, own.retry_after), (ErrorCode::Unavailable, Some(MS(1500))));
    assert_eq!(own.path.as_deref(), Some("/Do"));
    assert!(!error.effect_unknown());
    assert_eq!(error.to_string(), "plugin \"hostile\", validate: come back later");
    let error = plugin.destroy("internal", DestroyReason::Terminate).await.expect_err("succeeded");
    assert!(error.effect_unknown());
}

#[tokio::test]
async fn nothing_is_reached_that_was_not_granted() {
    let f = Fixture::new();
    let (granted, secret) = (f.dir.path().join("granted"), f.dir.path().join("secret"));
    std::fs::create_dir(&granted).expect("a directory");
    std::fs::write(granted.join("file"), "theirs").expect("a file");
    std::fs::write(&secret, "secret").expect("a file");
    std::os::unix::fs::symlink(f.dir.path(), granted.join("out")).expect("a link");

    let found = async |spec| {
        let plugin = f.plugin(&spec).await.as_instance().expect("an instance plugin");
        let error = plugin.validate(&please("escape")).await.expect_err("succeeded");
        error.plugin_error().expect("the plugin's own").message.clone()
    };
    let mut granting = spec(&built("hostile_instance"));
    assert_eq!(found(granting.clone()).await, "");
    grant(&mut granting, &granted, DirMode::ReadOnly);
    assert_eq!(found(granting.clone()).await, "");
    assert_eq!(std::fs::read(granted.join("file")).expect("a file"), b"theirs");

    granting.grants.dirs[0].mode = DirMode::ReadWrite;
    assert_eq!(found(granting).await, "wrote /granted/new, wrote /granted/file, took /granted/file");
    assert_eq!(std::fs::read(&secret).expect("a file"), b"secret");
}

#[tokio::test]
async fn open_files_are_bounded() {
    let f = Fixture::new();
    std::fs::write(f.dir.path().join("file"), "").expect("a file");
    let mut spec = spec(&built("hostile_instance"));
    grant(&mut spec, f.dir.path(), DirMode::ReadOnly);
    let plugin = f.plugin(&spec).await;
    // Whether the guest sees an error or traps is the engine's affair; that it ends is ours.
    let error = ask(&plugin, "handles").await.expect_err("succeeded");
    if let Some(own) = error.plugin_error() {
        let count: usize = own.message.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(count <= 4096, "{count} files");
    }
    ask(&plugin, "nothing").await.expect("works as before");
}

#[tokio::test]
async fn a_granted_directory_that_goes_and_comes_back() {
    let f = Fixture::new();
    let dir = f.dir.path().join("d");
    std::fs::create_dir(&dir).expect("a directory");
    let mut spec = spec(&built("hostile_instance"));
    grant(&mut spec, &dir, DirMode::ReadOnly);
    let plugin = f.plugin(&spec).await;
    std::fs::remove_dir(&dir).expect("removes");
    let error = ask(&plugin, "nothing").await.expect_err("succeeded");
    assert!(matches!(&error.kind, CallErrorKind::Grant(text) if text.contains("does not exist")), "{error}");
    assert!(!error.effect_unknown());
    std::fs::create_dir(&dir).expect("a directory");
    ask(&plugin, "nothing").await.expect("works again");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_so_many_calls_at_once() {
    let f = Fixture::new();
    let mut spec = spec(&built("hostile_instance"));
    spec.limits.calls = 2;
    let plugin = f.plugin(&spec).await;
    let start = Instant::now();
    let calls: Vec<_> =
        (0..6).map(|_| (plugin.clone(),)).map(|(p,)| tokio::spawn(async move { ask(&p, "nap").await })).collect();
    for call in calls {
        call.await.expect("ends").expect("works");
    }
    // Three rounds of 300 ms.
    assert!(start.elapsed() >= MS(900), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_stops_its_guest() {
    let f = Fixture::with_threads(1);
    let plugin = f.limited(MEMORY, MS(600_000), MS(600_000)).await;
    let work = async || {
        let start = Instant::now();
        ask(&plugin, "work").await.expect("works");
        start.elapsed()
    };
    let alone = work().await;
    for what in ["spin", "sleep"] {
        for _ in 0..40 {
            tokio::time::timeout(MS(5), ask(&plugin, what)).await.expect_err("came to an end");
        }
    }
    assert_eq!(plugin.stats().in_flight, 0);
    // Were the spinning guests still there, they would take 40 parts of 41 of the one thread.
    let after = work().await;
    assert!(after < alone * 10, "{alone:?} alone, {after:?} after");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_may_stop_while_calls_run() {
    let f = Fixture::new();
    let plugin = f.limited(MEMORY, MS(600_000), MS(600_000)).await;
    let call = {
        let plugin = plugin.clone();
        tokio::spawn(async move { ask(&plugin, "sleep").await })
    };
    tokio::time::sleep(MS(50)).await;
    drop(plugin);
    drop(f);
    call.abort();
    assert!(call.await.expect_err("was not stopped").is_cancelled());
}

#[test]
fn spinning_guests_disturb_nobody() {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    control.block_on(async {
        let f = Fixture::new();
        let spinner = f.limited(MEMORY, MS(400), MS(60_000)).await;
        let innocent = f.hostile().await;
        let start = Instant::now();
        let spinners: Vec<_> = (0..8)
            .map(|_| spinner.clone())
            .map(|p| tokio::spawn(async move { ask(&p, "spin").await.expect_err("ended").kind }))
            .collect();

        let (mut late, mut slow, mut calls) = (Duration::ZERO, Duration::ZERO, 0);
        while !spinners.iter().any(tokio::task::JoinHandle::is_finished) {
            let asleep = Instant::now();
            tokio::time::sleep(MS(5)).await;
            late = late.max(asleep.elapsed() - MS(5));
            let called = Instant::now();
            innocent.validate(&please("nothing")).await.expect("works");
            slow = slow.max(called.elapsed());
            calls += 1;
        }
        println!("{calls} innocent calls, the slowest {slow:?}; a timer of 5 ms was {late:?} late at most");
        assert!(calls >= 5, "{calls} calls in {:?}", start.elapsed());
        assert!(slow < MS(250), "an innocent call took {slow:?}");
        assert!(late < MS(100), "a timer was {late:?} late");
        for spinner in spinners {
            assert_eq!(spinner.await.expect("ends"), CallErrorKind::CpuBudget { limit: MS(400) });
        }
    });
}
