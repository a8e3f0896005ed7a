//! What a plugin may touch: what it wants and is granted, and nothing of what is in one of them only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use homeostat_tests::{Fault, Process, Rest, Variant, World, binary, group, plugin, until, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

#[track_caller]
fn inspect(world: &World, name: &str) -> Value {
    world.run(&format!("plugin inspect {name} -o json")).ok().json()
}

/// The subjects of gaps.
fn subjects(gaps: &Value) -> Vec<&str> {
    gaps.as_array().expect("a list").iter().map(|it| it["Subject"].as_str().expect("a subject")).collect()
}

/// What a host has said of what it denied.
fn denials(host: &Process) -> Vec<String> {
    host.stderr().lines().filter(|it| it.contains("denied")).map(str::to_owned).collect()
}

/// Have a shell run `homeostat plugin add` with these words, as somebody does who pastes them.
#[track_caller]
fn paste(world: &World, words: &str) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{} plugin add {words}", binary().display())).current_dir(world.path(""));
    let output = shell.env("HOMEOSTAT_STATE_DIR", world.path("state")).output().expect("a shell");
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The option of `plugin add` in a text: up to the quote that ends it, or the next blank.
fn option_in(text: &str, option: &str) -> String {
    let begin = text.find(option).unwrap_or_else(|| panic!("there is no {option} in {text}"));
    let value = &text[begin + option.len() + 1..];
    let length = match value.strip_prefix('\'') {
        Some(quoted) => quoted.find('\'').expect("a quote that ends it") + 2,
        None => value.find([' ', ',', ';', ')', '\n']).unwrap_or(value.len()),
    };
    format!("{option} {}", &value[..length])
}

#[test]
fn a_grant_without_a_wish_and_a_wish_without_a_grant_open_nothing() {
    let world = World::new();
    let _host = world.serve();
    for dir in ["other", "other/passwd"] {
        fs::create_dir_all(world.path(dir)).unwrap();
    }
    let file = plugin("instance_file").display().to_string();

    // Wanted, and not granted.
    world.run(&format!("plugin add bare {file}")).ok();
    let view = inspect(&world, "bare");
    assert_eq!(subjects(&view["WantedNotGranted"]), ["the directory /instances (read and write)"], "{view}");
    assert_eq!(view["GrantedNotWanted"], json!([]));
    let shown = world.run("plugin inspect bare").ok();
    shown.prints("wants, and is not granted: the directory /instances").prints("--allow-dir PATH:/instances:rw");
    world.run("plugin ls").ok().prints("lacks 1 grant");
    world.run("instance list bare").ends_with(1).complains("/instances");
    world.run("instance provision bare a-1").ends_with(1).complains("/instances");

    // Half of what is wanted.
    let dir = world.path("instances").display().to_string();
    world.run(&format!("plugin add half {file} --allow-dir {dir}:/instances")).ok();
    world.run("plugin inspect half").ok().prints("(in part)").prints(&format!("--allow-dir {dir}:/instances:rw"));
    world.run("instance list half -o json").ok();
    world.run("instance provision half a-1").ends_with(1);
    assert!(world.ids().is_empty());

    // Granted, and not wanted: the guest looks for /etc/passwd, among others.
    let more = "--allow-config region=eu-1 --allow-dir other:/etc --allow-http https://api.example.com";
    world.run(&format!("plugin add file {file} --allow-dir {dir}:/instances:rw {more}")).ok();
    let view = inspect(&world, "file");
    let unwanted = subjects(&view["GrantedNotWanted"]);
    assert_eq!(unwanted.len(), 3, "{unwanted:?}");
    for said in ["https://api.example.com", "the directory /etc", "the setting region"] {
        assert!(unwanted.iter().any(|it| it.contains(said)), "{said}: {unwanted:?}");
        let shown = world.run("plugin inspect file").ok();
        let line = shown.stdout.lines().find(|it| it.contains(said)).unwrap_or_else(|| panic!("{}", shown.told()));
        assert!(line.contains("granted without effect, not wanted"), "{line}");
    }
    world.run("plugin ls").ok().prints("3 grants without effect");
    let hostile = plugin("hostile_instance").display().to_string();
    let escape =
        world.run_words(&["instance", "validate", &hostile, r#"{"Do":"escape"}"#, "--allow-dir", "other:/etc"]);
    assert!(escape.ends_with(1).stderr.trim_end().ends_with("validate:"), "it found something");
}

#[test]
fn a_denied_directory_is_an_error_and_one_line_with_the_grant() {
    let world = World::new();
    let host = world.serve();
    let file = plugin("instance_file").display().to_string();
    world.run(&format!("plugin add bare {file}")).ok();
    for _ in 0..3 {
        world.run("instance provision bare a-1").ends_with(1).complains("no directory is granted as /instances");
    }
    let said: Vec<_> = host.stderr().lines().filter(|it| it.contains("--allow-dir")).map(str::to_owned).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    let grant = option_in(&said[0], "--allow-dir").replace("PATH", &world.path("instances").display().to_string());
    paste(&world, &format!("bare {file} {grant}"));
    world.run("instance provision bare a-1").ok();
    assert_eq!(world.ids().len(), 1);
}

#[test]
fn a_denied_secret_is_an_error_and_one_line_with_the_grant() {
    let world = World::new();
    let host = world.serve();
    world.write("token", "planted");
    let dir = format!("--allow-dir {}:/broken:rw", world.path("instances").display());
    let file = plugin("broken_instance").display().to_string();
    world.run(&format!("plugin add it {file} {dir}")).ok();
    for _ in 0..3 {
        let refused = world.run("instance provision it a-1").ends_with(1).complains("is not granted");
        refused.complains("--allow-secret token=file:PATH");
    }
    let said = until("the host says so", || Some(denials(&host)).filter(|it| !it.is_empty()));
    assert_eq!(said.len(), 1, "{said:?}");
    let grant = option_in(&said[0], "--allow-secret").replace("PATH", "token");
    paste(&world, &format!("it {file} {dir} {grant}"));
    world.run("instance provision it a-1").ok();
}

#[test]
fn a_denied_request_is_an_error_and_one_line_with_the_grant() {
    let world = World::new();
    let rest = Rest::start();
    let host = world.serve();
    let file = plugin("instance_rest").display().to_string();
    world.run(&format!("plugin add rest {file}")).ok();
    for _ in 0..3 {
        world.run("instance list rest").ends_with(1).complains("the host refused the request");
    }
    let said = until("the host says so", || Some(denials(&host)).filter(|it| !it.is_empty()));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("GET http://machines.internal"), "{said:?}");
    let grant = option_in(&said[0], "--allow-http");
    paste(&world, &format!("rest {file} {grant}"));
    // Now it is the name that leads nowhere.
    let refused = world.run("instance list rest").ends_with(1);
    assert!(!refused.stderr.contains("the host refused"), "{}", refused.told());
    assert_eq!(denials(&host).len(), 1);

    // With the way there and the credentials in the same grant, it works.
    world.write("token", rest.token());
    let more = format!("; via={}; inject=Authorization:token:Bearer ", rest.address());
    let grant = match grant.strip_suffix('\'') {
        Some(quoted) => format!("{quoted}{more}'"),
        None => format!("{}{more}'", grant.replacen("--allow-http ", "--allow-http '", 1)),
    };
    paste(&world, &format!("rest {file} {grant} --allow-secret token=file:token"));
    assert_eq!(world.run("instance list rest -o json").ok().json()["Instances"], json!([]));
    // A grant to look is none to make.
    world.run(r#"instance provision rest a-1 --properties {"Image":"a","Size":"small"}"#).ends_with(1);
    assert!(rest.machines().is_empty());
}

/// All files below a directory that hold a text, but for one.
fn holding(dir: &Path, text: &str, but: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path == but || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(holding(&path, text, but));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(text.len()).any(|it| it == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A plugin that shows what it was given, in a file that the host does not make: `.NAME.request`.
fn shows(world: &World) -> String {
    let faulty = |word: &str| format!("{:.<40}", format!("homeostat-broken={word}"));
    let version = Variant::of("broken_instance").with(&faulty("none"), &faulty("leaks-secret"));
    world.write("shows.wasm", version.bytes());
    format!("plugin add it shows.wasm --allow-dir {}:/broken:rw", world.path("instances").display())
}

/// What the plugin got when it made this instance.
#[track_caller]
fn got(world: &World, name: &str) -> String {
    world.run(&format!("instance provision it {name}")).ok();
    let text = fs::read_to_string(world.path(&format!("instances/.{name}.request"))).expect("what it got");
    text.strip_prefix("Authorization: Bearer ").expect("a token").to_owned()
}

#[test]
fn a_secret_comes_from_a_file_the_environment_or_the_store_and_a_new_one_needs_no_restart() {
    let world = World::new();
    let _host = world.serve_knowing("", &[("PLANTED", "from-the-environment")]);
    let add = shows(&world);

    world.write("token", "from-a-file\n");
    world.run(&format!("{add} --allow-secret token=file:token")).ok();
    assert_eq!(got(&world, "a-1"), "from-a-file");
    world.put("token", "another\n");
    assert_eq!(got(&world, "a-2"), "another");
    world.remove("token");
    world.run("instance provision it a-3").ends_with(1).complains("the secret \"token\" cannot be read now");
    world.put("token", "back again");
    assert_eq!(got(&world, "a-3"), "back again");

    world.run(&format!("{add} --allow-secret token=env:PLANTED")).ok();
    assert_eq!(got(&world, "a-4"), "from-the-environment");
    world.run(&format!("{add} --allow-secret token=env:NOWHERE")).ok();
    world.run("instance provision it a-5").ends_with(1).complains("the secret \"token\" cannot be read now");

    fs::create_dir_all(world.path("state/secrets")).unwrap();
    world.write("state/secrets/token", "from-the-store");
    world.run(&format!("{add} --allow-secret token=store:token")).ok();
    let mode = |mode| fs::set_permissions(world.path("state/secrets/token"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    world.run("instance provision it a-6").ends_with(1).complains("the secret \"token\" cannot be read now");
    mode(0o600);
    assert_eq!(got(&world, "a-6"), "from-the-store");
}

#[test]
fn a_secret_is_in_its_own_place_and_nowhere_else() {
    const PLANTED: &str = "planted-7c1f";
    let world = World::new();
    let host = world.serve_with("--log trace");
    fs::create_dir_all(world.path("state/secrets")).unwrap();
    let place = world.write("state/secrets/token", PLANTED);
    fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
    let plugins = json!({
        "it": {"Path": plugin("broken_instance"), "Grants": {
            "Dirs": [{"Host": world.path("instances"), "Guest": "/broken", "Mode": "rw"}],
            "Secrets": {"token": {"Store": "token"}},
        }},
        "vanilla": {"Path": plugin("flavor_vanilla")},
    });
    let mut web = group("web", 3, "a");
    web["Properties"]["Instance"] = json!({"Plugin": "it", "Properties": {}});
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [web]}));
    world.run("group commit stack.json --wait --timeout 30s").ok();
    let asked = [
        "plugin inspect it -o json",
        "plugin inspect it",
        "plugin ls -o json",
        "group describe web -o json",
        "group inspect web -o json",
        "events -o json",
        "group history web",
        "instance list it -o json --properties",
    ];
    for words in asked {
        let run = world.run(words);
        assert!(!(run.stdout + &run.stderr).contains(PLANTED), "{words}");
    }
    assert!(!host.stderr().contains(PLANTED) && host.stderr().contains("TRACE"));
    let run = host.stop(Signal::TERM).ok();
    assert!(!(run.stdout + &run.stderr).contains(PLANTED));
    let state = world.run("state export").ok();
    assert!(!state.stdout.contains(PLANTED));
    assert_eq!(holding(&world.path("state"), PLANTED, &place), [""; 0]);
}

/// A stack with the plugin `rest` at this API, whose token is in a file.
fn stack(world: &World, rest: &Rest, size: i64, image: &str) -> Value {
    world.write("token", rest.token());
    let http = json!([{
        "Url": "http://machines.internal", "Methods": ["GET", "PUT", "PATCH", "DELETE"],
        "Paths": ["/v1/machines", "/v1/machines/**"], "Via": rest.address().to_string(),
        "Inject": {"Authorization": {"Secret": "token", "Prefix": "Bearer "}},
    }]);
    let mut web = group("web", size, "a");
    web["Properties"]["Instance"] = json!({"Plugin": "rest", "Properties": {"Image": image, "Size": "small"}});
    let stack = json!({
        "Plugins": {
            "rest": {"Path": plugin("instance_rest"), "Grants": {
                "Http": http, "Secrets": {"token": {"File": world.path("token")}},
            }},
            "vanilla": {"Path": plugin("flavor_vanilla")},
        },
        "Groups": [web],
    });
    world.document("stack.json", &stack);
    stack
}

/// Exactly so many machines run, each in a slot of its own.
#[track_caller]
fn until_machines(world: &World, rest: &Rest, count: usize) {
    world.until_converged("web");
    let machines = rest.machines();
    let slots = |it: &Value| it["tags"]["homeostat.slot"].as_str().map(str::to_owned);
    let mut found: Vec<_> = machines.values().filter_map(slots).collect();
    found.sort();
    found.dedup();
    assert_eq!((machines.len(), found.len()), (count, count), "{machines:#?}");
}

fn changing(requests: &[String]) -> Vec<&String> {
    requests.iter().filter(|it| !it.starts_with("GET ")).collect()
}

#[test]
fn planning_sends_no_request_that_changes_anything() {
    let world = World::new();
    let rest = Rest::start();
    let _host = world.serve();
    stack(&world, &rest, 3, "debian-12");
    world.run("group plan stack.json").ok();
    world.run("group commit stack.json --pretend").ok();
    assert!(changing(&rest.requests()).is_empty(), "{:?}", rest.requests());
    world.run("group commit stack.json --wait --timeout 30s").ok();
    until_machines(&world, &rest, 3);
    let before = rest.requests();
    stack(&world, &rest, 5, "debian-13");
    let planned = world.run("group plan stack.json").ok();
    assert!(planned.stdout.contains("web"), "{}", planned.told());
    let since = &rest.requests()[before.len()..];
    assert!(!since.is_empty() && changing(since).is_empty(), "{since:?}");
}

#[test]
fn a_group_of_machines_behind_an_api_that_fails_in_every_way() {
    let world = World::new();
    let rest = Rest::start();
    let host = world.serve_with("--resync 300ms");
    stack(&world, &rest, 3, "debian-12");
    world.run("group commit stack.json --wait --timeout 30s").ok();
    until_machines(&world, &rest, 3);
    assert!(
        rest.machines().values().all(|it| it["image"] == "debian-12" && it["init"] == "a"),
        "{:#?}",
        rest.machines()
    );

    // Healed.
    let broken = rest.machines().keys().next().unwrap().clone();
    rest.set(&broken, "state", json!("failed"));
    until("the broken one is gone", || (!rest.machines().contains_key(&broken)).then_some(()));
    until_machines(&world, &rest, 3);

    // Done, and the answer is lost.
    rest.fail_only("PUT", [Fault::LostAfter; 3]);
    world.run("group scale web 6 --wait --timeout 30s").ok();
    until_machines(&world, &rest, 6);
    assert_eq!(rest.faults_left(), 0);

    // Not done, and the answer is lost; or the API fails.
    rest.fail_only("PUT", [Fault::LostBefore, Fault::Status(500, 0), Fault::Status(502, 0)]);
    rest.fail_only("GET", [Fault::Status(500, 0), Fault::LostAfter]);
    world.run("group scale web 8 --wait --timeout 30s").ok();
    until_machines(&world, &rest, 8);
    until_eq("all of it came to pass", 0, || rest.faults_left());

    // A slow answer, and fewer machines, with lost answers.
    rest.fail_only("DELETE", [Fault::LostAfter, Fault::Slow(Duration::from_millis(300)), Fault::LostBefore]);
    world.run("group scale web 4 --wait --timeout 30s").ok();
    until_machines(&world, &rest, 4);

    // What the API asks to wait for is waited for.
    rest.fail_only("PUT", [Fault::Status(429, 2)]);
    let began = Instant::now();
    world.run("group scale web 5 --wait --timeout 30s").ok();
    until_machines(&world, &rest, 5);
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    let puts: Vec<_> = rest.requests().into_iter().filter(|it| it.starts_with("PUT")).collect();
    assert!(puts[puts.len() - 2..].iter().all(|it| it.contains("/web-5-")), "{puts:?}");

    // A list that is not whole makes nothing and destroys nothing.
    rest.be_partial(true);
    let lost = rest.machines().keys().next().unwrap().clone();
    rest.set(&lost, "state", json!("failed"));
    world.until_why("web", "incomplete");
    let before = changing(&rest.requests()).len();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(changing(&rest.requests()).len(), before);
    rest.be_partial(false);
    until("the broken one is gone", || (!rest.machines().contains_key(&lost)).then_some(()));
    until_machines(&world, &rest, 5);

    // Rolled, restarted, destroyed.
    stack(&world, &rest, 5, "debian-13");
    world.run("group commit stack.json --wait --timeout 60s").ok();
    until_machines(&world, &rest, 5);
    assert!(rest.machines().values().all(|it| it["image"] == "debian-13"));
    host.stop(Signal::TERM).ok();
    let names: Vec<String> = rest.machines().into_keys().collect();
    let host = world.serve_with("--resync 300ms");
    until_machines(&world, &rest, 5);
    assert_eq!(rest.machines().into_keys().collect::<Vec<_>>(), names);
    rest.fail_only("DELETE", [Fault::LostAfter, Fault::Status(500, 0)]);
    world.run("group destroy web --timeout 60s").ok();
    assert!(rest.machines().is_empty());
    // The guest never saw the token, and neither did anybody else.
    assert!(!host.stderr().contains(rest.token()));
}

#[test]
fn an_injected_secret_is_seen_by_the_service_alone() {
    let world = World::new();
    let rest = Rest::start();
    let host = world.serve_with("--log trace");
    stack(&world, &rest, 2, "debian-12");
    world.run("group commit stack.json --wait --timeout 30s").ok();
    until_machines(&world, &rest, 2);
    // Another token, which the service does not know, and then the right one: from the next request on.
    world.put("token", "planted-5a2e");
    until_waits(&world, "no token, or another one");
    world.put("token", rest.token());
    world.until_converged("web");
    for words in ["plugin inspect rest -o json", "group describe web -o json", "events -o json", "plugin ls -o json"] {
        let run = world.run(words).ok();
        for secret in [rest.token(), "planted-5a2e"] {
            assert!(!run.stdout.contains(secret), "{words}");
        }
    }
    let run = host.stop(Signal::TERM).ok();
    for secret in [rest.token(), "planted-5a2e"] {
        assert!(!(run.stdout.clone() + &run.stderr).contains(secret), "{secret} is in the log");
        assert_eq!(holding(&world.path("state"), secret, Path::new("")), [""; 0]);
    }
}

/// The group lists its machines again, and this is why it does not get on.
#[track_caller]
fn until_waits(world: &World, text: &str) {
    world.run("group scale web 3").ok();
    until(&format!("web waits because of {text}"), || Some(world.waiting("web")).filter(|it| it.contains(text)));
}
