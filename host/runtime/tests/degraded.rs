//! A plugin that keeps crashing is left alone for a while, function by function, and tried again by itself.

mod common;

use std::time::Duration;

use common::{Fixture, built, please, spec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallErrorKind, InstancePlugin, Plugin};

async fn crash(plugin: &InstancePlugin) {
    let error = plugin.validate(&please("panic")).await.expect_err("succeeded");
    let CallErrorKind::Trap { stderr, .. } = &error.kind else { panic!("no trap: {error}") };
    assert!(stderr.contains("deliberately"), "{stderr}");
}

/// For how long `validate` is left alone.
async fn rest(plugin: &InstancePlugin) -> Duration {
    let error = plugin.validate(&please("nothing")).await.expect_err("was called");
    let CallErrorKind::Degraded { retry_after, reason } = &error.kind else { panic!("not degraded: {error}") };
    assert!(reason.contains("it crashed") && reason.contains("deliberately"), "{reason}");
    assert!(error.to_string().contains("is left alone for a while"), "{error}");
    assert!(!error.effect_unknown(), "a guest that was not started had no effect");
    *retry_after
}

async fn degraded() -> (Fixture, Plugin, InstancePlugin) {
    let f = Fixture::new();
    let plugin = f.plugin(&spec(&built("hostile_instance"))).await;
    let called = plugin.as_instance().expect("an instance plugin");
    (f, plugin, called)
}

#[tokio::test]
async fn three_crashes_in_a_row_degrade_the_function_and_no_other() {
    let (f, plugin, called) = degraded().await;
    let mut troubles = f.runtime.troubles();
    crash(&called).await;
    crash(&called).await;
    // An answer in between: they are not in a row.
    called.validate(&please("nothing")).await.expect("works");
    for _ in 0..3 {
        crash(&called).await;
    }
    let pause = rest(&called).await;
    assert!(pause <= Duration::from_secs(1), "{pause:?}");
    assert!(called.list(&Tags::new(), false).await.expect("lists").instances.is_empty());

    let degraded = plugin.degraded();
    assert_eq!(degraded.len(), 1);
    assert_eq!(degraded[0].function, "validate");
    assert!(degraded[0].reason.contains("deliberately"), "{}", degraded[0].reason);
    let stats = plugin.stats();
    assert_eq!((stats.trapped, stats.in_flight), (5, 0), "what was not called is not counted");

    let mut opened = Vec::new();
    while let Ok(trouble) = troubles.try_recv() {
        assert_eq!((&*trouble.plugin, trouble.function), ("hostile", "validate"));
        assert_eq!(trouble.digest, plugin.info().digest);
        assert!(trouble.reason.contains("deliberately"), "{}", trouble.reason);
        opened.push(trouble.opened);
    }
    assert_eq!(opened, [false, false, false, false, true]);
}

#[tokio::test]
async fn it_is_tried_again_by_itself_and_later_each_time() {
    let (_f, plugin, called) = degraded().await;
    for _ in 0..3 {
        crash(&called).await;
    }
    tokio::time::sleep(rest(&called).await).await;
    crash(&called).await;
    let second = rest(&called).await;
    assert!(second > Duration::from_secs(1) && second <= Duration::from_secs(2), "{second:?}");
    tokio::time::sleep(second).await;
    called.validate(&please("nothing")).await.expect("is tried, and works");
    assert_eq!(plugin.degraded(), []);
    // All is forgiven: it takes three again.
    crash(&called).await;
    crash(&called).await;
    called.validate(&please("nothing")).await.expect("works");
}

#[tokio::test]
async fn a_caller_that_goes_away_decides_nothing() {
    let (_f, plugin, called) = degraded().await;
    for _ in 0..3 {
        crash(&called).await;
    }
    tokio::time::sleep(rest(&called).await).await;
    tokio::time::timeout(Duration::from_millis(20), called.validate(&please("sleep"))).await.expect_err("ended");
    // The next one is tried instead.
    called.validate(&please("nothing")).await.expect("is tried, and works");
    assert_eq!(plugin.degraded(), []);
}
