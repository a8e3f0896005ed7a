//! Plugins of which nothing can be changed, whatever they were granted and whatever they try.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Fixture, built, grant, please, spec};
use homeostat_core::grant::DirMode;
use homeostat_core::spec::{Allocation, InstanceSpec, PluginSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, FlavorPlugin, InstancePlugin};
use serde_json::{Value, json};

/// Ways to change something that the hostile guest knows.
const WAYS: usize = 11;

/// A directory with something to change, granted `rw` to this guest.
fn granted(f: &Fixture, guest: &str) -> PluginSpec {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let dir = f.dir.path().join(format!("granted-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(dir.join("dir")).expect("a directory");
    fs::write(dir.join("file"), "theirs").expect("a file");
    fs::write(dir.join("other"), "theirs").expect("a file");
    let mut spec = spec(&built(guest));
    grant(&mut spec, &dir, DirMode::ReadWrite);
    spec
}

async fn instance(f: &Fixture, spec: &PluginSpec) -> InstancePlugin {
    f.plugin(spec).await.as_instance().expect("an instance plugin")
}

/// What the guest says about its attempts, each with how it went.
fn attempts(error: CallError) -> Vec<(String, String)> {
    let said = &error.plugin_error().expect("the plugin's own").message;
    let attempts: Vec<_> = said.split(", ").filter_map(|it| it.split_once(": ")).collect();
    assert_eq!(attempts.len(), WAYS, "{said}");
    attempts.into_iter().map(|(what, how)| (what.to_owned(), how.to_owned())).collect()
}

/// All files and directories below, with content and time of the last change.
fn picture(dir: &Path) -> Vec<String> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let metadata = fs::metadata(&path).expect("metadata");
            format!("{path:?} {:?} {:?}", fs::read(&path).ok(), metadata.modified().expect("a time"))
        })
        .collect();
    all.sort();
    all
}

fn do_write() -> Tags {
    Tags::from([("do".into(), "write".into())])
}

#[tokio::test]
async fn a_guest_that_writes_where_it_should_read() {
    let f = Fixture::new();
    for through_list in [true, false] {
        let spec = granted(&f, "hostile_instance");
        let dir = &spec.grants.dirs[0].host;
        let plugin = instance(&f, &spec).await;
        let reader = plugin.read_only();

        let before = picture(dir);
        // The plugin as it is was called in between: the two share nothing that could be left open.
        for _ in 0..2 {
            let error = match through_list {
                true => reader.list(&do_write(), false).await.map(drop),
                false => reader.validate(&please("write")).await,
            };
            for (what, how) in attempts(error.expect_err("succeeded")) {
                assert_eq!(how, "PermissionDenied", "{what}");
            }
            assert_eq!(picture(dir), before);
            plugin.validate(&please("nothing")).await.expect("works");
            plugin.list(&Tags::new(), false).await.expect("works");
        }

        let error = match through_list {
            true => plugin.list(&do_write(), false).await.map(drop),
            false => plugin.validate(&please("write")).await,
        };
        for (what, how) in attempts(error.expect_err("succeeded")) {
            // Through a file that was opened for reading nothing is changed in either mode.
            let denied = ["touch", "shorten"].contains(&&*what);
            assert!(how == "done" || denied, "{what}: {how}");
        }
        assert_ne!(picture(dir), before);
        let reread = picture(dir);
        reader.validate(&please("write")).await.expect_err("succeeded");
        assert_eq!(picture(dir), reread);
    }
}

#[tokio::test]
async fn a_directory_that_was_replaced_stays_read_only() {
    let f = Fixture::new();
    let spec = granted(&f, "hostile_instance");
    let dir = &spec.grants.dirs[0].host;
    let reader = instance(&f, &spec).await.read_only();
    fs::rename(dir, f.dir.path().join("away")).expect("renames");
    fs::create_dir_all(dir.join("dir")).expect("a directory");
    fs::write(dir.join("file"), "new").expect("a file");
    let before = picture(dir);
    let said = attempts(reader.validate(&please("write")).await.expect_err("succeeded"));
    assert!(said.iter().all(|(_, how)| how != "done"), "{said:?}");
    assert_eq!(picture(dir), before);
}

#[tokio::test]
async fn a_warm_guest_is_of_the_plugin_alone() {
    let f = Fixture::new();
    let spec = granted(&f, "hostile_instance");
    let dir = &spec.grants.dirs[0].host;
    let plugin = instance(&f, &spec).await;
    let mut warm = plugin.warm().await.expect("starts");
    let before = picture(dir);
    plugin.read_only().validate(&please("write")).await.expect_err("succeeded");
    assert_eq!(picture(dir), before);
    warm.validate(&please("write")).await.expect_err("says what it did");
    assert_ne!(picture(dir), before, "the warm guest lost its grant to the reader");
}

#[tokio::test]
async fn a_flavor_that_writes_where_it_should_prepare() {
    let f = Fixture::new();
    let spec = granted(&f, "hostile_flavor");
    let dir = &spec.grants.dirs[0].host;
    let flavor: FlavorPlugin = f.plugin(&spec).await.as_flavor().expect("a flavor plugin");
    let (write, given, size) = (Value::from("write"), InstanceSpec::default(), Allocation::Size(1));
    let before = picture(dir);
    let prepared = flavor.read_only().prepare(&write, &given, &size, "g", 1).await.expect("prepares");
    assert_eq!(prepared.init, "Err(PermissionDenied)");
    assert_eq!(picture(dir), before);
    assert_eq!(flavor.prepare(&write, &given, &size, "g", 1).await.expect("prepares").init, "Ok(())");
    assert_ne!(picture(dir), before);
    flavor.read_only().validate(&write, &size).await.expect("is valid");
    assert!(flavor.read_only().health(&write, &[]).await.expect("judges").is_empty());
}

#[tokio::test]
async fn what_only_reads_works_as_ever() {
    let f = Fixture::new();
    let mut spec = spec(&built("instance_file"));
    let dir = f.dir.path().join("instances");
    fs::create_dir(&dir).expect("a directory");
    spec.grants.dirs.push(homeostat_core::grant::DirGrant {
        host: dir.clone(),
        guest: "/instances".into(),
        mode: DirMode::ReadWrite,
    });
    let plugin = instance(&f, &spec).await;
    let tags = Tags::from([("infrakit.group".into(), "g".into())]);
    let given = InstanceSpec { properties: json!({}), tags: tags.clone(), ..InstanceSpec::default() };
    for n in 0..5 {
        plugin.provision(&format!("i-{n}"), &given).await.expect("provisions");
    }
    let before = picture(&dir);
    let reader = plugin.read_only();
    let listed = reader.list(&tags, true).await.expect("lists");
    assert_eq!(listed, plugin.list(&tags, true).await.expect("lists"));
    assert_eq!(listed.instances.len(), 5);
    assert!(listed.complete);
    reader.validate(&json!({})).await.expect("is valid");
    assert_eq!(picture(&dir), before);
}
