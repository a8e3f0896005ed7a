//! Healing, protection and removal: what is broken is replaced, within limits; what is protected stays; who goes first, and
//! who goes last.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use homeostat_tests::{Process, Seen, Watch, World, group, until, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A group whose health is what files in `probe` say, judged every 100 ms; two of three checks count.
fn web(size: i64, init: &str) -> Value {
    let mut spec = group("web", size, init);
    spec["Properties"]["Flavor"] = json!({"Plugin": "probe", "Properties": {"Init": init}});
    spec["Properties"]["Updating"] = json!({"Monitor": "50ms"});
    spec["Properties"]["Healing"] =
        json!({"Interval": "100ms", "UnhealthyChecks": 2, "Checks": 3, "StartupGrace": "0s"});
    spec
}

fn stack(world: &World, groups: &[Value]) {
    let mut plugins = world.plugins();
    plugins["probe"] = world.probe_plugin("probe");
    plugins["lazy"] = world.probe_plugin("lazy");
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": groups}));
}

#[track_caller]
fn commit(world: &World, groups: &[Value]) {
    stack(world, groups);
    world.run("group commit stack.json --wait --timeout 30s").ok();
}

/// A world with a group that is converged, and whose first rollout is over.
fn start(spec: &Value) -> (World, Process) {
    let world = World::new();
    let host = world.serve();
    commit(&world, std::slice::from_ref(spec));
    until("it is stable", || (world.describe("web")["Rollout"]["Status"]["State"] == "Succeeded").then_some(()));
    (world, host)
}

fn unhealthy(world: &World, id: &str, why: &str) {
    world.put(&format!("probe/health/{id}"), &format!("unhealthy {why}"));
}

/// Nothing is made or destroyed for a while.
#[track_caller]
fn stays(world: &World, what: &str, time: Duration) {
    let before = world.fingerprint();
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        assert_eq!(world.fingerprint(), before, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn remove(world: &World, id: &str) {
    fs::remove_file(world.path("instances").join(format!("{id}.json"))).unwrap();
}

#[test]
fn an_unhealthy_instance_is_replaced_and_the_reason_is_remembered() {
    let (world, _host) = start(&web(3, "a"));
    let before = world.ids();
    unhealthy(&world, &before[1], "no answer on port 80");
    until("it is replaced", || (!world.ids().contains(&before[1]) && world.ids().len() == 3).then_some(()));
    world.until_converged("web");
    assert!(world.ids().contains(&before[0]) && world.ids().contains(&before[2]));
    world.run("group history web").ok().prints("destroyed").prints("no answer on port 80");
    world.run("group describe web").ok().prints("slot 2 replaced once");
    world.run("events --group web").ok().prints(&format!("destroyed {}", before[1]));
}

#[test]
fn one_bad_check_is_no_reason_to_replace() {
    let mut spec = web(2, "a");
    spec["Properties"]["Healing"] = json!({"Interval": "1s", "UnhealthyChecks": 3, "Checks": 5, "StartupGrace": "0s"});
    let (world, _host) = start(&spec);
    let before = world.ids();
    unhealthy(&world, &before[0], "a hiccup");
    let said = world.until_why(&format!("web {}", before[0]), "a hiccup");
    assert!(said.contains("3 of the last 5 checks have to say so before it is replaced"), "{said}");
    world.remove(&format!("probe/health/{}", before[0]));
    until("it is healthy again", || (world.describe("web")["Report"]["Counts"]["Healthy"] == 2).then_some(()));
    assert_eq!(world.ids(), before);
    // What is not known is neither good nor bad.
    world.put("probe/health-error", "unavailable the monitoring is down");
    world.until_why(&format!("web {}", before[0]), "its health is not known");
    stays(&world, "unknown health heals nobody", Duration::from_millis(1500));
}

#[test]
fn a_storm_of_ill_health_heals_nobody_and_says_so() {
    let (world, _host) = start(&web(5, "a"));
    let before = world.ids();
    for id in &before[3..] {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    // All three at the same moment.
    world.put("probe/health/default", "unhealthy the switch is down");
    world.until_why("web", "are unhealthy, more than the 2 that are healed by themselves");
    stays(&world, "too many are unhealthy", Duration::from_secs(1));
    assert_eq!(world.ids(), before);
    world.run("group describe web").ok().prints("Healing.MaxUnhealthy").prints("destroy-instances");
    // As soon as few enough are, those are healed.
    for id in &before[1..3] {
        unhealthy(&world, id, "a disk is broken");
    }
    world.put("probe/health/default", "healthy");
    until("they are healed", || before[1..3].iter().all(|it| !world.ids().contains(it)).then_some(()));
    world.until_converged("web");
    assert!([0, 3, 4].iter().all(|it| world.ids().contains(&before[*it])));
}

#[test]
fn healing_gives_up_remembers_that_and_starts_anew_when_told_to() {
    let mut spec = web(1, "a");
    let healing = spec["Properties"]["Healing"].as_object_mut().unwrap();
    healing.insert("MaxRetries".into(), 2.into());
    healing.insert("RetryDelay".into(), "50ms".into());
    let (world, host) = start(&spec);
    let first = world.ids();
    world.put("probe/health/default", "unhealthy it crashes at once");
    world.until_why("web", "stays so, because slot 1 was healed 2 times in a row");
    let last = world.ids();
    assert_ne!(last, first);
    stays(&world, "it has given up", Duration::from_millis(700));
    host.kill();
    let _host = world.serve();
    world.until_why("web", "stays so, because slot 1 was healed 2 times in a row");
    stays(&world, "it has given up for good", Duration::from_secs(1));
    assert_eq!(world.ids(), last);
    world.run("group describe web").ok().prints("slot 1 replaced 2 times in a row").prints("homeostat group reset");

    world.run("group reset web").ok().prints("1 slot is healed again");
    until("it is tried again", || (world.ids() != last && !world.ids().is_empty()).then_some(()));
    world.put("probe/health/default", "healthy");
    world.until_converged("web");
}

#[test]
fn what_is_protected_stays_whatever_happens() {
    let (world, _host) = start(&web(3, "a"));
    let keep = world.ids()[2].clone();
    world
        .run(&format!("group protect web {keep} ghost"))
        .ends_with(1)
        .complains("not in group web: ghost; nothing was");
    world.run(&format!("group protect web {keep}")).ok().prints(&format!("Protected {keep} of web"));
    world.run("group describe web").ok().prints("protected");
    // Neither an update, nor healing, nor a smaller size.
    stack(&world, &[web(3, "b")]);
    world.run("group commit stack.json").ok();
    until("the others are new", || {
        (world.instances().values().filter(|it| it["Init"] == "b").count() == 2).then_some(())
    });
    unhealthy(&world, &keep, "it is sick");
    world.run("group scale web 1").ok();
    until("the others are gone", || (world.ids() == [keep.as_str()]).then_some(()));
    world.until_why(&format!("web {keep}"), "an operator protects it");
    stays(&world, "it is protected", Duration::from_millis(500));
    let _ = world.run("group destroy web --no-wait");
    stays(&world, "it is protected", Duration::from_millis(500));
    world.until_why("web", &format!("{keep} would go, and is protected; `homeostat group unprotect` lets it"));
    world.run(&format!("group unprotect web {keep}")).ok();
    until("it goes", || world.ids().is_empty().then_some(()));
}

#[test]
fn a_slow_flavor_delays_no_other_group_and_no_repair() {
    let mut slow = web(3, "a");
    slow["ID"] = "slow".into();
    slow["Properties"]["Flavor"]["Plugin"] = "lazy".into();
    let (world, _host) = start(&web(3, "a"));
    world.put("lazy/slow", "4000");
    stack(&world, &[web(3, "a"), slow]);
    world.run("group commit stack.json").ok();
    until("all are made", || (world.ids().len() == 6).then_some(()));
    let of = |id: &str| world.ids().into_iter().filter(|it| it.starts_with(id)).collect::<Vec<_>>();
    for round in 0..3 {
        let sick = of("web-")[round].clone();
        let began = Instant::now();
        unhealthy(&world, &sick, "no answer");
        until("it is replaced", || (!world.ids().contains(&sick) && of("web-").len() == 3).then_some(()));
        assert!(began.elapsed() < Duration::from_millis(3500), "healing took {:?}", began.elapsed());
        world.until_converged("web");
    }
    // And the group of the slow flavor itself: what is gone is made anew, whatever its health takes.
    let began = Instant::now();
    remove(&world, &of("slow-")[0]);
    until("it is made anew", || (of("slow-").len() == 3).then_some(()));
    assert!(began.elapsed() < Duration::from_millis(3500), "repair took {:?}", began.elapsed());
}

#[test]
fn draining_has_a_deadline() {
    let mut spec = web(3, "a");
    spec["Properties"]["Removal"] = json!({"DrainDeadline": "400ms"});
    let (world, _host) = start(&spec);
    world.put("probe/drain-ms", "20000");
    let before: BTreeSet<String> = world.ids().into_iter().collect();
    let began = Instant::now();
    world.run("group scale web 2 --wait --timeout 15s").ok();
    assert!((Duration::from_millis(400)..Duration::from_secs(10)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let after: BTreeSet<String> = world.ids().into_iter().collect();
    let gone = before.difference(&after).next().unwrap();
    let log = fs::read_to_string(world.path("probe/log")).unwrap();
    assert!(log.contains(&format!("drain {gone}")), "{log}");

    // An update may leave draining out.
    world.remove("probe/log");
    let mut quick = web(2, "b");
    quick["Properties"]["Updating"]["SkipBeforeInstanceDestroy"] = "drain".into();
    commit(&world, &[quick]);
    assert!(!world.path("probe/log").exists(), "it was drained");
}

/// In which order files went.
fn gone(log: &[Seen]) -> Vec<String> {
    let name = |it: &Seen| match it {
        Seen::Gone(name) => Some(name.clone()),
        Seen::Made(..) => None,
    };
    log.iter().filter_map(name).collect()
}

#[test]
fn the_host_goes_last() {
    let (world, host) = start(&web(4, "a"));
    let me = world.ids()[0].clone();
    host.stop(Signal::TERM).ok();
    let watch = Watch::new(&world.path("instances"));
    let host = world.serve_with(&format!("--self {me}"));
    // In an update.
    commit(&world, &[web(4, "b")]);
    let order = gone(&watch.log());
    assert_eq!((order.len(), order.last()), (4, Some(&me)), "{order:?}");
    // And when all goes.
    host.stop(Signal::TERM).ok();
    let me = world.ids()[1].clone();
    let _host = world.serve_with(&format!("--self {me}"));
    world.run("group scale web 2 --wait").ok();
    assert!(world.ids().contains(&me), "it is not chosen while there are others");
    world.run("group destroy web").ok();
    assert_eq!(gone(&watch.log()).last(), Some(&me));
}

#[test]
fn the_flavor_may_say_who_goes_first() {
    let mut spec = web(5, "a");
    spec["Properties"]["Removal"] = json!({"Order": "plugin"});
    let (world, _host) = start(&spec);
    let all = world.ids();
    world.put("probe/order", &format!("{}\n{}\n", all[3], all[1]));
    world.run("group scale web 3 --wait --timeout 20s").ok();
    assert_eq!(world.ids(), [all[0].clone(), all[2].clone(), all[4].clone()]);

    // Where it cannot say, nobody goes; not the wrong one either.
    world.put("probe/order-error", "unavailable the ranking is down");
    world.put("probe/order", &format!("{}\n", all[2]));
    world.run("group scale web 2").ok();
    world.until_why("web", "1 too many; the flavor has to rank them first");
    stays(&world, "nobody is chosen blindly", Duration::from_millis(500));
    world.remove("probe/order-error");
    until_eq("the one it names goes", vec![all[0].clone(), all[4].clone()], || world.ids());
}
