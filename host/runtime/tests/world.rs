//! The hostile guest as a provider: what the tests of the host rely on.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use common::{Fixture, built, spec};
use homeostat_core::grant::{DirGrant, DirMode};
use homeostat_core::observed::{InstanceState, Listing};
use homeostat_core::outcome::{DestroyReason, ErrorCode};
use homeostat_core::spec::InstanceSpec;
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, CallErrorKind, InstancePlugin};
use serde_json::json;

struct World {
    plugin: InstancePlugin,
    dir: PathBuf,
    _fixture: Fixture,
}

impl World {
    async fn new() -> Self {
        let f = Fixture::new();
        let dir = f.dir.path().join("world");
        fs::create_dir_all(dir.join("state")).expect("a directory");
        let mut spec = spec(&built("hostile_instance"));
        spec.grants.dirs.push(DirGrant { host: dir.clone(), guest: "/world".into(), mode: DirMode::ReadWrite });
        let plugin = f.plugin(&spec).await.as_instance().expect("an instance plugin");
        Self { plugin, dir, _fixture: f }
    }

    fn say(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).expect("a file");
    }

    async fn make(&self, name: &str) -> Result<String, CallError> {
        let tags = Tags::from([("infrakit.group".into(), "g".into())]);
        let given = InstanceSpec { properties: json!({"Note": 1}), tags, ..InstanceSpec::default() };
        self.plugin.provision(name, &given).await
    }

    async fn list(&self) -> Listing {
        self.plugin.list(&Tags::from([("infrakit.group".into(), "g".into())]), false).await.expect("lists")
    }

    async fn names(&self) -> Vec<String> {
        self.list().await.instances.into_iter().map(|instance| instance.name).collect()
    }
}

fn code(error: &CallError) -> ErrorCode {
    error.plugin_error().expect("the plugin's own").code
}

#[tokio::test]
async fn it_keeps_the_contract_unless_it_is_told_otherwise() {
    let world = World::new().await;
    assert!(world.names().await.is_empty());
    assert_eq!(world.make("one").await.expect("provisions"), "id-one");
    assert_eq!(world.make("one").await.expect("is idempotent"), "id-one");
    let other = world.plugin.provision("one", &InstanceSpec::default()).await.expect_err("was done");
    assert_eq!(code(&other), ErrorCode::AlreadyExists);
    world.plugin.label("id-one", &Tags::from([("a".into(), "b".into())])).await.expect("labels");
    assert_eq!(world.make("one").await.expect("a label makes no other spec"), "id-one");
    let listed = world.list().await;
    assert!(listed.complete && listed.instances.len() == 1);
    assert_eq!(listed.instances[0].tags["a"], "b");
    assert!(
        world
            .plugin
            .list(&Tags::from([("infrakit.group".into(), "h".into())]), false)
            .await
            .expect("lists")
            .instances
            .is_empty()
    );

    world.say("state/one", "stopped the power went");
    let stopped = &world.list().await.instances[0];
    assert_eq!((stopped.state, &*stopped.message), (InstanceState::Stopped, "the power went"));

    for _ in 0..2 {
        world.plugin.destroy("id-one", DestroyReason::Unhealthy).await.expect("destroys");
    }
    assert!(world.names().await.is_empty());
    assert!(fs::read_to_string(world.dir.join("gone/one")).expect("is kept").contains("Unhealthy"));
}

#[tokio::test]
async fn it_lists_as_it_is_told() {
    let world = World::new().await;
    for name in ["c", "a", "b"] {
        world.make(name).await.expect("provisions");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(world.names().await, ["a", "b", "c"]);
    for (order, names, complete) in [
        ("hide 1", &["a", "c"][..], true),
        ("hide 9", &[], true),
        ("incomplete", &["a", "b", "c"], false),
        ("incomplete 2", &["c"], false),
        ("empty", &[], true),
        ("stale 600000", &[], true),
        ("stale 0", &["a", "b", "c"], true),
    ] {
        world.say("list", order);
        assert_eq!(world.names().await, names, "{order}");
        assert_eq!(world.list().await.complete, complete, "{order}");
    }
    world.say("list", "fail unavailable the API is down");
    let error = world.plugin.list(&Tags::new(), false).await.expect_err("was done");
    assert_eq!(error.plugin_error().expect("the plugin's own").message, "the API is down");
    world.say("list", "once empty");
    assert!(world.names().await.is_empty());
    assert_eq!(world.names().await.len(), 3, "once is once");
    world.say("list", "trap");
    let error = world.plugin.list(&Tags::new(), false).await.expect_err("was done");
    assert!(matches!(error.kind, CallErrorKind::Trap { .. }), "{error}");
}

#[tokio::test]
async fn it_loses_answers() {
    let world = World::new().await;
    world.say("provision", "once lose");
    let error = world.make("lost").await.expect_err("was answered");
    assert!(matches!(error.kind, CallErrorKind::Trap { .. }) && error.effect_unknown(), "{error}");
    assert_eq!(world.names().await, ["lost"]);
    assert_eq!(world.make("lost").await.expect("is there"), "id-lost");

    world.say("provision", "once lose internal who knows");
    assert_eq!(code(&world.make("said").await.expect_err("was answered")), ErrorCode::Internal);
    assert_eq!(world.names().await, ["lost", "said"]);

    world.say("provision", "fail resource-exhausted no quota");
    assert_eq!(code(&world.make("none").await.expect_err("was done")), ErrorCode::ResourceExhausted);
    world.say("provision", "trap");
    assert!(matches!(world.make("none").await.expect_err("was done").kind, CallErrorKind::Trap { .. }));
    assert_eq!(world.names().await, ["lost", "said"], "nothing was made");

    for order in ["once slow 200", "once late 200"] {
        world.say("provision", order);
        let start = Instant::now();
        world.make("slow").await.expect("provisions");
        assert!(start.elapsed().as_millis() >= 200, "{order}");
    }

    world.say("destroy", "once lose");
    world.plugin.destroy("id-lost", DestroyReason::Terminate).await.expect_err("was answered");
    assert_eq!(world.names().await, ["said", "slow"]);
    world.say("destroy", "fail unavailable later");
    world.plugin.destroy("id-said", DestroyReason::Terminate).await.expect_err("was done");
    assert_eq!(world.names().await, ["said", "slow"]);
}
