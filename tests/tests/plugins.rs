//! Plugins that misbehave, vanish and come back, under a host that goes on.

use std::fs;
use std::time::{Duration, Instant};

use homeostat_tests::{Variant, World, group, plugin, until, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A world's plugins, and the hostile ones with limits that end a test soon.
fn stack(world: &World, groups: &[Value]) {
    let mut plugins = world.plugins();
    let limits = json!({"CPU": "300ms", "Wall": "2s", "Memory": "32MiB"});
    plugins["hostile"] = json!({"Path": plugin("hostile_instance"), "Limits": limits});
    plugins["hostile-flavor"] = json!({"Path": plugin("hostile_flavor"), "Limits": limits});
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": groups}));
}

/// A group of files under the hostile flavor, which does what `word` says.
fn flavored(id: &str, word: &str) -> Value {
    let mut group = group(id, 3, "a");
    group["Properties"]["Flavor"] = json!({"Plugin": "hostile-flavor", "Properties": word});
    group
}

/// A group of hostile instances with these properties.
fn hostile(id: &str, properties: &Value) -> Value {
    let mut group = group(id, 3, "a");
    group["Properties"]["Instance"] = json!({"Plugin": "hostile", "Properties": properties});
    group
}

/// What `group describe` says of why a group waits, once it says this.
#[track_caller]
fn until_waits(world: &World, group: &str, text: &str) -> String {
    until(&format!("{group} waits because {text:?}"), || Some(world.waiting(group)).filter(|it| it.contains(text)))
}

#[test]
fn a_flavor_whose_health_traps_leaves_its_group_running_and_says_so() {
    let world = World::new();
    let _host = world.serve();
    stack(&world, &[flavored("web", "health-trap"), group("calm", 1, "a")]);
    world.run("group commit stack.json").ok();
    until_waits(&world, "web", "0 of 3 are healthy");
    world.until_converged("calm");
    let described = world.describe("web");
    for instance in described["Instances"].as_array().unwrap() {
        assert_eq!((&instance["State"], &instance["Health"]), (&json!("running"), &json!("unknown")));
        assert!(instance["Message"].as_str().unwrap().contains("it crashed"), "{instance}");
    }
    // What cannot be judged is neither replaced nor left alone: its number is still kept.
    let before = world.fingerprint();
    assert_eq!(before.len(), 4);
    let mine = world.ids().into_iter().find(|it| it.starts_with("web-")).unwrap();
    fs::remove_file(world.path(&format!("instances/{mine}.json"))).unwrap();
    until_eq("four again", 4, || world.ids().len());
    world.run("group scale web 4").ok();
    until_eq("five", 5, || world.ids().len());
    let late = world.run("group commit stack.json --wait --timeout 500ms").ends_with(1);
    late.complains("not converged within 500ms").complains("are healthy");

    // One that does not take the spec is no help, and another version mends it, without a new instance.
    let before = world.fingerprint();
    let other = world.run(&format!("plugin add hostile-flavor {}", plugin("flavor_vanilla").display())).ends_with(1);
    other.complains("group web could not go on with it: the plugin's schema does not allow this");
    let only_objects = r#""type": ["object", "null"], "#;
    let mended = Variant::of("probe_flavor").with(only_objects, &" ".repeat(only_objects.len()));
    world.write("mended.wasm", mended.bytes());
    fs::create_dir(world.path("probe")).unwrap();
    world.run("plugin add hostile-flavor mended.wasm --allow-dir probe:/probe").ok();
    until("it can be judged", || (world.describe("web")["Report"]["Counts"]["Healthy"] == 3).then_some(()));
    assert!(world.fingerprint().iter().all(|(name, print)| before.get(name) == Some(print)));
}

#[test]
fn a_flavor_that_rejects_makes_no_instance_and_a_new_spec_mends_it() {
    let world = World::new();
    let _host = world.serve();
    stack(&world, &[flavored("web", "reject")]);
    world.run("group commit stack.json").ok();
    let waiting = until_waits(&world, "web", "not like this");
    assert!(waiting.contains("commit another spec"), "{waiting}");
    world.run("group ls").ok().prints("not like this");
    assert!(world.names_in("instances").is_empty());
    stack(&world, &[flavored("web", "nothing")]);
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(world.ids().len(), 3);
}

#[test]
fn a_flavor_that_is_not_ready_is_asked_again_ever_less_often() {
    let world = World::new();
    let _host = world.serve();
    stack(&world, &[flavored("web", "not-yet")]);
    world.run("group commit stack.json").ok();
    let began = Instant::now();
    let calls = || world.run("plugin inspect hostile-flavor -o json").ok().json()["Stats"]["Calls"].as_u64().unwrap();
    let failures = || {
        let waiting = world.describe("web")["Report"]["Waiting"].clone();
        waiting[0]["Failures"].as_u64().unwrap_or_default()
    };
    until("it has failed three times", || (failures() >= 3).then_some(()));
    // Half a second and one second lie between three attempts, a quarter more or less.
    assert!(began.elapsed() > Duration::from_millis(1100), "{:?}", began.elapsed());
    assert!(calls() < 20, "{} calls in {:?}", calls(), began.elapsed());
    let waiting = world.waiting("web");
    assert!(waiting.contains("there is no join token yet") && waiting.contains("in a row"), "{waiting}");
    assert!(world.names_in("instances").is_empty());
}

#[test]
fn a_flavor_whose_answer_breaks_the_contract_makes_no_instance() {
    let world = World::new();
    let _host = world.serve();
    for word in ["add-reserved", "drop-reserved", "change-logical-id", "bad-json"] {
        stack(&world, &[flavored(word, word)]);
        world.run("group commit stack.json").ok();
        until_waits(&world, word, "breaks the contract");
    }
    assert!(world.names_in("instances").is_empty());
}

#[test]
fn a_plugin_that_spins_runs_out_of_its_budget_while_others_converge() {
    let world = World::new();
    let _host = world.serve();
    stack(&world, &[hostile("spin", &json!({"OnProvision": "spin"})), group("calm", 20, "a")]);
    world.run("group commit stack.json").ok();
    let began = Instant::now();
    world.until_converged("calm");
    let waiting = until_waits(&world, "spin", "it computed for more than 300ms");
    assert!(waiting.contains("raise Limits.CPU"), "{waiting}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    fs::remove_file(world.path(&format!("instances/{}.json", world.ids()[0]))).unwrap();
    until_eq("twenty again", 20, || world.ids().len());
    let stats = &world.run("plugin inspect hostile -o json").ok().json()["Stats"];
    assert!(stats["Trapped"].as_u64().unwrap() > 0, "{stats}");
    world.run("group free spin").ok();
}

#[test]
fn a_plugin_that_misbehaves_while_it_checks_a_document_has_it_refused() {
    let world = World::new();
    let host = world.serve();
    for (what, says) in [
        ("spin", "it computed for more than 300ms"),
        ("sleep", "no answer within 2s"),
        ("memory", "it needs more memory than 32MiB"),
        ("panic", "deliberately"),
        ("unreachable", "it crashed"),
        ("exit", "it crashed"),
        ("stack", "it crashed"),
        // It may come to its panic, or run out of time before.
        ("flood", "plugin \"hostile\", validate: it c"),
    ] {
        stack(&world, &[hostile("web", &json!({"Do": what})), group("calm", 1, "a")]);
        let refused = world.run("group commit stack.json").ends_with(1).complains(says);
        assert!(refused.took < Duration::from_secs(10), "{what}: {:?}", refused.took);
        assert!(!refused.stderr.contains('\u{1b}'), "{}", refused.told());
    }
    assert_eq!(world.run("group ls -o json").ok().json(), json!([]));
    assert_eq!(world.run("plugin ls -o json").ok().json(), json!([]));
    // 400,000 lines were written.
    assert!(host.stderr().len() < 200_000 && !host.stderr().contains('\u{1b}'), "{} bytes", host.stderr().len());
}

#[test]
fn a_list_that_cannot_be_had_makes_and_destroys_nothing() {
    let world = World::new();
    let _host = world.serve();
    stack(&world, &[hostile("list-panic", &json!({})), hostile("list-unavailable", &json!({})), group("calm", 2, "a")]);
    world.run("group commit stack.json").ok();
    until_waits(&world, "list-panic", "nothing is created or destroyed");
    until_waits(&world, "list-panic", "deliberately");
    until_waits(&world, "list-unavailable", "come back later");
    world.until_converged("calm");
    for id in ["list-panic", "list-unavailable"] {
        let described = world.describe(id);
        let counts = &described["Report"]["Counts"];
        assert_eq!(
            (&counts["Creating"], &counts["Removing"], &described["Instances"]),
            (&json!(0), &json!(0), &json!([]))
        );
    }
}

#[test]
fn a_guest_gets_at_nothing_that_was_not_granted() {
    let world = World::new();
    fs::create_dir(world.path("granted")).unwrap();
    world.write("granted/file", "not yours");
    world.write("secret", "secret");
    std::os::unix::fs::symlink(world.path(""), world.path("granted/out")).unwrap();
    let file = plugin("hostile_instance").display().to_string();
    for grants in [&[][..], &["--dir", "granted:/granted"]] {
        let words = [&["instance", "validate", &file, r#"{"Do": "escape"}"#], grants].concat();
        let words: Vec<String> = words.iter().map(|it| it.replace("\"Do\": ", "\"Do\":")).collect();
        let run = world.run_words(&words.iter().map(String::as_str).collect::<Vec<_>>()).ends_with(1);
        // The guest lists what it got at behind the name of the function.
        assert!(run.stderr.trim_end().ends_with("validate:"), "{}", run.told());
    }
    assert_eq!(fs::read_to_string(world.path("granted/file")).unwrap(), "not yours");
}

#[test]
fn a_host_ends_although_a_guest_sleeps() {
    for insist in [false, true] {
        let world = World::new();
        let host = world.serve();
        stack(&world, &[hostile("web", &json!({"OnProvision": "sleep"})), group("calm", 2, "a")]);
        world.run("group commit stack.json").ok();
        world.until_converged("calm");
        until("the guest sleeps", || {
            let stats = world.run("plugin inspect hostile -o json").ok().json()["Stats"].clone();
            (stats["InFlight"].as_u64()? > 0).then_some(())
        });
        let began = Instant::now();
        host.signal(Signal::TERM);
        if insist {
            until("it has heard the first", || host.stderr().contains("stopping").then_some(()));
            let run = host.stop(Signal::TERM);
            assert_eq!(run.code, Some(128 + 15), "{}", run.told());
        } else {
            host.finish().ok();
        }
        // The wall-clock limit of the guest, and some.
        assert!(began.elapsed() < Duration::from_secs(if insist { 1 } else { 6 }), "{:?}", began.elapsed());
        assert_eq!(world.ids().len(), 2);
    }
}

#[test]
fn a_plugin_whose_file_is_gone_is_waited_for_and_comes_back() {
    let world = World::new();
    fs::copy(plugin("instance_file"), world.path("file.wasm")).unwrap();
    let mut plugins = world.plugins();
    plugins["file"]["Path"] = json!("file.wasm");
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [group("web", 3, "a")]}));
    let host = world.serve();
    world.run("group commit stack.json --wait").ok();
    let before = world.fingerprint();
    host.stop(Signal::TERM).ok();

    fs::rename(world.path("file.wasm"), world.path("elsewhere.wasm")).unwrap();
    // The copy that the host keeps is gone too; `swap.rs` shows what that is good for.
    fs::remove_dir_all(world.path("state/plugins")).unwrap();
    let _host = world.serve();
    let waiting = until_waits(&world, "web", "there is no such file");
    assert!(waiting.contains("file.wasm"), "{waiting}");
    world.run("plugin ls").ok().prints("there is no such file");
    world.run("group ls").ok().prints("there is no such file");
    fs::remove_file(world.path("instances").join(before.keys().next().unwrap())).unwrap();

    fs::rename(world.path("elsewhere.wasm"), world.path("file.wasm")).unwrap();
    let began = Instant::now();
    until_eq("three again", 3, || world.ids().len());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    world.until_converged("web");
    let after = world.fingerprint();
    assert_eq!(before.iter().filter(|(name, print)| after.get(*name) == Some(print)).count(), 2);
}

#[test]
fn a_granted_directory_that_goes_away_is_told_of_and_healed_when_it_comes_back() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    let before = world.fingerprint();
    let dir = world.path("instances").display().to_string();

    // Moved away and back: the same instances, and nothing is made anew.
    fs::rename(world.path("instances"), world.path("away")).unwrap();
    until_waits(&world, "web", &dir);
    fs::rename(world.path("away"), world.path("instances")).unwrap();
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before);

    // It is watched as before.
    let lose_one = || {
        fs::remove_file(world.path(&format!("instances/{}.json", world.ids()[0]))).unwrap();
        until_eq("three again", 3, || world.ids().len());
        world.until_converged("web");
    };
    lose_one();

    // Gone for good: what was in it is made anew once there is a place for it.
    fs::remove_dir_all(world.path("instances")).unwrap();
    until_waits(&world, "web", &dir);
    fs::create_dir(world.path("instances")).unwrap();
    let began = Instant::now();
    until_eq("three again", 3, || world.ids().len());
    // A second to find the directory, and one to be sure that it is empty.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    world.until_converged("web");
    lose_one();
}
