//! Two versions of the contract, served side by side: the one that is released, and the draft of the next.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Fixture, built, patched, spec};
use homeostat_core::grant::{DirGrant, DirMode, SecretSource};
use homeostat_core::observed::{Health, Instance, InstanceState};
use homeostat_core::outcome::{DestroyReason, ErrorCode, PluginError};
use homeostat_core::spec::{Allocation, InstanceSpec, PluginSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, InstancePlugin, LoadErrorKind, Provisioned};
use serde_json::{Value, json};

/// An instance plugin that keeps its instances as files in a directory of its own, `guest` to itself.
fn keeper(f: &Fixture, file: &str, guest: &str) -> (PluginSpec, PathBuf) {
    let host = f.dir.path().join(file);
    fs::create_dir(&host).expect("a directory");
    let mut spec = spec(&built(file));
    spec.grants.dirs.push(DirGrant { host: host.clone(), guest: guest.into(), mode: DirMode::ReadWrite });
    (spec, host)
}

fn draft(f: &Fixture) -> (PluginSpec, PathBuf) {
    keeper(f, "draft_instance", "/world")
}

fn tagged(properties: Value) -> InstanceSpec {
    let tags = Tags::from([("infrakit.group".into(), "g".into())]);
    InstanceSpec { properties, tags, ..InstanceSpec::default() }
}

fn said(result: Result<impl Sized, CallError>) -> PluginError {
    result.err().expect("was done").plugin_error().expect("the plugin's own").clone()
}

/// All that an instance plugin can be asked, of whichever version it is. What it says of whether an instance was there
/// already is the one thing that differs: of the first call, and of the second.
async fn lives(plugin: &InstancePlugin, there: [Option<bool>; 2]) {
    let spec = tagged(json!({"Note": 1}));
    plugin.validate(&spec.properties).await.expect("is right");
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let Provisioned { id, already_existed } = plugin.provision_or_find(name, &spec).await.expect("is made");
        assert_eq!(already_existed, there[0]);
        ids.push(id);
    }
    let again = plugin.provision_or_find("a", &spec).await.expect("is idempotent");
    assert_eq!(again, Provisioned { id: ids[0].clone(), already_existed: there[1] });
    assert_eq!(plugin.provision("a", &spec).await.expect("is idempotent"), ids[0]);
    assert_eq!(said(plugin.provision("a", &tagged(json!({"Note": 2}))).await).code, ErrorCode::AlreadyExists);

    let new = Tags::from([("k".into(), "v".into())]);
    plugin.label(&ids[1], &new).await.expect("labels");
    assert_eq!(said(plugin.label("none", &new).await).code, ErrorCode::NotFound);
    let all = plugin.list(&spec.tags, true).await.expect("lists");
    let names = |instances: &[Instance]| instances.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&all.instances), all.complete), (["a", "b", "c"].map(String::from).to_vec(), true));
    assert_eq!(all.instances[1].tags, Tags::from([("infrakit.group".into(), "g".into()), ("k".into(), "v".into())]));
    assert_eq!(all.instances[2].properties.as_ref().expect("are given")["Note"], 1);
    assert_eq!(plugin.list(&new, false).await.expect("lists").instances.len(), 1);
    let some = ["c", "a", "none"].map(String::from);
    for listing in [
        plugin.list_named(&spec.tags, &some, false).await.expect("lists"),
        plugin.read_only().list_named(&spec.tags, &some, false).await.expect("lists"),
    ] {
        assert_eq!((names(&listing.instances), listing.complete), (["a", "c"].map(String::from).to_vec(), true));
    }
    let everything = plugin.list_named(&spec.tags, &[], false).await.expect("lists");
    assert_eq!(names(&everything.instances).len(), 3);

    for id in ids.iter().chain(&ids) {
        plugin.destroy(id, DestroyReason::Terminate).await.expect("is gone");
    }
    assert!(plugin.list(&Tags::new(), false).await.expect("lists").instances.is_empty());
}

#[tokio::test]
async fn one_runtime_serves_both_at_the_same_time_through_the_same_functions() {
    let f = Fixture::with_drafts();
    let (old, new) = (keeper(&f, "instance_file", "/instances").0, draft(&f).0);
    let (old, new) = (f.plugin(&old).await, f.plugin(&new).await);
    assert_eq!((&*old.info().contract, old.info().draft), ("homeostat:plugin@0.1.0", false));
    assert_eq!((&*new.info().contract, new.info().draft), ("homeostat:plugin@0.2.0", true));
    assert!(new.info().imports.iter().any(|it| it == "homeostat:plugin/log@0.2.0"), "{:?}", new.info().imports);
    let (old, new) = (old.as_instance().expect("one"), new.as_instance().expect("one"));
    tokio::join!(lives(&old, [None, None]), lives(&new, [Some(false), Some(true)]));
}

#[tokio::test]
async fn whoever_is_asked_for_a_few_reads_no_others() {
    let f = Fixture::with_drafts();
    let (spec, dir) = draft(&f);
    let plugin = f.plugin(&spec).await.as_instance().expect("one");
    for name in ["a", "b"] {
        plugin.provision(name, &tagged(json!({}))).await.expect("is made");
    }
    fs::write(dir.join("broken.json"), "{").expect("a file");
    let all = plugin.list(&Tags::new(), false).await.expect("lists");
    assert_eq!((all.instances.len(), all.complete, &*all.findings[0].subject), (2, false, "broken"));
    let one = plugin.list_named(&Tags::new(), &["b".into()], false).await.expect("lists");
    assert_eq!((one.instances.len(), one.complete, one.findings.len()), (1, true, 0));
    // More than a guest may be asked for at once: then for all, and what is not wanted is left out.
    let many: Vec<_> = (0..10_001).map(|n| format!("x{n}")).chain(["a".into()]).collect();
    let listed = plugin.list_named(&Tags::new(), &many, false).await.expect("lists");
    assert_eq!((listed.instances.len(), listed.complete), (1, false));
}

#[tokio::test]
async fn an_error_of_the_draft_has_details() {
    let f = Fixture::with_drafts();
    let plugin = f.plugin(&draft(&f).0).await.as_instance().expect("one");
    let note = |note: String| tagged(json!({ "Note": note }));
    plugin.provision("a", &note("x".into())).await.expect("is made");
    let PluginError { code, message, .. } = said(plugin.provision("a", &note("y".into())).await);
    assert_eq!(code, ErrorCode::AlreadyExists);
    assert!(message.ends_with(r#"another spec; details: {"Found":{"Note":"x"},"Wanted":{"Note":"y"}}"#), "{message}");
    let PluginError { message, .. } = said(plugin.provision("a", &note("ä".repeat(100_000))).await);
    let (_, details) = message.split_once("; details: ").expect("has details");
    assert_eq!(details.chars().count(), 2000);
}

#[tokio::test]
async fn what_a_guest_of_the_draft_imports_obeys_the_same_grants() {
    let f = Fixture::with_drafts();
    let (bare, _) = draft(&f);
    let plugin = f.plugin(&bare).await.as_instance().expect("one");
    let with_token = json!({"Token": "hush"});
    let error = said(plugin.validate(&with_token).await);
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert!(error.message.contains("token"), "{}", error.message);

    let file = f.dir.path().join("token");
    fs::write(&file, "hush").expect("a file");
    let mut granted = bare.clone();
    granted.grants.secrets.insert("token".into(), SecretSource::File(file));
    granted.grants.config.insert("quota".into(), "2".into());
    let plugin = f.plugin(&granted).await.as_instance().expect("one");
    plugin.validate(&with_token).await.expect("is the one");
    let error = said(plugin.validate(&json!({"Token": "loud"})).await);
    assert_eq!((error.code, error.path.as_deref()), (ErrorCode::InvalidArgument, Some("/Token")));
    for name in ["a", "b"] {
        plugin.provision(name, &tagged(json!({}))).await.expect("is made");
    }
    let error = said(plugin.provision("c", &tagged(json!({}))).await);
    assert_eq!(error.code, ErrorCode::ResourceExhausted);
}

#[tokio::test]
async fn a_name_that_many_ask_for_at_once_is_made_once() {
    let f = Fixture::with_drafts();
    let (spec, dir) = draft(&f);
    let plugin = Arc::new(f.plugin(&spec).await.as_instance().expect("one"));
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let plugin = plugin.clone();
            tokio::spawn(async move { plugin.provision_or_find("a", &tagged(json!({}))).await.expect("is there") })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        made += usize::from(call.await.expect("ends").already_existed == Some(false));
    }
    assert_eq!((made, fs::read_dir(&dir).expect("a directory").count()), (1, 1));
}

#[tokio::test]
async fn a_flavor_of_the_draft() {
    let f = Fixture::with_drafts();
    let plugin = f.plugin(&spec(&built("draft_flavor"))).await;
    assert_eq!((&*plugin.info().contract, plugin.info().draft), ("homeostat:plugin@0.2.0", true));
    let plugin = plugin.as_flavor().expect("one");
    let given = InstanceSpec { init: "boot ".into(), ..tagged(json!({"Note": 1})) };
    let pets = Allocation::LogicalIds(vec!["x".into(), "y".into()]);
    plugin.validate(&Value::Null, &pets).await.expect("is right");
    let error = said(plugin.validate(&json!({"Of": "none"}), &Allocation::Size(0)).await);
    assert_eq!((error.path.as_deref(), &*error.message), (Some(""), r#"a group of none; details: {"Of":"none"}"#));
    let prepared = plugin.prepare(&Value::Null, &given, &pets, "g", 2).await.expect("prepares");
    assert_eq!(prepared, InstanceSpec { init: "boot g-2 of x,y".into(), ..given.clone() });
    let prepared = plugin.prepare(&Value::Null, &given, &Allocation::Size(3), "g", 1).await.expect("prepares");
    assert_eq!(prepared.init, "boot g-1 of 3");

    let instance = |id: &str, state| Instance {
        id: id.into(),
        name: id.into(),
        logical_id: None,
        state,
        message: String::new(),
        created_at_ms: Some(1),
        addresses: vec!["::1".into()],
        tags: given.tags.clone(),
        properties: None,
    };
    let instances = [instance("a", InstanceState::Running), instance("b", InstanceState::Failed)];
    let reports = plugin.health(&Value::Null, &instances).await.expect("judges");
    let judged: Vec<_> = reports.iter().map(|it| (it.status, &*it.message)).collect();
    assert_eq!(judged, [(Health::Healthy, "a"), (Health::Unhealthy, "b")]);
    assert!(plugin.orders_removal());
    assert_eq!(plugin.removal_order(&Value::Null, &instances).await.expect("orders"), ["b", "a"]);
    plugin.drain(&Value::Null, &instances[0]).await.expect("drains");
}

#[tokio::test]
async fn a_draft_is_refused_where_the_operator_does_not_allow_drafts() {
    let f = Fixture::new();
    for file in ["draft_instance", "draft_flavor"] {
        let (kind, text) = f.refused(&spec(&built(file))).await;
        assert!(matches!(kind, LoadErrorKind::Draft { .. }), "{text}");
        assert!(text.contains("homeostat:plugin@0.2.0, a draft") && text.contains("serves 0.1.0:"), "{text}");
        assert!(text.contains("`wit/` folder") && text.contains("--allow-drafts"), "{text}");
    }
    // Nor can a plugin of a released version use a part of it.
    let (kind, text) = f.refused(&f.wat(&importing("homeostat:plugin/log@0.2.0"))).await;
    assert!(matches!(kind, LoadErrorKind::MissingImport { .. }) && text.contains("--allow-drafts"), "{text}");
}

#[tokio::test]
async fn a_version_that_nobody_knows_is_told_which_are_served() {
    let (plain, drafts) = (Fixture::new(), Fixture::with_drafts());
    for version in ["0.3.0", "1.0.0", "0.1.0-rc.1"] {
        let file = renamed(version);
        for (f, served) in [(&plain, "it serves 0.1.0: build"), (&drafts, "it serves 0.1.0, 0.2.0 (a draft): build")] {
            let (kind, text) = f.refused(&f.file("next.wasm", &file)).await;
            assert!(matches!(&kind, LoadErrorKind::OtherVersion { found, .. } if found == version), "{text}");
            assert!(text.contains(&format!("homeostat:plugin@{version}, which this host does not know")), "{text}");
            assert!(text.contains(served) && text.contains(&format!("use a host that serves {version}")), "{text}");
        }
    }
    // What names the draft has to be of its shape, too.
    let (kind, text) =
        drafts.refused(&drafts.file("next.wasm", patched("hostile_instance", "@0.1.0", "@0.2.0", 3))).await;
    assert!(matches!(kind, LoadErrorKind::MissingImport { .. }), "{text}");
    assert!(text.contains("with other functions, as the `wit/` folder"), "{text}");
}

#[tokio::test]
async fn an_import_of_the_contracts_that_does_not_exist_is_named_with_those_that_do() {
    let f = Fixture::new();
    for (import, hint) in [
        ("homeostat:plugin/xyz@0.1.0", "a plugin may import config, exec, log, secrets"),
        ("homeostat:plugin/log@0.1.0", "it gives this interface with other functions"),
        ("homeostat:plugin/xyz@0.3.0", "it serves homeostat:plugin in version 0.1.0; build the plugin against that"),
    ] {
        let (kind, text) = f.refused(&f.wat(&importing(import))).await;
        assert!(matches!(&kind, LoadErrorKind::MissingImport { import: named, .. } if named == import), "{text}");
        assert!(text.contains(import) && text.contains(hint), "{text}");
    }
}

/// Guests that were built against the released version load, whatever else is served.
#[tokio::test]
async fn allowing_drafts_changes_nothing_for_others() {
    let f = Fixture::with_drafts();
    for file in
        ["instance_file", "flavor_vanilla", "hostile_instance", "hostile_flavor", "probe_flavor", "brief_instance"]
    {
        let info = f.plugin(&spec(&built(file))).await.info().clone();
        assert_eq!((&*info.contract, info.draft), ("homeostat:plugin@0.1.0", false), "{file}");
    }
}

/// An instance plugin of 0.1 that imports one function more.
fn importing(import: &str) -> String {
    format!(
        r#"(component (import "{import}" (instance (export "unheard-of" (func)))) (instance $i)
            (export "homeostat:plugin/meta@0.1.0" (instance $i)) (export "homeostat:plugin/instance@0.1.0" (instance $i)))"#
    )
}

/// An instance plugin that names a version of any length.
fn renamed(version: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component (instance $i) (export "homeostat:plugin/meta@{version}" (instance $i))
            (export "homeostat:plugin/instance@{version}" (instance $i)))"#
    ))
    .expect("is text")
}

#[test]
fn the_drafts_folder_says_what_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v0.2-draft");
    let text = fs::read_to_string(folder.join("types.wit")).expect("a file");
    assert!(text.starts_with("// A DRAFT") && text.contains("--allow-drafts"), "{}", text.lines().next().unwrap_or(""));
}
