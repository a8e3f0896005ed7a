//! `homeostat plugin new`, as an author meets it: in each language a plugin that builds, tests itself and keeps the contract.
//! And the example in C, under the supervisor that it is made for.
//!
//! The tools of the languages are looked for in `target/tools`, where `make tools` puts them, or in `HOMEOSTAT_TOOLS`. Where
//! one cannot be had, the test says why, and is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use homeostat_tests::{World, binary, plugin, until, workspace};
use serde_json::{Value, json};

/// What a language's plugins are built with: commands, and files that a system's packages bring.
fn needs(lang: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match lang {
        "rust" => (&["cargo", "rustc"], &[]),
        "c" => (&["clang", "rustc", "cargo"], &["/usr/lib/wasm32-wasi/crt1-reactor.o"]),
        "python" => (&["python3"], &[]),
        "javascript" => (&["node", "npm"], &[]),
        other => panic!("no such language: {other}"),
    }
}

/// Whether a test can run. Says why not where it cannot; in CI, where `make tools` has run, too.
fn can_build(test: &str, lang: &str) -> bool {
    let (commands, files) = needs(lang);
    let missing =
        commands.iter().find(|it| !is_command(it)).or_else(|| files.iter().find(|it| !Path::new(it).exists()));
    if let Some(missing) = missing {
        println!("skipped: {test}: there is no {missing}; `make tools` says how to get it");
    }
    missing.is_none()
}

fn is_command(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn tools() -> PathBuf {
    std::env::var_os("HOMEOSTAT_TOOLS").map_or_else(|| workspace().join("target/tools"), PathBuf::from)
}

/// Run `make` in a folder, with the built command and the shared tools.
#[track_caller]
fn make(folder: &Path, target: &str) -> String {
    let mut command = Command::new("make");
    command.arg(target).current_dir(folder).env("HOMEOSTAT", binary()).env("HOMEOSTAT_TOOLS", tools());
    // What `make test` of this repository passes on is not meant for a folder of its own.
    command
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("MFLAGS")
        .env("CARGO_TARGET_DIR", tools().join("build"));
    let output = command.output().unwrap_or_else(|error| panic!("make {target}: {error}"));
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`make {target}` in {}: {}\n{told}", folder.display(), output.status);
    told
}

/// A new plugin builds, tests itself, is what it should be, and keeps the contract.
#[track_caller]
fn a_new_plugin(lang: &str, kind: &str) {
    let name = format!("{kind}-of-{lang}");
    if !can_build(&format!("a new {kind} plugin in {lang}"), lang) {
        return;
    }
    let world = World::new();
    let told = world.run(&format!("plugin new --lang {lang} --kind {kind} {name}")).ok();
    told.prints("make check").prints(&format!("cd {name}"));
    let folder = world.path(&name);
    make(&folder, &format!("{name}.wasm"));
    make(&folder, "test");

    let file = format!("./{name}/{name}.wasm");
    let info = world.run(&format!("plugin inspect {file} -o json")).ok().json();
    assert_eq!(info["Description"]["Name"], json!(name), "{info}");
    if kind == "instance" {
        by_hand(&world, &file);
        keeps_a_group(&world, &file);
    } else {
        let properties = info["Description"]["PropertiesExample"].to_string();
        world.write("properties.json", properties);
        world.run(&format!("flavor validate {file} @properties.json --size 3")).ok();
    }
    world.run(&format!("plugin check {file}")).ok();
}

/// Idempotent by name, labels, and destruction of what is gone.
#[track_caller]
fn by_hand(world: &World, file: &str) {
    let dir = "--dir ./instances:/instances:rw";
    for _ in 0..2 {
        world.run(&format!("instance provision {file} my-1 --tag tier=web {dir}")).ok().prints("my-1");
    }
    let taken = world.run(&format!("instance provision {file} my-1 --tag tier=db {dir}")).ends_with(1);
    assert!(taken.stderr.contains("my-1"), "{}", taken.told());
    let listed = world.run(&format!("instance list {file} --tag tier=web -o json {dir}")).ok();
    assert!(listed.stdout.contains("my-1"), "{}", listed.told());
    let none = world.run(&format!("instance list {file} --tag tier=db -o json {dir}")).ok();
    assert!(!none.stdout.contains("my-1"), "{}", none.told());
    for _ in 0..2 {
        world.run(&format!("instance destroy {file} my-1 {dir}")).ok();
    }
    // Without the grant it is a word, and no crash.
    world.run(&format!("instance list {file}")).ends_with(1).complains("Grants");
}

/// A group of it grows, shrinks and goes.
#[track_caller]
fn keeps_a_group(world: &World, file: &str) {
    let group = json!({"ID": "web", "Properties": {
        "Allocation": {"Size": 3},
        "Instance": {"Plugin": "new"},
        "Flavor": {"Plugin": "vanilla", "Properties": {"Init": ["echo hello"], "Tags": {"tier": "web"}}},
    }});
    let grants = json!({"Dirs": [{"Host": world.path("instances"), "Guest": "/instances", "Mode": "rw"}]});
    let plugins = json!({
        "new": {"Path": world.path(file), "Grants": grants},
        "vanilla": {"Path": plugin("flavor_vanilla")},
    });
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [group]}));
    let _host = world.serve();
    world.run("group commit stack.json --wait --timeout 50s").ok();
    world.run("group scale web 1 --wait --timeout 50s").ok();
    assert_eq!(world.describe("web")["Instances"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_new_instance_plugin_in_rust() {
    a_new_plugin("rust", "instance");
}

#[test]
fn a_new_flavor_plugin_in_rust() {
    a_new_plugin("rust", "flavor");
}

#[test]
fn a_new_instance_plugin_in_c() {
    a_new_plugin("c", "instance");
}

#[test]
fn a_new_flavor_plugin_in_c() {
    a_new_plugin("c", "flavor");
}

#[test]
fn a_new_instance_plugin_in_python() {
    a_new_plugin("python", "instance");
}

#[test]
fn a_new_flavor_plugin_in_python() {
    a_new_plugin("python", "flavor");
}

#[test]
fn a_new_instance_plugin_in_javascript() {
    a_new_plugin("javascript", "instance");
}

#[test]
fn a_new_flavor_plugin_in_javascript() {
    a_new_plugin("javascript", "flavor");
}

#[test]
fn what_cannot_be_begun_is_refused() {
    let world = World::new();
    let new = |words: &str| world.run(&format!("plugin new --lang c --kind flavor {words}"));
    new("Web").ends_with(1).complains("lower-case letters");
    new("a--b").ends_with(1).complains("two of them in a row");
    new("class").ends_with(1).complains("choose another");
    new("../web").ends_with(1).complains("`.`");
    world.run("plugin new --lang cobol --kind flavor web").ends_with(2).complains("javascript");
    world.run("plugin new --lang c web").ends_with(2).complains("--kind");

    world.write("taken", "");
    new("taken").ends_with(1).complains("is not a folder");
    fs::create_dir(world.path("full")).unwrap();
    world.write("full/mine", "precious");
    new("full").ends_with(1).complains("not empty");
    assert_eq!(fs::read(world.path("full/mine")).unwrap(), b"precious");
    assert_eq!(world.names_in("full"), ["mine"]);

    // An empty folder is as good as none, and the folder need not be called like the plugin.
    fs::create_dir(world.path("empty")).unwrap();
    let written = new("web --dir empty -o json").ok().json();
    let files = written["Files"].as_array().unwrap();
    assert!(files.contains(&json!("wit/worlds.wit")) && files.contains(&json!(".gitignore")), "{written}");
    assert!(fs::read_to_string(world.path("empty/Makefile")).unwrap().contains("web.wasm"));
    new("web --dir empty").ends_with(1).complains("not empty");
}

/// What the example shares with the template is the same, so that what is mended here is mended there.
#[test]
fn the_example_in_c_has_the_templates_files() {
    let templates = workspace().join("host/cli/templates/c");
    for (folder, file) in [
        ("common", "json.h"),
        ("common", "json.c"),
        ("common", "fault.h"),
        ("common", "fault.c"),
        ("instance", "files.h"),
        ("instance", "files.c"),
        ("instance", "contract.h"),
    ] {
        let read =
            |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let example = read(workspace().join("examples/instance-runit-c").join(file));
        assert!(
            example == read(templates.join(folder).join(file)),
            "{file} of the example is not that of the template"
        );
    }
}

/// A supervisor that is ended with its services when this is dropped.
struct Runsvdir(Child);

impl Drop for Runsvdir {
    fn drop(&mut self) {
        // It has every runsv end its service, and then ends itself.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::HUP);
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_in_c_keeps_processes_under_runit() {
    let test = "the example in C under runit";
    if !can_build(test, "c") {
        return;
    }
    let folder = workspace().join("examples/instance-runit-c");
    make(&folder, "instance-runit.wasm");
    make(&folder, "test");
    if !is_command("runsvdir") {
        println!("skipped: {test}: there is no runsvdir; install runit");
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("services")).unwrap();
    install(&folder, &world.path("services"));
    let services = world.path("services");
    let supervisor = Command::new("runsvdir").arg(&services).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _supervisor = Runsvdir(supervisor.expect("runsvdir starts"));

    let stack = |word: &str| {
        let script = format!("echo {word}; exec sleep 1000");
        let group = json!({"ID": "work", "Properties": {
            "Allocation": {"Size": 2},
            "Instance": {"Plugin": "runit", "Properties": {"Command": ["/bin/sh", "-c", script], "Env": {"A": "it's"}}},
            "Flavor": {"Plugin": "vanilla", "Properties": {"Init": ["echo first >first"], "Tags": {"tier": "work"}}},
        }});
        let grants = json!({"Dirs": [{"Host": services, "Guest": "/services", "Mode": "rw"}]});
        let plugins = json!({
            "runit": {"Path": folder.join("instance-runit.wasm"), "Grants": grants},
            "vanilla": {"Path": plugin("flavor_vanilla")},
        });
        world.document("stack.json", &json!({"Plugins": plugins, "Groups": [group]}));
    };
    let _host = world.serve();
    stack("one");
    world.run("group commit stack.json --wait --timeout 50s").ok();
    let first = world.names_in("services");
    assert_eq!(first.len(), 2, "{first:?}");
    for name in &first {
        assert_eq!(fs::read_to_string(services.join(name).join("first")).unwrap(), "first\n");
        let log = services.join(name).join("log/main/current");
        until("its output is in the log", || fs::read_to_string(&log).ok().filter(|it| it.contains("one")));
    }
    let states = |world: &World| -> Vec<Value> {
        let instances = world.describe("work")["Instances"].as_array().cloned().unwrap_or_default();
        instances.iter().map(|it| it["State"].clone()).collect()
    };
    assert_eq!(states(&world), ["running", "running"]);

    // Another spec rolls both, and what was destroyed ends.
    stack("two");
    world.run("group commit stack.json --wait --timeout 50s").ok();
    let second = world.names_in("services");
    assert!(second.len() == 2 && second.iter().all(|it| !first.contains(it)), "{first:?} {second:?}");

    world.run("group destroy work --timeout 50s").ok();
    assert!(world.names_in("services").is_empty(), "{:?}", world.names_in("services"));
}

/// `make install`, without building anything.
fn install(folder: &Path, services: &Path) {
    let variable = format!("SERVICES={}", services.display());
    let status = Command::new("make").args(["install", &variable]).current_dir(folder).stdout(Stdio::null()).status();
    assert!(status.expect("make starts").success());
}
