//! Plugins called by hand, as their authors do: with a host, without one, and from a stack.

use homeostat_tests::{World, plugin};
use serde_json::{Value, json};

/// What an author does with an instance plugin by hand. `target` says which: words after the verb.
fn by_hand(world: &World, target: &[&str]) {
    let run = |verb: &str, rest: &[&str]| world.run_words(&[&["instance", verb], target, rest].concat());
    let provision = |note: &str| {
        let properties = json!({"Note": note}).to_string();
        run("provision", &["box-1", "--properties", &properties, "--tag", "tier=web", "--init", "echo hi"])
    };
    assert_eq!(provision("one").ok().stdout, "box-1\n");
    let first = world.fingerprint();
    assert_eq!(provision("one").ok().stdout, "box-1\n");
    assert_eq!(world.fingerprint(), first, "the same name and spec: the same instance, untouched");
    provision("two").ends_with(1).complains("taken by an instance with another spec");
    assert_eq!(world.fingerprint(), first);
    run("provision", &["../escape"]).ends_with(1).complains("cannot name an instance");

    let listed = run("list", &["-o", "json", "--properties"]).ok().json();
    assert_eq!(listed["Instances"][0]["ID"], "box-1");
    assert_eq!(listed["Instances"][0]["Properties"], json!({"Note": "one"}));
    assert_eq!(run("list", &["--tag", "tier=db", "-o", "json"]).ok().json()["Instances"], json!([]));
    run("label", &["box-1", "tier=db", "owner=me"]).ok().prints("Labelled box-1");
    assert_eq!(world.instances()["box-1"]["Tags"], json!({"tier": "db", "owner": "me"}));
    run("list", &["--tag", "tier=db"]).ok().prints("owner=me");
    run("label", &["nobody", "a=b"]).ends_with(1).complains("nobody");
    run("label", &["box-1", "no-value"]).ends_with(2);

    run("validate", &["{\"Note\": 1}"]).ok().prints("Valid");
    run("validate", &["[1]"]).ends_with(1).complains("[1] is not of type");
    run("validate", &["{Note: 1}"]).ends_with(2).complains("{Note: 1}");
    run("destroy", &["box-1"]).ok().prints("Destroyed box-1");
    run("destroy", &["box-1"]).ok();
    run("destroy", &["never-was", "nor-was-this"]).ok();
    world.write("instances/precious.json", "{\"mine\": true}");
    run("destroy", &["precious"]).ends_with(1).complains("refused to destroy");
    assert_eq!(world.names_in("instances"), ["precious.json"]);
}

#[test]
fn an_instance_plugin_is_called_by_hand_without_a_host() {
    let world = World::new();
    let file = plugin("instance_file").display().to_string();
    by_hand(&world, &[&file, "--dir", "instances:/instances:rw"]);
    // What is granted to read cannot be written.
    let denied = world.run_words(&["instance", "provision", &file, "box", "--dir", "instances:/instances"]);
    denied.ends_with(1).complains("/instances");
    world.run_words(&["instance", "list", &file]).ends_with(1).complains("no directory is granted");
    world.run_words(&["instance", "list", &file, "--dir", "nowhere:/instances"]).ends_with(1).complains("nowhere");
    assert_eq!(world.names_in("instances"), ["precious.json"]);
}

#[test]
fn an_instance_plugin_is_called_by_hand_from_a_stack() {
    let world = World::new();
    world.stack(&[]);
    by_hand(&world, &["file", "--stack", "stack.json"]);
    world.run("instance list nobody --stack stack.json").ends_with(1).complains("it registers file, vanilla");
    world.run("instance list vanilla --stack stack.json").ends_with(1).complains("instance plugin");
}

#[test]
fn an_instance_plugin_is_called_by_hand_through_a_host() {
    let world = World::new();
    let _host = world.serve();
    world.stack(&[]);
    world.run("group commit stack.json").ok();
    by_hand(&world, &["file"]);
    // The grants are the host's to give.
    world.run("instance list file --dir instances:/instances").ends_with(2).complains("--allow-... goes with the path");
}

#[test]
fn many_at_once_for_one_name_make_one_instance() {
    let world = World::new();
    let _host = world.serve();
    world.stack(&[]);
    world.run("group commit stack.json").ok();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(world.run("instance provision file one").ok().stdout, "one\n"));
        }
    });
    assert_eq!(world.names_in("instances"), ["one.json"]);
}

/// What an author does with a flavor plugin by hand. `target` says which: words after the verb.
fn flavor_by_hand(world: &World, target: &[&str]) {
    let run = |verb: &str, rest: &[&str]| world.run_words(&[&["flavor", verb], target, rest].concat());
    run("validate", &[r#"{"Init": ["a"]}"#]).ok().prints("Valid");
    run("validate", &["null", "--logical-ids", "a,b"]).ok();
    run("validate", &[r#"{"Tgas": {}}"#]).ends_with(1).complains("Tgas").complains("did you mean \"Tags\"?");
    run("validate", &[r#"{"Tags": {"infrakit.group": "x"}}"#]).ends_with(1).complains("the host's own");
    run("validate", &["{", "--size", "3"]).ends_with(2).complains("give JSON, @FILE, or - for standard input");

    let spec = r#"{"Properties": {"Note": 1}, "Tags": {"tier": "old", "a": "b"}, "Init": "first"}"#;
    let flavor = r#"{"Init": ["second", "third"], "Tags": {"tier": "new"}}"#;
    let prepared = json!({
        "Properties": {"Note": 1}, "Tags": {"tier": "new", "a": "b"}, "Init": "first\nsecond\nthird", "LogicalID": "db",
    });
    let ids = ["--logical-ids", "web,db", "--sequence", "2"];
    assert_eq!(run("prepare", &[&[flavor, "--spec", spec], ids.as_slice()].concat()).ok().json(), prepared);
    run("prepare", &[flavor, "--spec", "\"text\""]).ends_with(2);
    run("prepare", &[flavor, "--spec", r#"{"Propertis": {}}"#]).ends_with(2).complains("Propertis");

    let one = json!({"ID": "i-1", "Name": "n", "State": "running", "Tags": {}});
    let two = json!({"ID": "i-2", "Name": "m", "State": "stopped", "Tags": {}});
    world.document("instances.json", &json!([one, two]));
    let health = run("health", &["{}", "--instances", "@instances.json", "-o", "json"]).ok().json();
    let status: Vec<&Value> = health.as_array().unwrap().iter().map(|it| &it["Status"]).collect();
    assert_eq!(status, ["healthy", "unhealthy"]);
    world.document("one.json", &one);
    run("drain", &["{}", "--instance", "@one.json"]).ok().prints("Drained i-1");
    run("drain", &["{}", "--instance", "@nowhere.json"]).ends_with(1).complains("nowhere.json");
}

#[test]
fn a_flavor_plugin_is_called_by_hand_without_a_host() {
    let world = World::new();
    flavor_by_hand(&world, &[&plugin("flavor_vanilla").display().to_string()]);
    let file = plugin("instance_file").display().to_string();
    world.run_words(&["flavor", "validate", &file, "{}"]).ends_with(1).complains("flavor plugin");
}

#[test]
fn a_flavor_plugin_is_called_by_hand_through_a_host() {
    let world = World::new();
    let _host = world.serve();
    world.stack(&[]);
    world.run("group commit stack.json").ok();
    flavor_by_hand(&world, &["vanilla"]);
    world.run("flavor validate file {}").ends_with(1).complains("flavor plugin");
}
