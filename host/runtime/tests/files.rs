//! A plugin that is loaded with a wire before its files: what the wire does to its calls.

mod common;

use std::fs;
use std::sync::Arc;

use common::{Fixture, built, file, grant, spec};
use homeostat_core::grant::DirMode;
use homeostat_core::outcome::ErrorCode;
use homeostat_core::spec::{InstanceSpec, PluginSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallErrorKind, FaultAt, FileError, FileVerdict, InstancePlugin, Plugin, Wires};

/// The file plugin with a new directory of its own.
fn file_plugin(f: &Fixture) -> PluginSpec {
    let instances = f.dir.path().join("instances");
    fs::create_dir(&instances).expect("a directory");
    let mut spec = spec(&built("instance_file"));
    grant(&mut spec, &instances, DirMode::ReadWrite);
    spec.grants.dirs[0].guest = "/instances".into();
    spec
}

async fn wired(f: &Fixture, spec: &PluginSpec) -> (Arc<FaultAt>, Plugin, InstancePlugin) {
    let wire = Arc::new(FaultAt::new());
    let plugin = f
        .runtime
        .load_wired("wired", file(spec), spec, Wires { files: Some(wire.clone()), ..Wires::default() })
        .await
        .expect("loads");
    let instance = plugin.as_instance().expect("an instance plugin");
    (wire, plugin, instance)
}

#[tokio::test]
async fn files_fail_at_the_operation_that_was_chosen() {
    let f = Fixture::new();
    let spec = file_plugin(&f);
    let (wire, _, plugin) = wired(&f, &spec).await;
    wire.arm(2, FileVerdict::Fail(FileError::InsufficientSpace));
    let error = plugin.provision("a", &InstanceSpec::default()).await.expect_err("was made");
    assert_eq!(error.plugin_error().map(|error| error.code), Some(ErrorCode::ResourceExhausted), "{error}");
    assert_eq!(wire.hit().map(|hit| hit.name), Some("write"));
    assert_eq!(plugin.provision("a", &InstanceSpec::default()).await.expect("strikes once"), "a");
    let listing = plugin.list(&Tags::new(), false).await.expect("lists");
    assert_eq!((listing.instances.len(), listing.complete), (1, true));
}

#[tokio::test]
async fn files_that_cut_a_call_off_stop_it_and_are_not_the_plugins_fault() {
    let f = Fixture::new();
    let spec = file_plugin(&f);
    let (wire, plugin, instance) = wired(&f, &spec).await;
    // More often than a plugin may crash.
    for n in 0..20 {
        let (name, verdict) = (format!("n{n}"), [FileVerdict::CutOff, FileVerdict::CutOffAfter][n % 2]);
        wire.arm(3, verdict);
        let error = instance.provision(&name, &InstanceSpec::default()).await.expect_err("was answered");
        assert_eq!(error.kind, CallErrorKind::Stopped);
        assert!(error.effect_unknown());
        assert_eq!(wire.hit().map(|hit| hit.name), Some("link-at"));
        let made = f.dir.path().join("instances").join(format!("{name}.json")).exists();
        assert_eq!(made, verdict == FileVerdict::CutOffAfter, "{verdict:?}");
    }
    assert_eq!((plugin.stats().failed, plugin.stats().trapped), (20, 0));
    assert_eq!(plugin.degraded().len(), 0);
}

#[tokio::test]
async fn files_of_a_plugin_without_a_wire_go_by_none() {
    let f = Fixture::new();
    let spec = file_plugin(&f);
    let (wire, _, wired) = wired(&f, &spec).await;
    let plain = f.plugin(&spec).await.as_instance().expect("an instance plugin");
    wire.arm(1, FileVerdict::CutOff);
    plain.provision("a", &InstanceSpec::default()).await.expect("is made");
    assert_eq!(wire.seen(), 0);
    wired.list(&Tags::new(), false).await.expect_err("went on");
    assert_eq!(
        wire.hit().map(|hit| hit.to_string()).as_deref(),
        Some("file operation 1, read-directory \"/instances\"")
    );
}
