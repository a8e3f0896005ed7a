//! Looking before acting, and looking back: plans, saved plans, pretended commits, conversions, histories and events.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use homeostat_tests::{World, group, until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A group with a short watch over its rollouts, so that they come to rest.
fn web(size: i64, init: &str) -> Value {
    let mut spec = group("web", size, init);
    spec["Properties"]["Updating"] = json!({"Monitor": "50ms"});
    spec
}

fn pets(ids: &[&str]) -> Value {
    let mut spec = web(1, "a");
    spec["Properties"]["Allocation"] = json!({"LogicalIDs": ids});
    spec
}

/// Commit, and wait until the host has nothing left to do or to write.
#[track_caller]
fn rest(world: &World, spec: Value) {
    world.commit(&[spec]);
    until("it rests", || (world.describe("web")["Rollout"]["Status"]["State"] == "Succeeded").then_some(()));
}

/// Everything in the state directory, byte by byte.
fn state(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![world.path("state")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                found.insert(entry.path().display().to_string(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// The steps of the first group of a plan: what, of which instance, why.
fn steps(plan: &Value) -> Vec<(String, String)> {
    let rounds = plan["Groups"][0]["Rounds"].as_array().unwrap();
    let step = |it: &Value| {
        let action = it["Action"].as_object().expect("an action");
        let (kind, rest) = match action.get("Kind") {
            Some(kind) => (kind.as_str().unwrap().to_owned(), &it["Action"]),
            None => (action.keys().next().unwrap().clone(), action.values().next().unwrap()),
        };
        let subject = rest["ID"].as_str().or(rest["Name"].as_str()).unwrap_or_default();
        (kind, subject.to_owned())
    };
    rounds.iter().flat_map(|it| it.as_array().unwrap()).map(step).collect()
}

#[test]
fn a_plan_shows_every_step_and_what_changes() {
    let world = World::new();
    let _host = world.serve();
    world.document("new.json", &json!({"Plugins": world.plugins(), "Groups": [web(2, "a")]}));
    let first = world.run("group plan new.json").ok();
    first.prints("Would register plugin file").prints("--- nothing").prints("2 steps for web").prints("new in slot 2");
    world.run("group ls -o json").ok().prints("[]");
    rest(&world, web(3, "first"));
    let (before, old) = (world.fingerprint(), world.ids());

    world.document("next.json", &web(4, "second"));
    let plan = world.run("group plan next.json").ok();
    let plan = plan.prints("Committing web would involve: Performing a rolling update on 3 instances");
    let plan = plan.prints("--- web, revision 1").prints("-    Size: 3").prints("+    Size: 4");
    let plan = plan.prints("- first").prints("- second").prints("7 steps for web").prints("its config is out of date");
    assert!(old.iter().all(|id| plan.stdout.contains(id)), "each that goes is named: {}", plan.told());
    assert!(!plan.stdout.contains("These are not all the steps"), "{}", plan.told());

    let plan = world.run("group plan next.json -o json").ok().json();
    let steps = steps(&plan);
    let gone: BTreeSet<&str> = steps.iter().filter(|it| it.0 == "Destroy").map(|it| it.1.as_str()).collect();
    assert_eq!(gone, old.iter().map(String::as_str).collect(), "{steps:?}");
    assert_eq!(steps.iter().filter(|it| it.0 == "Provision").count(), 4, "{steps:?}");

    // One that would never end by itself says so, and one that does nothing too.
    let mut canary = web(3, "second");
    canary["Properties"]["Updating"]["Canary"] = 1.into();
    world.document("canary.json", &canary);
    world.run("group plan canary.json").ok().prints("These are not all the steps of web: an operator has to say");
    world.document("same.json", &web(3, "first"));
    world.run("group plan same.json").ok().prints("would involve: Noop").prints("No steps for web");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_saved_plan_is_carried_out_and_only_once() {
    let world = World::new();
    let _host = world.serve();
    rest(&world, web(2, "a"));
    world.document("next.json", &web(3, "b"));
    world.run("group plan next.json --out web.plan").ok().complains("homeostat group apply web.plan");
    assert_eq!(fs::metadata(world.path("web.plan")).unwrap().permissions().mode() & 0o777, 0o600);
    // The plan is what was looked at, whatever becomes of the document.
    world.document("next.json", &web(9, "c"));
    world.run("group apply web.plan --wait --timeout 30s").ok().prints("Committed web");
    assert_eq!(world.ids().len(), 3);
    assert!(world.instances().values().all(|it| it["Init"] == "b"));
    let again = world.run("group apply web.plan").ends_with(1);
    again.complains("the plan is stale: it was made when group web had revision 1, and now it has 2; plan anew");
    world.run("group apply next.json").ends_with(2).complains("is no saved plan");
}

#[test]
fn a_plan_is_refused_when_the_world_or_the_spec_has_moved() {
    let world = World::new();
    let _host = world.serve();
    rest(&world, web(3, "a"));
    world.document("next.json", &web(3, "b"));
    world.run("group plan next.json --out moved.plan").ok();
    let lost = world.ids()[0].clone();
    world.remove(&format!("instances/{lost}.json"));
    until("it is made anew", || (world.ids().len() == 3 && !world.ids().contains(&lost)).then_some(()));
    world.until_converged("web");
    let before = world.fingerprint();
    let refused = world.run("group apply moved.plan").ends_with(1);
    refused.complains("the plan is stale: the instances of group web are not what they were; plan anew");

    world.run("group plan next.json --out overtaken.plan").ok();
    world.run("group scale web 4 --wait").ok();
    world.run("group apply overtaken.plan").ends_with(1).complains("had revision 1, and now it has 2");
    world.run("group destroy web").ok();
    world.run("group apply overtaken.plan").ends_with(1).complains("the plan is stale");
    assert!(world.ids().is_empty() && before.len() == 3);
}

#[test]
fn pretending_changes_no_byte() {
    let world = World::new();
    let host = world.serve();
    rest(&world, web(3, "a"));
    let (instances, bytes) = (world.fingerprint(), state(&world));
    assert!(bytes.keys().any(|it| it.ends_with("state.redb")));
    world.stack(&[web(7, "b"), group("other", 2, "x")]);
    for _ in 0..3 {
        let told = world.run("group commit stack.json --pretend").ok();
        told.prints("Committing web would involve").prints("Committing other would involve").prints("new in slot 7");
        world.run("group plan stack.json --out p.json").ok();
    }
    world.document("pets.json", &pets(&["a", "b", "c"]));
    world.run("group commit pets.json --pretend --convert").ok();
    assert_eq!(world.fingerprint(), instances);
    let after = state(&world);
    assert_eq!(bytes.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let changed: Vec<_> = bytes.iter().filter(|(name, content)| after[*name] != **content).map(|it| it.0).collect();
    assert!(changed.is_empty(), "written: {changed:?}");
    world.run("group ls").ok().prints("converged");
    host.stop(Signal::TERM).ok();
}

#[test]
fn cattle_become_pets_and_cattle_again_and_none_is_lost() {
    let world = World::new();
    let _host = world.serve();
    rest(&world, web(4, "a"));
    let before = world.ids();
    world.document("pets.json", &pets(&["x", "y", "z"]));
    world.run("group commit pets.json").ends_with(1).complains("commit it with --convert");
    assert_eq!(world.ids(), before);

    // One more than there are identities, and the plan says so.
    let plan = world.run("group plan pets.json --convert").ok();
    plan.prints("there are more instances than logical ids").prints("label").prints("it becomes x");
    world.run("group commit pets.json --convert --wait --timeout 30s").ok();
    let tag = |id: &str| world.instances()[id]["Tags"]["infrakit.logical_id"].as_str().unwrap_or_default().to_owned();
    let after = world.ids();
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|it| before.contains(it)), "{before:?} became {after:?}");
    assert_eq!(after.iter().map(|it| tag(it)).collect::<BTreeSet<_>>(), ["x", "y", "z"].map(String::from).into());

    world.document("cattle.json", &web(3, "a"));
    world.run("group commit cattle.json").ends_with(1).complains("--convert");
    world.run("group commit cattle.json --convert --wait --timeout 30s").ok();
    assert_eq!(world.ids(), after);
    world.run("group scale web 4 --wait").ok();
    assert!(after.iter().all(|it| world.ids().contains(it)));
}

#[test]
fn the_history_of_a_slot_goes_back_to_its_first_instance() {
    let world = World::new();
    let host = world.serve();
    rest(&world, web(2, "a"));
    let first = world.ids()[0].clone();
    world.remove(&format!("instances/{first}.json"));
    until("it is made anew", || (world.ids().len() == 2 && !world.ids().contains(&first)).then_some(()));
    world.until_converged("web");
    let second = world.ids()[0].clone();
    rest(&world, web(2, "b"));
    host.stop(Signal::TERM).ok();
    let _host = world.serve();
    rest(&world, web(2, "c"));

    let told =
        world.run("group history web").ok().prints("vanished").prints("destroyed").prints("its config is out of");
    assert!(told.stdout.contains(&format!("\\_ {first}")), "{}", told.told());
    let entries = world.run("group history web --limit 100 -o json").ok().json();
    let slot: Vec<&Value> = entries.as_array().unwrap().iter().filter(|it| it["Slot"] == 1).collect();
    assert_eq!(slot.len(), 4, "{entries:#}");
    assert_eq!((&slot[0]["Ended"], &slot[0]["Name"]), (&Value::Null, &json!(world.ids()[0])));
    assert_eq!((&slot[2]["Name"], &slot[3]["Name"]), (&json!(second), &json!(first)));
    assert_eq!(slot[3]["EndedWhy"], "it vanished: not listed any more");
    assert!(slot.iter().all(|it| it["Made"].is_u64() && !it["MadeWhy"].as_str().unwrap().is_empty()));
    assert_eq!(world.run("group history web --limit 1 -o json").ok().json().as_array().unwrap().len(), 2);
}

#[test]
fn events_are_replayed_from_a_number_also_across_a_restart() {
    let world = World::new();
    let events = |words: &str| -> Vec<Value> {
        let run = world.run(&format!("events {words} -o json")).ok();
        run.stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    };
    let numbers = |events: &[Value]| events.iter().map(|it| it["Seq"].as_u64().unwrap()).collect::<Vec<_>>();
    let host = world.serve();
    rest(&world, web(2, "a"));
    let before = events("");
    // What happened in the last second may be forgotten by a host that is killed; its numbers are never used again.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    host.kill();
    let host = world.serve();
    rest(&world, web(3, "b"));
    let all = events("");
    assert_eq!(all[..before.len()], before, "what was told stays as it was");
    let seen = numbers(&all);
    assert!(seen.windows(2).all(|it| it[0] < it[1]), "{seen:?}");
    let last = *numbers(&before).last().unwrap();
    let news = events(&format!("--from {}", last + 1));
    assert!(numbers(&news).iter().all(|it| *it > last) && news.len() == all.len() - before.len());
    assert!(news.iter().any(|it| it["What"]["Kind"] == "Committed" && it["What"]["Revision"] == 2), "{news:?}");
    assert!(events("--group nobody").is_empty());
    let few = world.run("events --limit 3").ok().stdout.lines().count();
    assert_eq!(few, 3);

    // Followed, each comes once and as it happens.
    let mut follower = world.start(&format!("events --follow --from {}", seen.last().unwrap() + 1));
    world.run("group scale web 4 --wait").ok();
    follower.until_prints("committed revision 3");
    follower.until_prints("provisioned web-4-");
    host.stop(Signal::TERM).ok();
}
