//! Rollouts as an operator meets them: the orders, canaries, a revision that does not work, and every word that can be
//! said to a rollout.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use homeostat_tests::{Process, Run, Seen, Watch, World, group, until};
use serde_json::{Value, json};

/// A world in which the health of instances is what files say, with a host.
fn start() -> (World, Process) {
    let world = World::new();
    world.probe_plugin("probe");
    let host = world.serve();
    (world, host)
}

/// A group whose config is told by `init`, and how it is updated. Monitoring is short, so that rollouts end soon.
fn web(size: i64, init: &str, updating: Value) -> Value {
    let mut spec = group("web", size, init);
    spec["Properties"]["Flavor"] = json!({"Plugin": "probe", "Properties": {"Init": init}});
    spec["Properties"]["Updating"] = updating;
    spec["Properties"]["Updating"]["Monitor"] = "100ms".into();
    spec["Properties"]["Healing"] = json!({"Interval": "100ms"});
    spec
}

fn stack(world: &World, spec: &Value) {
    let mut plugins = world.plugins();
    plugins["probe"] = world.probe_plugin("probe");
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [spec]}));
}

#[track_caller]
fn commit(world: &World, spec: &Value) -> Run {
    stack(world, spec);
    world.run("group commit stack.json").ok()
}

/// Commit, and wait until it is rolled out and has proven itself: it is stable then.
#[track_caller]
fn roll_out(world: &World, spec: &Value) {
    stack(world, spec);
    world.run("group commit stack.json --wait --timeout 30s").ok();
    until("it is stable", || (rollout(world)["State"] == "Succeeded").then_some(()));
}

/// How the rollout stands.
fn rollout(world: &World) -> Value {
    world.describe("web")["Rollout"]["Status"].clone()
}

/// The ids of the instances with this init.
fn with(world: &World, init: &str) -> BTreeSet<String> {
    world.instances().into_iter().filter(|(_, it)| it["Init"] == init).map(|(id, _)| id).collect()
}

/// The fewest and the most files after the first so many were there.
fn bounds(log: &[Seen], first: usize) -> (usize, usize) {
    let (mut now, mut fewest, mut most) = (0, usize::MAX, 0);
    for seen in log {
        match seen {
            Seen::Made(..) => now += 1,
            Seen::Gone(_) => now -= 1,
        }
        if fewest < usize::MAX || now == first {
            (fewest, most) = (fewest.min(now), most.max(now));
        }
    }
    (fewest, most)
}

/// Nothing changes for a while.
#[track_caller]
fn stays(world: &World, what: &str, time: Duration) {
    let before = world.fingerprint();
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        assert_eq!(world.fingerprint(), before, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn start_first_never_has_fewer_healthy_ones_than_declared() {
    const SIZE: usize = 4;
    let (world, _host) = start();
    let watch = Watch::new(&world.path("instances"));
    let updating = json!({"Order": "start-first", "MaxSurge": 1});
    roll_out(&world, &web(SIZE as i64, "a", updating.clone()));
    let mut healthy: BTreeSet<String> = world.ids().into_iter().collect();
    for id in &healthy {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    // A new one is healthy when this test says so, and not before.
    world.put("probe/health/default", "unknown");
    commit(&world, &web(SIZE as i64, "b", updating));
    until("all are new", || {
        let there: BTreeSet<String> = world.ids().into_iter().collect();
        let good = there.intersection(&healthy).count();
        assert!(good >= SIZE, "{good} healthy ones are left: {there:?}");
        if let Some(id) = there.difference(&healthy).next() {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(world.ids().len(), SIZE + 1, "the next waits until this one is healthy");
            world.put(&format!("probe/health/{id}"), "healthy");
            healthy.insert(id.clone());
        }
        (with(&world, "b").len() == SIZE && there.len() == SIZE).then_some(())
    });
    world.until_converged("web");
    assert_eq!(bounds(&watch.log(), SIZE), (SIZE, SIZE + 1));
}

#[test]
fn stop_first_goes_in_batches() {
    const SIZE: usize = 6;
    let (world, _host) = start();
    let watch = Watch::new(&world.path("instances"));
    // 34 % of 6 are 2.04, rounded down.
    let updating = json!({"Order": "stop-first", "MaxUnavailable": "34%"});
    roll_out(&world, &web(SIZE as i64, "a", updating.clone()));
    world.put("probe/health/default", "unknown");
    for id in with(&world, "a") {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    commit(&world, &web(SIZE as i64, "b", updating));
    for batch in 1..=3 {
        let new = until("a batch of two is made", || Some(with(&world, "b")).filter(|it| it.len() == batch * 2));
        if batch < 3 {
            let left = SIZE - batch * 2;
            world.until_why("web", &format!("{left} out of date; the next is replaced when these are healthy: web-"));
        }
        stays(&world, "the next batch waits for this one to be healthy", Duration::from_millis(300));
        new.iter().for_each(|id| world.put(&format!("probe/health/{id}"), "healthy"));
    }
    world.until_converged("web");
    assert_eq!(bounds(&watch.log(), SIZE), (SIZE - 2, SIZE), "two at a time, and never one too many");
}

#[test]
fn canaries_wait_to_be_promoted() {
    let (world, _host) = start();
    let updating = json!({"Canary": 1, "MaxUnavailable": 2});
    roll_out(&world, &web(4, "a", updating.clone()));
    world.put("probe/health/default", "unknown");
    for id in with(&world, "a") {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    commit(&world, &web(4, "b", updating));
    let canary = until("the canary is made", || with(&world, "b").into_iter().next());
    world.run("group promote web").ends_with(1).complains("of the canaries of web, 0 of 1 are ready");
    world.put(&format!("probe/health/{canary}"), "healthy");
    world.until_why("web", "1 canaries are ready and 3 wait; `homeostat group promote web` lets them follow");
    stays(&world, "the others wait for a word", Duration::from_millis(500));
    assert_eq!(with(&world, "b"), BTreeSet::from([canary]));
    let told = world.run("group describe web").ok();
    told.prints("1 canaries ready, waiting to be promoted").prints("homeostat group rollback web");

    world.remove("probe/health/default");
    world.run("group promote web").ok().prints("Promoted the canaries of revision 2");
    until("all follow", || (with(&world, "b").len() == 4).then_some(()));
    world.until_converged("web");
    until("it is stable", || (rollout(&world)["State"] == "Succeeded").then_some(()));
    world.run("group promote web").ends_with(1).complains("no rollout of web is under way");
    world.run("events --group web").ok().prints("the canaries were promoted").prints("rollout of revision 2 succeeded");
}

#[test]
fn canaries_that_are_not_liked_are_taken_back() {
    let (world, _host) = start();
    let updating = json!({"Canary": 2, "MaxSurge": 2, "MaxUnavailable": 0});
    roll_out(&world, &web(4, "a", updating.clone()));
    let old = with(&world, "a");
    commit(&world, &web(4, "b", updating));
    world.until_why("web", "2 canaries are ready");
    world.run("group rollback web --wait --timeout 30s").ok().prints("Rolling back revision 2 to revision 1");
    assert_eq!(with(&world, "b"), BTreeSet::new());
    assert_eq!(with(&world, "a").len(), 4);
    assert!(with(&world, "a").intersection(&old).count() >= 2, "what was not replaced yet stays as it is");
}

#[test]
fn a_plugin_that_crashes_does_not_stop_the_clock() {
    let (world, _host) = start();
    let updating = json!({"HealthyDeadline": "1s", "ProgressDeadline": "5s"});
    // Two groups, so that one meets the plugin when it is left alone because of the other's calls.
    let stack = |init: &str| {
        let groups = ["one", "two"].map(|id| {
            let mut group = group(id, 2, init);
            group["Properties"]["Instance"] = json!({"Plugin": "crashing", "Properties": {"Init": init}});
            group["Properties"]["Updating"] = updating.clone();
            group
        });
        let mut plugins = world.plugins();
        plugins["crashing"] = world.hostile_plugin("w");
        world.document("stack.json", &json!({"Plugins": plugins, "Groups": groups}));
    };
    stack("a");
    world.run("group commit stack.json --wait --timeout 30s").ok();
    world.put("w/provision", "trap");
    stack("b");
    world.run("group commit stack.json").ok();
    for id in ["one", "two"] {
        until("its rollout is paused", || {
            world.run(&format!("group why {id}")).stdout.contains("no new instance became healthy for 5s").then_some(())
        });
    }
    assert!(world.run("plugin ls").ok().stdout.contains("degraded: provision crashed too often"));
}

#[test]
fn a_revision_that_does_not_work_goes_back_by_itself() {
    let (world, _host) = start();
    let updating = json!({
        "Order": "start-first", "MaxSurge": 1, "OnFailure": "rollback", "HealthyDeadline": "400ms",
    });
    roll_out(&world, &web(3, "a", updating.clone()));
    let before = world.fingerprint();
    for id in world.ids() {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    world.put("probe/health/default", "unhealthy the new config has no port 80");
    stack(&world, &web(3, "b", updating));
    let late = world.run("group commit stack.json --wait --timeout 30s").ends_with(1);
    assert!(late.stderr.contains("revision 2") || late.stderr.contains("as revision 3"), "{}", late.told());
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before, "none of the old ones was touched");

    let view = world.describe("web");
    assert_eq!((&view["Revision"], &view["Revisions"][2]["RollbackOf"]), (&json!(3), &json!(2)));
    assert_eq!(view["ConfigHash"], view["Revisions"][0]["Hash"]);
    until("the rollback is over", || (rollout(&world)["State"] == "Succeeded").then_some(()));
    world.run("group describe web").ok().prints("in place of 2").prints("revision 2 was rolled back");
    let history = world.run("group history web").ok();
    let failed = history.stdout.lines().find(|it| it.contains("destroyed") && it.contains(" 2 "));
    assert!(failed.is_some(), "the one that failed is remembered: {}", history.told());
    let events = world.run("events --group web").ok();
    events
        .prints("rollout of revision 2 began")
        .prints("the new config has no port 80")
        .prints("rollout failed, going back to revision 1");
    // What the operator asked for is gone; the way to it is not.
    world.remove("probe/health/default");
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(with(&world, "b").len(), 3);
}

#[test]
fn a_revision_that_does_not_work_pauses_and_is_fixed_forward() {
    let (world, _host) = start();
    let updating = json!({"MaxUnavailable": 1, "HealthyDeadline": "300ms"});
    roll_out(&world, &web(4, "a", updating.clone()));
    for id in world.ids() {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    world.put("probe/health/default", "unhealthy it crashes");
    stack(&world, &web(4, "b", updating.clone()));
    let failed = world.run("group commit stack.json --wait --timeout 30s").ends_with(1);
    failed.complains("the rollout of revision 2 is paused: 1 of 4 new instances failed").complains("it crashes");
    stays(&world, "it stands still", Duration::from_millis(500));
    assert_eq!((with(&world, "a").len(), with(&world, "b").len()), (3, 1));
    world.run("group describe web").ok().prints("is paused").prints("it crashes").prints("homeostat group resume");
    let why = world.why("web");
    assert!(why.contains("commit a spec that works") && why.contains("since"), "{why}");
    world.run("group ls").ok().prints("the rollout of revision 2 is paused");

    // A newer commit takes over at once.
    world.remove("probe/health/default");
    stack(&world, &web(5, "c", updating));
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!((with(&world, "c").len(), world.ids().len()), (5, 5));
}

#[test]
fn a_rollout_can_be_paused_and_resumed() {
    let (world, host) = start();
    let updating = json!({"MaxUnavailable": 1});
    roll_out(&world, &web(4, "a", updating.clone()));
    world.put("probe/health/default", "unknown");
    for id in world.ids() {
        world.put(&format!("probe/health/{id}"), "healthy");
    }
    commit(&world, &web(4, "b", updating));
    let first = until("one is new", || with(&world, "b").into_iter().next());
    world.run("group resume web").ends_with(1).complains("the rollout of web is not paused");
    world.run("group promote web").ends_with(1).complains("has no canaries");
    world.run("group pause web").ok().prints("Paused the rollout of revision 2");
    world.run("group pause web").ends_with(1).complains("the rollout of web is paused already");
    world.put(&format!("probe/health/{first}"), "healthy");
    world.remove("probe/health/default");
    stays(&world, "a paused rollout replaces nothing", Duration::from_millis(400));
    world.until_why("web", "an operator paused it");

    // Scaling goes on all the same, and loses neither; and a pause outlives the host.
    world.run("group scale web 6").ok();
    until("two more", || (world.ids().len() == 6).then_some(()));
    host.kill();
    let _host = world.serve();
    world.until_why("web", "an operator paused it");
    stays(&world, "it is still paused", Duration::from_millis(300));
    assert!(with(&world, "a").len() >= 3);

    world.run("group resume web").ok().prints("Resumed the rollout of revision 2");
    until("all are new", || (with(&world, "b").len() == 6 && world.ids().len() == 6).then_some(()));
    world.until_converged("web");
}

#[test]
fn an_operator_goes_back_to_any_revision_that_is_remembered() {
    let (world, _host) = start();
    let updating = || json!({"MaxUnavailable": 2});
    roll_out(&world, &web(3, "a", updating()));
    world.run("group rollback web").ends_with(1).complains("has no earlier revision that was stable");
    world.run("group rollback web --to 1").ends_with(1).complains("has the config of revision 1 already");
    world.run("group rollback web --to 9").ends_with(1).complains("remembers no config of revision 9; it has 1");
    roll_out(&world, &web(3, "b", updating()));
    roll_out(&world, &web(3, "c", updating()));
    world.run("group rollback web --to 1 --wait --timeout 30s").ok().prints("Rolling back revision 3 to revision 1");
    assert_eq!(with(&world, "a").len(), 3);
    until("it is stable", || (rollout(&world)["State"] == "Succeeded").then_some(()));
    world.run("group describe web").ok().prints("in place of 3");
    assert_eq!(world.run("group inspect web").ok().json()["Properties"]["Flavor"]["Properties"]["Init"], "a");
    // The last stable one before that.
    world.run("group rollback web --wait --timeout 30s").ok();
    assert_eq!(with(&world, "c").len(), 3);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (world, _host) = start();
    roll_out(&world, &web(2, "a", json!({})));
    let before = world.fingerprint();
    for verb in ["pause", "resume", "promote"] {
        world.run(&format!("group {verb} web")).ends_with(1).complains("no rollout of web is under way");
        world.run(&format!("group {verb} nobody")).ends_with(1).complains("nobody");
    }
    for words in ["why nobody", "rollback nobody", "reset nobody", "history nobody", "protect nobody x"] {
        world.run(&format!("group {words}")).ends_with(1).complains("nobody");
    }
    world.run("group why web ghost").ends_with(1).complains("has no instance \"ghost\" now");
    world.run("group rollback web --to 0").ends_with(2);
    world.run("group reset web").ok().prints("Reset web");
    assert_eq!(world.fingerprint(), before);
}
