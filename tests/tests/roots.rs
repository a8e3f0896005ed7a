//! Certificates of one's own: for the host, where it fetches plugins, and for a plugin, where it asks services.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use homeostat_tests::{Authority, Reply, Service, Variant, World, plugin};
use rustix::process::Signal;
use serde_json::json;

const UNTRUSTED: &str = "ErrorCode::TlsCertificateError";

/// `serve --roots` is for what the host itself fetches: plugins, from URLs and registries. What plugins ask for is judged
/// by their grants alone.
#[test]
fn a_plugin_is_fetched_from_a_server_that_the_operator_trusts() {
    let world = World::new();
    let authority = Authority::new(&world, "ca.pem");
    let (first, second) = (Variant::of("errand_instance").marked("1"), Variant::of("errand_instance").marked("2"));
    let swapped = Arc::new(AtomicBool::new(false));
    let newer = swapped.clone();
    let server = Service::start_tls(&authority, &["127.0.0.1"], move |_| {
        Reply::ok(if newer.load(Ordering::Relaxed) { second.bytes() } else { first.bytes() })
    });
    let url = format!("https://{}/it.wasm", server.address());
    let add = format!("plugin add it {url} --allow-http https://{}", server.address());

    // Nobody trusts it.
    let host = world.serve();
    world.run(&add).ends_with(1).complains(&url).complains("certificate");
    let stack = json!({"Plugins": {"it": {"Path": url}}, "Groups": []});
    world.document("stack.json", &stack);
    world.run("group commit stack.json").ends_with(1).complains(&url).complains("certificate");
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    assert_eq!(world.run("plugin ls -o json").ok().json(), json!([]));
    host.stop(Signal::TERM).ok();

    // A file that is none is said at the start.
    world.write("empty.pem", "");
    for (file, says) in [("nowhere.pem", "nowhere.pem"), ("empty.pem", "empty.pem")] {
        world.run(&format!("serve --roots {file}")).ends_with(1).complains(says);
    }

    let host = world.serve_with("--roots ca.pem");
    world.run(&add).ok();
    assert_eq!(server.paths(), ["/it.wasm"]);
    let digest = || world.run("plugin inspect it -o json").ok().json()["Locked"]["Sha256"].clone();
    let before = digest();
    // The plugin does not trust it for that.
    assert_eq!(world.fetch(&format!("https://{}/", server.address()))["Refused"], json!(UNTRUSTED));
    swapped.store(true, Ordering::Relaxed);
    world.run("plugin swap it").ok();
    assert_ne!(digest(), before);
    assert_eq!(server.paths().len(), 2);
    let now = digest();
    host.stop(Signal::TERM).ok();

    // What is kept needs neither the server nor the certificates; what is not kept does.
    drop(server);
    let _host = world.serve();
    assert_eq!(world.errand(&json!({"Config": ["region"]})), json!({"region": null}));
    world.run(&add).ok();
    assert_eq!(digest(), now);
    world.run("plugin swap it").ends_with(1).complains(&url);
}

#[test]
fn a_plugin_asks_a_service_whose_root_its_grant_names() {
    let world = World::new();
    let authority = Authority::new(&world, "ca.pem");
    let other = Authority::new(&world, "other.pem");
    let service = Service::start_tls(&authority, &["localhost"], |_| Reply::ok("hello"));
    let host = world.serve_with("--roots ca.pem");
    let url = format!("https://localhost:{}", service.port());
    let grant = |more: &str| format!("{url}; address=127.0.0.0/8{more}");

    world.add_errands(&["--allow-http", &grant("")]);
    for _ in 0..3 {
        assert_eq!(world.fetch(&url)["Refused"], json!(UNTRUSTED));
    }
    // What the guest is not told, the operator is: what is wrong, and where to name the root.
    let said = host.of_grants("its certificate leads to no root that is trusted; name its root in the grant's Roots");
    assert_eq!(said.len(), 1, "{said:#?}");
    world.add_errands(&["--allow-http", &grant("; roots=other.pem")]);
    assert_eq!(world.fetch(&url)["Refused"], json!(UNTRUSTED));
    assert!(service.asked().is_empty(), "{:?}", service.asked());

    world.add_errands(&["--allow-http", &grant("; roots=ca.pem")]);
    let got = world.fetch(&url);
    assert_eq!((&got["Status"], &got["Body"]), (&json!(200), &json!("hello")), "{got}");
    // The certificate is for the name, and proves nothing for the address.
    let by_address = format!("https://127.0.0.1:{}", service.port());
    world.add_errands(&["--allow-http", &format!("{by_address}; roots=ca.pem")]);
    assert_eq!(world.fetch(&by_address)["Refused"], json!(UNTRUSTED));
    assert_eq!(host.of_grants("its certificate is for another name").len(), 1);
    // The roots of a grant stand in the place of all others.
    let both = fs::read_to_string(&authority.roots).unwrap() + &fs::read_to_string(&other.roots).unwrap();
    world.write("both.pem", both);
    world.add_errands(&["--allow-http", &grant("; roots=both.pem")]);
    assert_eq!(world.fetch(&url)["Status"], json!(200));

    // The same in a document, where the path is relative to it; and what cannot be read is said when it is granted.
    let file = plugin("errand_instance");
    let entry = |roots: &str| {
        let http = json!([{"Url": url, "Roots": roots, "Addresses": ["127.0.0.0/8"]}]);
        let plugins =
            json!({"it": {"Path": file, "Grants": {"Http": http}}, "vanilla": {"Path": plugin("flavor_vanilla")}});
        world.document("stack.json", &json!({"Plugins": plugins, "Groups": []}));
        world.run("group commit stack.json")
    };
    entry("ca.pem").ok();
    assert_eq!(world.fetch(&url)["Status"], json!(200));
    entry("nowhere.pem").ends_with(1).complains("nowhere.pem");
    assert_eq!(world.fetch(&url)["Status"], json!(200));
    let roots = grant("; roots=nowhere.pem");
    let file = file.display().to_string();
    world.run_words(&["plugin", "add", "it", &file, "--allow-http", &roots]).ends_with(1).complains("nowhere.pem");
    assert_eq!(world.fetch(&url)["Status"], json!(200));
}
