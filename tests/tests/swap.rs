//! Another version of a plugin while its groups go on: taken into use, refused, and taken back.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use homeostat_tests::{Variant, Watch, World, group, plugin, until, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What `plugin inspect` says of a registered plugin.
#[track_caller]
fn inspect(world: &World, name: &str) -> Value {
    world.run(&format!("plugin inspect {name} -o json")).ok().json()
}

/// The SHA-256 of a file, by the system's own tool.
fn digest(world: &World, file: &str) -> String {
    let output = std::process::Command::new("sha256sum").arg(world.path(file)).output().expect("sha256sum");
    String::from_utf8(output.stdout).expect("text").split(' ').next().expect("a digest").to_owned()
}

/// The digest of the version in use.
#[track_caller]
fn in_use(world: &World, name: &str) -> String {
    inspect(world, name)["Locked"]["Sha256"].as_str().expect("a locked version").to_owned()
}

/// The events so far, as lines.
#[track_caller]
fn events(world: &World) -> String {
    world.run("events").ok().stdout
}

/// Versions `v1.wasm`, `v2.wasm`, ... of the file plugin that differ in nothing but their digests.
fn versions(world: &World, count: u32) {
    for number in 1..=count {
        world.write(
            &format!("v{number}.wasm"),
            Variant::of("instance_file").marked(&format!("version {number}")).bytes(),
        );
    }
}

/// A stack whose plugin `file` is `v1.wasm`.
fn stack(world: &World, groups: &[Value]) {
    let mut plugins = world.plugins();
    plugins["file"]["Path"] = json!("v1.wasm");
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": groups}));
}

#[track_caller]
fn commit(world: &World) {
    world.run("group commit stack.json --wait --timeout 30s").ok();
}

/// A file of an instance is taken away, and is there again.
#[track_caller]
fn heals(world: &World, group: &str) {
    let all = world.ids().len();
    let mine = world.ids().into_iter().find(|it| it.starts_with(&format!("{group}-"))).expect("an instance");
    fs::remove_file(world.path(&format!("instances/{mine}.json"))).expect("it was there");
    until_eq("it is there again", all, || world.ids().len());
    world.until_converged(group);
}

#[test]
fn a_swap_touches_no_group_and_can_be_taken_back() {
    let world = World::new();
    versions(&world, 2);
    let (first, second) = (digest(&world, "v1.wasm"), digest(&world, "v2.wasm"));
    assert_ne!(first, second);
    let _host = world.serve();
    stack(&world, &[group("web", 3, "a"), group("db", 2, "a")]);
    commit(&world);
    let (before, revision) = (world.fingerprint(), world.describe("web")["Revision"].clone());
    let watch = Watch::new(&world.path("instances"));

    let told = world.run("plugin swap file v2.wasm").ok();
    told.prints("Swapped plugin file to version").prints(&second[..12]);
    let view = inspect(&world, "file");
    assert_eq!((&view["Locked"]["Sha256"], &view["Previous"]["Sha256"]), (&json!(second), &json!(first)), "{view}");
    assert_eq!((&view["Info"]["Digest"], &view["UsedBy"]), (&json!(second), &json!(["db", "web"])), "{view}");
    let shown = world.run("plugin inspect file").ok();
    shown.prints(&format!("sha256:{second}")).prints("Before that").prints(&first);
    world.run("plugin ls").ok().prints("v2.wasm").prints("ready");
    let told = events(&world);
    assert!(told.contains(&format!("plugin file swapped from sha256:{:.12} to sha256:{second:.12}", first)), "{told}");

    // The same file once more changes nothing.
    world.run("plugin swap file v2.wasm").ok();
    assert_eq!(inspect(&world, "file")["Previous"]["Sha256"], json!(first));

    for (expected, given_up) in [(&first, &second), (&second, &first)] {
        world.run("plugin rollback file").ok().prints("Rolled back plugin file").prints(&expected[..12]);
        let view = inspect(&world, "file");
        assert_eq!((&view["Locked"]["Sha256"], &view["Previous"]["Sha256"]), (&json!(expected), &json!(given_up)));
    }
    assert!(events(&world).contains("rolled back"), "{}", events(&world));
    world.until_converged("web");
    world.until_converged("db");
    assert!(watch.is_empty(), "{:?}", watch.log());
    assert_eq!((world.fingerprint(), world.describe("web")["Revision"].clone()), (before, revision));
    heals(&world, "web");
    world.run("plugin rollback vanilla").ends_with(1).complains("no other version");
    world.run("plugin swap fil v2.wasm").ends_with(1).complains("file");
}

#[test]
fn calls_under_way_end_on_the_old_version_and_none_fails() {
    let world = World::new();
    for number in 1..=2 {
        let version = Variant::of("hostile_instance").marked(&format!("version {number}"));
        world.write(&format!("v{number}.wasm"), version.bytes());
    }
    let mut plugins = world.plugins();
    plugins["slow"] = world.hostile_plugin("world");
    plugins["slow"]["Path"] = json!("v1.wasm");
    let mut slow = group("slow", 3, "a");
    slow["Properties"]["Instance"] = json!({"Plugin": "slow", "Properties": {}});
    world.write("world/provision", "late 1500");
    let _host = world.serve();
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [slow]}));
    world.run("group commit stack.json").ok();
    until("calls are under way", || {
        (inspect(&world, "slow")["Stats"]["InFlight"].as_u64()? >= 3 && world.names_in("world/instances").len() == 3)
            .then_some(())
    });
    let swapped = world.run("plugin swap slow v2.wasm").ok();
    assert!(swapped.took < Duration::from_millis(1400), "it waited for the calls: {:?}", swapped.took);

    // Others are made by hand meanwhile, and versions change beneath them.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut made = 0;
            while !over.load(Ordering::Relaxed) {
                world.run("instance list slow -o json").ok();
                world.run("instance validate slow {}").ok();
                made += 1;
            }
            made
        });
        for number in [1, 2, 1, 2, 1, 2, 1, 2, 1, 2] {
            world.run(&format!("plugin swap slow v{number}.wasm")).ok();
        }
        over.store(true, Ordering::Relaxed);
        assert!(calls.join().expect("no call fails") > 0);
    });
    world.until_converged("slow");
    let told = events(&world);
    assert!(!told.contains("could not"), "{told}");
    assert_eq!(world.names_in("world/instances").len(), 3);
    assert!(world.names_in("world/gone").is_empty());
}

#[test]
fn what_does_not_fit_is_refused_and_the_old_one_goes_on() {
    let world = World::new();
    versions(&world, 2);
    world.write("broken.wasm", "this is no plugin");
    world.write("flavor.wasm", fs::read(plugin("flavor_vanilla")).unwrap());
    let greedy = json!({"Wants": {"Dirs": [{"Guest": "/instances", "Mode": "rw"}], "Config": [{"Name": "region"}]}});
    world.write("greedy.wasm", Variant::of("instance_file").wanting(&greedy).bytes());
    fs::create_dir(world.path("elsewhere")).unwrap();
    let elsewhere = format!("--allow-dir {}:/instances:rw", world.path("elsewhere").display());
    let pinned = format!("v2.wasm --sha256 {}", digest(&world, "v1.wasm"));
    let _host = world.serve();
    stack(&world, &[group("web", 3, "a")]);
    commit(&world);
    let (before, first) = (world.fingerprint(), digest(&world, "v1.wasm"));
    let watch = Watch::new(&world.path("instances"));

    for (words, says) in [
        ("broken.wasm", "broken.wasm"),
        ("nowhere.wasm", "there is no such file"),
        ("flavor.wasm", "group web could not go on with it: it is not an instance plugin"),
        ("greedy.wasm", "the new version wants more than the one in use: the setting region"),
        (&format!("v2.wasm {elsewhere}"), "does not see 3 instances of group web"),
        // Without any grant, what it does not see is an error.
        ("v2.wasm --allow-config region=eu-1", "group web would lose file"),
        (&pinned, &first),
    ] {
        let refused = world.run(&format!("plugin swap file {words}")).ends_with(1).complains(says);
        let view = inspect(&world, "file");
        assert_eq!((&view["Locked"]["Sha256"], &view["Previous"]), (&json!(first), &Value::Null), "{}", refused.told());
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = flat(view["Refused"]["Reason"].as_str().expect("a reason"));
        assert!(reason.contains(says) && flat(&refused.stderr).contains(&reason), "{reason}\n{}", refused.told());
        world.run("plugin ls").ok().prints("another version was refused");
        world.run("plugin inspect file").ok().prints("Refused");
        let last = events(&world);
        let last = flat(last.lines().rfind(|it| it.contains("plugin file")).expect("an event"));
        assert!(last.contains("not swapped, the version in use goes on") && last.contains(says), "{last}");
    }
    assert!(watch.is_empty(), "{:?}", watch.log());
    assert_eq!(world.fingerprint(), before);
    heals(&world, "web");

    // One that fits is taken, and what was refused is forgotten.
    world.run("plugin swap file v2.wasm").ok();
    let view = inspect(&world, "file");
    assert_eq!(
        (&view["Locked"]["Sha256"], &view["Refused"]),
        (&json!(digest(&world, "v2.wasm")), &Value::Null),
        "{view}"
    );
    world.run("plugin ls").ok().prints("ready");
}

#[test]
fn wanting_more_takes_consent_or_grants_that_are_stated_anew() {
    let world = World::new();
    versions(&world, 1);
    let dirs = json!([{"Guest": "/instances", "Mode": "rw"}]);
    let setting = json!({"Wants": {"Dirs": dirs, "Config": [{"Name": "region", "Why": "to go"}]}});
    world.write("setting.wasm", Variant::of("instance_file").wanting(&setting).bytes());
    let secret = json!({"Wants": {"Dirs": dirs, "Secrets": [{"Name": "token"}]}});
    world.write("secret.wasm", Variant::of("instance_file").wanting(&secret).bytes());
    let _host = world.serve();
    stack(&world, &[group("web", 2, "a")]);
    commit(&world);
    let before = world.fingerprint();

    let refused = world.run("plugin swap file setting.wasm").ends_with(1);
    let refused = refused.complains("the setting region: to go").complains("--allow-config region=VALUE");
    refused.complains("--consent");
    world.run("plugin swap file setting.wasm --consent").ok();
    let view = inspect(&world, "file");
    assert_eq!(view["WantedNotGranted"][0]["Subject"], "the setting region", "{view}");
    world.run("plugin ls").ok().prints("lacks 1 grant");
    world.run("plugin inspect file").ok().prints("wants, and is not granted: the setting region: to go");

    // What was agreed to once is nothing new, and what is new is.
    world.run("plugin swap file v1.wasm").ok();
    world.run("plugin swap file setting.wasm").ends_with(1).complains("the setting region");
    world.run("plugin swap file setting.wasm --consent").ok();
    world.run("plugin swap file secret.wasm").ends_with(1).complains("--allow-secret token=file:PATH");

    world.write("token", "a secret");
    let dir = world.path("instances").display().to_string();
    world
        .run(&format!("plugin swap file secret.wasm --allow-dir {dir}:/instances:rw --allow-secret token=file:token"))
        .ok();
    let view = inspect(&world, "file");
    assert_eq!((&view["WantedNotGranted"], &view["GrantedNotWanted"]), (&json!([]), &json!([])), "{view}");
    assert_eq!(view["Locked"]["Sha256"], json!(digest(&world, "secret.wasm")));
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before);
    // The version before it comes back with the grants that it had.
    world.run("plugin rollback file").ok();
    let view = inspect(&world, "file");
    assert_eq!(view["Info"]["Grants"]["Secrets"], Value::Null, "{view}");
    world.run("plugin ls").ok().prints("lacks 1 grant");
}

/// A world with a provider `hostile`, whose file is `v1.wasm`, and a group `web` of three.
fn hostile(world: &World) {
    world.write("v1.wasm", Variant::of("hostile_instance").marked("version 1").bytes());
    let mut plugins = world.plugins();
    plugins["hostile"] = world.hostile_plugin("world");
    plugins["hostile"]["Path"] = json!("v1.wasm");
    let mut web = group("web", 3, "a");
    web["Properties"]["Instance"] = json!({"Plugin": "hostile", "Properties": {"Note": 1}});
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [web]}));
    commit(world);
}

#[test]
fn a_version_that_takes_a_live_spec_no_longer_is_refused() {
    let world = World::new();
    let _host = world.serve();
    hostile(&world);
    world.write("v2.wasm", Variant::of("hostile_instance").mode("refuse").bytes());
    let refused = world.run("plugin swap hostile v2.wasm").ends_with(1);
    refused.complains("group web could not go on with it").complains("this version takes no properties at all");
    // Registering it anew is no way around.
    world.run("plugin add hostile v2.wasm").ends_with(1).complains("group web could not go on with it");
    assert_eq!(in_use(&world, "hostile"), digest(&world, "v1.wasm"));
    world.run("group scale web 4 --wait --timeout 30s").ok();
    assert_eq!(world.names_in("world/instances").len(), 4);
    // Without a group that uses it, nothing speaks against it.
    world.run("group destroy web --timeout 30s").ok();
    world.run("plugin swap hostile v2.wasm").ok();
}

#[test]
fn a_version_that_crashes_is_taken_back_by_itself() {
    let world = World::new();
    let _host = world.serve();
    hostile(&world);
    let first = digest(&world, "v1.wasm");
    world.write("v2.wasm", Variant::of("hostile_instance").mode("crash").bytes());
    world.run("plugin swap hostile v2.wasm").ok();
    world.until_converged("web");
    assert_eq!(in_use(&world, "hostile"), digest(&world, "v2.wasm"), "nothing has crashed yet");

    world.run("group scale web 5").ok();
    until_eq("the version before it is back", first, || in_use(&world, "hostile"));
    world.until_converged("web");
    assert_eq!(world.names_in("world/instances").len(), 5);
    assert!(world.names_in("world/gone").is_empty());
    let view = inspect(&world, "hostile");
    assert_eq!(view["Previous"]["Sha256"], json!(digest(&world, "v2.wasm")), "{view}");
    let told = events(&world);
    assert!(told.contains("rolled back") && told.contains("crashed 3 times; last in provision"), "{told}");
    world.run("plugin ls").ok().prints("v1.wasm");
}

#[test]
fn a_changed_file_is_swapped_in_where_the_host_watches_it() {
    let world = World::new();
    versions(&world, 4);
    let other = digest(&world, "v2.wasm");
    let bytes = |number: u32| fs::read(world.path(&format!("v{number}.wasm"))).unwrap();
    let (second, third, fourth) = (bytes(2), bytes(3), bytes(4));
    let host = world.serve_with("--watch");
    stack(&world, &[group("web", 3, "a")]);
    commit(&world);
    let before = world.fingerprint();
    let watch = Watch::new(&world.path("instances"));
    // Renamed to, as builds do it.
    world.write("new.wasm", &second);
    fs::rename(world.path("new.wasm"), world.path("v1.wasm")).unwrap();
    until_eq("it is swapped in", other.clone(), || in_use(&world, "file"));

    // Written over.
    world.write("v1.wasm", "broken");
    let reason = until("it is refused", || inspect(&world, "file")["Refused"]["Reason"].as_str().map(str::to_owned));
    assert!(reason.contains("v1.wasm") || reason.contains("component"), "{reason}");
    world.run("plugin ls").ok().prints("another version was refused");
    assert_eq!(in_use(&world, "file"), other);
    world.write("v1.wasm", &third);
    until_eq("it is swapped in", digest(&world, "v3.wasm"), || in_use(&world, "file"));
    assert_eq!(inspect(&world, "file")["Refused"], Value::Null);
    world.until_converged("web");
    assert!(watch.is_empty(), "{:?}", watch.log());
    assert_eq!(world.fingerprint(), before);

    // What changed while no host ran is seen at the start; what was taken back is not taken again.
    host.stop(Signal::TERM).ok();
    world.write("v1.wasm", &fourth);
    let host = world.serve_with("--watch");
    until_eq("it is swapped in", digest(&world, "v4.wasm"), || in_use(&world, "file"));
    world.run("plugin rollback file").ok();
    host.stop(Signal::TERM).ok();
    let _host = world.serve_with("--watch");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(in_use(&world, "file"), digest(&world, "v3.wasm"));
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_file_that_changes_is_left_alone_without_watch_until_it_is_asked_for() {
    let world = World::new();
    versions(&world, 2);
    let first = digest(&world, "v1.wasm");
    let host = world.serve();
    stack(&world, &[group("web", 2, "a")]);
    commit(&world);
    fs::rename(world.path("v2.wasm"), world.path("v1.wasm")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(in_use(&world, "file"), first);
    host.stop(Signal::TERM).ok();
    let _host = world.serve();
    assert_eq!(in_use(&world, "file"), first, "a restart is no swap");
    world.until_converged("web");
    world.run("plugin swap file").ok();
    assert_eq!(in_use(&world, "file"), digest(&world, "v1.wasm"));
}

#[test]
fn a_group_is_rolled_when_its_plugin_changes_only_where_it_asks_for_it() {
    let world = World::new();
    versions(&world, 3);
    let _host = world.serve();
    let asks = |id: &str, what: &str| {
        let mut group = group(id, 3, "a");
        group["Properties"]["Updating"] = json!({"OnPluginChange": what});
        group
    };
    stack(&world, &[asks("rolls", "roll"), asks("keeps", "keep"), group("silent", 2, "a")]);
    commit(&world);
    let of =
        |id: &str| -> Vec<String> { world.ids().into_iter().filter(|it| it.starts_with(&format!("{id}-"))).collect() };
    let (rolls, keeps, silent) = (of("rolls"), of("keeps"), of("silent"));
    world.run("plugin swap file v2.wasm").ok();
    until("all three were replaced", || {
        let now = of("rolls");
        (now.len() == 3 && now.iter().all(|it| !rolls.contains(it))).then_some(())
    });
    world.until_converged("rolls");
    assert_eq!((of("keeps"), of("silent")), (keeps.clone(), silent.clone()));

    // The same file once more is no change, and neither is the same document.
    let rolled = of("rolls");
    world.run("plugin swap file v2.wasm").ok();
    world.run("plugin swap vanilla").ok();
    for id in ["rolls", "keeps"] {
        world.run(&format!("group scale {id} 3 --wait --timeout 30s")).ok();
    }
    assert_eq!((of("rolls"), of("keeps")), (rolled, keeps));
}

#[test]
fn a_host_that_is_killed_during_swaps_has_one_version_or_the_other() {
    let world = World::new();
    versions(&world, 2);
    let digests = [digest(&world, "v1.wasm"), digest(&world, "v2.wasm")];
    let mut host = world.serve();
    stack(&world, &[group("web", 5, "a")]);
    commit(&world);
    let before = world.fingerprint();
    let mut seen = [0; 2];
    for round in 0..12_u32 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in [2, 1, 2, 1] {
                    // It may be cut off.
                    world.run(&format!("plugin swap file v{number}.wasm"));
                }
            });
            // Another moment in each round.
            std::thread::sleep(Duration::from_millis(u64::from(5 + round * 7 % 60)));
            host.kill();
        });
        host = world.serve();
        let now = in_use(&world, "file");
        let which = digests.iter().position(|it| *it == now).unwrap_or_else(|| panic!("{now} is neither"));
        seen[which] += 1;
        assert!(world.run("plugin ls").ok().stdout.contains("ready"));
        world.until_converged("web");
        assert_eq!(world.fingerprint(), before);
    }
    println!("after a kill the first version was in use {} times, the second {}", seen[0], seen[1]);
    heals(&world, "web");
}

#[test]
fn a_restart_needs_nothing_but_what_the_host_has_kept() {
    let world = World::new();
    versions(&world, 2);
    let host = world.serve();
    stack(&world, &[group("web", 3, "a")]);
    commit(&world);
    world.run("plugin swap file v2.wasm").ok();
    let (before, second) = (world.fingerprint(), digest(&world, "v2.wasm"));
    let first = digest(&world, "v1.wasm");
    host.stop(Signal::TERM).ok();
    for file in ["v1.wasm", "v2.wasm"] {
        fs::remove_file(world.path(file)).unwrap();
    }
    // Machine code is only a cache.
    fs::remove_dir_all(world.path("state/cache")).unwrap();
    let _host = world.serve();
    world.until_converged("web");
    assert_eq!((in_use(&world, "file"), world.fingerprint()), (second, before));
    heals(&world, "web");
    // The version before it is kept too.
    world.run("plugin rollback file").ok();
    assert_eq!(in_use(&world, "file"), first);
    heals(&world, "web");
    world.run("plugin swap file").ends_with(1).complains("there is no such file");
}

#[test]
fn a_kept_file_that_was_damaged_comes_from_its_source_again_and_from_nothing_else() {
    let world = World::new();
    versions(&world, 2);
    let host = world.serve();
    stack(&world, &[group("web", 3, "a")]);
    commit(&world);
    let (before, first) = (world.fingerprint(), digest(&world, "v1.wasm"));
    let kept = world.path(&format!("state/plugins/sha256/{first}.wasm"));
    let whole = fs::read(&kept).unwrap();
    host.stop(Signal::TERM).ok();
    fs::write(&kept, &whole[..whole.len() / 2]).unwrap();
    let host = world.serve();
    world.until_converged("web");
    assert_eq!((in_use(&world, "file"), world.fingerprint()), (first, before.clone()));
    assert!(fs::read(&kept).unwrap() == whole, "it was not mended");
    heals(&world, "web");

    let before = world.fingerprint();
    host.stop(Signal::TERM).ok();
    fs::write(&kept, "rubbish").unwrap();
    fs::copy(world.path("v2.wasm"), world.path("v1.wasm")).unwrap();
    let _host = world.serve();
    world.until_why("web", "expected sha256");
    assert_eq!(world.fingerprint(), before);
}
