//! Against a real registry: a process of `docker-registry` (of the package of that name; `make registry` installs it) for
//! each test, on a free port of loopback, with a configuration of its own. Where the program is missing, the tests say so
//! and are skipped.

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use homeostat_core::outcome::chain;
use homeostat_source::{Artifact, Credentials, FetchError, Transport, sha256};
use support::*;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A user `me` with the password `correct horse`.
const HTPASSWD: &str = "me:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n";

/// A registry of this test's own, ended with it.
struct Registry {
    process: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
    }
}

impl Registry {
    /// Start one. None, with the reason printed, where there is no program to start.
    fn start(more: impl FnOnce(&Path) -> String) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.yml");
        let storage = dir.path().join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n{}",
            storage.display(),
            more(dir.path())
        );
        fs::write(&config, text).unwrap();
        let started = Command::new("docker-registry")
            .args(["serve".as_ref(), config.as_os_str()])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: there is no docker-registry in the PATH; `make registry` installs it");
                return None;
            }
            Err(error) => panic!("docker-registry: {error}"),
        };
        // It says where it listens, and goes on to talk: somebody has to read that.
        let (said, heard) = mpsc::channel();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let address = line
                    .split("listening on ")
                    .nth(1)
                    .map(|rest| rest.split([',', '"', ' ']).next().unwrap_or_default().to_owned());
                said.send(address.ok_or(line)).ok();
            }
        });
        let mut lines = Vec::new();
        loop {
            match heard.recv_timeout(Duration::from_secs(20)) {
                Ok(Ok(address)) => return Some(Self { process, address, _dir: dir }),
                Ok(Err(line)) => lines.push(line),
                Err(_) => {
                    process.kill().ok();
                    panic!("docker-registry does not listen: {lines:#?}");
                }
            }
        }
    }

    fn open() -> Option<Self> {
        Self::start(|_| "http: {addr: '127.0.0.1:0'}\n".into())
    }

    fn end(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }

    fn oci(&self, path: &str) -> String {
        format!("oci://{}/{path}", self.address)
    }

    /// A request without this crate's help.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: {IMAGE}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(end + 4))
    }

    /// The bytes of a blob or a manifest.
    fn read(&self, path: &str) -> Vec<u8> {
        let (status, body) = self.ask("GET", path, "", b"");
        assert_eq!(status, 200, "{path}");
        body
    }
}

fn artifact() -> Artifact {
    Artifact {
        created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        author: Some("me".into()),
        exports: vec!["homeostat:plugin/instance@0.1.0".into()],
        imports: vec!["wasi:clocks/monotonic-clock@0.2.0".into()],
        annotations: [("org.opencontainers.image.source".to_owned(), "https://example.com".to_owned())].into(),
    }
}

#[tokio::test]
async fn what_is_pushed_is_pulled_by_tag_and_by_digest() {
    let Some(registry) = Registry::open() else { return };
    let (author, user) = (Bench::new(), Bench::new());
    let reference = registry.oci("team/greeter:1.0");
    let pushed = author.sources().push(&reference, component(1).into(), &artifact()).await.unwrap();
    assert_eq!((pushed.sha256.clone(), pushed.size), (sha256(&component(1)), 16));

    let by_tag = fetch(&user.sources(), &reference, None, None).await.unwrap();
    assert_eq!((&by_tag.digest, &by_tag.resolved), (&pushed.sha256, &pushed.resolved));
    assert_eq!(fs::read(&by_tag.path).unwrap(), component(1));
    assert!(!by_tag.from_cache);
    let by_digest = fetch(&Bench::new().sources(), &pushed.resolved, Some(&pushed.sha256), None).await.unwrap();
    assert_eq!((&by_digest.digest, &by_digest.resolved), (&by_tag.digest, &by_tag.resolved));

    let missing = refused(fetch(&user.sources(), &registry.oci("team/greeter:2.0"), None, None).await).to_string();
    assert!(missing.contains("answers 404: MANIFEST_UNKNOWN"), "{missing}");

    // The same file with the same words is the same artifact.
    let again = author.sources().push(&registry.oci("team/greeter:1"), component(1).into(), &artifact()).await.unwrap();
    assert_eq!(again.resolved, pushed.resolved);
}

#[tokio::test]
async fn an_artifact_has_the_form_that_wasm_tools_agree_on() {
    let Some(registry) = Registry::open() else { return };
    Bench::new().sources().push(&registry.oci("a:1"), component(1).into(), &artifact()).await.unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&registry.read("/v2/a/manifests/1")).unwrap();
    let digest = format!("sha256:{}", sha256(&component(1)));
    assert_eq!(manifest["mediaType"], IMAGE);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    let layer = serde_json::json!({"mediaType": "application/wasm", "digest": digest, "size": 16});
    assert_eq!(manifest["layers"], serde_json::json!([layer]));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.source"], "https://example.com");
    let config = registry.read(&format!("/v2/a/blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
    let expected = serde_json::json!({
        "created": "2023-11-14T22:13:20Z",
        "author": "me",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest],
        "component": {
            "exports": ["homeostat:plugin/instance@0.1.0"],
            "imports": ["wasi:clocks/monotonic-clock@0.2.0"],
        },
    });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&config).unwrap(), expected);
}

#[tokio::test]
async fn a_tag_that_moves_moves_nobody_who_has_a_lock() {
    let Some(registry) = Registry::open() else { return };
    let bench = Bench::new();
    let reference = registry.oci("a:stable");
    let first = bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap();
    let locked = fetch(&bench.sources(), &reference, None, None).await.unwrap().lock(&parse(&reference));
    assert_eq!((&locked.source, &locked.resolved), (&reference, &first.resolved));
    let second = bench.sources().push(&reference, component(2).into(), &artifact()).await.unwrap();

    // Here, and on a machine that has nothing but the lock file.
    for bench in [&bench, &Bench::new()] {
        let kept = fetch(&bench.sources(), &reference, None, Some(&locked)).await.unwrap();
        assert_eq!((&kept.digest, &kept.resolved), (&first.sha256, &first.resolved));
    }
    let renewed = refresh(&bench.sources(), &reference, Some(&locked)).await.unwrap();
    assert_eq!((&renewed.digest, &renewed.resolved), (&second.sha256, &second.resolved));
    // A pin holds against the tag as well.
    let pinned = refused(fetch(&Bench::new().sources(), &reference, Some(&first.sha256), None).await).to_string();
    assert!(pinned.contains("the pin") && pinned.contains(&second.sha256), "{pinned}");

    // The registry loses what is locked: then the tag is asked, and means something else.
    let manifest = first.resolved.split('@').nth(1).unwrap();
    assert_eq!(registry.ask("DELETE", &format!("/v2/a/manifests/{manifest}"), "", b"").0, 202);
    let error = refused(fetch(&Bench::new().sources(), &reference, None, Some(&locked)).await).to_string();
    for part in ["refused", "the lock file", &first.sha256, &second.sha256, &*reference, ADVICE] {
        assert!(error.contains(part), "{error}");
    }
    // It is still here.
    assert!(fetch(&bench.sources(), &reference, None, Some(&locked)).await.unwrap().from_cache);
}

#[tokio::test]
async fn without_its_registry_a_host_has_what_it_had() {
    let Some(mut registry) = Registry::open() else { return };
    let bench = Bench::new();
    let reference = registry.oci("a:1");
    let pushed = bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap();
    let locked = fetch(&bench.sources(), &reference, None, None).await.unwrap().lock(&parse(&reference));
    registry.end();

    let sources = bench.sources();
    let digest = &*pushed.sha256;
    for (reference, pin, lock) in [
        (&reference, None, Some(&locked)),
        (&reference, Some(digest), None),
        (&reference, Some(digest), Some(&locked)),
        // A reference with a digest is a pin of the manifest, which is kept too.
        (&pushed.resolved, None, None),
    ] {
        let fetched = fetch(&sources, reference, pin, lock).await.unwrap();
        assert_eq!((&*fetched.digest, fetched.from_cache), (digest, true));
        assert!(fetched.unreachable.is_none());
        assert_eq!(fs::read(fetched.path).unwrap(), component(1));
    }
    let stale = refresh(&sources, &reference, Some(&locked)).await.unwrap();
    assert_eq!((&*stale.digest, stale.from_cache), (digest, true));
    assert!(matches!(stale.unreachable, Some(FetchError::Unreachable { .. })));

    assert!(matches!(refused(fetch(&sources, &reference, None, None).await), FetchError::Unreachable { .. }));
    let elsewhere = Bench::new();
    let error = refused(fetch(&elsewhere.sources(), &reference, None, Some(&locked)).await);
    assert!(chain(&error).contains("cannot reach http://127.0.0.1"), "{}", chain(&error));

    // Nothing that a fetch keeps is removed with what nobody uses.
    assert_eq!(sources.prune(&[digest.to_owned()].into()).unwrap(), 0);
    assert_eq!(sources.prune(&Default::default()).unwrap(), 2);
    assert!(bench.kept().is_empty());
}

#[tokio::test]
async fn an_image_is_no_plugin() {
    let Some(registry) = Registry::open() else { return };
    let bench = Bench::new();
    // The blobs come with a push of a plugin; a manifest may name them as what they are not.
    bench.sources().push(&registry.oci("a:1"), component(1).into(), &artifact()).await.unwrap();
    let mut image: serde_json::Value = serde_json::from_slice(&registry.read("/v2/a/manifests/1")).unwrap();
    image["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    image["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
    let image = image.to_string();
    assert_eq!(registry.ask("PUT", "/v2/a/manifests/image", IMAGE, image.as_bytes()).0, 201);
    let index = "application/vnd.oci.image.index.v1+json";
    let entry = serde_json::json!({
        "mediaType": IMAGE, "digest": format!("sha256:{}", sha256(image.as_bytes())), "size": image.len(),
        "platform": {"os": "linux", "architecture": "riscv64"},
    });
    let list = serde_json::json!({"schemaVersion": 2, "mediaType": index, "manifests": [entry]}).to_string();
    assert_eq!(registry.ask("PUT", "/v2/a/manifests/index", index, list.as_bytes()).0, 201);

    for (tag, says) in [("image", "is a container image with a layer of type"), ("index", "(for linux/riscv64)")] {
        let said = refused(fetch(&bench.sources(), &registry.oci(&format!("a:{tag}")), None, None).await).to_string();
        assert!(said.contains(says) && said.contains("homeostat plugin push"), "{said}");
    }
}

#[tokio::test]
async fn a_registry_with_passwords_takes_those_of_docker_login() {
    let with_passwords = |dir: &Path| {
        let path = dir.join("htpasswd");
        fs::write(&path, HTPASSWD).unwrap();
        format!("http: {{addr: '127.0.0.1:0'}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display())
    };
    let Some(registry) = Registry::start(with_passwords) else { return };
    let mut bench = Bench::new();
    let reference = registry.oci("a:1");

    let said = bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap_err().to_string();
    assert!(said.contains("somebody who is not logged in") && said.contains("docker login 127.0.0.1:"), "{said}");
    let path = bench.dir.path().join("config.json");
    bench.config.credentials = Credentials::File(path.clone());
    let log_in = |auth: &str| {
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.address);
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    // me:wrong, and me:correct horse
    log_in("bWU6d3Jvbmc=");
    let said = bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap_err().to_string();
    assert!(said.contains("refuses the login that is known for it"), "{said}");
    log_in("bWU6Y29ycmVjdCBob3JzZQ==");
    bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap();
    fetch(&bench.sources(), &reference, None, None).await.unwrap();

    bench.config.credentials = Credentials::Anonymous;
    let error = refused(fetch(&bench.sources(), &reference, None, None).await);
    assert!(matches!(error, FetchError::Login { .. }), "{error}");
}

#[tokio::test]
async fn a_registry_of_a_private_authority_is_believed_when_its_root_is_named() {
    let mut bench = Bench::new();
    let authority = Authority::new(bench.dir.path());
    let encrypted = |dir: &Path| {
        let (certificate, key) = authority.pem("localhost");
        let (certificate_path, key_path) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&certificate_path, certificate).unwrap();
        fs::write(&key_path, key).unwrap();
        let (certificate, key) = (certificate_path.display(), key_path.display());
        format!("http: {{addr: '127.0.0.1:0', tls: {{certificate: {certificate}, key: {key}}}}}\n")
    };
    let Some(registry) = Registry::start(encrypted) else { return };
    let named = registry.address.replace("127.0.0.1", "localhost");
    let reference = format!("oci://{named}/a:1");
    bench.config.transports = [(named, Transport::Tls)].into();
    let error = bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap_err();
    assert!(matches!(error, FetchError::Certificate { .. }), "{}", chain(&error));
    bench.config.roots = Some(authority.roots.clone());
    bench.sources().push(&reference, component(1).into(), &artifact()).await.unwrap();
    fetch(&bench.sources(), &reference, None, None).await.unwrap();
}

#[tokio::test]
async fn a_large_plugin_goes_there_and_back() {
    let Some(registry) = Registry::open() else { return };
    let mut bench = Bench::new();
    bench.config.idle = Duration::from_secs(10);
    let mut file = component(1);
    // A custom section of 20 MiB, with a length of four LEB128 bytes.
    file.extend([0, 0x80, 0x80, 0x80, 0x0a, 0]);
    file.resize(file.len() + (20 << 20) - 1, 7);
    let reference = registry.oci("large:1");
    bench.sources().push(&reference, file.clone().into(), &artifact()).await.unwrap();
    let fetched = fetch(&bench.sources(), &reference, None, None).await.unwrap();
    assert_eq!((fetched.size, fetched.digest), (file.len() as u64, sha256(&file)));
    bench.config.size = 20 << 20;
    fs::remove_dir_all(bench.cache()).unwrap();
    let said = refused(fetch(&bench.sources(), &reference, None, None).await).to_string();
    assert!(said.contains("and the limit is 20MiB"), "{said}");
}
