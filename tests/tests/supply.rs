//! Which file a plugin is: pinned, locked, fetched from a registry, and kept.

use std::fs;

use homeostat_tests::{Registry, Variant, World, group, plugin, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The SHA-256 of a file, by the system's own tool.
fn digest(world: &World, file: &str) -> String {
    let output = std::process::Command::new("sha256sum").arg(world.path(file)).output().expect("sha256sum");
    String::from_utf8(output.stdout).expect("text").split(' ').next().expect("a digest").to_owned()
}

#[track_caller]
fn inspect(world: &World, name: &str) -> Value {
    world.run(&format!("plugin inspect {name} -o json")).ok().json()
}

/// The file plugin with another digest.
fn version(number: u32) -> Variant {
    Variant::of("instance_file").marked(&format!("version {number}"))
}

/// A stack whose plugin `file` comes from there.
fn stack(world: &World, source: &str, sha256: Option<&str>, groups: &[Value]) {
    let mut plugins = world.plugins();
    plugins["file"]["Path"] = json!(source);
    if let Some(sha256) = sha256 {
        plugins["file"]["Sha256"] = json!(sha256);
    }
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": groups}));
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused() {
    let world = World::new();
    world.write("file.wasm", version(1).bytes());
    let (right, wrong) = (digest(&world, "file.wasm"), "0".repeat(64));
    let _host = world.serve();

    let words = format!("plugin add file file.wasm --sha256 {wrong}");
    world.run(&words).ends_with(1).complains(&right).complains(&wrong).complains("pin");
    stack(&world, "file.wasm", Some(&wrong), &[group("web", 2, "a")]);
    let refused = world.run("group commit stack.json").ends_with(1);
    refused.complains(&right).complains(&wrong).complains("stack.json:");
    assert_eq!(world.run("plugin ls -o json").ok().json(), json!([]));
    world.run("plugin add file file.wasm --sha256 abc").ends_with(1).complains("64");

    stack(&world, "file.wasm", Some(&right), &[group("web", 2, "a")]);
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(right));
    // In capitals it is the same.
    world.run(&format!("plugin swap file file.wasm --sha256 {}", right.to_uppercase())).ok();
}

#[test]
fn what_a_lock_file_names_is_what_is_committed() {
    let world = World::new();
    world.write("file.wasm", version(1).bytes());
    let first = digest(&world, "file.wasm");
    stack(&world, "file.wasm", None, &[group("web", 2, "a")]);
    // No host is needed to lock.
    world.run("plugin lock stack.json").ok().prints("Locked 2 plugins in homeostat.lock");
    let lock: Value = serde_json::from_slice(&fs::read(world.path("homeostat.lock")).unwrap()).unwrap();
    assert!(lock.to_string().contains(&first), "{lock}");
    let _host = world.serve();
    world.run("group commit stack.json --wait --timeout 30s").ok();
    let before = world.fingerprint();

    // Another file is refused, with both digests and what to do.
    world.write("file.wasm", version(2).bytes());
    let second = digest(&world, "file.wasm");
    let refused = world.run("group commit stack.json").ends_with(1).complains(&first).complains(&second);
    refused.complains("the lock file").complains("homeostat plugin lock");
    world.run("group plan stack.json").ends_with(1).complains(&second);
    world.run("plugin lock stack.json").ends_with(1).complains(&first).complains("--update");
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(first));

    world.run("plugin lock stack.json --update").ok();
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(second));
    assert_eq!(world.fingerprint(), before);

    // The folder may lie elsewhere: paths in the lock file are relative to it.
    fs::create_dir(world.path("elsewhere")).unwrap();
    for file in ["file.wasm", "homeostat.lock", "stack.json"] {
        fs::copy(world.path(file), world.path("elsewhere").join(file)).unwrap();
    }
    world.run("plugin lock elsewhere/stack.json").ok();
    world.write("elsewhere/file.wasm", version(1).bytes());
    world.run("plugin lock elsewhere/stack.json").ends_with(1).complains(&first).complains(&second);

    world.write("homeostat.lock", "{");
    world.run("group commit stack.json").ends_with(1).complains("homeostat.lock");
}

#[test]
fn the_host_writes_down_which_files_its_plugins_are() {
    let world = World::new();
    world.write("file.wasm", version(1).bytes());
    let _host = world.serve();
    let first = digest(&world, "file.wasm");
    let lock = || fs::read_to_string(world.path("state/homeostat.lock")).unwrap_or_default();
    let dir = world.path("instances").display().to_string();
    world.run(&format!("plugin add file file.wasm --allow-dir {dir}:/instances:rw")).ok();
    until_eq("it is in the lock file", true, || lock().contains(&first));
    world.write("file.wasm", version(2).bytes());
    world.run("plugin swap file").ok();
    let second = digest(&world, "file.wasm");
    until_eq("it is in the lock file", (true, false), || (lock().contains(&second), lock().contains(&first)));
    // Both versions are kept, for a rollback, and nothing else.
    let kept = || world.names_in("state/plugins/sha256");
    let mut expected = vec![format!("{first}.wasm"), format!("{second}.wasm")];
    expected.sort();
    assert_eq!(kept(), expected);
    world.run("plugin rm file").ok();
    until_eq("nothing is kept", Vec::<String>::new(), kept);
    assert!(!lock().contains(&second));
}

#[test]
fn a_plugin_from_a_registry_works_offline_afterwards() {
    let Some(registry) = Registry::start("a plugin from a registry") else { return };
    let world = World::new();
    world.write("v1.wasm", version(1).bytes());
    world.write("v2.wasm", version(2).bytes());
    let (first, second) = (digest(&world, "v1.wasm"), digest(&world, "v2.wasm"));
    let reference = registry.oci("plugins/file:1.0");
    let pushed = world.run(&format!("plugin push v1.wasm {reference} -o json")).ok().json();
    assert_eq!(pushed["Sha256"], json!(first), "{pushed}");
    let host = world.serve();
    let add = format!("plugin add file {reference} --allow-dir {}:/instances:rw", world.path("instances").display());
    world.run(&add).ok().prints("Registered plugin file");
    let view = inspect(&world, "file");
    assert_eq!(view["Locked"]["Sha256"], json!(first));
    assert_eq!(view["Locked"]["Resolved"], pushed["Resolved"], "{view}");

    // The tag means another file by now. What is registered stays what it is until somebody asks for more.
    world.run(&format!("plugin push v2.wasm {reference}")).ok();
    world.run(&add).ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(first));
    stack(&world, &reference, None, &[group("web", 3, "a")]);
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(first));
    world.run("plugin swap file").ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(second));
    world.run("plugin rollback file").ok();
    world.run(&format!("{add} --update")).ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(second));
    world.run(&format!("plugin swap file {}", registry.oci("plugins/file:2.0"))).ends_with(1).complains("2.0");

    // A lock file beside a stack holds on to what the tag meant.
    world.run("plugin lock stack.json").ok();
    world.run(&format!("plugin push v1.wasm {reference}")).ok();
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(second));

    // The registry is gone.
    drop(registry);
    let before = world.fingerprint();
    host.stop(Signal::TERM).ok();
    fs::remove_dir_all(world.path("state/cache")).unwrap();
    let _host = world.serve();
    world.until_converged("web");
    assert_eq!((world.fingerprint(), world.ids().len()), (before, 3));
    world.run("group scale web 4 --wait --timeout 30s").ok();
    world.run("group commit stack.json --wait --timeout 30s").ok();
    world.run(&add).ok();
    world.run("plugin rollback file").ok();
    assert_eq!(inspect(&world, "file")["Locked"]["Sha256"], json!(first));
    let refused = world.run("plugin swap file").ends_with(1).complains("plugins/file");
    assert!(refused.took < std::time::Duration::from_secs(30), "{:?}", refused.took);
    world.until_converged("web");
}

#[test]
fn what_is_no_plugin_is_not_taken_from_anywhere() {
    let world = World::new();
    let _host = world.serve();
    world.write("text.wasm", "<html>log in</html>");
    fs::create_dir(world.path("dir.wasm")).unwrap();
    for (source, says) in [
        ("text.wasm", "text.wasm"),
        ("dir.wasm", "dir.wasm"),
        ("nowhere.wasm", "there is no such file"),
        ("http://192.0.2.1/file.wasm", "use https"),
        ("oci://127.0.0.1:9/file:1", "127.0.0.1:9"),
        ("ftp://127.0.0.1/file.wasm", "ftp"),
    ] {
        let refused = world.run(&format!("plugin add file {source}")).complains(says);
        assert!(matches!(refused.code, Some(1 | 2)), "{}", refused.told());
    }
    assert_eq!(world.run("plugin ls -o json").ok().json(), json!([]));
    // What is pushed has to be a plugin too.
    world.run("plugin push text.wasm oci://127.0.0.1:9/file:1").ends_with(1).complains("text.wasm");
    let shown = world.run_words(&["plugin", "inspect", &plugin("instance_file").display().to_string()]).ok();
    let shown = shown.prints("Digest").prints("Size").prints("Imports").prints("Exports").prints("Built with");
    shown.prints("homeostat:plugin/instance@0.1.0").prints("wit-bindgen-rust");
}
