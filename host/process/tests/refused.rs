//! What cannot be started, and what is said about it.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use common::*;
use homeostat_process::{ExecError, Processes, Supervisor};

#[test]
fn names_that_are_paths() {
    let world = World::new();
    for key in ["../x", "..", ".", "", "a/b", "/tmp/x", "~new-1-1", "a\0"] {
        let invalid = |result: Result<(), ExecError>| {
            assert!(matches!(result, Err(ExecError::Invalid(_))), "{key:?}: {result:?}");
        };
        invalid(world.processes.start(PLUGIN, key, &sleep(), "").map(|_| ()));
        invalid(world.processes.find(PLUGIN, key).map(|_| ()));
        invalid(world.processes.stop(PLUGIN, key));
        invalid(world.processes.annotate(PLUGIN, key, ""));
        invalid(world.processes.output(PLUGIN, key, 1).map(|_| ()));
        invalid(world.processes.signal(PLUGIN, key, homeostat_process::Signal::Kill));
    }
    for plugin in ["../x", "..", "", "/etc", "a%b"] {
        let refused = world.processes.start(plugin, "a", &sleep(), "");
        assert!(matches!(refused, Err(ExecError::Invalid(_))), "{plugin:?}: {refused:?}");
    }
    assert_eq!(fs::read_dir(&world.root).expect("the root").count(), 0, "nothing was made");
}

#[test]
fn what_is_too_much() {
    let world = World::new();
    let check = |command: &homeostat_process::Command, note: &str, said: &str| {
        let error = world.processes.start(PLUGIN, "a", command, note).expect_err("it is too much").to_string();
        assert!(error.contains(said), "{error}");
        assert!(!world.dir("a").exists());
    };
    check(&sleep(), &"x".repeat((64 << 10) + 1), "the note has 65537 bytes");
    check(&command("/bin/echo", &[&"x".repeat(128 << 10)]), "", "the arguments have 131073 bytes");
    check(&command("/bin/echo", &["a\0b"]), "", "argument 1 holds a NUL");
    let mut wrong = sleep();
    wrong.env.insert("A=B".into(), String::new());
    check(&wrong, "", "no environment variable");
    let mut wrong = sleep();
    wrong.stop_timeout = Duration::from_secs(90_000);
    check(&wrong, "", "longer than a day");
    let mut wrong = sleep();
    wrong.directory = Some("/does/not/exist".into());
    check(&wrong, "", "no directory /does/not/exist");
    let largest = command("/bin/true", &["x".repeat((128 << 10) - 1).as_str()]);
    world.processes.start(PLUGIN, "a", &largest, &"x".repeat(64 << 10)).expect("the most that is allowed");
    let refused = world.processes.annotate(PLUGIN, "a", &"x".repeat((64 << 10) + 1));
    assert!(matches!(refused, Err(ExecError::Invalid(_))));
}

#[test]
fn programs_that_cannot_be_run() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        path.to_str().expect("text").to_owned()
    };
    let mark = folder.path().join("mark");
    let script = format!("touch {}\n", mark.display());
    for (path, said) in [
        ("sleep", "has to be absolute"),
        ("/does/not/exist", "cannot be found"),
        ("/tmp", "this is no file"),
        (&file("text", "#!/bin/sh\n", 0o644), "chmod +x"),
        (&file("open", "#!/bin/sh\n", 0o777), "chmod o-w"),
        // The system says no to these. No shell is asked in its stead, as `execvp` would.
        (&file("shebangless", &script, 0o755), "could not be started: Exec format error"),
        (&file("interpreter", "#!/does/not/exist\n", 0o755), "could not be started: No such file"),
    ] {
        let error = world.processes.start(PLUGIN, "a", &command(path, &[]), "").expect_err(path).to_string();
        assert!(error.contains(said) && error.contains(path), "{error}");
        assert_eq!(world.find("a"), None, "nothing is left of {path}");
        assert!(!world.dir("a").exists());
    }
    assert!(!mark.exists(), "a shell ran what is no program");
}

#[test]
fn roots_that_cannot_be_used() {
    let open = |root: &Path| Processes::open(root, Supervisor::default());
    assert!(matches!(open(Path::new("exec")), Err(ExecError::Invalid(_))));
    // Nobody can write there, not even root.
    assert!(matches!(open(Path::new("/proc/homeostat-exec")), Err(ExecError::Io { .. })));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(matches!(open(&file.join("exec")), Err(ExecError::Io { .. })));
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).expect("a folder");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("its mode");
    let error = open(&shared).expect_err("others may write there").to_string();
    assert!(error.contains("chmod 700"), "{error}");
}

#[test]
fn a_root_that_vanishes_is_an_error() {
    let world = World::new();
    fs::remove_dir_all(&world.root).expect("it is removed");
    let refused = world.processes.start(PLUGIN, "a", &sleep(), "");
    assert!(matches!(refused, Err(ExecError::Io { .. })), "{refused:?}");
    assert_eq!(world.processes.list(PLUGIN, None, 10).expect("nothing is there"), []);
}

#[test]
fn a_supervisor_that_cannot_be_started() {
    let world = World::new();
    for (program, said) in [("/does/not/exist", "cannot be started"), ("/bin/true", "ended before it had started")] {
        let processes = Processes::open(&world.root, Supervisor { program: program.into() }).expect("it opens");
        let error = processes.start(PLUGIN, "a", &sleep(), "").expect_err("no supervisor").to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(world.find("a"), None);
    }
    world.start("a", &sleep());
}

#[test]
fn no_more_than_a_plugin_may_have() {
    let world = World::new();
    world.start("a", &sleep());
    let folder = world.root.join("acme%web");
    // Names of one file are made and removed faster than directories.
    let file = world.root.with_file_name("file");
    fs::write(&file, "").expect("a file");
    for number in 1..10_000 {
        fs::hard_link(&file, folder.join(format!("x{number}"))).expect("a name");
    }
    // Counted anew for a host that has just begun.
    let processes = open(&world.root);
    let refused = processes.start(PLUGIN, "b", &sleep(), "");
    assert!(matches!(refused, Err(ExecError::TooMany { limit: 10_000, .. })), "{refused:?}");
    processes.start("another", "b", &sleep(), "").expect("each plugin has its own");
    fs::remove_file(folder.join("x1")).expect("one less");
    processes.start(PLUGIN, "b", &sleep(), "").expect("there is room again");
    processes.stop("another", "b").expect("it stops");
}
