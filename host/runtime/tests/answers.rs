//! Answers that keep the contract, and answers that break it.

mod common;

use std::future::Future;

use common::{Fixture, built, please, spec};
use homeostat_core::observed::{Health, Instance, InstanceState};
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{
    CallError, CallErrorKind, FlavorPlugin, FlavorReader, InstancePlugin, InstanceReader, Runtime,
};
use serde_json::{Value, json};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn nonsense(error: CallError) -> String {
    assert!(error.effect_unknown());
    match error.kind {
        CallErrorKind::Nonsense(what) => what,
        kind => panic!("not nonsense: {kind}"),
    }
}

#[tokio::test]
async fn listings() {
    let f = Fixture::new();
    let plugin = f.hostile().await;
    let list = async |what| plugin.list(&tags(&[("do", what)]), true).await;

    let pages = list("three-pages").await.expect("lists");
    assert_eq!(pages.instances.iter().map(|i| &*i.id).collect::<Vec<_>>(), ["id-0", "id-1", "id-2", "id-3", "id-4"]);
    assert!(pages.complete);
    assert_eq!(pages.instances[0].properties, Some(json!({"N": 1})));
    assert_eq!(pages.instances[0].tags, tags(&[("infrakit.group", "g")]));
    assert_eq!(pages.instances[0].state, InstanceState::Running);
    assert!(!list("incomplete").await.expect("lists").complete, "the first page said that something is missing");
    assert!(list("nothing").await.expect("lists").instances.is_empty());

    for (what, says) in [
        ("same-cursor", "cursor"),
        ("empty-pages", "100 pages in a row"),
        ("same-id", "\"id-7\" occurs twice"),
        ("same-tag", "\"id-1\" has a tag twice"),
        ("bad-json", "the properties of instance \"id-1\" are no JSON"),
        ("no-id", "empty id"),
    ] {
        let error = nonsense(list(what).await.expect_err("was accepted"));
        assert!(error.contains(says), "{what}: {error}");
    }
    // Three million instances on one page: memory or copying ends it, not the host.
    let error = list("flood").await.expect_err("was accepted");
    assert!(matches!(error.kind, CallErrorKind::Memory { .. } | CallErrorKind::Trap { .. }), "{error}");
}

#[tokio::test]
async fn provisioning() {
    let f = Fixture::new();
    let plugin = f.hostile().await;
    let spec = |what: &str| InstanceSpec { properties: please(what), ..InstanceSpec::default() };
    assert_eq!(plugin.provision("one", &spec("nothing")).await.expect("provisions"), "id-one");
    assert!(nonsense(plugin.provision("one", &spec("empty-id")).await.expect_err("was accepted")).contains("empty"));
    assert!(plugin.label("id", &tags(&[])).await.expect_err("was done").plugin_error().is_some());
}

fn flavored() -> InstanceSpec {
    InstanceSpec {
        properties: json!({"Note": "hi"}),
        tags: tags(&[("infrakit.group", "g"), ("mine", "1")]),
        logical_id: Some("pet".into()),
        ..InstanceSpec::default()
    }
}

#[tokio::test]
async fn preparing() {
    let f = Fixture::new();
    let plugin = f.plugin(&spec(&built("hostile_flavor"))).await.as_flavor().expect("a flavor plugin");
    let prepare = async |what: &str| {
        let one = Allocation::LogicalIds(vec!["pet".into()]);
        plugin.prepare(&Value::from(what), &flavored(), &one, "g", 3).await
    };
    let prepared = prepare("well").await.expect("prepares");
    let mut expected = flavored();
    expected.init = "echo g 3".into();
    expected.tags.insert("tier".into(), "web".into());
    assert_eq!(prepared, expected);
    for (what, says) in [
        ("add-reserved", "\"homeostat.slot\""),
        ("change-reserved", "\"infrakit.group\""),
        ("drop-reserved", "\"infrakit.group\""),
        ("change-logical-id", "from \"pet\" to \"another\""),
        ("bad-json", "no JSON"),
        ("same-tag", "a tag twice"),
    ] {
        let error = nonsense(prepare(what).await.expect_err("was accepted"));
        assert!(error.contains(says), "{what}: {error}");
    }
}

#[tokio::test]
async fn health_and_drain() {
    let f = Fixture::new();
    let plugin = f.plugin(&spec(&built("hostile_flavor"))).await.as_flavor().expect("a flavor plugin");
    let instance = Instance {
        id: "i".into(),
        name: "n".into(),
        logical_id: None,
        state: InstanceState::Stopped,
        message: String::new(),
        created_at_ms: None,
        addresses: vec![],
        tags: Tags::new(),
        properties: None,
    };
    let two = [instance.clone(), instance.clone()];
    let reports = plugin.health(&"well".into(), &two).await.expect("judges");
    assert!(reports.len() == 2 && reports.iter().all(|r| r.status == Health::Healthy));
    assert!(plugin.health(&"well".into(), &[]).await.expect("judges").is_empty());
    for (what, says) in [("one-less", "1 health reports for 2"), ("one-more", "3 health reports for 2")] {
        let error = nonsense(plugin.health(&what.into(), &two).await.expect_err("was accepted"));
        assert!(error.contains(says), "{error}");
    }
    plugin.drain(&"well".into(), &instance).await.expect("drains");
    plugin.validate(&"well".into(), &Allocation::Size(1)).await.expect("is valid");
    assert!(
        plugin.validate(&"well".into(), &Allocation::Size(0)).await.expect_err("was accepted").plugin_error().is_some()
    );
}

/// As below, for what only reads.
#[allow(dead_code)]
fn reading_can_be_spawned(instance: &InstanceReader, flavor: &FlavorReader, i: &Instance) {
    fn send(_: impl Future + Send) {}
    let (value, spec, tags, size) = (Value::Null, InstanceSpec::default(), Tags::new(), Allocation::Size(1));
    send(instance.validate(&value));
    send(instance.list(&tags, true));
    send(flavor.validate(&value, &size));
    send(flavor.prepare(&value, &spec, &size, "g", 1));
    send(flavor.health(&value, std::slice::from_ref(i)));
    send(flavor.removal_order(&value, std::slice::from_ref(i)));
}

/// Callers spawn these: not a test that runs, but one that compiles.
#[allow(dead_code)]
fn calls_can_be_spawned(runtime: &Runtime, instance: &InstancePlugin, flavor: &FlavorPlugin, i: &Instance) {
    fn send(_: impl Future + Send) {}
    let (value, spec, tags, size) = (Value::Null, InstanceSpec::default(), Tags::new(), Allocation::Size(1));
    send(runtime.load("p", &common::spec("p".as_ref())));
    send(instance.validate(&value));
    send(instance.provision("n", &spec));
    send(instance.label("i", &tags));
    send(instance.destroy("i", homeostat_core::outcome::DestroyReason::Terminate));
    send(instance.list(&tags, true));
    send(flavor.validate(&value, &size));
    send(flavor.prepare(&value, &spec, &size, "g", 1));
    send(flavor.health(&value, std::slice::from_ref(i)));
    send(flavor.drain(&value, i));
    send(flavor.removal_order(&value, std::slice::from_ref(i)));
}
