//! Nineteen plugins that do their worst at the same time, on a host that keeps a group beside them: it is kept, the
//! API answers, the operator is told, and when the plugins behave again, all is well without anybody's help.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use homeostat_tests::{LONG, World, group, plugin, until, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What each plugin does whenever it is asked for its instances, what the operator reads of it, and whether the sandbox had
/// to end it: then it is left alone for a while.
const DEEDS: &[(&str, &str, bool)] = &[
    ("spin", "it computed for more than 200ms", true),
    ("sleep", "no answer within 1s", true),
    ("memory", "it needs more memory than 64MiB", true),
    ("stack", "it crashed", true),
    ("unreachable", "it crashed", true),
    ("panic", "deliberately", true),
    ("long-panic", "at great length", true),
    ("exit", "it ended itself with exit status 1", true),
    ("log", "it computed for more than 200ms", true),
    ("stderr", "it computed for more than 200ms", true),
    ("http", "it computed for more than 200ms", true),
    ("secrets", "it computed for more than 200ms", true),
    ("config", "it computed for more than 200ms", true),
    ("gigabytes", "it crashed", true),
    ("handles", "no free keys", true),
    ("long-message", "so sorry", false),
    ("same-id", "occurs twice", false),
    ("no-id", "empty id", false),
    ("bad-json", "no JSON", false),
];

/// The wall-clock limit leaves a guest that spins enough of a busy machine to come to its CPU budget.
fn limits(word: &str) -> Value {
    let wall = if word == "sleep" { "1s" } else { "20s" };
    json!({"CPU": "200ms", "Wall": wall, "Memory": "64MiB"})
}

fn group_of(word: &str) -> Value {
    let mut group = group(word, 2, "a");
    group["Properties"]["Instance"] = json!({"Plugin": format!("p-{word}"), "Properties": {}});
    group
}

fn stack(world: &World) {
    let mut plugins = world.plugins();
    let mut groups = vec![group("calm", 5, "a")];
    for (word, ..) in DEEDS {
        let mut entry = world.hostile_plugin(&format!("w-{word}"));
        entry["Limits"] = limits(word);
        plugins[format!("p-{word}")] = entry;
        groups.push(group_of(word));
    }
    world.write("w-handles/file", "");
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": groups}));
}

/// The instances that all hostile providers have.
fn kept(world: &World) -> BTreeMap<&'static str, Vec<String>> {
    DEEDS.iter().map(|(word, ..)| (*word, world.names_in(&format!("w-{word}/instances")))).collect()
}

/// What `plugin ls` says of each plugin: its line.
fn listed(world: &World) -> BTreeMap<String, String> {
    let lines = world.run("plugin ls").ok().stdout;
    let named =
        lines.lines().skip(1).filter_map(|line| Some((line.split_whitespace().next()?.to_owned(), line.to_owned())));
    named.collect()
}

/// Take instances of the good group away, and wait until they are replaced.
fn heals(world: &World, rounds: usize) {
    for round in 0..rounds {
        let before = world.ids();
        let victim = &before[round % before.len()];
        fs::remove_file(world.path(&format!("instances/{victim}.json"))).unwrap();
        until(&format!("{victim} is replaced"), || {
            let now = world.ids();
            (now.len() == 5 && !now.contains(victim)).then_some(())
        });
        // The API answers, too.
        assert_eq!(world.run("group ls -o json").ok().json().as_array().map(Vec::len), Some(DEEDS.len() + 1));
    }
}

#[test]
fn the_others_go_on_the_operator_is_told_and_it_ends_by_itself() {
    let world = World::new();
    let host = world.serve();
    stack(&world);
    world.run("group commit stack.json --wait --timeout 60s").ok();
    let before = kept(&world);
    assert!(before.values().all(|it| it.len() == 2), "{before:?}");

    for (word, ..) in DEEDS {
        world.put(&format!("w-{word}/list"), &format!("do {word}"));
    }
    heals(&world, 5);
    for (word, says, ..) in DEEDS {
        until(&format!("{word} is told: {says:?}"), || world.waiting(word).contains(says).then_some(()));
    }
    heals(&world, 5);

    // Those that the sandbox has to end again and again are left alone, and the operator sees for how long.
    // Each at its own time: while one is tried again, it may answer in time.
    let mut missing: BTreeSet<&str> = DEEDS.iter().filter(|(.., ended)| *ended).map(|(word, ..)| *word).collect();
    let began = Instant::now();
    while !missing.is_empty() {
        let listed = listed(&world);
        missing
            .retain(|word| !listed[&format!("p-{word}")].contains("degraded: list crashed too often, tried again in "));
        assert!(began.elapsed() < LONG * 4, "not degraded: {missing:?}");
    }
    let lines = listed(&world);
    for (word, ..) in DEEDS.iter().filter(|(.., ended)| !*ended) {
        assert!(!lines[&format!("p-{word}")].contains("degraded"), "{}", lines[&format!("p-{word}")]);
    }
    assert!(!lines["file"].contains("degraded") && !lines["vanilla"].contains("degraded"), "{lines:?}");
    world.run("events").ok().prints("plugin p-panic degraded, list is not called for a while").prints("deliberately");
    let panicked = world.run("plugin inspect p-panic -o json").ok().json();
    assert_eq!(panicked["Degraded"][0]["Function"], "list");
    heals(&world, 5);
    // Nothing is made and nothing destroyed where nobody can tell what is there.
    assert_eq!(kept(&world), before);

    for (word, ..) in DEEDS {
        world.remove(&format!("w-{word}/list"));
    }
    for (word, ..) in DEEDS {
        // Groups wait longer after each failure, and plugins that crash for up to a minute.
        let began = Instant::now();
        while world.describe(word)["Status"] != "converged" {
            assert!(began.elapsed() < LONG * 4, "{word} is not itself again: {}", world.why(word));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    until("no plugin is degraded", || listed(&world).values().all(|it| !it.contains("degraded")).then_some(()));
    assert_eq!(kept(&world), before);
    heals(&world, 5);

    let run = host.stop(Signal::TERM).ok();
    assert!(run.stderr.contains("deliberately"), "the log does not have the panic");
    assert!(run.stderr.contains("lines of a flood were left out"), "the log does not tell of the flood");
    let looks = run.stderr.lines().filter(|it| it.contains("the instances cannot be listed")).count();
    assert!(looks < DEEDS.len() * 30, "{looks} looks at groups whose list fails");
    assert!(run.stderr.len() < 8 << 20, "a log of {} bytes", run.stderr.len());
}

#[test]
fn one_that_never_says_what_it_is_is_refused_and_delays_nobody() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("calm", 5, "a")]);
    let mut bytes = fs::read(plugin("hostile_instance")).unwrap();
    let (from, to) = (b"homeostat-hostile=normal..", b"homeostat-hostile=spin....");
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "the guest has changed");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    let file = world.write("spinner.wasm", bytes);
    let adding = world.start(&format!("plugin add spinner {}", file.display()));
    // One that goes before it was ever healthy counts as a failure, and delays the next: each victim is an old one.
    for victim in world.ids() {
        fs::remove_file(world.path(&format!("instances/{victim}.json"))).unwrap();
        until_eq("five again", 5, || world.ids().len());
    }
    let run = adding.finish();
    assert_ne!(run.code, Some(0), "{}", run.told());
    run.complains("its describe-plugin gave no answer within");
    assert!(!listed(&world).contains_key("spinner"));
}
