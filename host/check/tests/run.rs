//! Runs as a whole: what is waived, what is left behind, what is stopped, and what cannot be run at all.
#![allow(missing_docs, reason = "the names of the tests say it")]

mod common;

use std::fs;
use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use common::{Fixture, built, of_instance};
use homeostat_check::{CannotRun, Id, Level, Options, Outcome, Waivers, check};
use homeostat_core::grant::{DirGrant, DirMode};

fn waived(id: &str, until: &str) -> Waivers {
    let text = format!(r#"[{{"ID": "{id}", "Reason": "the provider is like that", "Until": "{until}"}}]"#);
    Waivers::read(&text).expect("is right")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waived_check_may_fail_until_its_day() {
    let fixture = Fixture::new();
    let file = fixture.broken("broken_instance", "or-filter");
    let only = vec![Id::I5, Id::I8];
    let run = |until| Options { only: only.clone(), waivers: waived("I5", until), ..of_instance(Level::Contract) };
    let report = fixture.check(&file, run("2999-12-31")).await;
    assert!(report.conforms, "{}", report.human());
    assert!(report.verdict.contains("1 required passed, 0 failed, 1 waived until 2999-12-31"), "{}", report.verdict);
    assert!(report.junit().contains("waived until 2999-12-31: the provider is like that"));

    let report = fixture.check(&file, run("2020-01-01")).await;
    assert!(!report.conforms);
    let ended = "its waiver ended on 2020-01-01: the provider is like that";
    assert!(report.human().contains(ended), "{}", report.human());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiver_that_was_not_needed_is_told() {
    let fixture = Fixture::new();
    let options = Options { only: vec![Id::I5], waivers: waived("I5", "2999-12-31"), ..of_instance(Level::Contract) };
    let report = fixture.check(&built("broken_instance"), options).await;
    assert!(report.conforms && report.unneeded.len() == 1);
    assert!(report.human().contains("the waiver of I5 was not needed"), "{}", report.human());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_builds_on_a_failed_check_is_not_run() {
    let fixture = Fixture::new();
    let file = fixture.broken("broken_instance", "dup-on-retry");
    let options = Options { only: vec![Id::I2, Id::I10], ..of_instance(Level::Contract) };
    let report = fixture.check(&file, options).await;
    assert_eq!(report.checks[1].outcome, Outcome::Blocked { by: vec![Id::I2] });
    assert!(report.verdict.contains("1 not run"), "{}", report.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_destroyed_is_named() {
    let fixture = Fixture::new();
    let file = fixture.broken("broken_instance", "never-destroys");
    let options = Options { only: vec![Id::I9], ..of_instance(Level::Contract) };
    let report = fixture.check(&file, options).await;
    assert_eq!(report.counts.failed, 0, "{}", report.human());
    assert!(!report.conforms && report.exit_code() == 1);
    assert!(report.leftovers.len() == 2 && report.leftovers[0].starts_with("check-"), "{:?}", report.leftovers);
    assert!(report.human().contains("LEFT BEHIND check-") && report.junit().contains("clean-up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let world = fixture.dir.path().join("world");
    fs::create_dir(&world).expect("a directory");
    let mut options = Options { repeat: 5000, only: vec![Id::I6], ..of_instance(Level::Contract) };
    options.config.grants.dirs.push(DirGrant {
        host: world.clone(),
        guest: "/broken".into(),
        mode: DirMode::ReadWrite,
    });
    let instances = || {
        let files = fs::read_dir(&world).expect("a directory").flatten();
        files.filter(|it| it.file_name().to_string_lossy().ends_with(".json")).count()
    };
    let most = Mutex::new(0);
    let stop = async {
        // Until the check has made what it lists.
        while instances() < 12 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        *most.lock().expect("a lock") = instances();
    };
    let ended = check(&fixture.runtime, &built("broken_instance"), options, &|_| {}, stop).await;
    assert!(matches!(&ended, Err(CannotRun::Stopped { leftovers }) if leftovers.is_empty()), "{ended:?}");
    assert!(*most.lock().expect("a lock") >= 12);
    assert_eq!(instances(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_plugin_fails_the_first_check() {
    let fixture = Fixture::new();
    let file = fixture.dir.path().join("text.wasm");
    fs::write(&file, "hello").expect("a file");
    let report = fixture.check(&file, Options::default()).await;
    assert!(matches!(report.checks[0].outcome, Outcome::Failed(_)) && report.checks[0].id == Id::S1);
    assert!(report.verdict.starts_with("does not conform to homeostat:plugin at level contract"), "{}", report.verdict);
    assert!(report.checks[1..].iter().all(|it| it.outcome == Outcome::Blocked { by: vec![Id::S1] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_begin_gives_no_verdict() {
    let fixture = Fixture::new();
    let missing = fixture.dir.path().join("none.wasm");
    let ended = check(&fixture.runtime, &missing, Options::default(), &|_| {}, pending()).await;
    assert!(matches!(ended, Err(CannotRun::Load(_))), "{ended:?}");
    let options = Options { only: vec![Id::F1], ..Options::default() };
    let ended = check(&fixture.runtime, &built("broken_instance"), options, &|_| {}, pending()).await;
    let text = ended.expect_err("was run").to_string();
    assert_eq!(text, "F1 is a check for flavor plugins, and this is one for instance");
}
