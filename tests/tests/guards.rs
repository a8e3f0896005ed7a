//! A provider that fails, hides what it has, loses its answers and takes its time: nothing is made twice, nothing that
//! should live is destroyed, and the reason is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use homeostat_tests::{Process, Run, World, group, until, until_eq};
use serde_json::{Value, json};

/// A group of the hostile provider.
fn web(size: i64, init: &str) -> Value {
    let mut spec = group("web", size, init);
    spec["Properties"]["Instance"] = json!({"Plugin": "hostile", "Properties": {}});
    spec
}

fn stack(world: &World, spec: &Value, limits: &Value) {
    let mut plugins = world.plugins();
    plugins["hostile"] = world.hostile_plugin("provider");
    plugins["hostile"]["Limits"] = limits.clone();
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [spec]}));
}

/// A world with a group of so many, looked at five times a second, where a call may take two seconds.
fn start(size: i64) -> (World, Process) {
    let world = World::new();
    let host = world.serve_with("--resync 200ms");
    stack(&world, &web(size, "a"), &json!({"Wall": "2s"}));
    world.run("group commit stack.json --wait --timeout 30s").ok();
    (world, host)
}

#[track_caller]
fn commit(world: &World, spec: &Value) -> Run {
    stack(world, spec, &json!({"Wall": "2s"}));
    world.run("group commit stack.json").ok()
}

/// The provider does this from now on.
fn order(world: &World, function: &str, order: &str) {
    world.put(&format!("provider/{function}"), order);
}

fn mend(world: &World, function: &str) {
    world.remove(&format!("provider/{function}"));
}

/// What there is, and what there ever was.
fn names(world: &World) -> (Vec<String>, Vec<String>) {
    (world.names_in("provider/instances"), world.names_in("provider/gone"))
}

/// Nothing is made or destroyed for a while.
#[track_caller]
fn stays(world: &World, what: &str, time: Duration) {
    let before = names(world);
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        assert_eq!(names(world), before, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One of each slot, none destroyed, and nothing waits.
#[track_caller]
fn settles_at(world: &World, size: usize) {
    world.until_converged("web");
    let (there, gone) = names(world);
    assert_eq!((there.len(), gone), (size, vec![]), "{there:?}");
    let slots: BTreeSet<&str> = there.iter().map(|it| it.split('-').nth(1).unwrap()).collect();
    assert_eq!(slots.len(), size, "{there:?}");
}

#[test]
fn where_the_list_fails_nothing_is_done() {
    let (world, _host) = start(4);
    order(&world, "list", "fail unavailable the api is down");
    let said = world.until_why("web", "the instances cannot be listed, so nothing is created or destroyed");
    assert!(said.contains("the api is down") && said.contains("next in"), "{said}");
    // Neither what was lost nor what an operator wants.
    let lost = names(&world).0[0].clone();
    world.remove(&format!("provider/instances/{lost}"));
    commit(&world, &web(6, "a"));
    stays(&world, "it cannot be listed", Duration::from_millis(1500));
    world.run("group describe web").ok().prints("the api is down");
    mend(&world, "list");
    settles_at(&world, 6);
    assert!(!names(&world).0.contains(&lost));
}

#[test]
fn a_list_that_is_not_whole_moves_nothing() {
    let (world, _host) = start(4);
    order(&world, "list", "incomplete 3");
    world.until_why("web", "the provider's list is incomplete, so nothing is created or destroyed until it is whole");
    stays(&world, "the list is not whole", Duration::from_millis(1500));
    mend(&world, "list");
    settles_at(&world, 4);
}

#[test]
fn an_empty_list_is_looked_at_twice() {
    for trick in ["empty", "hide 3"] {
        let (world, _host) = start(5);
        order(&world, "list", trick);
        let seen = if trick == "empty" { 0 } else { 2 };
        let text =
            format!("the list shows {seen} of 5 instances known a moment ago; a second look comes before anything");
        world.until_why("web", &text);
        mend(&world, "list");
        settles_at(&world, 5);
        stays(&world, "the fleet was there all the time", Duration::from_millis(1200));
        settles_at(&world, 5);
    }
}

#[test]
fn what_is_there_no_more_is_made_anew_once_that_is_certain() {
    let (world, _host) = start(5);
    for name in &names(&world).0[..4] {
        world.remove(&format!("provider/instances/{name}"));
    }
    world.until_why("web", "the list shows 1 of 5 instances known a moment ago");
    settles_at(&world, 5);
}

#[test]
fn an_answer_that_is_lost_makes_no_second_instance() {
    let (world, _host) = start(0);
    order(&world, "provision", "lose");
    commit(&world, &web(3, "a"));
    until_eq("three are made", 3, || names(&world).0.len());
    settles_at(&world, 3);
    stays(&world, "all are there", Duration::from_millis(500));
    mend(&world, "provision");
    settles_at(&world, 3);
    world.run("events --group web").ok().prints("could not provision");
    world.run("group scale web 4 --wait --timeout 20s").ok();
    settles_at(&world, 4);
}

#[test]
fn success_reported_as_failure_makes_no_second_instance() {
    let (world, _host) = start(0);
    order(&world, "provision", "lose unavailable try again later");
    commit(&world, &web(3, "a"));
    until_eq("three are made", 3, || names(&world).0.len());
    settles_at(&world, 3);
}

#[test]
fn a_call_that_crashed_is_repeated_under_its_name() {
    let (world, _host) = start(0);
    order(&world, "provision", "once trap");
    commit(&world, &web(1, "a"));
    until_eq("it is made", 1, || names(&world).0.len());
    settles_at(&world, 1);
    let events = world.run("events --group web").ok();
    let name = &names(&world).0[0];
    events.prints(&format!("could not provision {name}")).prints(&format!("provisioned {name}"));
}

#[test]
fn an_answer_that_comes_too_late_makes_no_second_instance() {
    let (world, _host) = start(0);
    // The call is given up after two seconds; what it makes is there at once in one case, and after it in the other.
    order(&world, "provision", "late 4000");
    commit(&world, &web(2, "a"));
    until_eq("two are made", 2, || names(&world).0.len());
    settles_at(&world, 2);
    stays(&world, "both are there", Duration::from_secs(3));
    mend(&world, "provision");
    settles_at(&world, 2);
}

#[test]
fn a_list_that_lags_makes_no_surplus() {
    let world = World::new();
    let _host = world.serve_with("--resync 200ms");
    world.hostile_plugin("provider");
    order(&world, "list", "stale 900");
    stack(&world, &web(4, "a"), &json!({"ListLag": "2s"}));
    world.run("group commit stack.json").ok();
    until("some are made", || (!names(&world).0.is_empty()).then_some(()));
    world.run("group scale web 7").ok();
    settles_at(&world, 7);
    stays(&world, "all are there", Duration::from_secs(1));
}

#[test]
fn a_removal_whose_answer_is_lost_takes_no_second_victim() {
    let (world, _host) = start(4);
    let all = names(&world).0;
    order(&world, "destroy", "lose");
    commit(&world, &web(3, "a"));
    until_eq("one is gone", 1, || names(&world).1.len());
    world.until_converged("web");
    stays(&world, "one was too many, and not two", Duration::from_millis(800));
    let (there, gone) = names(&world);
    assert_eq!((there.len(), gone.len()), (3, 1));
    assert!(gone.iter().chain(&there).all(|it| all.contains(it)));
}

#[test]
fn a_removal_that_fails_is_tried_again_and_told() {
    let (world, _host) = start(3);
    order(&world, "destroy", "fail internal the disk is held");
    commit(&world, &web(2, "a"));
    let said = world.until_why("web", "waiting before the next attempt");
    assert!(said.contains("the disk is held") && said.contains("next in"), "{said}");
    stays(&world, "it cannot go, and nobody goes for it", Duration::from_millis(500));
    let _ = world.run("group destroy web --no-wait");
    let late = world.run("group destroy web --timeout 1s").ends_with(1);
    late.complains("3 instances left").complains("the disk is held");
    mend(&world, "destroy");
    until("all are gone", || names(&world).0.is_empty().then_some(()));
    until("the group is gone", || (world.run("group describe web").code == Some(1)).then_some(()));
}

#[test]
fn a_provider_without_room_is_not_stormed() {
    let (world, _host) = start(2);
    order(&world, "provision", "fail resource-exhausted the quota is used up");
    commit(&world, &web(30, "a"));
    world.until_why("web", "the quota is used up");
    std::thread::sleep(Duration::from_secs(2));
    let events = world.run("events --group web").ok().stdout;
    let attempts = events.lines().filter(|it| it.contains("could not provision")).count();
    // Each once, and then a few at growing distances.
    assert!((1..=28 + 12).contains(&attempts), "{attempts} attempts within two seconds");
    mend(&world, "provision");
    world.run("group reset web").ok();
    settles_at(&world, 30);
}
