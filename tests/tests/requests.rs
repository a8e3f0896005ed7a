//! Requests of a plugin: where they may go, and what the host adds to them.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use homeostat_tests::{Reply, Service, World, group, plugin, until, until_eq};
use rustix::process::Signal;
use serde_json::{Value, json};

const DENIED: &str = "ErrorCode::HttpRequestDenied";

/// All files below a directory that hold a text.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(holding(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(text.len()).any(|it| it == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A stack with the plugin `it`, that has these grants, and a group whose instances are this errand.
fn stack(world: &World, grants: &Value, errand: &Value) {
    let mut web = group("web", 1, "a");
    web["Properties"]["Instance"] = json!({"Plugin": "it", "Properties": {"Errand": errand}});
    let plugins = json!({
        "it": {"Path": plugin("errand_instance"), "Grants": grants},
        "vanilla": {"Path": plugin("flavor_vanilla")},
    });
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [web]}));
}

#[test]
fn an_injected_secret_is_sent_and_shown_to_nobody() {
    const SECRETS: [&str; 2] = ["planted-in-a-file-9b1d", "planted-in-the-environment-77e0"];
    let world = World::new();
    let service = Service::start(|_| Reply::ok("done"));
    let host = world.serve_knowing("--log trace", &[("PLANTED", SECRETS[1])]);
    world.write("token", SECRETS[0]);
    let url = format!("http://{}/v1/machines", service.address());
    let grants = json!({
        "Http": [{
            "Url": format!("http://{}", service.address()),
            "Inject": {"Authorization": {"Secret": "token", "Prefix": "Bearer "}, "X-Key": {"Secret": "key"}},
        }],
        "Secrets": {"token": {"File": world.path("token")}, "key": {"Env": "PLANTED"}},
    });
    stack(&world, &grants, &json!({"Fetch": {"Url": url}}));
    world.run("group commit stack.json").ok();

    // By the group, and by hand.
    until("web tells what its plugin got", || {
        Some(world.describe("web").to_string()).filter(|it| it.contains("all that there is"))
    });
    let got = world.fetch(&url);
    assert_eq!((&got["Status"], &got["Body"]), (&json!(200), &json!("done")), "{got}");
    for asked in service.asked() {
        assert_eq!(asked.headers["authorization"], format!("Bearer {}", SECRETS[0]));
        assert_eq!(asked.headers["x-key"], SECRETS[1]);
    }

    // The guest cannot get at them, nor say what is sent instead.
    let looked = [
        world.errand(&json!({"Environment": true})),
        world.errand(&json!({"Config": ["token", "key", "PLANTED"]})),
        world.errand(&json!({"Secrets": ["token", "key"]})),
    ];
    assert_eq!(looked[..2], [json!({}), json!({"token": null, "key": null, "PLANTED": null})]);
    for name in ["token", "key"] {
        let refused = looked[2][name]["Refused"].as_str().unwrap_or_else(|| panic!("{}", looked[2]));
        assert!(refused.starts_with("ErrorCode::PermissionDenied"), "{refused}");
    }
    for header in ["authorization", "AUTHORIZATION", "x-key", "X-KEY"] {
        let got = world.errand(&json!({"Fetch": {"Url": url, "Headers": {header: "mine"}}}));
        assert_eq!(got["Refused"], json!(DENIED), "{header}: {got}");
    }
    // The group asks again and again meanwhile.
    assert!(!service.asked().iter().any(|asked| asked.headers.values().any(|value| value.contains("mine"))));
    let said = host.of_grants("the host sets it from a secret (Inject)");
    assert_eq!(said.len(), 2, "once for each header: {said:#?}");

    let asked = [
        "plugin inspect it -o json",
        "plugin inspect it",
        "plugin ls -o json",
        "group describe web -o json",
        "group describe web",
        "group inspect web -o json",
        "group history web",
        "group why web",
        "events -o json",
    ];
    for words in asked {
        let run = world.run(words).ok();
        for secret in SECRETS {
            assert!(!(run.stdout.clone() + &run.stderr).contains(secret), "{words}");
        }
    }
    let run = host.stop(Signal::TERM).ok();
    assert!(run.stderr.contains("TRACE") && run.stderr.contains("got {"), "it is not all that is said");
    let export = world.run("state export").ok();
    for secret in SECRETS {
        assert!(!(run.stdout.clone() + &run.stderr).contains(secret), "{secret} is in the log");
        assert!(!export.stdout.contains(secret));
        assert_eq!(holding(&world.path("state"), secret), [""; 0]);
    }
}

#[test]
fn a_service_that_sends_a_secret_back_shows_it_to_the_plugin() {
    const SECRET: &str = "planted-and-echoed-41aa";
    let world = World::new();
    let service = Service::start(Reply::echo);
    let host = world.serve_with("--log trace");
    world.write("token", SECRET);
    let url = format!("http://{}", service.address());
    world.add_errands(&[
        "--allow-http",
        &format!("{url}; inject=Authorization:token:Bearer "),
        "--allow-secret",
        "token=file:token",
    ]);
    let got = world.fetch(&format!("{url}/"));
    let body = got["Body"].as_str().unwrap_or_else(|| panic!("{got}"));
    assert!(body.contains(&format!("authorization: Bearer {SECRET}\n")), "{body}");
    // What the plugin then says of it is its own, and the host adds nothing to that.
    let said = host.stderr();
    let lines: Vec<_> = said.lines().filter(|line| line.contains(SECRET) && !line.contains("got {")).collect();
    assert_eq!(lines, [""; 0]);
}

#[test]
fn another_secret_is_injected_from_the_next_request_on() {
    let world = World::new();
    let service = Service::start(|_| Reply::ok(""));
    let host = world.serve();
    let url = format!("http://{}", service.address());
    world.put("token", "first\n");
    let inject = format!("{url}; inject=Authorization:token");
    world.add_errands(&["--allow-http", &inject, "--allow-secret", "token=file:token"]);
    let sent = |number: usize| service.asked().get(number).map(|it| it.headers["authorization"].clone());
    assert_eq!(world.fetch(&url)["Status"], json!(200));
    world.put("token", "second");
    assert_eq!(world.fetch(&url)["Status"], json!(200));
    assert_eq!([sent(0), sent(1)], [Some("first".to_owned()), Some("second".to_owned())]);

    // One that is not there, or cannot stand in a header: nothing is sent, the guest gets a code, the operator a line.
    world.remove("token");
    for _ in 0..2 {
        assert_eq!(world.fetch(&url)["Refused"], json!("ErrorCode::ConfigurationError"));
    }
    let said = host.of_grants("the secret \"token\", which the header authorization needs");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains(&world.path("token").display().to_string()), "{}", said[0]);
    world.put("token", "two\nlines");
    assert_eq!(world.fetch(&url)["Refused"], json!("ErrorCode::ConfigurationError"));
    assert_eq!(host.of_grants("has control characters").len(), 1);
    assert!(!host.stderr().contains("two"), "a part of it is in the log");
    world.put("token", "third");
    assert_eq!(world.fetch(&url)["Status"], json!(200));
    assert_eq!((service.asked().len(), sent(2)), (3, Some("third".to_owned())));
}

#[test]
fn a_redirect_is_judged_like_any_request_and_carries_no_secret_along() {
    let world = World::new();
    let other = Service::start(|_| Reply::ok("other"));
    let elsewhere = format!("http://{}", other.address());
    let to = elsewhere.clone();
    let service = Service::start(move |asked| match asked.path.as_str() {
        "/v1/elsewhere" => Reply::redirect(format!("{to}/v1/x")),
        "/v1/closed" => Reply::redirect(format!("http://{}/admin", asked.headers["host"])),
        "/v1/again" => Reply::redirect(format!("http://{}/v1/x", asked.headers["host"])),
        _ => Reply::ok("own"),
    });
    let host = world.serve();
    let url = format!("http://{}", service.address());
    world.write("token", "planted");
    let grant = format!("{url}/v1/**; inject=Authorization:token");
    let options = ["--allow-secret", "token=file:token", "--allow-http", &grant];
    world.add_errands(&options);
    let follow = |path: &str| world.errand(&json!({"Fetch": {"Url": format!("{url}{path}"), "Follow": 1}}));

    // The host follows none: to the plugin it is an answer.
    let got = world.fetch(&format!("{url}/v1/elsewhere"));
    assert_eq!(got["Status"], json!(307));
    assert_eq!(got["Headers"]["location"], json!(format!("{elsewhere}/v1/x")));
    assert_eq!(follow("/v1/again")["Body"], json!("own"));
    for (path, to) in [("/v1/elsewhere", format!("{elsewhere}/v1/x")), ("/v1/closed", format!("{url}/admin"))] {
        let got = follow(path);
        assert_eq!((&got["Refused"], &got["Url"]), (&json!(DENIED), &json!(to)), "{path}: {got}");
        assert_eq!(host.of_grants(&format!("GET {to} was denied")).len(), 1);
    }
    assert_eq!(other.paths(), [""; 0]);
    assert!(!service.paths().contains(&"/admin".to_owned()));

    // Where it may be followed, the secret of the one place is not sent to the other.
    world.add_errands(&[&options[..], &["--allow-http", &elsewhere]].concat());
    assert_eq!(follow("/v1/elsewhere")["Body"], json!("other"));
    assert!(!other.asked()[0].headers.contains_key("authorization"), "{:?}", other.asked());
}

/// A name of this machine that leads to loopback and is not `localhost`, from where the system looks first.
fn closed_name() -> Option<String> {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split_whitespace().skip(1)).map(str::to_owned).chain([own]);
    let leads_here = |name: &String| {
        let found: Vec<IpAddr> =
            (name.as_str(), 0).to_socket_addrs().map(|it| it.map(|it| it.ip()).collect()).unwrap_or_default();
        !found.is_empty() && found.iter().all(IpAddr::is_loopback) && found.iter().any(IpAddr::is_ipv4)
    };
    names.filter(|name| name != "localhost").find(leads_here)
}

#[test]
fn a_name_that_leads_to_this_machine_is_closed_until_a_grant_names_the_address() {
    let world = World::new();
    let service = Service::start(|_| Reply::ok("here"));
    let host = world.serve();
    let port = service.port();

    // `localhost` says by itself where it leads.
    world.add_errands(&["--allow-http", &format!("http://localhost:{port}")]);
    assert_eq!(world.fetch(&format!("http://localhost:{port}/"))["Body"], json!("here"));
    // A network that holds it among all others does not say so either, in whatever spelling it is asked for.
    world.add_errands(&[
        "--allow-http",
        &format!("http://0.0.0.0/0:{port}"),
        "--allow-http",
        &format!("http://[::]/0:{port}"),
    ]);
    let before = service.asked().len();
    for spelling in
        ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]
    {
        let got = world.fetch(&format!("http://{spelling}:{port}/"));
        let refused = got["Refused"].as_str().unwrap_or_else(|| panic!("{spelling}: {got}"));
        let typed = [DENIED, "ErrorCode::DestinationIpProhibited", "ErrorCode::HttpRequestUriInvalid"];
        assert!(typed.contains(&refused), "{spelling}: {refused}");
    }
    assert_eq!(service.asked().len(), before);

    let Some(name) = closed_name() else {
        println!("skipped: this machine has no name but localhost that leads to loopback, so none can be refused");
        return;
    };
    let url = format!("http://{name}:{port}");
    world.add_errands(&["--allow-http", &url]);
    for _ in 0..3 {
        assert_eq!(world.fetch(&url)["Refused"], json!("ErrorCode::DestinationIpProhibited"));
    }
    assert_eq!(service.asked().len(), before);
    let said = host.of_grants(&format!("{name} leads to"));
    assert_eq!(said.len(), 1, "{said:#?}");
    // The advice, as it stands in quotes, is what helps.
    let (_, advice) = said[0].split_once("--allow-http '").unwrap_or_else(|| panic!("{}", said[0]));
    let (advice, _) = advice.split_once('\'').unwrap();
    assert!(advice.contains("; address=127."), "{advice}");
    world.add_errands(&["--allow-http", advice]);
    assert_eq!(world.fetch(&url)["Body"], json!("here"));
    // So does the network, and one that is too wide is refused, as it would open nothing.
    world.add_errands(&["--allow-http", &format!("{url}; address=127.0.0.0/8")]);
    assert_eq!(world.fetch(&url)["Body"], json!("here"));
    let file = plugin("errand_instance").display().to_string();
    let wide = format!("{url}; address=0.0.0.0/0");
    let refused = world.run_words(&["plugin", "add", "wide", &file, "--allow-http", &wide]).ends_with(1);
    refused.complains("0.0.0.0/0 is too wide to open what is closed in it");
}

#[test]
fn methods_and_paths_are_judged_as_they_are_sent() {
    let world = World::new();
    let service = Service::start(|_| Reply::ok(""));
    let host = world.serve();
    let url = format!("http://{}", service.address());
    world.add_errands(&["--allow-http", &format!("GET {url}/v1/**")]);
    let fetch =
        |method: &str, path: &str| world.errand(&json!({"Fetch": {"Url": format!("{url}{path}"), "Method": method}}));

    let open = ["/v1/x", "/v1/x/y", "/v1/", "/v1/x?to=/../admin", "/v1/a%20b", "/v1/..x/y..", "/v1/~x;a=1", "/%761/x"];
    for path in open {
        assert_eq!(fetch("GET", path)["Status"], json!(200), "{path}");
    }
    assert_eq!(service.paths(), open);
    for path in [
        "",
        "/",
        "/v1",
        "/v1x",
        "/V1/x",
        "/admin",
        "/admin?/v1/x",
        "?/v1/x",
        "/v1/..",
        "/v1/../admin",
        "/v1/x/../../admin",
        "/v1/./x",
        "/v1/%2e%2e/admin",
        "/v1/%2E%2e/admin",
        "/v1/.%2e/admin",
        "/v1/%2e/x",
        "/v1/%252e%252e/admin",
        "/v1/..%2fadmin",
        "/v1%2f..%2fadmin",
        "/v1%2fx",
        "/v1/..\\admin",
        "/v1/..%5cadmin",
        "/v1/..;/admin",
        "//v1/x",
        "/v1//x",
        "//admin/v1/x",
        "/v1/x%00",
        "/v1/x%",
        "/v1/x%zz",
    ] {
        let got = fetch("GET", path);
        let refused = got["Refused"].as_str().unwrap_or_else(|| panic!("{path}: {got}"));
        assert!([DENIED, "ErrorCode::HttpRequestUriInvalid", "the path"].contains(&refused), "{path}: {refused}");
    }
    for method in ["POST", "DELETE", "get", "HEAD", "OPTIONS", "CONNECT", "TRACE", "GETT"] {
        let got = fetch(method, "/v1/x");
        let refused = got["Refused"].as_str().unwrap_or_else(|| panic!("{method}: {got}"));
        assert!([DENIED, "ErrorCode::HttpRequestMethodInvalid"].contains(&refused), "{method}: {refused}");
    }
    assert_eq!(service.paths().len(), open.len(), "{:?}", service.paths());
    until_eq("the operator knows", 1, || host.of_grants("POST ").len());
    assert!(host.of_grants("the path could be read in two ways").len() > 3);
}
