//! `plugin check`, as an author types it: against an API, from a tape without it, and with what is wrong.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use homeostat_tests::{Authority, Reply, Rest, Run, Service, World, plugin};
use serde_json::{Value, json};

/// What `--config` names, in a folder of its own: the API is where `rest` is, and the token in a file beside it.
fn config(world: &World, rest: &Rest, more: Value) {
    fs::create_dir_all(world.path("kit")).expect("a folder");
    world.write("kit/token", rest.token());
    let mut config = json!({
        "Invalid": [{"Properties": {"Image": "debian-12", "Size": ""}, "Path": "/Size"}],
        "Grants": {
            "Http": [{
                "Url": "http://machines.internal",
                "Methods": ["GET", "PUT", "PATCH", "DELETE"],
                "Paths": ["/v1/machines", "/v1/machines/**"],
                "Via": rest.address().to_string(),
                "Inject": {"Authorization": {"Secret": "token", "Prefix": "Bearer "}},
            }],
            "Secrets": {"token": {"File": "token"}},
        },
        // An answer that comes too late is one that comes after this.
        "Limits": {"Wall": "2s", "CPU": "2s"},
    });
    let members = config.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    world.document("kit/check.json", &config);
}

/// Check the example's plugin, from another folder than that of its configuration.
#[track_caller]
fn check(world: &World, words: &str) -> Run {
    let file = plugin("instance_rest");
    world.run(&format!("plugin check {} --config kit/check.json --repeat 3 {words}", file.display()))
}

/// How a check of a JSON report ended: the outcome's name, and what it says.
#[track_caller]
fn outcome(report: &Value, id: &str) -> (String, Value) {
    let checks = report["Checks"].as_array().expect("checks");
    let check = checks.iter().find(|it| it["ID"] == *id).unwrap_or_else(|| panic!("no {id}: {report:#}"));
    let outcome = check["Outcome"].as_object().expect("an outcome").iter().next().expect("one");
    (outcome.0.clone(), outcome.1.clone())
}

/// The note of a check that passed.
#[track_caller]
fn note(report: &Value, id: &str) -> String {
    let (name, said) = outcome(report, id);
    assert_eq!(name, "Passed", "{id}: {said:#}");
    said["Note"].as_str().expect("a note").to_owned()
}

/// The outcomes of all checks, without what is measured.
fn outcomes(report: &Value) -> Vec<(String, String)> {
    let checks = report["Checks"].as_array().expect("checks").iter();
    checks
        .map(|it| {
            let id = it["ID"].as_str().expect("an id").to_owned();
            let name = outcome(report, &id).0;
            (id, name)
        })
        .collect()
}

#[test]
fn every_exchange_fails_once_in_each_way() {
    let (world, rest) = (World::new(), Rest::start());
    config(&world, &rest, json!({}));
    let report = check(&world, "--level chaos -o json").ok().json();
    assert_eq!(report["Conforms"], json!(true), "{report:#}");
    // One PUT; a GET and a DELETE. Five ways each.
    let clean = "5 faults of provision (at 1 HTTP exchange); 10 faults of destroy (at 2 HTTP exchanges)";
    assert_eq!(note(&report, "C1"), clean);
    // What is refused, of provision, list and destroy.
    assert_eq!(note(&report, "C5"), "12 faults");
    assert!(note(&report, "C2").contains("3 calls dropped"), "{report:#}");
    assert!(note(&report, "I7").starts_with("3 faults: 3 errors"), "{report:#}");
    assert!(note(&report, "I6").contains("on pages of 1, of 2, and as a host asks"), "{report:#}");
    assert_eq!(outcome(&report, "C4").0, "Skipped");
    let verdict = report["Verdict"].as_str().expect("a verdict");
    assert!(verdict.starts_with("conforms to homeostat:plugin@0.1 instance-plugin at level chaos: "), "{verdict}");

    assert_eq!((&report["Leftovers"], rest.machines().len()), (&json!([]), 0));
    let asked = rest.requests();
    let count = |method: &str| asked.iter().filter(|it| it.starts_with(method)).count();
    assert!(count("PUT ") > 40 && count("DELETE ") > 40, "{} {}", count("PUT "), count("DELETE "));
    assert!(asked.iter().any(|it| it.contains("limit=1&")) && asked.iter().any(|it| it.contains("limit=2&")));
}

#[test]
fn reports_for_people_and_for_ci() {
    let (world, rest) = (World::new(), Rest::start());
    config(&world, &rest, json!({}));
    let human = check(&world, "--level chaos --only I2,C1").ok();
    let human = human.prints("PASS    I2  the same name is idempotent (3x, ");
    let human =
        human.prints("PASS    C1  a provider that fails at any point leaves exactly one instance, or none (5 faults");
    human.prints("holds for homeostat:plugin@0.1 instance-plugin, of I2, C1 alone: 2 required passed, 0 failed");

    let junit = check(&world, "--level chaos --only I2,C1 --format junit").ok().stdout;
    let begin = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    assert!(junit.starts_with(begin) && junit.trim_end().ends_with("</testsuites>"), "{junit}");
    assert!(junit.contains("tests=\"2\" failures=\"0\"") && junit.contains("C1 a provider that fails"), "{junit}");
    assert!(rest.machines().is_empty());
}

/// Listens where the API was, and has heard nobody.
struct Silence(TcpListener);

impl Silence {
    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free again");
        listener.set_nonblocking(true).expect("a listener that does not block");
        Self(listener)
    }

    #[track_caller]
    fn is_kept(&self) {
        let heard = self.0.accept().map(|it| it.1).map_err(|error| error.kind());
        assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock), "somebody connected");
    }
}

/// Keep these lines of a tape alone.
fn cut(world: &World, from: &str, to: &str, keep: impl Fn(&str) -> bool) {
    let text = fs::read_to_string(world.path(from)).expect("a tape");
    let kept: String = text.lines().filter(|it| keep(it)).map(|it| format!("{it}\n")).collect();
    assert!(kept.len() < text.len(), "all was kept");
    world.write(to, kept);
}

#[test]
fn a_tape_stands_for_the_api() {
    let (world, rest) = (World::new(), Rest::start());
    config(&world, &rest, json!({}));
    let recorded = check(&world, "--level chaos --record api.tape -o json").ok().json();
    assert!(rest.machines().is_empty());
    let address = rest.address();
    drop(rest);
    let silence = Silence::at(address);
    let tape = fs::read_to_string(world.path("api.tape")).expect("a tape");
    assert!(!tape.contains("rest-token"), "the token is on the tape");
    // Neither is there the token on the machine that plays it.
    fs::remove_file(world.path("kit/token")).expect("a file");

    let played = check(&world, "--level chaos --replay api.tape -o json").ok().json();
    assert_eq!(outcomes(&played), outcomes(&recorded));
    for id in ["I6", "I7", "C1", "C5"] {
        assert_eq!(note(&played, id), note(&recorded, id));
    }
    assert!(note(&played, "C1").contains("10 faults of destroy (at 2 HTTP exchanges)"));
    let skipped = outcome(&played, "C2");
    assert!(skipped.0 == "Skipped" && skipped.1.to_string().contains("not tried with a tape"), "{skipped:?}");
    silence.is_kept();
}

#[test]
fn what_is_not_on_the_tape_is_told() {
    let (world, rest) = (World::new(), Rest::start());
    config(&world, &rest, json!({}));
    check(&world, "--only I1,I2 --record api.tape").ok();
    let tape = world.path("api.tape").display().to_string();
    let same = json!({"Valid": [{"Image": "debian-12", "Size": "small"}]});
    config(&world, &rest, same);
    check(&world, "--only I1,I2 --replay api.tape").ok();
    let before = rest.requests().len();

    // Another sample, so another body.
    config(&world, &rest, json!({"Valid": [{"Image": "debian-13", "Size": "small"}]}));
    let refused = check(&world, "--only I1,I2 --replay api.tape").ends_with(2);
    let refused =
        refused.complains(&tape).complains("has no answer to PUT http://machines.internal/v1/machines/check-");
    refused.complains("after 0 of its").complains("record it again");
    config(&world, &rest, json!({}));

    // More is asked for than was, and less.
    let refused = check(&world, "--only I1,I2,I4 --replay api.tape").ends_with(2);
    refused.complains(&tape).complains("has no answer to PUT").complains("record it again");
    let refused = check(&world, "--only I1 --replay api.tape").ends_with(2);
    refused.complains(&tape).complains("were not asked for, the first of them PUT").complains("record it again");

    // A tape that was cut off, between lines and within one; one that is none; and none at all.
    cut(&world, "api.tape", "cut.tape", |it| !it.contains("\"Method\":\"DELETE\""));
    let refused = check(&world, "--only I1,I2 --replay cut.tape").ends_with(2);
    refused.complains("cut.tape has no answer to DELETE").complains("record it again");
    let text = fs::read(&tape).expect("a tape");
    world.write("cut.tape", &text[..text.len() - 20]);
    let lines = text.iter().filter(|it| **it == b'\n').count();
    let refused = check(&world, "--only I1,I2 --replay cut.tape").ends_with(2);
    refused.complains(&format!("cut.tape, line {lines}: ")).complains("record it again");
    world.write("cut.tape", b"\xff\xfe\n");
    let refused = check(&world, "--only I1,I2 --replay cut.tape").ends_with(2);
    refused.complains("cut.tape, line 1: this is not UTF-8").complains("record it again");
    check(&world, "--only I1,I2 --replay none.tape").ends_with(2).complains("none.tape").complains("No such file");
    check(&world, "--only I1,I2 --record none/api.tape").ends_with(2).complains("none/api.tape");
    assert_eq!(rest.requests().len(), before, "a replay asked the API");
    assert!(rest.machines().is_empty());
}

#[test]
fn an_api_that_brings_back_what_was_destroyed_is_found_out() {
    let (world, rest) = (World::new(), Rest::start());
    config(&world, &rest, json!({}));
    rest.revive(true);
    // As long as nothing fails, nothing is to be seen of it.
    check(&world, "--only I1,I2,I4").ok();

    let run = check(&world, "--only I1,I2,I4,C1").ends_with(1).complains("does not keep the contract");
    for id in ["I1 ", "I2 ", "I4 "] {
        assert!(run.stdout.contains(&format!("PASS    {id}")), "{}", run.told());
    }
    let run = run.prints("FAIL    C1").prints("no instance after destroy, when this failed: HTTP exchange 2, DELETE");
    let run = run.prints("then 1 are listed").prints("--only C1").prints("does not hold for homeostat:plugin@0.1");
    assert_eq!(run.stdout.matches("FAIL").count(), 1, "{}", run.told());
    let report = check(&world, "--only I1,I2,I4,C1 -o json").ends_with(1).json();
    let (name, failure) = outcome(&report, "C1");
    assert_eq!(name, "Failed");
    // The two ways in which a request is done and nobody hears of it.
    let told = failure["Expected"].as_str().expect("text");
    assert!(["the answer comes too late", "the answer was lost"].iter().any(|it| told.contains(it)), "{failure:#}");
    let junit = check(&world, "--only I1,I2,I4,C1 --format junit").ends_with(1).stdout;
    assert!(junit.contains("failures=\"1\"") && junit.contains("HTTP exchange 2, DELETE"), "{junit}");
    assert!(rest.machines().is_empty(), "what came back was not destroyed");
}

#[test]
fn options_grant_and_limit_without_a_file() {
    let (world, rest) = (World::new(), Rest::start());
    world.write("token", rest.token());
    let file = plugin("instance_rest").display().to_string();
    let grant = format!("http://machines.internal; via={}; inject=Authorization:token:Bearer ", rest.address());
    let words = ["plugin", "check", &file, "--only", "I1,I2", "--allow-http", &grant];
    let granted = [&words[..], &["--allow-secret", "token=file:token"]].concat();
    world.run_words(&granted).ok();
    assert!(rest.machines().is_empty() && rest.requests().len() > 5);
    // A header from a secret that nobody grants.
    world.run_words(&words).ends_with(2).complains("there is no secret \"token\"");

    // Limits of options count more than those of the file: with 1 MiB the plugin does not even start.
    config(&world, &rest, json!({"Limits": {"Memory": "64MiB"}}));
    check(&world, "--only B2").ok();
    check(&world, "--only B1 --memory 1MiB").ends_with(1).complains("does not keep the contract");
    check(&world, "--only B2 --cpu 2s --wall 1s")
        .ends_with(2)
        .complains("a call cannot compute longer than it may take");
    check(&world, "--only B2 --answer 1B").ends_with(2).complains("expected a size from 64KiB");

    // So do grants: the file's way to the API leads nowhere.
    let mut wrong: Value =
        serde_json::from_slice(&fs::read(world.path("kit/check.json")).expect("a file")).expect("JSON");
    let http = &mut wrong["Grants"]["Http"][0];
    (http["Via"], http["Methods"], http["Paths"]) = (json!("127.0.0.1:1"), Value::Null, Value::Null);
    world.document("kit/check.json", &wrong);
    check(&world, "--only I2").ends_with(1);
    let config = ["--config", "kit/check.json"];
    world.run_words(&[&granted[..], &config].concat()).ok();
    // What the file injects may come from an option.
    wrong["Grants"]["Secrets"] = Value::Null;
    wrong["Grants"]["Http"][0]["Via"] = json!(rest.address().to_string());
    world.document("kit/check.json", &wrong);
    check(&world, "--only I2").ends_with(2).complains("kit/check.json").complains("there is no secret \"token\"");
    check(&world, "--only I2 --allow-secret token=file:token").ok();
}

/// Paths in the configuration begin at its folder, as those in a stack do.
#[test]
fn paths_in_the_configuration_begin_at_its_folder() {
    let world = World::new();
    fs::create_dir_all(world.path("kit/machines")).expect("a folder");
    let file = plugin("instance_file").display().to_string();
    let run = |grants: Value, words: &str| {
        world.document("kit/check.json", &json!({"Grants": grants}));
        world.run(&format!("plugin check {file} --config kit/check.json {words}"))
    };
    let dirs = |host: &str| json!({"Dirs": [{"Host": host, "Guest": "/instances", "Mode": "rw"}]});
    let here = |path: &str| world.path(path).display().to_string();
    run(dirs("./machines"), "--only I2").ok();
    assert!(world.names_in("kit/machines").iter().all(|it| !it.ends_with(".json")));
    // What is not there is named in full: the directory, a socket, certificates, a program.
    run(dirs("./nothing"), "--only I2").ends_with(2).complains(&here("kit/nothing"));

    let rest = plugin("instance_rest").display().to_string();
    let http = |more: Value| {
        let mut grant = json!({"Url": "https://machines.internal"});
        grant.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        world.document("kit/check.json", &json!({"Grants": {"Http": [grant]}}));
        world.run(&format!("plugin check {rest} --config kit/check.json --only I2"))
    };
    http(json!({"Roots": "ca.pem"})).ends_with(2).complains(&here("kit/ca.pem"));
    let client = json!({"Client": {"Cert": "c.pem", "Key": "k.pem"}});
    http(client).ends_with(2).complains(&here("kit/c.pem"));

    // What is wrong in it is shown with its place, like what is wrong in a stack.
    let wrong = run(json!({"Dirs": [{"Host": "m", "Guest": "instances"}]}), "--only I2").ends_with(2);
    wrong
        .complains("expected an absolute path, such as \"/data\"")
        .complains("kit/check.json:5:18")
        .complains("1 fault");
}

#[test]
fn private_certificates_are_trusted_where_plugins_are_fetched_and_pushed() {
    let world = World::new();
    let authority = Authority::new(&world, "ca.pem");
    let bytes = fs::read(plugin("flavor_vanilla")).expect("a file");
    let service =
        Service::start_tls(&authority, &["localhost"], move |asked| match Path::new(&asked.path).extension() {
            Some(extension) if extension == "wasm" => Reply::ok(bytes.clone()),
            _ => Reply::ok("this is no registry"),
        });
    let url = format!("https://localhost:{}/vanilla.wasm", service.port());
    world.document("stack.json", &json!({"Plugins": {"vanilla": {"Path": url}}, "Groups": []}));
    world.run("plugin lock stack.json").ends_with(1).complains("certificate");
    world.run("plugin lock stack.json --roots ca.pem").ok().prints("Locked 1 plugin");
    assert!(fs::read_to_string(world.path("homeostat.lock")).expect("a lock file").contains("vanilla"));
    world
        .run("plugin lock stack.json --roots none.pem")
        .ends_with(1)
        .complains(&world.path("none.pem").display().to_string());
    world.run(&format!("plugin inspect {url} --roots ca.pem")).ok().prints("flavor-vanilla");

    // A registry on this machine is spoken to without TLS, so that it can only be seen that the file is read.
    let push = format!("plugin push {} oci://localhost:1/vanilla:1", plugin("flavor_vanilla").display());
    let none = world.path("none.pem").display().to_string();
    world.run(&format!("{push} --roots none.pem")).ends_with(1).complains(&none);
    let refused = world.run(&format!("{push} --roots ca.pem")).ends_with(1);
    assert!(!refused.stderr.contains("pem") && refused.stderr.contains("localhost:1"), "{}", refused.told());
}

#[test]
fn programs_that_a_plugin_is_granted_run_while_it_is_checked_and_no_longer() {
    let world = World::new();
    let seconds = format!("{}.5", 40_000 + std::process::id());
    world.document(
        "check.json",
        &json!({
            "Valid": [{"Args": [seconds]}],
            "Grants": {"Exec": {"worker": {"Path": "/bin/sleep", "Args": [[seconds]]}}},
        }),
    );
    let file = plugin("exec_instance");
    let run = world.run(&format!("plugin check {} --config check.json --only I1,I2,I4 -o json", file.display())).ok();
    for id in ["I1", "I2", "I4"] {
        note(&run.json(), id);
    }
    let left = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let left = left.filter_map(|it| fs::read_to_string(it.path().join("cmdline")).ok());
    assert_eq!(left.filter(|it| it.contains(&seconds)).collect::<Vec<_>>(), Vec::<String>::new());
}
