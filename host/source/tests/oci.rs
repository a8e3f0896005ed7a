//! Registries that ask who we are, that send us elsewhere, and that lie.

mod support;

use std::sync::Arc;
use std::time::SystemTime;

use homeostat_source::{Artifact, Credentials, FetchError, Transport, sha256};
use support::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The manifest of an artifact with one file.
fn manifest(file: &[u8]) -> String {
    let (config, layer) = (sha256(b"{}"), sha256(file));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}",
            "config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:{config}","size":2}},
            "layers":[{{"mediaType":"application/wasm","digest":"sha256:{layer}","size":{}}}]}}"#,
        file.len()
    )
}

/// What an honest registry without accounts answers.
fn honest(request: &Request, file: &[u8]) -> Reply {
    match &*request.path {
        "/v2/team/a/manifests/1" => Reply::ok(MANIFEST, manifest(file).as_bytes()),
        path if path == format!("/v2/team/a/blobs/sha256:{}", sha256(file)) => {
            Reply::ok("application/octet-stream", file)
        }
        _ => Reply::status(404, "", br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    }
}

/// A file as `docker login` writes it, with the password `p:w` of `me`.
fn logged_in(bench: &mut Bench, registry: &str) {
    let path = bench.dir.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "bWU6cDp3"}}}}}}"#)).unwrap();
    bench.config.credentials = Credentials::File(path);
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers.get("authorization").map(|it| &**it)
}

#[tokio::test]
async fn a_tag_is_resolved_and_its_file_is_kept() {
    let bench = Bench::new();
    let server = Server::start(None, |request, _| honest(request, &component(1))).await;
    let fetched = fetch(&bench.sources(), &server.oci("team/a:1"), None, None).await.unwrap();
    assert_eq!(fetched.digest, sha256(&component(1)));
    let digest = sha256(manifest(&component(1)).as_bytes());
    assert_eq!(fetched.resolved, server.oci(&format!("team/a@sha256:{digest}")));
    assert!(server.requests()[0].headers["accept"].contains(MANIFEST));
    assert_eq!(server.count(), 2);
    let error = refused(fetch(&bench.sources(), &server.oci("team/a:2"), None, None).await).to_string();
    assert!(error.ends_with("answers 404: MANIFEST_UNKNOWN: manifest unknown"), "{error}");
}

#[tokio::test]
async fn a_pin_that_the_manifest_contradicts_is_refused_before_anything_is_downloaded() {
    let bench = Bench::new();
    let server = Server::start(None, |request, _| honest(request, &component(1))).await;
    let pin = sha256(b"x");
    let error = refused(fetch(&bench.sources(), &server.oci("team/a:1"), Some(&pin), None).await).to_string();
    assert!(error.contains(&pin) && error.contains(&sha256(&component(1))) && error.contains(ADVICE), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_registry_that_wants_a_token_gets_one_from_where_it_says() {
    let mut bench = Bench::new();
    let tokens = Arc::new(
        Server::start(None, |request, _| match (authorization(request), &*request.method) {
            (Some("Basic bWU6cDp3"), "GET") => Reply::ok("application/json", br#"{"access_token": "known"}"#),
            (None, "POST") => Reply::ok("application/json", br#"{"token": "refreshed", "access_token": "no"}"#),
            (None, "GET") => Reply::ok("application/json", br#"{"token": "anybody"}"#),
            _ => Reply::status(401, "", br#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#),
        })
        .await,
    );
    let realm = tokens.url("/token?x=y");
    let server = Server::start(None, move |request, _| match authorization(request) {
        Some("Bearer known" | "Bearer anybody" | "Bearer refreshed") => honest(request, &component(1)),
        _ => Reply::status(401, &format!("www-authenticate: Bearer realm=\"{realm}\",service=\"r s\"\r\n"), b""),
    })
    .await;
    let (reference, registry) = (server.oci("team/a:1"), server.address.to_string());

    fetch(&bench.sources(), &reference, None, None).await.unwrap();
    assert_eq!(tokens.requests()[0].path, "/token?x=y&scope=repository%3Ateam%2Fa%3Apull&service=r+s");
    assert_eq!(authorization(server.requests().last().unwrap()), Some("Bearer anybody"));

    std::fs::remove_dir_all(bench.cache()).unwrap();
    logged_in(&mut bench, &registry);
    fetch(&bench.sources(), &reference, None, None).await.unwrap();
    assert_eq!(authorization(server.requests().last().unwrap()), Some("Bearer known"));

    std::fs::remove_dir_all(bench.cache()).unwrap();
    let path = bench.dir.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"identitytoken": "r&t"}}}}}}"#)).unwrap();
    fetch(&bench.sources(), &reference, None, None).await.unwrap();
    assert_eq!(authorization(server.requests().last().unwrap()), Some("Bearer refreshed"));
    let form = String::from_utf8(tokens.requests().last().unwrap().body.clone()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=r%26t"), "{form}");

    // A password that is wrong is said to be, and nobody falls back to being anybody.
    std::fs::remove_dir_all(bench.cache()).unwrap();
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "bWU6eA=="}}}}}}"#)).unwrap();
    let said = refused(fetch(&bench.sources(), &reference, None, None).await).to_string();
    for part in ["refuses the login that is known", "UNAUTHORIZED: who?", &format!("docker login {registry}")] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_password_is_not_sent_in_the_clear_for_an_encrypted_registry() {
    let mut bench = Bench::new();
    let authority = Authority::new(bench.dir.path());
    bench.config.roots = Some(authority.roots.clone());
    let tokens = Server::start(None, |_, _| Reply::ok("application/json", br#"{"token": "t"}"#)).await;
    let realm = tokens.url("/token");
    let server = Server::start(Some(authority.server(&["127.0.0.1"])), move |_, _| {
        Reply::status(401, &format!("www-authenticate: Bearer realm=\"{realm}\"\r\n"), b"")
    })
    .await;
    let registry = server.address.to_string();
    bench.config.transports = [(registry.clone(), Transport::Tls)].into();
    logged_in(&mut bench, &registry);
    let error = refused(fetch(&bench.sources(), &server.oci("team/a:1"), None, None).await);
    assert!(matches!(error, FetchError::Redirect { .. }) && error.to_string().contains("plain http"), "{error}");
    assert_eq!(tokens.count(), 0);
}

#[tokio::test]
async fn a_password_does_not_follow_a_redirect_to_another_server() {
    let mut bench = Bench::new();
    let store = Server::start(None, |_, _| Reply::ok("application/octet-stream", &component(1))).await;
    let blob = store.url("/somewhere?signature=1");
    let server =
        Server::start(None, move |request, _| match (authorization(request), request.path.contains("/blobs/")) {
            (Some("Basic bWU6cDp3"), true) => Reply::redirect(&blob),
            (Some("Basic bWU6cDp3"), false) => honest(request, &component(1)),
            _ => Reply::status(401, "www-authenticate: Basic realm=\"r\"\r\n", b""),
        })
        .await;
    let registry = server.address.to_string();
    logged_in(&mut bench, &registry);
    let fetched = fetch(&bench.sources(), &server.oci("team/a:1"), None, None).await.unwrap();
    assert_eq!(fetched.digest, sha256(&component(1)));
    assert_eq!((store.count(), authorization(&store.requests()[0])), (1, None));
}

#[tokio::test]
async fn a_registry_that_lies_or_breaks_is_found_out() {
    let bench = Bench::new();
    let big = format!("{}{}", manifest(&component(1)), " ".repeat(5 << 20));
    let server = Server::start(None, move |request, n| match &*request.path {
        "/v2/lie/manifests/1" => {
            Reply::status(200, &format!("docker-content-digest: sha256:{}\r\n", sha256(b"x")), manifest(b"").as_bytes())
        }
        "/v2/page/manifests/1" => Reply::ok("text/html", b"<html>"),
        "/v2/type/manifests/1" => Reply::ok("image/png", b"x"),
        "/v2/big/manifests/1" => Reply::ok(MANIFEST, big.as_bytes()),
        "/v2/huge/manifests/1" => {
            Reply::ok(MANIFEST, manifest(b"").replace("\"size\":0", "\"size\":99999999").as_bytes())
        }
        path if path.ends_with("/manifests/1") => Reply::ok(MANIFEST, manifest(&component(1)).as_bytes()),
        path if path.contains("/manifests/sha256:") => Reply::ok(MANIFEST, manifest(&component(1)).as_bytes()),
        path if path.starts_with("/v2/other/blobs/") => Reply::ok("x/y", &component(2)),
        path if path.starts_with("/v2/short/blobs/") => Reply::ok("x/y", &component(1)[..9]),
        path if path.starts_with("/v2/long/blobs/") => Reply::ok("x/y", &[0; 100]),
        path if path.starts_with("/v2/late/blobs/") && n % 3 != 0 => Reply::status(500, "", b""),
        _ => Reply::ok("x/y", &component(1)),
    })
    .await;
    let sources = bench.sources();
    for (reference, says) in [
        ("lie:1", "it says that its manifest has sha256"),
        ("page:1", "is a web page"),
        ("type:1", "\"image/png\", which is no manifest's"),
        ("big:1", "too big"),
        ("huge:1", "too big: 99999999 bytes, and the limit is 64MiB"),
        ("other:1", "is not what the registry's manifest says"),
        ("short:1", "is not what the registry's manifest says"),
        ("long:1", "it sends more than the 16 bytes"),
        (&format!("a@sha256:{}", sha256(b"x")), "is not what the reference says"),
    ] {
        let said = refused(fetch(&sources, &server.oci(reference), None, None).await).to_string();
        assert!(said.contains(says), "{reference}: {said}");
    }
    assert!(bench.kept().iter().all(|name| !name.ends_with(".wasm")), "{:?}", bench.kept());
    fetch(&sources, &server.oci("late:1"), None, None).await.unwrap();
}

#[tokio::test]
async fn a_push_survives_a_registry_that_stumbles() {
    let bench = Bench::new();
    let server = Server::start(None, |request, n| match &*request.method {
        // The first beginning of an upload, an upload, and the manifest.
        _ if matches!(n, 1 | 4 | 10 | 14) => Reply::status(503, "", b""),
        "HEAD" => Reply::raw("HTTP/1.1 404 x\r\n\r\n"),
        "POST" => Reply::status(202, "location: /v2/team/a/blobs/uploads/1?state=s\r\n", b""),
        _ => Reply::status(201, "", b""),
    })
    .await;
    let artifact = artifact();
    let pushed = bench.sources().push(&server.oci("team/a:1"), component(1).into(), &artifact).await.unwrap();
    assert_eq!((pushed.sha256, pushed.size), (sha256(&component(1)), 16));
    let requests = server.requests();
    assert_eq!(requests.len(), 16);
    let last = requests.last().unwrap();
    assert_eq!((&*last.method, &*last.path), ("PUT", "/v2/team/a/manifests/1"));
    assert_eq!(pushed.resolved, server.oci(&format!("team/a@sha256:{}", sha256(&last.body))));
    let upload = format!("/v2/team/a/blobs/uploads/1?state=s&digest=sha256%3A{}", sha256(&component(1)));
    assert!(requests.iter().any(|it| it.method == "PUT" && it.path == upload && it.body == component(1)));
}

fn artifact() -> Artifact {
    Artifact {
        created: SystemTime::UNIX_EPOCH,
        author: None,
        exports: vec!["homeostat:plugin/instance@0.1.0".into()],
        imports: Vec::new(),
        annotations: Default::default(),
    }
}

#[tokio::test]
async fn what_cannot_be_pushed_is_refused_before_anything_is_sent() {
    let mut bench = Bench::new();
    let server = Server::start(None, |_, _| Reply::status(500, "", b"")).await;
    let sources = bench.sources();
    let said = async |reference: &str, file: Vec<u8>| {
        sources.push(&server.oci(reference), file.into(), &artifact()).await.unwrap_err().to_string()
    };
    let digest = format!("a@sha256:{}", sha256(b"x"));
    assert!(said(&digest, component(1)).await.contains("push to a tag"));
    assert!(said("a:1", b"hello".to_vec()).await.contains("no WebAssembly component"));
    assert!(said("a:1", b"\0asm\x01\0\0\0".to_vec()).await.contains("no WebAssembly component"));
    assert!(said("A:1", component(1)).await.contains("is no repository"));
    bench.config.size = 15;
    let error = bench.sources().push(&server.oci("a:1"), component(1).into(), &artifact()).await.unwrap_err();
    assert!(error.to_string().contains("too big: 16 bytes"), "{error}");
    assert_eq!(server.count(), 0);
}
