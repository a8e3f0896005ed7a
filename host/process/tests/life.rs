//! From start to stop, with nothing going wrong but the processes.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::*;
use homeostat_process::{ExecError, ProcessState, Resource, Retention, Signal};

#[test]
fn starts_finds_and_stops() {
    let world = World::new();
    let before =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as u64;
    assert_eq!(world.find("a"), None);
    let started = world.processes.start(PLUGIN, "a", &sleep(), "words").expect("it starts");
    assert_eq!((started.key.as_str(), &started.state, started.note.as_str()), ("a", &ProcessState::Running, "words"));
    assert!(started.started_at_ms >= before && started.started_at_ms < before + 10_000, "{started:?}");
    assert_eq!(started.ended_at_ms, None);
    let pid = started.pid.expect("a number");
    assert!(runs(pid));
    // Its own group, in a session that is not the host's.
    let fields = stat(pid).expect("it runs");
    assert_eq!(fields[2], pid.to_string());
    assert_ne!(fields[3], stat(std::process::id()).expect("this process")[3]);
    assert_eq!(world.find("a"), Some(started.clone()));
    assert_eq!(world.processes.list(PLUGIN, None, 10).expect("a list"), std::slice::from_ref(&started));
    assert_eq!(world.processes.list("another", None, 10).expect("a list"), []);
    assert_eq!(world.start("a", &sleep()), started, "the same key and command are the same process");
    world.processes.stop(PLUGIN, "a").expect("it stops");
    world.until_gone("a");
    assert!(!runs(pid));
    assert!(!world.dir("a").exists());
    world.processes.stop(PLUGIN, "a").expect("what is gone is stopped");
}

#[test]
fn tells_how_it_ended() {
    let world = World::new();
    world.start("exit", &shell("echo out; echo err >&2; exit 42"));
    let ended = world.until_ended("exit");
    assert_eq!(ended.state, ProcessState::Exited(42));
    assert!(ended.ended_at_ms.expect("it ended") >= ended.started_at_ms);
    assert_eq!(world.processes.output(PLUGIN, "exit", 1000).expect("output"), "out\nerr\n");
    assert_eq!(world.processes.output(PLUGIN, "exit", 5).expect("output"), "\nerr\n");
    world.start("signal", &sleep());
    world.processes.signal(PLUGIN, "signal", Signal::User1).expect("it is sent");
    assert_eq!(world.until_ended("signal").state, ProcessState::Signalled(10));
    world.processes.signal(PLUGIN, "signal", Signal::Kill).expect("nothing happens");
    // The same key and command are the same process, also when it has ended.
    assert_eq!(world.start("exit", &shell("echo out; echo err >&2; exit 42")), ended);
    world.processes.stop(PLUGIN, "exit").expect("it is forgotten");
    assert_eq!(world.find("exit"), None, "what has ended is forgotten at once");
}

#[test]
fn another_command_is_refused_and_another_note_is_not() {
    let world = World::new();
    let first = world.processes.start(PLUGIN, "a", &sleep(), "one").expect("it starts");
    let mut other = sleep();
    other.args = vec!["301".into()];
    let refused = world.processes.start(PLUGIN, "a", &other, "one");
    assert!(matches!(refused, Err(ExecError::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(world.processes.start(PLUGIN, "a", &sleep(), "two").expect("the same"), first);
    let mut moved = sleep();
    moved.path = "/usr/bin/sleep".into();
    assert_eq!(world.processes.start(PLUGIN, "a", &moved, "").expect("the operator's choice"), first);
    world.processes.annotate(PLUGIN, "a", "three").expect("it is written");
    assert_eq!(world.find("a").expect("it runs").note, "three");
    let missing = world.processes.annotate(PLUGIN, "b", "x");
    assert!(matches!(missing, Err(ExecError::NotFound { .. })), "{missing:?}");
    assert!(!world.dir("b").exists());
}

#[test]
fn gets_what_it_was_given_and_nothing_else() {
    let world = World::new();
    let mut command = shell("pwd; ls -A; umask; /usr/bin/env; readlink /proc/self/fd/0; ls /proc/self/fd | wc -l");
    command.env.insert("B".into(), "two words".into());
    command.env.insert("A".into(), "=1".into());
    world.start("a", &command);
    world.until_ended("a");
    let text = world.processes.output(PLUGIN, "a", 10_000).expect("output");
    let mut lines: Vec<&str> = text.lines().filter(|it| !it.starts_with("_=") && !it.starts_with("OLDPWD")).collect();
    let work = world.dir("a").join("work");
    let own = format!("PWD={}", work.display());
    lines.retain(|it| *it != own);
    lines[2..].sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    // As many open files as any child of this test has: nothing of the supervisor's.
    let count =
        std::process::Command::new("/bin/sh").args(["-c", "ls /proc/self/fd | wc -l"]).output().expect("a shell");
    let count = String::from_utf8(count.stdout).expect("text");
    let mut expected = [work.to_str().expect("text"), "0022", "A==1", "B=two words", path, "/dev/null", count.trim()];
    expected[2..].sort_unstable();
    assert_eq!(lines, expected, "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = shell("pwd");
    command.directory = Some(folder.path().into());
    world.start("b", &command);
    world.until_ended("b");
    assert_eq!(
        world.processes.output(PLUGIN, "b", 1000).expect("output").trim(),
        folder.path().to_str().expect("text")
    );
}

#[test]
fn a_supervisor_keeps_nothing_of_the_host() {
    let world = World::new();
    world.start("a", &sleep());
    let supervisor = world.supervisor("a");
    assert_eq!(fs::read(format!("/proc/{supervisor}/environ")).expect("it runs"), b"MIMALLOC_ARENA_EAGER_COMMIT=0\0");
    assert_eq!(fs::read_link(format!("/proc/{supervisor}/cwd")).expect("it runs").to_str(), Some("/"));
    assert_eq!(parent(supervisor), Some(std::process::id()));
    assert_eq!(stat(supervisor).expect("it runs")[3], supervisor.to_string(), "a session of its own");
}

#[test]
fn stop_ends_the_stubborn_and_their_offspring() {
    let world = World::new();
    let marks = tempfile::tempdir().expect("a folder");
    let pids = marks.path().join("pids");
    // One that ignores SIGTERM, with a child and a grandchild that do so too, and one that left the session.
    let script = format!(
        "trap '' TERM; echo $$ >>{0}; sh -c 'echo $$ >>{0}; sleep 300 & echo $! >>{0}; wait' & \
         setsid sh -c 'echo $$ >>{0}; sleep 300; :' & while :; do sleep 1; done",
        pids.display()
    );
    let mut command = shell(&script);
    command.stop_timeout = Duration::from_millis(300);
    world.start("a", &command);
    let end = Instant::now() + Duration::from_secs(10);
    while numbers(&pids).len() < 4 {
        assert!(Instant::now() < end, "the script does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked = Instant::now();
    world.processes.stop(PLUGIN, "a").expect("it is told");
    assert!(asked.elapsed() < Duration::from_millis(200), "it does not wait");
    assert_eq!(world.state("a"), ProcessState::Stopping);
    assert_eq!(world.start("a", &command).state, ProcessState::Stopping);
    world.processes.stop(PLUGIN, "a").expect("telling twice is fine");
    world.until_gone("a");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    for pid in numbers(&pids) {
        until_dead(pid);
    }
}

#[test]
fn one_that_ends_by_itself_leaves_nothing_running() {
    let world = World::new();
    let marks = tempfile::tempdir().expect("a folder");
    let pids = marks.path().join("pids");
    let script =
        format!("sleep 300 & echo $! >{0}; setsid sleep 300 & echo $! >>{0}; sleep 0.1; exit 3", pids.display());
    world.start("a", &shell(&script));
    assert_eq!(world.until_ended("a").state, ProcessState::Exited(3));
    assert_eq!(numbers(&pids).len(), 2);
    for pid in numbers(&pids) {
        assert!(!runs(pid), "{pid} is left, and the process is said to have ended");
    }
}

#[test]
fn one_that_is_halted_can_be_stopped() {
    let world = World::new();
    let pid = world.start("a", &sleep()).pid.expect("a number");
    let raw = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a number");
    rustix::process::kill_process(raw, rustix::process::Signal::STOP).expect("it is halted");
    assert_eq!(world.state("a"), ProcessState::Running);
    let asked = Instant::now();
    world.processes.stop(PLUGIN, "a").expect("it is told");
    world.until_gone("a");
    assert!(asked.elapsed() < Duration::from_secs(3), "it had to be killed");
}

#[test]
fn a_flood_is_bounded() {
    let world = World::new();
    let mut command = shell("exec yes 'a line of some length'");
    command.retention = Retention { bytes: 256 << 10, files: 3 };
    world.start("a", &command);
    let second = world.dir("a").join("output.log.2");
    let end = Instant::now() + Duration::from_secs(10);
    while !second.exists() {
        assert!(Instant::now() < end, "nothing is rotated");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..50 {
        let text = world.processes.output(PLUGIN, "a", 300_000).expect("output");
        assert!(text.len() <= 300_000);
        let held: u64 = fs::read_dir(world.dir("a"))
            .expect("files")
            .flatten()
            .filter_map(|it| it.metadata().ok())
            .map(|it| it.len())
            .sum();
        assert!(held < 3 * (256 << 10) + 20_000, "{held} bytes are kept");
    }
    // A flood does not keep it from being stopped.
    let asked = Instant::now();
    world.processes.stop(PLUGIN, "a").expect("it is told");
    world.until_gone("a");
    assert!(asked.elapsed() < Duration::from_secs(3));
}

#[test]
fn output_that_is_no_text_is_bounded_too() {
    let world = World::new();
    world.start("a", &shell("printf 'x\\303\\274\\377\\377\\377\\377'"));
    world.until_ended("a");
    for limit in 0..20 {
        let text = world.processes.output(PLUGIN, "a", limit).expect("output");
        assert!(text.len() <= limit as usize, "{limit}: {text:?}");
    }
    assert_eq!(
        world.processes.output(PLUGIN, "a", 100).expect("output"),
        "x\u{fc}\u{fffd}\u{fffd}\u{fffd}\u{fffd}".replace("\u{fffd}\u{fffd}\u{fffd}\u{fffd}", &"\u{fffd}".repeat(4))
    );
}

#[test]
fn limits_are_in_force_from_the_first_moment() {
    let world = World::new();
    let mut command = shell("ulimit -n; ulimit -Hn; ulimit -f; ulimit -c; sleep 0.1; ulimit -v");
    command.limits.insert(Resource::OpenFiles, 77);
    command.limits.insert(Resource::FileSize, 512 << 10);
    command.limits.insert(Resource::CoreSize, 0);
    command.limits.insert(Resource::AddressSpace, 256 << 20);
    world.start("a", &command);
    world.until_ended("a");
    let text = world.processes.output(PLUGIN, "a", 1000).expect("output");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[2], lines[3], lines[4]), ("77", "1024", "0", "262144"), "{text}");
    let mut command = sleep();
    command.limits.insert(Resource::OpenFiles, u64::MAX - 1);
    let refused = world.processes.start(PLUGIN, "b", &command, "").expect_err("it is above the host's own").to_string();
    assert!(refused.contains("OpenFiles") && refused.contains("above the host's own"), "{refused}");
    assert!(!world.dir("b").exists());
}

#[test]
fn lists_page_by_page() {
    let world = World::new();
    for key in ["c", "a", "b", "e", "d"] {
        world.start(key, &sleep());
    }
    let list = |after: Option<&str>, limit| -> String {
        world.processes.list(PLUGIN, after, limit).expect("a list").into_iter().map(|it| it.key).collect()
    };
    assert_eq!(list(None, 100), "abcde");
    assert_eq!(list(None, 2), "ab");
    assert_eq!(list(Some("b"), 2), "cd");
    assert_eq!(list(Some("bb"), 9), "cde");
    assert_eq!(list(Some("e"), 9), "");
    assert_eq!(list(None, 0), "");
}

#[test]
fn crash_loops_leave_nothing() {
    let world = World::new();
    let files = || fs::read_dir("/proc/self/fd").expect("/proc").count();
    world.start("first", &shell("exit 1"));
    world.until_ended("first");
    world.processes.stop(PLUGIN, "first").expect("it is forgotten");
    let before = files();
    for round in 0..100 {
        world.start("a", &shell("echo no; exit 1"));
        if round % 2 == 0 {
            assert_eq!(world.until_ended("a").state, ProcessState::Exited(1));
        }
        world.processes.stop(PLUGIN, "a").expect("it is forgotten");
        world.until_gone("a");
    }
    let end = Instant::now() + Duration::from_secs(5);
    while zombies() > 0 {
        assert!(Instant::now() < end, "{} supervisors are not buried", zombies());
        std::thread::sleep(Duration::from_millis(5));
    }
    // Other tests of this process open files too, unless each has a process of its own.
    assert!(files() < before + 50, "{} files were open, and {} are", before, files());
    world.until_empty();
}
