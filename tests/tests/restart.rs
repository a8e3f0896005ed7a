//! Hosts that end, in order or not, and hosts that begin where another one was.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;

use homeostat_tests::{World, group, until};
use rustix::process::Signal;
use serde_json::json;

/// The slots filled, each as often as it is.
fn slots(world: &World) -> Vec<u32> {
    let slot = |it: &serde_json::Value| it["Tags"]["homeostat.slot"].as_str().unwrap().parse().unwrap();
    let mut slots: Vec<u32> = world.instances().values().map(slot).collect();
    slots.sort_unstable();
    slots
}

#[test]
fn sigterm_and_sigint_end_a_host_in_order_and_the_next_one_changes_nothing() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 5, "a")]);
    let before = world.fingerprint();
    for (host, signal) in [(Some(host), Signal::TERM), (None, Signal::INT)] {
        host.unwrap_or_else(|| world.serve()).stop(signal).ok();
        assert!(!world.path("state/homeostat.sock").exists(), "the socket is taken away");
        world.run("group ls").ends_with(3);
        let host = world.serve();
        world.until_converged("web");
        assert_eq!(world.fingerprint(), before);
        host.stop(Signal::TERM).ok();
    }
    // What broke while nobody looked is mended.
    fs::remove_file(world.path("instances").join(before.keys().next().unwrap())).unwrap();
    let _host = world.serve();
    until("five again", || (world.ids().len() == 5).then_some(()));
}

#[test]
fn a_killed_host_is_followed_by_one_that_changes_nothing() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 5, "a")]);
    let before = world.fingerprint();
    host.kill();
    let socket = fs::metadata(world.path("state/homeostat.sock")).expect("a killed host takes nothing away");
    assert!(socket.file_type().is_socket());
    world.run("group ls").ends_with(3).complains("homeostat serve");

    let _host = world.serve();
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before);
    world.run("group ls").ok().prints("web");
}

#[test]
fn losing_the_state_directory_loses_no_instance() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 5, "a")]);
    let before = world.fingerprint();
    host.kill();
    fs::remove_dir_all(world.path("state")).unwrap();

    let _host = world.serve();
    assert_eq!(world.run("group ls -o json").ok().json(), json!([]));
    world.commit(&[group("web", 5, "a")]);
    assert_eq!(world.fingerprint(), before);
    assert_eq!(world.describe("web")["Report"]["Counts"]["Outdated"], 0);
}

#[test]
fn what_is_in_the_way_of_the_socket_is_replaced_only_where_it_is_a_socket() {
    let world = World::new();
    world.serve().stop(Signal::TERM).ok();
    world.write("state/homeostat.sock", "precious");
    world.run("serve").ends_with(1).complains("is not a socket");
    assert_eq!(fs::read_to_string(world.path("state/homeostat.sock")).unwrap(), "precious");
    fs::remove_file(world.path("state/homeostat.sock")).unwrap();

    drop(std::os::unix::net::UnixListener::bind(world.path("state/homeostat.sock")).unwrap());
    let _host = world.serve();
    world.run("group ls").ok();
}

#[test]
fn a_second_host_on_one_state_directory_is_refused() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 2, "a")]);
    let before = world.fingerprint();
    let state = world.path("state").display().to_string();
    world.run("serve").ends_with(1).complains("in use by another homeostat").complains(&state);
    world
        .run("up stack.json --until-converged")
        .ends_with(1)
        .complains("in use by another homeostat")
        .complains(&state);
    world.run("serve --socket other.sock").ends_with(1).complains("in use by another homeostat");
    // The first one did not notice.
    world.run("group scale web 3 --wait").ok();
    assert!(before.iter().all(|(name, print)| world.fingerprint().get(name) == Some(print)));
}

#[test]
fn a_state_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 2, "a")]);
    host.kill();
    let file = world.path("state/state.redb");
    let before = world.fingerprint();
    for broken in [b"this is not a database".to_vec(), fs::read(&file).unwrap()[..5000].to_vec()] {
        fs::write(&file, &broken).unwrap();
        world.run("serve").ends_with(1).complains("state.redb");
        assert_eq!(fs::read(&file).unwrap(), broken);
    }
    // The way out that the instances make possible.
    fs::remove_file(&file).unwrap();
    let _host = world.serve();
    world.commit(&[group("web", 2, "a")]);
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_state_directory_that_is_a_file_is_refused() {
    let world = World::new();
    world.write("state", "precious");
    world.run("serve").ends_with(1).complains("state");
    assert_eq!(fs::read_to_string(world.path("state")).unwrap(), "precious");
}

#[test]
fn killed_in_the_middle_of_making_300_it_ends_with_300() {
    const SIZE: usize = 300;
    let world = World::new();
    let mut cut = 0;
    for enough in [1, 60, 150, 280] {
        // One at a time, so that there is a middle.
        let host = world.serve_with("--parallel 1");
        world.stack(&[group("web", SIZE as i64, "a")]);
        world.run("group commit stack.json").ok();
        until("some are made", || (world.ids().len() >= enough).then_some(()));
        host.kill();
        let left = world.ids().len();
        cut += usize::from(left < SIZE);

        let host = world.serve();
        until("all are made", || {
            let now = world.ids().len();
            assert!((left..=SIZE).contains(&now), "{left} were left, and now there are {now}");
            (now == SIZE).then_some(())
        });
        world.until_converged("web");
        assert_eq!(slots(&world), (1..=SIZE as u32).collect::<Vec<_>>());
        world.run("group destroy web").ok();
        assert!(world.ids().is_empty());
        host.stop(Signal::TERM).ok();
    }
    assert!(cut > 0, "no kill came in the middle");
}

#[test]
fn killed_in_the_middle_of_a_rolling_update_it_goes_on() {
    const SIZE: usize = 20;
    let world = World::new();
    let mut host = world.serve();
    world.commit(&[group("web", SIZE as i64, "0")]);
    for round in 1..=3 {
        let old: BTreeSet<String> = world.ids().into_iter().collect();
        let init = round.to_string();
        world.stack(&[group("web", SIZE as i64, &init)]);
        world.run("group commit stack.json").ok();
        let rolled = || world.ids().iter().filter(|it| !old.contains(*it)).count();
        until("some are new", || (rolled() >= 3).then_some(()));
        host.kill();
        host = world.serve();
        until("all are new", || {
            let now = world.ids();
            assert!((SIZE - 1..=SIZE).contains(&now.len()), "{} files at once", now.len());
            now.iter().all(|it| !old.contains(it)).then_some(())
        });
        world.until_converged("web");
        assert_eq!(slots(&world), (1..=SIZE as u32).collect::<Vec<_>>());
        assert!(world.instances().values().all(|it| it["Init"] == init.as_str()));
    }
}

#[test]
fn a_host_killed_while_it_destroys_a_group_goes_on_destroying() {
    let world = World::new();
    let host = world.serve_with("--parallel 1");
    world.commit(&[group("web", 200, "a")]);
    world.run("group destroy web --no-wait").ok();
    until("some are gone", || (world.ids().len() < 200).then_some(()));
    host.kill();
    let _host = world.serve();
    until("all are gone", || world.ids().is_empty().then_some(()));
    until("the group is gone", || (world.run("group describe web").code == Some(1)).then_some(()));
}

#[test]
fn what_a_killed_call_leaves_behind_holds_nobody_up_for_long() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    host.kill();
    // A call that was about to destroy or label, and one that was about to make an instance.
    let held = &world.ids()[1];
    let lock = world.write(&format!("instances/.{held}.lock"), "");
    world.write("instances/.web-4-half.0123456789abcdef.tmp", "{\"Format\"");
    let _host = world.serve();
    world.until_converged("web");
    world.run("group scale web 4 --wait --timeout 5s").ok();
    world.run("group destroy web --timeout 25s").ok();
    assert!(world.ids().is_empty() && !lock.exists());
}

#[test]
fn up_leaves_the_instances_on_ctrl_c_and_finds_them_again() {
    let world = World::new();
    world.stack(&[group("web", 3, "a")]);
    let mut up = world.start("up stack.json");
    up.until_prints("converged");
    let before = world.fingerprint();
    assert_eq!(before.len(), 3);
    // The other verbs talk to it.
    world.run("group ls").ok().prints("web");
    let told = up.stop(Signal::INT).ok();
    assert!(told.stdout.contains("the instances stay: web (3 instances)"), "{}", told.told());

    fs::remove_dir_all(world.path("state")).unwrap();
    let mut up = world.start("up stack.json");
    up.until_prints("converged");
    assert_eq!(world.fingerprint(), before);
    fs::remove_file(world.path("instances").join(before.keys().next().unwrap())).unwrap();
    until("three again", || (world.ids().len() == 3).then_some(()));
    up.stop(Signal::TERM).ok();
}

#[test]
fn up_with_destroy_removes_the_instances_at_the_end() {
    let world = World::new();
    world.stack(&[group("web", 3, "a")]);
    let mut up = world.start("up stack.json --destroy");
    up.until_prints("converged");
    assert_eq!(world.ids().len(), 3);
    let told = up.stop(Signal::INT).ok();
    assert!(told.stdout.contains("Destroyed web"), "{}", told.told());
    assert!(world.names_in("instances").is_empty());
    // Nothing is remembered of them either.
    let _host = world.serve();
    assert_eq!(world.run("group ls -o json").ok().json(), json!([]));
}

#[test]
fn up_until_converged_ends_by_itself() {
    let world = World::new();
    world.stack(&[group("web", 3, "a")]);
    world.run("up stack.json --until-converged").ok();
    assert_eq!(world.ids().len(), 3);
    let lines = world.run("up stack.json --until-converged --destroy -o json").ok();
    assert!(world.names_in("instances").is_empty());
    for line in lines.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    // What can never converge ends in time, and says why.
    world.stack(&[group("web", 3, "a")]);
    fs::remove_dir(world.path("instances")).unwrap();
    let late = world.run("up stack.json --until-converged --timeout 1s").ends_with(1);
    late.complains(&world.path("instances").display().to_string());
}

#[test]
fn up_with_a_broken_stack_starts_nothing() {
    let world = World::new();
    world.stack(&[group("web", -1, "a")]);
    world.run("up stack.json").ends_with(1).complains("the number -1 is negative").complains("stack.json:");
    world.run("up no-such-file.json").ends_with(1).complains("no-such-file.json cannot be opened");
    assert!(world.ids().is_empty());
}
