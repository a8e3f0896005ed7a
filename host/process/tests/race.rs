//! Many at once.

mod common;

use std::collections::HashSet;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use common::*;
use homeostat_process::ExecError;

#[test]
fn sixteen_threads_start_one_process() {
    for round in 0..20 {
        let world = World::new();
        let trace = world.root.with_file_name("trace");
        let command = shell(&format!("echo $$ >>{}; exec sleep 300", trace.display()));
        let barrier = Barrier::new(16);
        let started: HashSet<u32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        world.start("a", &command).pid.expect("a number")
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().expect("no panic")).collect()
        });
        assert_eq!(started.len(), 1, "round {round}: {started:?}");
        world.processes.stop(PLUGIN, "a").expect("it stops");
        world.until_gone("a");
        assert!(numbers(&trace).len() <= 1, "round {round}: it was started more than once");
    }
}

#[test]
fn of_two_commands_at_once_one_is_refused() {
    for _ in 0..20 {
        let world = World::new();
        let barrier = Barrier::new(8);
        let refused = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let (world, barrier) = (&world, &barrier);
                    scope.spawn(move || {
                        let mut command = sleep();
                        command.env.insert("WHICH".into(), (thread % 2).to_string());
                        barrier.wait();
                        match world.processes.start(PLUGIN, "a", &command, "") {
                            Ok(process) => Ok(process.pid),
                            Err(ExecError::AlreadyExists { .. }) => Err(thread % 2),
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().expect("no panic")).collect::<Vec<_>>()
        });
        let losers: HashSet<_> = refused.iter().filter_map(|it| it.err()).collect();
        let winners: HashSet<_> = refused.iter().filter_map(|it| it.ok()).collect();
        assert_eq!((losers.len(), winners.len()), (1, 1), "{refused:?}");
    }
}

#[test]
fn starting_and_stopping_at_once_leaves_one_or_none() {
    let world = World::new();
    let started = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for thread in 0..6 {
            let (world, started) = (&world, &started);
            scope.spawn(move || {
                for _ in 0..300 {
                    match thread % 3 {
                        0 => world.processes.stop(PLUGIN, "a").expect("it stops"),
                        1 => drop(world.processes.list(PLUGIN, None, 10).expect("a list")),
                        _ => started.lock().expect("no panic").extend(world.start("a", &sleep()).pid),
                    }
                }
            });
        }
    });
    world.processes.stop(PLUGIN, "a").expect("it stops");
    world.until_gone("a");
    world.until_empty();
    let started = started.into_inner().expect("no panic");
    assert!(!started.is_empty());
    assert_eq!(started.into_iter().filter(|&pid| runs(pid)).collect::<Vec<_>>(), [0; 0], "some were left behind");
}

#[test]
fn five_hundred_are_started_listed_and_stopped() {
    let world = World::new();
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for number in (thread..500).step_by(8) {
                    let key = format!("p{number:03}");
                    world.processes.start(PLUGIN, &key, &sleep(), "some tags and a name").expect("it starts");
                }
            });
        }
    });
    let started = begun.elapsed();
    // The fastest of some, since others use this machine too.
    let one = || {
        let begun = Instant::now();
        let list = world.processes.list(PLUGIN, None, 1000).expect("a list");
        (begun.elapsed(), list)
    };
    let (listed, list) = (0..20).map(|_| one()).min_by_key(|it| it.0).expect("a list");
    assert_eq!(list.len(), 500);
    assert_eq!(list.iter().filter_map(|it| it.pid).collect::<HashSet<_>>().len(), 500);
    let begun = Instant::now();
    for process in &list {
        assert_eq!(world.find(&process.key).as_ref(), Some(process));
    }
    let found = begun.elapsed() / 500;
    let begun = Instant::now();
    for process in &list {
        world.processes.stop(PLUGIN, &process.key).expect("it stops");
    }
    let told = begun.elapsed();
    while !world.processes.list(PLUGIN, None, 1).expect("a list").is_empty() {
        thread::sleep(std::time::Duration::from_millis(1));
    }
    println!(
        "500 started in {started:?}, listed in {listed:?}, one found in {found:?}, told to stop in {told:?}, gone in {:?}",
        begun.elapsed()
    );
    // Far above what it takes, so that a busy machine does not fail it; far below what a fault would make of it.
    assert!(started.as_secs() < 20 && listed.as_millis() < 500 && found.as_millis() < 10, "too slow");
}
