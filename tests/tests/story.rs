//! The quickstart, and what else a user does to a group: its files are made, broken, mended, scaled, rolled and destroyed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use homeostat_tests::{World, group, plugin, until, until_eq, workspace};
use serde_json::{Value, json};

/// The stack of `examples/quickstart`, with the plugins where they are and the instances in `world`.
fn quickstart(world: &World) -> Value {
    let file = workspace().join("examples/quickstart/stack.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut stack: Value = serde_json::from_str(&text).expect("the example is JSON");
    stack["Plugins"]["collabnix-instance-file"] = world.file_plugin("instances");
    stack["Plugins"]["flavor-vanilla"]["Path"] = json!(plugin("flavor_vanilla"));
    stack
}

fn slot(instance: &Value) -> u32 {
    instance["Tags"]["homeostat.slot"].as_str().and_then(|it| it.parse().ok()).expect("a slot")
}

/// Ids by slot.
fn slots(world: &World) -> BTreeMap<u32, String> {
    world.instances().iter().map(|(id, it)| (slot(it), id.clone())).collect()
}

fn remove(world: &World, id: &str) {
    fs::remove_file(world.path("instances").join(format!("{id}.json"))).expect("the instance was there");
}

#[test]
fn the_quickstart_makes_five_and_replaces_two_that_are_deleted() {
    let world = World::new();
    let _host = world.serve();
    world.document("stack.json", &quickstart(&world));
    world.run("group commit stack.json --wait").ok().prints("Committed collabnix: Managing 5 instances");

    let made = world.instances();
    assert_eq!(made.values().map(slot).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for (id, it) in &made {
        assert_eq!(it["ID"], id.as_str());
        // Computed from InfraKit's recipe with another program.
        let tags = json!({
            "infrakit.group": "collabnix", "infrakit.config.hash": "utjyv4oxwajs6bng3cznq2bt4krh3cuf",
            "homeostat.slot": slot(it).to_string(), "tier": "web", "project": "infrakit",
        });
        assert_eq!(it["Tags"], tags);
        let init = "docker pull dockercloud/hello-world\ndocker run -d -p 8080:80 dockercloud/hello-world";
        assert_eq!(it["Init"], init);
        assert_eq!(it["Properties"], json!({"Note": "Collabnix Infrakit 101"}));
    }

    let before = slots(&world);
    for lost in [2, 4] {
        remove(&world, &before[&lost]);
    }
    until_eq("five again", 5, || world.instances().len());
    let after = slots(&world);
    for number in 1..=5 {
        let replaced = before[&number] != after[&number];
        assert_eq!(replaced, [2, 4].contains(&number), "slot {number}: {} became {}", before[&number], after[&number]);
    }
    world.until_converged("collabnix");
}

#[test]
fn files_that_are_no_instances_are_reported_and_neither_counted_nor_removed() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    let whole = fs::read(world.path("instances").join(format!("{}.json", world.ids()[0]))).unwrap();

    let litter: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
        ("web-7-torn.json", whole[..whole.len() / 2].to_vec()),
        ("web-8-empty.json", Vec::new()),
        ("web-9-binary.json", vec![0, 255, 254, 10]),
        ("web-9-renamed.json", whole),
        ("foreign.json", b"{\"kind\": \"something else\"}".to_vec()),
        ("notes.txt", b"do not delete".to_vec()),
    ]);
    for (name, content) in &litter {
        world.write(&format!("instances/{name}"), content);
    }
    fs::create_dir(world.path("instances/folder.json")).unwrap();
    let subjects: BTreeSet<&str> = litter.keys().copied().chain(["folder.json"]).collect();
    until_eq("every stranger is reported", subjects.iter().map(ToString::to_string).collect(), || {
        let findings = world.describe("web")["Findings"].as_array().cloned().unwrap_or_default();
        findings.iter().filter_map(|it| Some(it["Subject"].as_str()?.to_owned())).collect::<BTreeSet<_>>()
    });
    let described = world.run("group describe web").ok();
    assert!(described.stdout.contains("web-7-torn.json: half written"), "{}", described.told());
    assert!(described.stdout.contains("3 declared, 3 listed"), "{}", described.told());

    // Everything that the host does to its own instances leaves them alone.
    world.run("group scale web 5 --wait").ok();
    world.run("group scale web 1 --wait").ok();
    world.run("group destroy web").ok();
    for (name, content) in &litter {
        assert_eq!(fs::read(world.path("instances").join(name)).as_ref().ok(), Some(content), "{name}");
    }
    assert_eq!(world.names_in("instances").len(), subjects.len());
}

#[test]
fn scaling_up_adds_and_scaling_down_takes_the_newest_first() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    world.run("group scale web 5 --wait").ok().prints("Adding 2 instances to increase the group size to 5");
    let five = slots(&world);
    assert_eq!(five.len(), 5);

    // The replacement in slot 1 is now the youngest.
    remove(&world, &five[&1]);
    until_eq("five again", 5, || world.instances().len());
    world.until_converged("web");
    let young = slots(&world)[&1].clone();
    assert_ne!(young, five[&1]);
    world.run("group scale web 4 --wait").ok().prints("Terminating 1 instances to reduce the group size to 4");
    assert!(!world.ids().contains(&young), "the youngest is the first to go: {:?}", world.ids());
    world.run("group scale web 2 --wait").ok();
    assert_eq!(slots(&world), BTreeMap::from([(2, five[&2].clone()), (3, five[&3].clone())]));

    world.run("group scale web").ok().prints("Group web at 2 instances");
    world.run("group scale web 0 --wait").ok();
    assert!(world.ids().is_empty());
    world.run("group ls").ok().prints("converged");
    world.run("group scale web 2 --wait").ok();
    assert_eq!(slots(&world).keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_changed_init_rolls_one_at_a_time() {
    const SIZE: usize = 24;
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", SIZE as i64, "old")]);
    let old: BTreeSet<String> = world.ids().into_iter().collect();

    world.stack(&[group("web", SIZE as i64, "new")]);
    let reply = world.run("group commit stack.json").ok();
    assert!(reply.stdout.contains(&format!("Performing a rolling update on {SIZE} instances")), "{}", reply.told());
    let mut seen = BTreeSet::new();
    until("all are new", || {
        let now = world.ids();
        assert!((SIZE - 1..=SIZE).contains(&now.len()), "{} files at once: {now:?}", now.len());
        seen.insert(now.len());
        now.iter().all(|id| !old.contains(id)).then_some(())
    });
    world.until_converged("web");
    let new = world.instances();
    assert_eq!(new.len(), SIZE);
    let hash = world.describe("web")["ConfigHash"].clone();
    for (number, it) in (1..).zip(new.values().map(|it| (slot(it), it)).collect::<BTreeMap<_, _>>()) {
        assert_eq!(it.0, number, "every slot is filled again");
        assert_eq!((&it.1["Init"], &it.1["Tags"]["infrakit.config.hash"]), (&json!("new"), &hash));
    }
}

#[test]
fn two_plugins_of_one_file_keep_two_directories() {
    let world = World::new();
    fs::create_dir(world.path("second")).unwrap();
    let _host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    let mut second = group("db", 2, "b");
    second["Properties"]["Instance"]["Plugin"] = json!("second-file");
    let stack = json!({"Plugins": {"second-file": world.file_plugin("second")}, "Groups": [second]});
    world.document("second.json", &stack);
    world.run("group commit second.json --wait").ok();
    let groups = |dir| -> Vec<Value> {
        world.instances_in(dir).values().map(|it| it["Tags"]["infrakit.group"].clone()).collect()
    };
    assert_eq!((groups("instances"), groups("second")), (vec![json!("web"); 3], vec![json!("db"); 2]));

    world.run("group destroy web").ok();
    assert_eq!((groups("instances"), groups("second").len()), (vec![], 2));
    world.run("group ls").ok().prints("second-file");
}

#[test]
fn two_groups_share_a_plugin_and_do_not_touch_each_other() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 3, "a"), group("web-2", 4, "a")]);
    let of = |id: &str| -> Vec<String> {
        let all = world.instances();
        all.iter().filter(|(_, it)| it["Tags"]["infrakit.group"] == id).map(|(id, _)| id.clone()).collect()
    };
    let other = of("web-2");
    assert_eq!((of("web").len(), other.len()), (3, 4));
    world.run("group destroy web").ok();
    assert_eq!((of("web").len(), of("web-2")), (0, other));
}

#[test]
fn destroy_leaves_an_empty_directory_and_no_group() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 5, "a")]);
    world.run("group destroy web").ok().prints("Destroyed web");
    assert!(world.names_in("instances").is_empty());
    assert_eq!(world.run("group ls -o json").ok().json(), json!([]));
    world.run("group describe web").ends_with(1).complains("there is no group \"web\"");
    world.run("group destroy web").ends_with(1);
    world.commit(&[group("web", 2, "a")]);
    assert_eq!(world.ids().len(), 2);
}

#[test]
fn destroy_instances_shrinks_the_group_and_an_unknown_id_touches_nothing() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 5, "a"), group("db", 1, "a")]);
    let mine = slots_of(&world, "web");
    let foreign = slots_of(&world, "db")[&1].clone();
    let before = world.fingerprint();
    for unknown in ["no-such-instance", &foreign] {
        let refused = world.run(&format!("group destroy-instances web {} {unknown}", mine[&2]));
        refused.ends_with(1).complains(unknown).complains("nothing was destroyed");
        assert_eq!(world.fingerprint(), before);
    }
    world.run(&format!("group destroy-instances web {} {} --wait", mine[&2], mine[&5])).ok();
    let kept = [1, 3, 4].map(|it| (it, mine[&it].clone()));
    assert_eq!(slots_of(&world, "web"), BTreeMap::from(kept));
    world.run("group scale web").ok().prints("Group web at 3 instances");
}

fn slots_of(world: &World, group: &str) -> BTreeMap<u32, String> {
    let mine = world.instances().into_iter().filter(|(_, it)| it["Tags"]["infrakit.group"] == group);
    mine.map(|(id, it)| (slot(&it), id)).collect()
}

#[test]
fn free_leaves_the_instances_and_a_commit_takes_them_back_unchanged() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 4, "a")]);
    let before = world.fingerprint();
    world.run("group free web").ok();
    assert_eq!(world.run("group ls -o json").ok().json(), json!([]));
    // Nobody keeps it now; the host has looked at the directory since, for another group.
    remove(&world, &world.ids()[0]);
    world.commit(&[group("other", 1, "a")]);
    assert_eq!(slots_of(&world, "web").len(), 3);
    world.run("group destroy other").ok();

    world.commit(&[group("web", 3, "a")]);
    let after = world.fingerprint();
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|(name, print)| before.get(name) == Some(print)), "{before:?} became {after:?}");
}

fn pets(ids: &[&str]) -> Value {
    let mut group = group("pets", 1, "a");
    group["Properties"]["Allocation"] = json!({"LogicalIDs": ids});
    group
}

/// Provider's ids by logical id.
fn holders(world: &World) -> BTreeMap<String, String> {
    let all = world.instances();
    let holders: BTreeMap<_, _> =
        all.iter().map(|(id, it)| (it["LogicalID"].as_str().expect("a logical id").to_owned(), id.clone())).collect();
    assert_eq!(holders.len(), all.len(), "two hold one identity: {all:?}");
    holders
}

#[test]
fn a_pet_comes_back_under_its_identity_and_identities_come_and_go() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[pets(&["a", "b", "c"])]);
    let before = holders(&world);
    assert_eq!(before.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(world.instances()[&before["b"]]["Tags"]["infrakit.logical_id"], "b");

    remove(&world, &before["b"]);
    until_eq("three again", 3, || world.instances().len());
    let healed = holders(&world);
    assert_eq!(healed.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_ne!(healed["b"], before["b"]);
    assert_eq!((&healed["a"], &healed["c"]), (&before["a"], &before["c"]));

    let more = world.commit(&[pets(&["a", "b", "c", "d"])]);
    assert!(more.stdout.contains("Adding 1 instances with logical IDs d"), "{}", more.told());
    let fewer = world.commit(&[pets(&["d", "c", "b"])]);
    assert!(fewer.stdout.contains("Terminating 1 instances with logical IDs a"), "{}", fewer.told());
    let last = holders(&world);
    assert_eq!(last.keys().collect::<Vec<_>>(), ["b", "c", "d"]);
    assert_eq!((&last["b"], &last["c"]), (&healed["b"], &healed["c"]), "a new order moves nobody");

    world.run("group scale pets 5").ends_with(1).complains("cannot set size if logic ids are explicitly set");
    world.document("cattle.json", &group("pets", 3, "a"));
    world.run("group commit cattle.json").ends_with(1).complains("commit it with --convert");
    assert_eq!(holders(&world), last);
}

#[test]
fn what_is_attached_to_an_identity_follows_it() {
    let world = World::new();
    let _host = world.serve();
    let with_volumes = |init: &str| {
        let mut group = pets(&["a", "b"]);
        group["Properties"]["Flavor"]["Properties"] = json!({
            "Init": [init],
            "Attachments": {"a": [{"ID": "vol-a", "Type": "ebs"}], "b": [{"ID": "vol-b", "Type": "ebs"}]},
        });
        group
    };
    let attached = |world: &World| -> BTreeMap<String, Value> {
        let all = world.instances().into_values();
        all.map(|it| (it["LogicalID"].as_str().expect("a logical id").to_owned(), it["Attachments"].clone())).collect()
    };
    world.commit(&[with_volumes("one")]);
    let before = (attached(&world), holders(&world));
    assert_eq!(before.0["a"], json!([{"ID": "vol-a", "Type": "ebs"}]));
    assert_eq!(before.0["b"], json!([{"ID": "vol-b", "Type": "ebs"}]));
    // Lost and made again, and then replaced by an update.
    remove(&world, &before.1["b"]);
    until_eq("two again", 2, || world.instances().len());
    assert_eq!(attached(&world), before.0);
    world.commit(&[with_volumes("two")]);
    let after = (attached(&world), holders(&world));
    assert_eq!(after.0, before.0);
    assert!(after.1.values().all(|id| !before.1.values().any(|it| it == id)), "all were replaced");
}
