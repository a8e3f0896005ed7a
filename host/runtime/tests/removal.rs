//! Flavors that say which instances go first, and flavors that do not.

mod common;

use std::fs;

use common::{Fixture, built, spec};
use homeostat_core::grant::{DirGrant, DirMode};
use homeostat_core::observed::{Health, Instance, InstanceState};
use homeostat_core::outcome::ErrorCode;
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallErrorKind, FlavorPlugin, LoadErrorKind};
use serde_json::{Value, json};

fn instances(ids: &[&str]) -> Vec<Instance> {
    let instance = |id: &&str| Instance {
        id: (*id).into(),
        name: format!("n-{id}"),
        logical_id: None,
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: None,
        addresses: vec![],
        tags: Tags::new(),
        properties: None,
    };
    ids.iter().map(instance).collect()
}

/// The probe, and a way to write the files that steer it.
async fn probe(f: &Fixture, mode: DirMode) -> (FlavorPlugin, impl Fn(&str, &str)) {
    let dir = f.dir.path().join("probe");
    fs::create_dir_all(dir.join("health")).expect("a directory");
    let mut spec = spec(&built("probe_flavor"));
    spec.grants.dirs.push(DirGrant { host: dir.clone(), guest: "/probe".into(), mode });
    let plugin = f.plugin(&spec).await;
    assert!(plugin.info().exports.iter().any(|e| e == "homeostat:plugin/removal@0.1.0"), "{:?}", plugin.info().exports);
    let flavor = plugin.as_flavor().expect("a flavor plugin");
    (flavor, move |file: &str, text: &str| fs::write(dir.join(file), text).expect("a file"))
}

#[tokio::test]
async fn the_flavors_order() {
    let f = Fixture::new();
    let (flavor, say) = probe(&f, DirMode::ReadOnly).await;
    let three = instances(&["a", "b", "c"]);
    let null = Value::Null;
    assert!(flavor.orders_removal() && flavor.read_only().orders_removal());
    assert!(flavor.removal_order(&null, &three).await.expect("orders").is_empty(), "nothing is said yet");

    say("order", "c\nz\na\n");
    assert_eq!(flavor.removal_order(&null, &three).await.expect("orders"), ["c", "a"]);
    assert_eq!(flavor.read_only().removal_order(&null, &three).await.expect("orders"), ["c", "a"]);
    assert!(flavor.removal_order(&null, &[]).await.expect("orders").is_empty());

    say("order", "b\nc\nb\n");
    let error = flavor.removal_order(&null, &three).await.expect_err("was accepted");
    assert_eq!(error.function, "order");
    assert!(matches!(&error.kind, CallErrorKind::Nonsense(what) if what.contains("\"b\" twice")), "{error}");

    say("order-error", "unavailable the quorum is being elected");
    let error = flavor.removal_order(&null, &three).await.expect_err("was done");
    let own = error.plugin_error().expect("the plugin's own");
    assert_eq!((own.code, &*own.message), (ErrorCode::Unavailable, "the quorum is being elected"));
}

#[tokio::test]
async fn a_flavor_without_it_works_as_before() {
    let f = Fixture::new();
    for guest in ["hostile_flavor", "flavor_vanilla"] {
        let flavor = f.plugin(&spec(&built(guest))).await.as_flavor().expect("a flavor plugin");
        assert!(!flavor.orders_removal() && !flavor.read_only().orders_removal());
        let error = flavor.removal_order(&Value::Null, &instances(&["a"])).await.expect_err("was done");
        let own = error.plugin_error().expect("the plugin's own");
        assert_eq!(own.code, ErrorCode::Unimplemented);
        assert!(own.message.contains("homeostat:plugin/removal") && !error.effect_unknown(), "{error}");
        assert_eq!(flavor.health(&Value::Null, &instances(&["a"])).await.expect("judges").len(), 1);
    }
}

#[tokio::test]
async fn an_interface_without_its_function_is_told_when_it_is_loaded() {
    let f = Fixture::new();
    let functions = ["validate", "prepare", "health", "drain"];
    let exported: String = functions.iter().map(|name| format!(r#"(export "{name}" (func $f))"#)).collect();
    let text = format!(
        r#"(component
            (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $meta (export "describe-plugin" (func $f)))
            (instance $flavor {exported})
            (instance $removal (export "ordre" (func $f)))
            (export "homeostat:plugin/meta@0.1.0" (instance $meta))
            (export "homeostat:plugin/flavor@0.1.0" (instance $flavor))
            (export "homeostat:plugin/removal@0.1.0" (instance $removal)))"#
    );
    let (kind, text) = f.refused(&f.wat(&text)).await;
    assert!(matches!(kind, LoadErrorKind::WrongExport { .. }), "{text}");
    assert!(text.contains("flavor-plugin-with-removal") && text.contains("order"), "{text}");
}

/// The other things that the probe does, which the tests of the host rely on.
#[tokio::test]
async fn the_probe_does_as_its_files_say() {
    let f = Fixture::new();
    let (flavor, say) = probe(&f, DirMode::ReadWrite).await;
    let two = instances(&["a", "b"]);
    let null = Value::Null;
    let health = async || flavor.health(&null, &two).await;
    let judged = health().await.expect("judges");
    assert!(judged.iter().all(|report| report.status == Health::Healthy));
    say("health/default", "unknown");
    say("health/b", "unhealthy its disk is full\n");
    let judged = health().await.expect("judges");
    assert_eq!((judged[0].status, judged[1].status), (Health::Unknown, Health::Unhealthy));
    assert_eq!(judged[1].message, "its disk is full");
    say("slow", "200");
    let start = std::time::Instant::now();
    health().await.expect("judges");
    assert!(start.elapsed().as_millis() >= 200, "{:?}", start.elapsed());
    say("health-error", "cannot look");
    let error = health().await.expect_err("was done");
    assert_eq!(error.plugin_error().expect("the plugin's own").code, ErrorCode::Internal);

    flavor.drain(&null, &two[0]).await.expect("drains");
    say("drain-error", "still busy");
    let error = flavor.drain(&null, &two[1]).await.expect_err("was done");
    let own = error.plugin_error().expect("the plugin's own");
    assert_eq!((own.code, &*own.message), (ErrorCode::Unavailable, "still busy"));
    let log = fs::read_to_string(f.dir.path().join("probe/log")).expect("a log");
    assert_eq!(log, "drain a\ndrain b\n");

    let (given, size) = (InstanceSpec::default(), Allocation::Size(1));
    let prepare = async || flavor.prepare(&json!({"Init": "hi"}), &given, &size, "g", 1).await;
    assert_eq!(prepare().await.expect("prepares").init, "hi");
    say("prepare-error", "resource-exhausted no tokens left");
    let error = prepare().await.expect_err("was done");
    let own = error.plugin_error().expect("the plugin's own");
    assert_eq!((own.code, &*own.message), (ErrorCode::ResourceExhausted, "no tokens left"));
}
