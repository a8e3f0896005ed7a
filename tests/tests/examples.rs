//! The plugins in `examples/`, built as their READMEs say, and at work under their own stacks.
//!
//! The example in C is in `authors.rs`, with the supervisor that it is made for. Where the tools of a language cannot be had,
//! the test says why, and is skipped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use homeostat_tests::{Rest, World, binary, plugin, until, until_eq, workspace};
use serde_json::{Value, json};

fn is_command(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// Build an example in its folder. None, with the reason printed, where a command that it needs is not there.
#[track_caller]
fn built(example: &str, needs: &[&str]) -> Option<PathBuf> {
    if let Some(missing) = needs.iter().find(|it| !is_command(it)) {
        println!("skipped: the example {example}: there is no {missing}");
        return None;
    }
    let folder = workspace().join("examples").join(example);
    let tools = std::env::var_os("HOMEOSTAT_TOOLS").map_or_else(|| workspace().join("target/tools"), PathBuf::from);
    for target in ["", "test"] {
        let mut make = Command::new("make");
        make.args(Some(target).filter(|it| !it.is_empty())).current_dir(&folder);
        // What `make test` of this repository passes on is not meant for this folder.
        make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
        make.env("HOMEOSTAT", binary()).env("HOMEOSTAT_TOOLS", &tools);
        let output = make.output().unwrap_or_else(|error| panic!("make {target}: {error}"));
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`make {target}` of {example}: {}\n{told}", output.status);
    }
    Some(folder)
}

/// The stack of an example, with its plugins where they are, and directories in this world.
fn stack(world: &World, folder: &Path) -> Value {
    let file = folder.join("stack.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut stack: Value = serde_json::from_str(&text).expect("the stack is JSON");
    for (_, entry) in stack["Plugins"].as_object_mut().expect("plugins") {
        let path = entry["Path"].as_str().expect("a path").to_owned();
        entry["Path"] = match path.strip_prefix("../../target/wasm32-wasip2/release/") {
            Some(official) => json!(plugin(official.strip_suffix(".wasm").expect("a .wasm file"))),
            None => json!(folder.join(path)),
        };
        for dir in entry["Grants"]["Dirs"].as_array_mut().into_iter().flatten() {
            let host = dir["Host"].as_str().expect("a directory").trim_start_matches("./").to_owned();
            fs::create_dir_all(world.path(&host)).expect("a directory");
            dir["Host"] = json!(world.path(&host));
        }
    }
    stack
}

/// No grant is lacking, and none is too many.
#[track_caller]
fn agrees(world: &World, name: &str) {
    let view = world.run(&format!("plugin inspect {name} -o json")).ok().json();
    assert_eq!((&view["WantedNotGranted"], &view["GrantedNotWanted"]), (&json!([]), &json!([])), "{view}");
}

#[test]
fn machines_behind_a_rest_api_in_rust() {
    let world = World::new();
    let rest = Rest::start();
    let folder = workspace().join("examples/instance-rest-rust");
    let mut stack = stack(&world, &folder);
    // Built with all guests, and copied to the folder by its Makefile.
    stack["Plugins"]["instance-rest"]["Path"] = json!(plugin("instance_rest"));
    stack["Plugins"]["instance-rest"]["Grants"]["Http"][0]["Via"] = json!(rest.address().to_string());
    world.document("stack.json", &stack);
    let _host = world.serve_knowing("", &[("MACHINES_TOKEN", rest.token())]);
    world.run("group commit stack.json --wait --timeout 30s").ok();
    agrees(&world, "instance-rest");
    let machines = rest.machines();
    assert_eq!(machines.len(), 3);
    for (name, it) in &machines {
        let expected = json!([name, "debian-12", "small", "echo hello", "web"]);
        assert_eq!(json!([it["name"], it["image"], it["size"], it["init"], it["tags"]["tier"]]), expected, "{it}");
    }
    world.run("group destroy web --timeout 30s").ok();
    assert!(rest.machines().is_empty());
}

#[test]
fn user_data_for_cloud_init_in_python() {
    let Some(folder) = built("flavor-cloud-init-python", &["python3", "make"]) else { return };
    let world = World::new();
    let mut stack = stack(&world, &folder);
    world.document("stack.json", &stack);
    let _host = world.serve();
    world.run("group commit stack.json --wait --timeout 50s").ok();
    agrees(&world, "cloud-init");
    let instances = world.instances();
    assert_eq!(instances.len(), 3);
    for it in instances.values() {
        let slot = it["Tags"]["homeostat.slot"].as_str().expect("a slot");
        let init = it["Init"].as_str().expect("user data");
        assert!(init.starts_with("#cloud-config\n"), "{init}");
        for said in [&format!("web-{slot}.example.org"), "nginx", &format!("I am number {slot} of web."), "ssh-ed25519"]
        {
            assert!(init.contains(said), "{said}: {init}");
        }
    }

    // A replacement gets what the one before it had.
    let (id, lost) = instances.iter().next().expect("three");
    fs::remove_file(world.path(&format!("instances/{id}.json"))).unwrap();
    until_eq("three again", 3, || world.instances().len());
    world.until_converged("web");
    let inits = |all: Vec<Value>| {
        let mut inits: Vec<String> = all.iter().map(|it| it["Init"].to_string()).collect();
        inits.sort();
        inits
    };
    assert!(world.instances().values().any(|it| it["Init"] == lost["Init"]));
    assert_eq!(inits(world.instances().into_values().collect()), inits(instances.into_values().collect()));

    // A wrong placeholder is found at commit.
    stack["Groups"][0]["Properties"]["Flavor"]["Properties"]["Hostname"] = json!("{{seqence}}.example.org");
    world.document("stack.json", &stack);
    world.run("group commit stack.json").ends_with(1).complains("seqence").complains("Hostname");
}

/// A server of the example, ended when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Start the example's server at an address, and say at which port it listens.
fn serve(folder: &Path, address: &str, port: u16) -> (Server, u16) {
    let mut command = Command::new("node");
    command.arg(folder.join("demo-server.js")).args([address, &port.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("node");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let server = Server(child);
    let said = lines.next().expect("it says where it listens").expect("text");
    // It goes on to talk.
    std::thread::spawn(move || lines.for_each(drop));
    let port = said.rsplit(' ').next().and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no port: {said}"));
    (server, port)
}

#[test]
fn health_by_http_in_javascript() {
    let Some(folder) = built("flavor-http-ready-javascript", &["node", "npm", "make"]) else { return };
    let world = World::new();
    let (first, port) = serve(&folder, "127.0.0.1", 0);
    let (second, _) = serve(&folder, "127.0.0.2", port);
    let (_third, _) = serve(&folder, "127.0.0.3", port);
    let mut stack = stack(&world, &folder);
    stack["Plugins"]["http-ready"]["Grants"]["Http"][0]["Url"] = json!(format!("http://127.0.0.0/8:{port}"));
    let properties = &mut stack["Groups"][0]["Properties"]["Flavor"]["Properties"];
    properties["Port"] = json!(port);
    properties["Drain"]["Url"] = json!(format!("http://{{logical-id}}:{port}/drain"));
    world.document("stack.json", &stack);
    let _host = world.serve_with("--resync 500ms");
    world.run("group commit stack.json --wait --timeout 50s").ok();
    let health = || -> Vec<String> {
        let described = world.describe("web");
        let instances = described["Instances"].as_array().expect("instances").iter();
        instances.map(|it| it["Health"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(health(), ["healthy"; 3]);

    // One of the servers is gone: that is seen, and said.
    drop(second);
    until("one is unhealthy", || health().contains(&"unhealthy".to_owned()).then_some(()));
    let (_second, _) = serve(&folder, "127.0.0.2", port);
    world.until_converged("web");

    // Drained before it is destroyed: the server answers the hook, and is not ready any more.
    let pets = &mut stack["Groups"][0]["Properties"]["Allocation"]["LogicalIDs"];
    *pets = json!(["127.0.0.2", "127.0.0.3"]);
    world.document("stack.json", &stack);
    world.run("group commit stack.json --wait --timeout 50s").ok();
    assert_eq!(world.ids().len(), 2);
    let answer = ask(&format!("127.0.0.1:{port}"));
    assert!(answer.contains("503"), "it was not drained: {answer}");
    drop(first);

    // What is not granted is no word on an instance's health.
    stack["Plugins"]["http-ready"]["Grants"]["Http"][0]["Url"] = json!("http://127.0.0.9:80");
    world.document("stack.json", &stack);
    world.run("group commit stack.json").ok();
    until_eq("nobody knows", vec!["unknown".to_owned(); 2], health);
    assert_eq!(world.ids().len(), 2);
}

/// What a server answers to a GET.
fn ask(address: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
