//! The command line: exit codes, help, output, and the verbs that call a plugin by hand.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Stdio;

use homeostat_tests::{World, group, plugin, until};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn the_exit_code_tells_done_from_refused_from_wrong_usage_from_no_host() {
    let world = World::new();
    for words in ["group ls", "plugin ls", "group commit stack.json", "plugin inspect file", "instance list file"] {
        world.stack(&[]);
        let run = world.run(words).ends_with(3).complains("no host answers").complains("homeostat serve --state-dir");
        assert!(run.stdout.is_empty(), "{}", run.told());
    }
    for words in ["bogus", "group", "group commit", "group ls --bogus", "group scale web many", "group ls -o xml"] {
        world.run(words).ends_with(2);
    }
    for words in ["group ls --log loud", "up --timeout 0 stack.json", "serve --parallel 0", "group describe"] {
        world.run(words).ends_with(2);
    }
    let _host = world.serve();
    world.run("group ls").ok();
    world.run("group describe nobody").ends_with(1).complains("there is no group \"nobody\"");
    world.run("plugin inspect nobody").ends_with(1).complains("there is no plugin \"nobody\"");
    world.run("instance list nobody").ends_with(1).complains("nobody");
    world.commit(&[group("web", 2, "a")]);
    world.run("group describe wbe").ends_with(1).complains("did you mean \"web\"?");
    world.run("group scale web -3").ends_with(1).complains("size cannot be negative");
    world.run("group scale web 100001").ends_with(1).complains("more than 100000");
    world.run("group scale web 99999999999999999999").ends_with(2);
    assert_eq!(world.ids().len(), 2);
}

#[test]
fn every_verb_explains_itself() {
    fn verbs(help: &str) -> Vec<String> {
        let list = help.lines().skip_while(|it| it.trim() != "Commands:").skip(1).take_while(|it| !it.is_empty());
        // A line of a list begins with two blanks and the verb; what it goes on with stands further in.
        list.filter(|it| it.starts_with("  ") && !it.starts_with("   "))
            .filter_map(|it| it.split_whitespace().next().map(str::to_owned))
            .filter(|it| it != "help")
            .collect()
    }
    let world = World::new();
    let mut leaves = BTreeSet::new();
    let mut todo = vec![String::new()];
    while let Some(path) = todo.pop() {
        let help = world.run(&format!("help {path}")).ok();
        assert!(help.stderr.is_empty() && help.stdout.contains("Usage: homeostat"), "{}", help.told());
        let other = world.run(&format!("{path} --help")).ok();
        assert_eq!(help.stdout, other.stdout, "`help {path}` and `{path} --help`");
        let more = verbs(&help.stdout);
        if more.is_empty() {
            leaves.insert(path.trim().to_owned());
        }
        todo.extend(more.into_iter().map(|verb| format!("{path} {verb}")));
    }
    let mut expected: BTreeSet<String> = ["up", "serve"].map(str::to_owned).into();
    for (noun, verbs) in [
        ("group", "commit ls describe inspect scale free destroy destroy-instances"),
        ("plugin", "add ls inspect rm"),
        ("instance", "list provision destroy label validate"),
        ("flavor", "prepare health drain validate"),
    ] {
        expected.extend(verbs.split(' ').map(|verb| format!("{noun} {verb}")));
    }
    assert!(expected.is_subset(&leaves), "not in the tree: {:?}", expected.difference(&leaves));
    world.run("--version").ok().prints("homeostat");
}

#[test]
fn json_output_can_be_read_by_programs() {
    let world = World::new();
    let _host = world.serve();
    world.stack(&[group("web", 2, "a")]);
    let read = |words: &str| world.run(&format!("{words} -o json")).ok().json();
    assert_eq!(read("group commit stack.json")["Groups"][0]["ID"], "web");
    world.until_converged("web");
    assert_eq!(read("group ls")[0]["Report"]["Counts"]["Running"], 2);
    assert_eq!(read("group describe web")["Instances"].as_array().map(Vec::len), Some(2));
    assert_eq!(read("group inspect web")["Properties"]["Allocation"]["Size"], 2);
    assert_eq!(read("group scale web"), json!({"Size": 2}));
    assert_eq!(read("group scale web 3")["ID"], "web");
    assert_eq!(read("plugin ls")[0]["Name"], "file");
    assert_eq!(read("plugin ls")[0]["UsedBy"], json!(["web"]));
    assert_eq!(read("plugin inspect file")["Info"]["Kind"], "instance");
    assert_eq!(read("instance list file")["Complete"], true);
    world.until_converged("web");
    assert_eq!(world.run("group destroy web -o json").ok().stdout, "");
}

#[test]
fn socket_and_state_are_for_their_owner_alone() {
    let world = World::new();
    let host = world.serve();
    let mode = |path: &str| fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o777;
    assert!(fs::metadata(world.path("state/homeostat.sock")).unwrap().file_type().is_socket());
    assert_eq!((mode("state"), mode("state/homeostat.sock")), (0o700, 0o600));
    world.commit(&[group("web", 1, "a")]);
    assert_eq!(mode("state/cache"), 0o700);
    host.stop(Signal::TERM).ok();

    // The socket is as narrow where its directory is not.
    let host = world.serve_with("--socket wide.sock");
    assert_eq!(mode("wide.sock"), 0o600);
    world.run("group ls").ends_with(3);
    world.run("group ls --socket wide.sock").ok().prints("web");
    host.stop(Signal::TERM).ok();
    assert!(!world.path("wide.sock").exists());
}

#[test]
fn the_option_wins_over_the_environment() {
    let world = World::new();
    let mut host = world.start("serve --state-dir elsewhere");
    host.until_prints("ready");
    assert!(world.path("elsewhere/homeostat.sock").exists() && !world.path("state").exists());
    world.run("group ls --state-dir elsewhere").ok();
    world.run("group ls").ends_with(3);
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 50, "a")]);
    for words in ["group describe web -o json", "group describe web", "group ls", "--help", "instance list file"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = world.command(words.split(' '));
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{words}: {} {stderr}", output.status);
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = world.command(["group", "ls"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"));
}

#[test]
fn a_plugin_in_use_is_kept_and_one_that_is_not_is_forgotten() {
    let world = World::new();
    let _host = world.serve();
    let (file, vanilla) = (plugin("instance_file"), plugin("flavor_vanilla"));
    let words = ["plugin", "add", "file", &file.display().to_string(), "--dir", "instances:/instances:rw"];
    world.run_words(&words).ok().prints("Registered plugin file (instance-file 0.1.0)");
    world.run(&format!("plugin add vanilla {}", vanilla.display())).ok();
    world.document("web.json", &group("web", 2, "a"));
    world.run("group commit web.json --wait").ok();
    assert_eq!(world.ids().len(), 2);
    world.run("plugin ls").ok().prints("instance_file.wasm");
    world.run("plugin inspect vanilla").ok().prints("\"additionalProperties\": false");

    for name in ["file", "vanilla"] {
        world.run(&format!("plugin rm {name}")).ends_with(1).complains("is used by web");
    }
    world.run("plugin rm vanila").ends_with(1).complains("did you mean \"vanilla\"?");
    world.run("group destroy web").ok();
    world.run("plugin rm file").ok().prints("Removed plugin file");
    world.run("plugin rm file").ends_with(1);
    world.run("group commit web.json").ends_with(1).complains("no plugin \"file\" is known");
    for name in ["../file", "file.wasm", "-x", "a b"] {
        let run = world.run_words(&["plugin", "add", "--", name, &vanilla.display().to_string()]);
        run.ends_with(1).complains("cannot name a plugin").complains("1 to 128 letters");
    }
}

#[test]
fn a_plugin_added_anew_takes_over_while_its_group_goes_on() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    let before = world.fingerprint();
    fs::copy(plugin("instance_file"), world.path("newer.wasm")).unwrap();
    world.run("plugin add file newer.wasm --dir instances:/instances:rw --wall 10s").ok();
    world.run("plugin inspect file").ok().prints("newer.wasm");
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before);
    fs::remove_file(world.path("instances").join(before.keys().next().unwrap())).unwrap();
    until("three again", || (world.ids().len() == 3).then_some(()));
    // A file that is none leaves the plugin as it was.
    world.write("broken.wasm", "broken");
    world.run("plugin add file broken.wasm").ends_with(1).complains("broken.wasm").complains("not WebAssembly");
    world.run("plugin inspect file").ok().prints("newer.wasm");
    world.until_converged("web");
}

#[test]
fn a_bare_file_is_inspected_without_a_host() {
    let world = World::new();
    let inspected = world.run(&format!("plugin inspect {} -o json", plugin("instance_file").display())).ok().json();
    assert_eq!((&inspected["Kind"], &inspected["Contract"]), (&json!("instance"), &json!("homeostat:plugin@0.1.0")));
    let text = world.run(&format!("plugin inspect {}", plugin("flavor_vanilla").display())).ok();
    text.prints("flavor").prints("homeostat:plugin/flavor@0.1.0").prints("docker pull");
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_what_to_do() {
    let world = World::new();
    let _host = world.serve();
    let whole = fs::read(plugin("instance_file")).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2..].fill(0xff);
    let files: [(&str, &[u8], &str); 9] = [
        ("core", b"\0asm\x01\0\0\0", "this is a core module, and a plugin is a component; build it with `--target"),
        ("component", b"\0asm\x0d\0\x01\0", "this component is no homeostat plugin"),
        ("text", b"(component)\n", "wasm-tools parse"),
        ("script", b"#!/bin/sh\n", "a script"),
        ("native", b"\x7fELF\x02\x01\x01\0", "build it with `--target wasm32-wasip2`"),
        ("empty", b"", "the file is empty; a copy or a build was cut short"),
        ("header", b"\0as", "the file is cut off after 3 bytes; copy or build it again"),
        ("half", &whole[..whole.len() / 2], "cut off"),
        ("damaged", &damaged, "copy or build it again"),
    ];
    for (name, bytes, says) in files {
        let file = world.write(&format!("{name}.wasm"), bytes);
        for words in [format!("plugin inspect ./{name}.wasm"), format!("plugin add {name} {name}.wasm")] {
            world.run(&words).ends_with(1).complains(says).complains(&file.display().to_string());
        }
    }
    fs::create_dir(world.path("folder.wasm")).unwrap();
    world.run("plugin add folder folder.wasm").ends_with(1).complains("a directory");
    world.run("plugin add missing missing.wasm").ends_with(1).complains("there is no such file");
    let granted =
        ["plugin", "add", "file", &plugin("instance_file").display().to_string(), "--dir", "nowhere:/instances"];
    world.run_words(&granted).ends_with(1).complains("nowhere").complains("does not exist");
    assert_eq!(world.run("plugin ls -o json").ok().json(), json!([]));
}
