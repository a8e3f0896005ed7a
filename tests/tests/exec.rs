//! Programs that a plugin was granted: a group whose instances are processes of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use homeostat_tests::{Process, World, binary, group, plugin, until, until_eq};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// What the instances run: it writes down with what it was started, and starts three more, of which one runs away into a
/// session of its own and one does not hear when it is told to end.
const WORKER: &str = "#!/bin/sh
echo \"started with $*\"
sleep 1000 &
setsid sleep 1000 &
(trap '' TERM; exec sleep 1000) &
wait
";

/// How many processes there are to each instance.
const EACH: usize = 4;

/// The worker of a world, and the processes that come of it. Each has a variable in its environment that no other test's
/// have. What is left of them at the end of a test is ended, whatever came.
struct Workers {
    program: PathBuf,
    mark: String,
    supervised: PathBuf,
}

impl Workers {
    fn new(world: &World) -> Self {
        let program = world.write("worker.sh", WORKER);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { mark: world.path("").display().to_string(), program, supervised: world.path("state/exec") }
    }

    /// Properties of an instance that is started with these words.
    fn started_with(&self, words: &[&str]) -> Value {
        json!({"Args": words, "Env": {"MARK": self.mark}, "StopTimeout": 500})
    }

    /// The numbers of all processes in whose file in /proc this text is, between zeros.
    fn holding(file: &str, is: impl Fn(&[u8]) -> bool) -> Vec<i32> {
        let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let numbers = entries.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
        let holds = |number: &i32| {
            let content = fs::read(format!("/proc/{number}/{file}")).unwrap_or_default();
            content.split(|byte| *byte == 0).any(&is)
        };
        let mut found: Vec<i32> = numbers.filter(holds).collect();
        found.sort_unstable();
        found
    }

    /// All that runs: the workers, and all that they started.
    fn all(&self) -> Vec<i32> {
        let mark = format!("MARK={}", self.mark);
        Self::holding("environ", |word| word == mark.as_bytes())
    }

    /// The supervisors.
    fn supervisors(&self) -> Vec<i32> {
        let place = self.supervised.display().to_string();
        Self::holding("cmdline", |word| word.starts_with(place.as_bytes()))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for number in self.supervisors().into_iter().chain(self.all()) {
            kill(number);
        }
    }
}

fn kill(number: i32) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(number).expect("a number"), Signal::KILL);
}

/// When a process was started, in ticks since boot: with its number it is this process and no other one.
fn born(number: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name, which may hold anything, is in the last parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    (fields[0] != "Z").then(|| fields[19].to_owned())
}

/// The workers by id, as the plugin lists them, each with when it was started as the system says.
#[track_caller]
fn listed(world: &World, plugin: &str) -> BTreeMap<String, (i32, String)> {
    let list = world.run(&format!("instance list {plugin} -o json --properties")).ok().json();
    let worker = |it: &Value| {
        let number = i32::try_from(it["Properties"]["Pid"].as_i64()?).ok()?;
        Some((it["ID"].as_str()?.to_owned(), (number, born(number)?)))
    };
    list["Instances"].as_array().expect("a list").iter().filter_map(worker).collect()
}

/// The grants of [`Workers`], for a stack.
fn grants(workers: &Workers, args: &Value) -> Value {
    json!({"Exec": {"worker": {"Path": workers.program, "Args": args, "Env": ["MARK"]}}})
}

/// Write a stack with a group of so many workers.
fn stack(world: &World, workers: &Workers, size: i64, grants: &Value) {
    let mut web = group("web", size, "a");
    web["Properties"]["Instance"] = json!({"Plugin": "it", "Properties": workers.started_with(&["serve"])});
    let plugins = json!({
        "it": {"Path": plugin("exec_instance"), "Grants": grants},
        "vanilla": {"Path": plugin("flavor_vanilla")},
    });
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [web]}));
}

/// The group is as declared, and so many workers run, with all that they start.
#[track_caller]
fn until_workers(world: &World, workers: &Workers, size: usize) -> BTreeMap<String, (i32, String)> {
    until_eq("all workers run", size, || listed(world, "it").len());
    world.until_converged("web");
    until_eq("so many processes run", size * EACH, || workers.all().len());
    listed(world, "it")
}

/// What a host has said of what it denied.
fn denials(host: &Process) -> Vec<String> {
    host.stderr().lines().filter(|it| it.contains("denied")).map(str::to_owned).collect()
}

/// The option and the member of a document in the last line of this, as an operator copies them.
#[track_caller]
fn remedy(lines: &[String]) -> (String, Value) {
    let line = lines.last().expect("a line");
    let (_, advice) = line.split_once("to allow it: ").unwrap_or_else(|| panic!("{line}"));
    let (option, rest) = advice.split_once(", or {").unwrap_or_else(|| panic!("{line}"));
    let (stanza, _) = rest.split_once(" in the \"Grants\"").unwrap_or_else(|| panic!("{line}"));
    let stanza = format!("{{{stanza}");
    (option.to_owned(), serde_json::from_str(&stanza).unwrap_or_else(|error| panic!("{error}: {stanza}")))
}

/// Have a shell run `homeostat plugin add it` with this option, as somebody does who pastes it.
#[track_caller]
fn paste(world: &World, option: &str) {
    let words = format!("{} plugin add it {} {option}", binary().display(), plugin("exec_instance").display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &words]).current_dir(world.path("")).env("HOMEOSTAT_STATE_DIR", world.path("state"));
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn provision(world: &World, name: &str, properties: &Value) -> homeostat_tests::Run {
    world.run_words(&["instance", "provision", "it", name, "--properties", &properties.to_string()])
}

#[test]
fn a_program_that_is_not_granted_is_an_error_and_one_line_with_the_grant() {
    let world = World::new();
    let workers = Workers::new(&world);
    let host = world.serve();
    world.run(&format!("plugin add it {}", plugin("exec_instance").display())).ok();
    let shown = world.run("plugin inspect it").ok().prints("wants, and is not granted: the program worker");
    shown.prints("--allow-exec worker=PATH");

    // Of one that only looks, the host does not know what it would start.
    for _ in 0..3 {
        let refused = world.run("instance list it").ends_with(1).complains("ErrorCode::PermissionDenied: ");
        refused.complains("no program is granted to this plugin");
    }
    let said = until("the host says so", || Some(denials(&host)).filter(|it| !it.is_empty()));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(remedy(&said).1, json!({"Exec": {"worker": {"Path": "PATH"}}}));

    let properties = workers.started_with(&["serve", "two words"]);
    for _ in 0..3 {
        let refused = provision(&world, "a-1", &properties).ends_with(1).complains("ErrorCode::PermissionDenied: ");
        refused.complains("the operator has not granted the program \"worker\" to the plugin");
    }
    let said = until("the host says so", || Some(denials(&host)).filter(|it| it.len() > 1));
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(workers.all().is_empty());

    // The option, with the path that the operator alone knows, and nothing else.
    let (option, stanza) = remedy(&said);
    let exact = json!({"Path": "PATH", "Args": [["serve", "two words"]], "Env": ["MARK"]});
    assert_eq!(stanza, json!({"Exec": {"worker": exact}}));
    paste(&world, &option.replace("PATH", &workers.program.display().to_string()));
    assert_eq!(provision(&world, "a-1", &properties).ok().stdout.trim(), "a-1");
    assert_eq!(listed(&world, "it").len(), 1);
    until_eq("they run", EACH, || workers.all().len());
    assert_eq!(denials(&host).len(), 2);

    // The member of the document does the same.
    world.run("instance destroy it a-1").ok();
    until_eq("they have ended", 0, || workers.all().len());
    let grant = stanza.to_string().replace("PATH", &workers.program.display().to_string());
    stack(&world, &workers, 0, &serde_json::from_str(&grant).unwrap());
    world.run("group commit stack.json --wait --timeout 30s").ok();
    provision(&world, "a-1", &properties).ok();
    world.run("instance destroy it a-1").ok();
    until_eq("they have ended", 0, || workers.all().len());
}

#[test]
fn a_group_of_processes_is_kept_and_outlives_the_host() {
    let world = World::new();
    let workers = Workers::new(&world);
    let host = world.serve_with("--resync 300ms");
    stack(&world, &workers, 3, &grants(&workers, &json!([["serve"]])));
    // Planning starts nothing.
    world.run("group plan stack.json").ok();
    world.run("group commit stack.json --pretend").ok();
    assert!(workers.all().is_empty() && workers.supervisors().is_empty());

    world.run("group commit stack.json --wait --timeout 30s").ok();
    let first = until_workers(&world, &workers, 3);
    assert_eq!(workers.supervisors().len(), 3);
    let list = world.run("instance list it -o json --properties").ok().json();
    for it in list["Instances"].as_array().unwrap() {
        assert_eq!(it["Properties"]["Output"], json!("started with serve\n"), "{it}");
    }

    // One that is killed is replaced by one, and the others go on; what it left behind is ended.
    let (lost, (number, _)) = first.first_key_value().unwrap();
    kill(*number);
    until("another one runs", || (!listed(&world, "it").contains_key(lost)).then_some(()));
    let second = until_workers(&world, &workers, 3);
    let stayed = second.iter().filter(|(id, worker)| first.get(*id) == Some(*worker)).count();
    assert_eq!(stayed, 2, "{first:?} {second:?}");

    // A host that is killed takes none with it, and the next one makes no further ones.
    host.kill();
    assert_eq!((workers.all().len(), workers.supervisors().len()), (3 * EACH, 3));
    let host = world.serve_with("--resync 300ms");
    assert_eq!(until_workers(&world, &workers, 3), second);
    world.run("group commit stack.json --wait --timeout 30s").ok();
    assert_eq!(until_workers(&world, &workers, 3), second);

    // One that ends while there is no host is found out and replaced; one that has lost its supervisor is kept.
    host.kill();
    let mut numbers = second.values().map(|(number, _)| *number);
    kill(numbers.next().unwrap());
    let orphan = numbers.next().unwrap();
    let parent = fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap();
    let parent: i32 = parent.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(workers.supervisors().contains(&parent));
    kill(parent);
    let host = world.serve_with("--resync 300ms");
    let gone = second.first_key_value().unwrap().0;
    until("another one runs", || (!listed(&world, "it").contains_key(gone)).then_some(()));
    let third = until_workers(&world, &workers, 3);
    let stayed = third.iter().filter(|(id, worker)| second.get(*id) == Some(*worker)).count();
    assert_eq!(stayed, 2, "{second:?} {third:?}");
    until_eq("each has a supervisor again", 3, || workers.supervisors().len());

    world.run("group scale web 5 --wait --timeout 30s").ok();
    let fourth = until_workers(&world, &workers, 5);
    assert!(third.iter().all(|(id, worker)| fourth.get(id) == Some(worker)));

    // Told to stop, a host leaves them alone too. Destroyed, they end with all that they started, whether it hears or not.
    host.stop(Signal::TERM).ok();
    assert_eq!(workers.all().len(), 5 * EACH);
    let _host = world.serve_with("--resync 300ms");
    world.run("group destroy web --timeout 30s").ok();
    until_eq("all have ended", 0, || workers.all().len());
    until_eq("so have their supervisors", 0, || workers.supervisors().len());
    assert_eq!(world.run("instance list it -o json").ok().json()["Instances"], json!([]));
    until_eq("nothing is kept of them", 0, || world.names_in("state/exec/it").len());
}

#[test]
fn a_host_that_is_killed_while_it_starts_processes_doubles_none() {
    let world = World::new();
    let workers = Workers::new(&world);
    stack(&world, &workers, 12, &grants(&workers, &json!([["serve"]])));
    let mut host = world.serve_with("--resync 300ms --parallel 2");
    world.run("group commit stack.json").ok();
    // Each host gets a little further than the one before.
    for some in [1, 4, 8] {
        until("some are under way", || (workers.supervisors().len() >= some).then_some(()));
        host.kill();
        host = world.serve_with("--resync 300ms --parallel 2");
    }
    until_workers(&world, &workers, 12);
    until_eq("each has one supervisor", 12, || workers.supervisors().len());
    world.run("group destroy web --timeout 30s").ok();
    until_eq("all have ended", 0, || workers.all().len());
}

#[test]
fn arguments_and_variables_that_are_not_allowed_are_denied() {
    let world = World::new();
    let workers = Workers::new(&world);
    let host = world.serve();
    let program = workers.program.display();
    paste(&world, &format!("--allow-exec 'worker={program} serve --port *; args=check **; env=MARK'"));
    for (number, words) in [
        &["serve"][..],
        &["serve", "--port"],
        &["serve", "--port", "80", "--exec"],
        &["--port", "80", "serve"],
        &["Serve", "--port", "80"],
        &["serve --port 80"],
        &["", "serve", "--port", "80"],
        &["recheck"],
        &[],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("a-{number}");
        let refused = provision(&world, &name, &workers.started_with(words)).ends_with(1);
        refused.complains("ErrorCode::PermissionDenied: ").complains("with these arguments");
        let said = until("the host says so", || Some(denials(&host)).filter(|it| it.len() > number));
        assert_eq!(said.len(), number + 1, "{said:#?}");
        assert!(said[number].contains("its grant does not fit: it allows the arguments"), "{}", said[number]);
        let lists = json!([["serve", "--port", "*"], ["check", "**"], words]);
        assert_eq!(remedy(&said).1["Exec"]["worker"]["Args"], lists, "{}", said[number]);
    }
    for variable in ["LD_PRELOAD", "PATH", "mark"] {
        let mut properties = workers.started_with(&["check"]);
        properties["Env"][variable] = json!("/x");
        let refused = provision(&world, "b", &properties).ends_with(1).complains("ErrorCode::PermissionDenied: ");
        refused.complains(&format!("with the environment variable \"{variable}\""));
    }
    assert!(workers.all().is_empty() && listed(&world, "it").is_empty());

    for (name, words) in [
        ("c-1", &["serve", "--port", "80"][..]),
        ("c-2", &["serve", "--port", ""]),
        ("c-3", &["check"]),
        ("c-4", &["check", "--all", "; rm -rf /"]),
    ] {
        provision(&world, name, &workers.started_with(words)).ok();
    }
    // The last advice, pasted: as it was, and one thing more.
    let (option, _) = remedy(&denials(&host));
    paste(&world, &option);
    let mut properties = workers.started_with(&["check"]);
    properties["Env"]["mark"] = json!("/x");
    provision(&world, "c-5", &properties).ok();
    assert_eq!(listed(&world, "it").len(), 5);

    // The same name with other words is another instance, which is refused.
    provision(&world, "c-5", &workers.started_with(&["check"])).ends_with(1).complains("ErrorCode::AlreadyExists: ");
    provision(&world, "c-5", &properties).ok();
    assert_eq!(listed(&world, "it").len(), 5);
    world.run("instance destroy it c-1 c-2 c-3 c-4 c-5").ok();
    until_eq("all have ended", 0, || workers.all().len());
}

#[test]
fn a_plugin_sees_and_signals_its_own_processes_alone() {
    let world = World::new();
    let workers = Workers::new(&world);
    let _host = world.serve();
    let option = format!("--allow-exec 'worker={} serve; env=MARK'", workers.program.display());
    paste(&world, &option);
    let other = plugin("exec_instance").display().to_string();
    let added = world.run_words(&[
        "plugin",
        "add",
        "other",
        &other,
        "--allow-exec",
        &format!("worker={} serve; env=MARK", workers.program.display()),
    ]);
    added.ok();
    provision(&world, "a-1", &workers.started_with(&["serve"])).ok();
    until_eq("it runs", EACH, || workers.all().len());
    let before = listed(&world, "it");
    assert_eq!(listed(&world, "other").len(), 0);
    world.run("instance label other a-1 signal=kill").ends_with(1).complains("there is no a-1");
    world.run("instance destroy other a-1").ok();
    assert_eq!((listed(&world, "it"), workers.all().len()), (before, EACH));

    // The same key is another process there.
    let properties = workers.started_with(&["serve"]).to_string();
    world.run_words(&["instance", "provision", "other", "a-1", "--properties", &properties]).ok();
    until_eq("both run", 2 * EACH, || workers.all().len());

    // A signal ends the process, and its supervisor what it left behind; it is remembered until it is destroyed.
    world.run("instance label it a-1 signal=kill tier=web").ok();
    until_eq("one runs", EACH, || workers.all().len());
    // Its supervisor writes that down when all of it has ended.
    let it = until("it is known to have failed", || {
        let list = world.run("instance list it -o json").ok().json();
        let [it] = list["Instances"].as_array().unwrap().as_slice() else { panic!("{list}") };
        Some(it.clone()).filter(|it| it["State"] == "failed")
    });
    assert_eq!((&it["ID"], &it["Tags"]["tier"]), (&json!("a-1"), &json!("web")), "{it}");
    assert_eq!(it["Message"], json!("signal 9 ended it"), "{it}");
    world.run("instance destroy it a-1").ok();
    world.run("instance destroy other a-1").ok();
    until_eq("all have ended", 0, || workers.all().len());
}
