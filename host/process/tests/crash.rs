//! Hosts and supervisors that are killed, machines that are started anew, numbers that come round again.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::*;
use homeostat_process::{Process, ProcessState, Signal};

const ROOT: &str = "STAND_IN_ROOT";
const KEYS: &str = "STAND_IN_KEYS";

/// Not a test, but a host of its own for the tests below: it starts processes without end, until it is killed.
#[test]
#[ignore = "the host that other tests kill"]
fn stand_in() {
    let root = std::env::var(ROOT).expect("a root");
    let keys: usize = std::env::var(KEYS).expect("a number").parse().expect("a number");
    let processes = open(Path::new(&root));
    let rooms = Path::new(&root).parent().expect("a parent").to_owned();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (processes, rooms) = (processes.clone(), &rooms);
            scope.spawn(move || {
                for key in (0..keys).map(|it| (it + thread * keys / 4) % keys) {
                    processes.start(PLUGIN, &format!("k{key}"), &counted(rooms, key), "").expect("it starts");
                }
            });
        }
    });
    fs::write(rooms.join("done"), "").expect("a mark");
    std::thread::sleep(Duration::from_secs(60));
}

/// A process that leaves a trace of each time it was started.
fn counted(rooms: &Path, key: usize) -> homeostat_process::Command {
    shell(&format!("echo $$ >>{}/trace-{key}; exec sleep 300", rooms.display()))
}

fn host(root: &Path, keys: usize) -> Child {
    std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "stand_in", "--ignored", "--nocapture"])
        .env(ROOT, root)
        .env(KEYS, keys.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a host")
}

fn kill_host(mut host: Child) {
    host.kill().expect("it is killed");
    assert_eq!(host.wait().expect("it ended").signal(), Some(9), "the host ended by itself");
}

#[track_caller]
fn until(what: &str, right: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !right() {
        assert!(Instant::now() < end, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Rewrite what a supervisor wrote down.
fn forge(world: &World, key: &str, change: impl Fn(&mut serde_json::Value)) {
    let path = world.dir(key).join("process.json");
    let mut record = serde_json::from_slice(&fs::read(&path).expect("a record")).expect("JSON");
    change(&mut record);
    fs::write(&path, record.to_string()).expect("it is written");
}

#[test]
fn a_killed_host_neither_ends_nor_doubles_anything() {
    let world = World::new();
    let rooms = world.root.parent().expect("a parent");
    let first = host(&world.root, 8);
    until("the start of all", || rooms.join("done").exists());
    let before = world.processes.list(PLUGIN, None, 100).expect("a list");
    assert_eq!(before.len(), 8);
    kill_host(first);
    std::thread::sleep(Duration::from_millis(50));
    let processes = open(&world.root);
    assert_eq!(processes.list(PLUGIN, None, 100).expect("a list"), before);
    for (key, process) in before.iter().enumerate() {
        let again = processes.start(PLUGIN, &format!("k{key}"), &counted(rooms, key), "").expect("it is there");
        assert_eq!(&again, process);
    }
    // One that was started by a host that is gone can be stopped by this one.
    processes.stop(PLUGIN, "k0").expect("it is told");
    world.until_gone("k0");
    until_dead(before[0].pid.expect("a number"));
}

#[test]
fn a_host_killed_anywhere_leaves_one_of_each() {
    for round in 0..20 {
        let world = World::new();
        let rooms = world.root.parent().expect("a parent");
        const KEYS: usize = 12;
        let first = host(&world.root, KEYS);
        until("a beginning", || world.root.join("acme%web").exists());
        std::thread::sleep(Duration::from_micros(1500 * round));
        kill_host(first);
        let processes = open(&world.root);
        let all: Vec<Process> = (0..KEYS)
            .map(|key| processes.start(PLUGIN, &format!("k{key}"), &counted(rooms, key), "").expect("it starts"))
            .collect();
        for (key, process) in all.iter().enumerate() {
            let trace = rooms.join(format!("trace-{key}"));
            until("a trace", || !numbers(&trace).is_empty());
            assert_eq!(process.state, ProcessState::Running, "round {round}");
            let running: Vec<u32> = numbers(&trace).into_iter().filter(|&pid| runs(pid)).collect();
            assert_eq!(running, [process.pid.expect("a number")], "round {round}, key {key}");
        }
        // Nothing else is left: no claim, nothing half made.
        let entries = fs::read_dir(world.root.join("acme%web")).expect("a folder").count();
        assert_eq!(entries, KEYS, "round {round}");
    }
}

#[test]
fn a_killed_supervisor_takes_nothing_with_it() {
    let world = World::new();
    let mut command =
        shell("trap 'echo ended; exit 7' TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done");
    command.stop_timeout = Duration::from_secs(10);
    let started = world.start("a", &command);
    let pid = started.pid.expect("a number");
    let first = world.supervisor("a");
    kill(first);
    until_dead(first);
    // Longer than it takes to write many lines that nobody reads.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(world.find("a"), Some(started.clone()), "it runs, and is found");
    let control = world.dir("a").join("control");
    let open = || {
        use rustix::fs::{Mode, OFlags};
        rustix::fs::open(&control, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).is_ok()
    };
    until("another supervisor", open);
    assert_eq!(world.start("a", &command), started, "no second one is started");
    std::thread::sleep(Duration::from_millis(200));
    // Nothing of its output is lost, nor doubled.
    let output = world.processes.output(PLUGIN, "a", 1 << 20).expect("output");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines.len() > 20, "{output}");
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {}", index + 1));
    }
    world.processes.stop(PLUGIN, "a").expect("it is told");
    world.until_gone("a");
    until_dead(pid);
}

#[test]
fn how_it_ended_is_lost_with_the_supervisor() {
    let world = World::new();
    // Ended while another supervisor watches.
    let pid = world.start("a", &sleep()).pid.expect("a number");
    kill(world.supervisor("a"));
    until("another supervisor", || {
        world.find("a").is_some_and(|it| it.pid == Some(pid)) && supervisors(&world, "a") == 1
    });
    world.processes.signal(PLUGIN, "a", Signal::Terminate).expect("it is sent");
    let ended = world.until_ended("a");
    assert!(matches!(&ended.state, ProcessState::Lost(why) if why.contains("supervisor")), "{ended:?}");
    // Ended while nobody watches, with a child that it left.
    let marks = tempfile::tempdir().expect("a folder");
    let left = marks.path().join("left");
    let pid =
        world.start("b", &shell(&format!("sleep 300 & echo $! >{}; wait", left.display()))).pid.expect("a number");
    until("a child", || numbers(&left).len() == 1);
    kill(world.supervisor("b"));
    kill(pid);
    until_dead(pid);
    let ended = world.until_ended("b");
    assert!(matches!(&ended.state, ProcessState::Lost(why) if why.contains("supervisor was gone")), "{ended:?}");
    assert!(runs(numbers(&left)[0]));
    world.processes.stop(PLUGIN, "b").expect("it is forgotten");
    assert_eq!(world.find("b"), None);
    until_dead(numbers(&left)[0]);
    world.processes.stop(PLUGIN, "a").expect("it is forgotten");
    assert_eq!(world.find("a"), None);
}

/// How many supervisors a process has.
fn supervisors(world: &World, key: &str) -> usize {
    let dir = world.dir(key);
    let pids =
        fs::read_dir("/proc").expect("/proc").flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let words = |pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|&pid| words(pid).split(|&it| it == 0).any(|it| it == dir.as_os_str().as_encoded_bytes())).count()
}

#[test]
fn stop_works_without_a_supervisor() {
    let world = World::new();
    let mut command = shell("trap '' TERM; sleep 300 & while :; do sleep 1; done");
    command.stop_timeout = Duration::from_millis(100);
    let pid = world.start("a", &command).pid.expect("a number");
    let first = world.supervisor("a");
    kill(first);
    until_dead(first);
    world.processes.stop(PLUGIN, "a").expect("it is told");
    world.until_gone("a");
    until_dead(pid);
}

#[test]
fn a_supervisor_killed_while_it_stops_is_replaced() {
    let world = World::new();
    let mut command = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
    command.stop_timeout = Duration::from_secs(1);
    let pid = world.start("a", &command).pid.expect("a number");
    until("the trap", || !world.processes.output(PLUGIN, "a", 10).expect("output").is_empty());
    world.processes.stop(PLUGIN, "a").expect("it is told");
    kill(world.supervisor("a"));
    // Nobody says again that it is to end.
    world.until_gone("a");
    until_dead(pid);
}

#[test]
fn a_stop_is_finished_where_process_and_supervisor_are_killed() {
    let world = World::new();
    let pid = world.start("a", &shell("trap '' TERM; echo ready; while :; do sleep 1; done")).pid.expect("a number");
    until("the trap", || !world.processes.output(PLUGIN, "a", 10).expect("output").is_empty());
    world.processes.stop(PLUGIN, "a").expect("it is told");
    let supervisor = world.supervisor("a");
    kill(supervisor);
    kill(pid);
    world.until_gone("a");
    assert!(!world.dir("a").exists());
}

#[test]
fn offspring_in_a_session_of_its_own_is_ended_without_the_first_supervisor_too() {
    let world = World::new();
    for (key, is_stopped_at_once) in [("a", false), ("b", true)] {
        world.start(key, &shell("setsid sh -c 'echo $$; exec sleep 300' & wait"));
        let output = || world.processes.output(PLUGIN, key, 20).expect("output");
        until("its number", || output().ends_with('\n'));
        let pid = output().trim().parse().expect("a number");
        kill(world.supervisor(key));
        if !is_stopped_at_once {
            until("a new supervisor", || world.state(key) == ProcessState::Running && supervisors(&world, key) == 1);
        }
        world.processes.stop(PLUGIN, key).expect("it is told");
        world.until_gone(key);
        until_dead(pid);
    }
}

#[test]
fn supervisors_are_not_doubled() {
    let world = World::new();
    world.start("a", &sleep());
    kill(world.supervisor("a"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(world.state("a"), ProcessState::Running)));
        }
    });
    until("one supervisor", || supervisors(&world, "a") == 1);
}

#[test]
fn a_process_that_nobody_wrote_down_is_ended() {
    let world = World::new();
    let pid = world.start("a", &sleep()).pid.expect("a number");
    // As after a supervisor that was killed between starting the process and writing it down.
    kill(world.supervisor("a"));
    until_dead(pid_of_supervisor_gone(&world));
    fs::remove_file(world.dir("a").join("process.json")).expect("it was there");
    let again = world.start("a", &sleep());
    assert_ne!(again.pid, Some(pid));
    assert!(!runs(pid), "there are two");
    assert_eq!(world.state("a"), ProcessState::Running);
}

/// The number of nobody, once no supervisor is left.
fn pid_of_supervisor_gone(world: &World) -> u32 {
    until("its end", || supervisors(world, "a") == 0);
    u32::MAX >> 1
}

#[test]
fn a_number_that_came_round_again_is_somebody_else() {
    let world = World::new();
    let bystander = world.start("bystander", &sleep()).pid.expect("a number");
    // The system counts in hundredths of a second, and takes longer than that to come to a number again.
    std::thread::sleep(Duration::from_millis(50));
    let pid = world.start("a", &sleep()).pid.expect("a number");
    kill(world.supervisor("a"));
    kill(pid);
    until_dead(pid);
    forge(&world, "a", |record| record["Pid"] = bystander.into());
    let found = world.until_ended("a");
    assert!(matches!(found.state, ProcessState::Lost(_)), "{found:?}");
    world.processes.signal(PLUGIN, "a", Signal::Kill).expect("nothing happens");
    world.processes.stop(PLUGIN, "a").expect("it is forgotten");
    assert_eq!(world.find("a"), None);
    assert!(runs(bystander), "somebody else was ended");
}

#[test]
fn another_boot_loses_everything() {
    let world = World::new();
    let pid = world.start("a", &sleep()).pid.expect("a number");
    let first = world.supervisor("a");
    kill(first);
    until_dead(first);
    // Even where number and start time are the same.
    forge(&world, "a", |record| record["Boot"] = "00000000-0000-0000-0000-000000000000".into());
    let found = world.until_ended("a");
    assert_eq!(found.state, ProcessState::Lost("the machine was started anew".into()));
    assert_eq!((found.pid, found.ended_at_ms), (None, None));
    world.processes.annotate(PLUGIN, "a", "still").expect("it is written");
    assert_eq!(world.start("a", &sleep()).note, "still", "the same key and command are the same process");
    world.processes.stop(PLUGIN, "a").expect("it is forgotten");
    assert_eq!(world.find("a"), None);
    assert!(runs(pid), "somebody else's process was ended");
    kill(pid);
}

#[test]
fn what_a_power_failure_leaves_can_be_stopped() {
    let world = World::new();
    for (key, file) in [("a", "process.json"), ("b", "command.json"), ("c", "note")] {
        world.start(key, &shell("exit 0"));
        world.until_ended(key);
        fs::write(world.dir(key).join(file), "").expect("it is cut off");
        let found = world.find(key).expect("it is there");
        match file {
            "process.json" => {
                assert!(matches!(&found.state, ProcessState::Lost(why) if why.contains("damaged")), "{found:?}")
            }
            _ => assert_eq!(found.state, ProcessState::Exited(0)),
        }
        world.processes.stop(PLUGIN, key).expect("it is forgotten");
        assert_eq!(world.find(key), None);
        world.start(key, &shell("exit 0"));
    }
}

#[test]
fn what_a_killed_host_left_half_made_is_cleared_away() {
    let world = World::new();
    world.start("a", &sleep());
    let folder = world.root.join("acme%web");
    for name in ["~new-1-1", "~old-2-2", "claim"] {
        fs::create_dir(folder.join(name)).expect("a folder");
        fs::write(folder.join(name).join("lock"), "").expect("a file");
    }
    open(&world.root);
    let names =
        || fs::read_dir(&folder).expect("a folder").map(|it| it.expect("an entry").file_name()).collect::<Vec<_>>();
    assert!(names().iter().all(|it| it == "a" || it == "claim"), "{:?}", names());
    assert_eq!(world.processes.list(PLUGIN, None, 10).expect("a list").len(), 1);
    assert_eq!(names(), ["a"], "a claim that came to nothing");
}
