//! Files and HTTPS: what is taken, what is refused, and what is said then.

mod support;

use std::time::{Duration, Instant};

use homeostat_core::outcome::chain;
use homeostat_source::{FetchError, Lookup, Wanted, sha256};
use support::*;

#[tokio::test]
async fn a_file_is_taken_where_it_is_and_measured() {
    let bench = Bench::new();
    let sources = bench.sources();
    let path = bench.dir.path().join("a.wasm");
    std::fs::write(&path, component(1)).unwrap();
    let text = path.display().to_string();
    let fetched = fetch(&sources, &text, None, None).await.unwrap();
    assert_eq!((fetched.path, fetched.size, fetched.resolved), (path.clone(), 16, text.clone()));
    assert_eq!(fetched.digest, sha256(&component(1)));
    assert!(!fetched.from_cache && bench.kept().is_empty());

    let locked = fetch(&sources, &text, None, None).await.unwrap().lock(&parse(&text));
    fetch(&sources, &text, None, Some(&locked)).await.unwrap();
    std::fs::write(&path, component(2)).unwrap();
    let said = refused(fetch(&sources, &text, None, Some(&locked)).await).to_string();
    for part in ["the lock file", &sha256(&component(1)), &sha256(&component(2)), &*text, ADVICE] {
        assert!(said.contains(part), "{said}");
    }
    let said = refused(fetch(&sources, &text, Some(&sha256(&component(1))), None).await).to_string();
    assert!(said.contains("the pin (`Sha256`)"), "{said}");
    fetch(&sources, &text, Some(&sha256(&component(2))), None).await.unwrap();
}

#[tokio::test]
async fn what_is_no_file_is_said_to_be_none() {
    let mut bench = Bench::new();
    bench.config.size = 15;
    let sources = bench.sources();
    let dir = bench.dir.path();
    let said = |result| chain(&refused(result));
    let missing = dir.join("no.wasm").display().to_string();
    assert!(said(fetch(&sources, &missing, None, None).await).contains("No such file"));
    assert!(said(fetch(&sources, &dir.display().to_string(), None, None).await).contains("is a directory"));
    assert!(said(fetch(&sources, "/dev/null", None, None).await).contains("is a device"));
    std::fs::write(dir.join("big.wasm"), component(1)).unwrap();
    let big = dir.join("big.wasm").display().to_string();
    assert!(said(fetch(&sources, &big, None, None).await).contains("16 bytes, and the limit is 15B"));
}

#[tokio::test]
async fn a_download_is_kept_by_its_digest_and_the_network_is_not_needed_again() {
    let mut bench = Bench::new();
    let authority = Authority::new(bench.dir.path());
    bench.config.roots = Some(authority.roots.clone());
    let server =
        Server::start(Some(authority.server(&["127.0.0.1"])), |_, _| Reply::ok("application/wasm", &component(1)))
            .await;
    let url = server.https("/a.wasm?v=1");
    let digest = sha256(&component(1));

    let first = fetch(&bench.sources(), &url, None, None).await.unwrap();
    assert!(!first.from_cache && first.unreachable.is_none());
    assert_eq!((&first.digest, &first.resolved, first.size), (&digest, &url, 16));
    assert_eq!(first.path, bench.cache().join(format!("sha256/{digest}.wasm")));
    assert_eq!(std::fs::read(&first.path).unwrap(), component(1));
    let request = &server.requests()[0];
    assert_eq!((&*request.method, &*request.path), ("GET", "/a.wasm?v=1"));
    assert_eq!(request.headers["host"], server.address.to_string());
    assert!(!request.headers.contains_key("authorization"));
    assert_eq!(bench.kept(), [format!("{digest}.wasm")]);

    // Without pin and lock, what is there does not count: the server may have another one by now.
    let again = fetch(&bench.sources(), &url, None, None).await.unwrap();
    assert!(!again.from_cache);
    assert_eq!(server.count(), 2);

    drop(server);
    let locked = first.lock(&parse(&url));
    for (pin, locked) in [(Some(&*digest), None), (None, Some(&locked)), (Some(&*digest), Some(&locked))] {
        let offline = fetch(&bench.sources(), &url, pin, locked).await.unwrap();
        assert!(offline.from_cache && offline.unreachable.is_none());
        assert_eq!((&offline.digest, &offline.path), (&digest, &first.path));
    }
    let error = refused(fetch(&bench.sources(), &url, None, None).await);
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
}

#[tokio::test]
async fn what_was_changed_in_the_cache_is_not_used() {
    let bench = Bench::new();
    let server = Server::start(None, |_, _| Reply::ok("application/wasm", &component(1))).await;
    let url = server.url("/a.wasm");
    let sources = bench.sources();
    let first = fetch(&sources, &url, None, None).await.unwrap();
    std::fs::write(&first.path, component(2)).unwrap();
    let again = fetch(&sources, &url, Some(&first.digest), None).await.unwrap();
    assert!(!again.from_cache);
    assert_eq!(std::fs::read(&again.path).unwrap(), component(1));

    std::fs::write(&first.path, component(2)).unwrap();
    drop(server);
    let error = refused(fetch(&sources, &url, Some(&first.digest), None).await);
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert!(bench.kept().is_empty());
}

#[tokio::test]
async fn pin_and_lock_are_held_against_the_server_and_against_each_other() {
    let bench = Bench::new();
    let server = Server::start(None, |_, n| Reply::ok("application/wasm", &component(n as u32))).await;
    let (url, sources) = (server.url("/a.wasm"), bench.sources());
    let locked = fetch(&sources, &url, None, None).await.unwrap().lock(&parse(&url));
    std::fs::remove_dir_all(bench.cache().join("sha256")).unwrap();
    let sources = bench.sources();

    let error = refused(fetch(&sources, &url, None, Some(&locked)).await);
    let said = error.to_string();
    for part in ["refused", "the lock file", &locked.sha256, &sha256(&component(1)), &url, ADVICE] {
        assert!(said.contains(part), "{said}");
    }
    let pin = sha256(b"something else");
    let said = refused(fetch(&sources, &url, Some(&pin), None).await).to_string();
    assert!(said.contains("the pin") && said.contains(&pin) && said.contains(&sha256(&component(2))), "{said}");
    assert!(bench.kept().is_empty(), "{:?}", bench.kept());

    let before = server.count();
    let error = refused(fetch(&sources, &url, Some(&pin), Some(&locked)).await);
    assert!(matches!(error, FetchError::Contradiction { .. }), "{error}");
    let error = refused(fetch(&sources, &server.url("/b.wasm"), None, Some(&locked)).await);
    assert!(matches!(error, FetchError::Elsewhere { .. }) && error.to_string().contains("/a.wasm"), "{error}");
    let error = refused(fetch(&sources, &url, Some("ABC"), None).await);
    assert!(matches!(error, FetchError::Pin { .. }), "{error}");
    assert_eq!(server.count(), before, "nobody was asked for what cannot be");

    // On request the lock is renewed, and the pin still holds.
    let renewed = refresh(&sources, &url, Some(&locked)).await.unwrap();
    assert_eq!(renewed.digest, sha256(&component(3)));
    let wanted = Wanted { pin: Some(&pin), locked: None, lookup: Lookup::Anew, advice: ADVICE };
    let error = refused(sources.fetch(&parse(&url), &wanted).await);
    assert!(matches!(error, FetchError::Mismatch { .. }), "{error}");
    let before = server.count();
    let wanted = Wanted { pin: Some(&renewed.digest), locked: Some(&locked), lookup: Lookup::Anew, advice: ADVICE };
    let pinned = sources.fetch(&parse(&url), &wanted).await.unwrap();
    assert_eq!((pinned.digest, pinned.from_cache, server.count()), (renewed.digest.clone(), true, before));
}

#[tokio::test]
async fn a_source_is_checked_without_asking_it() {
    let sources = Bench::new().sources();
    for good in ["/a.wasm", "https://example.invalid/a.wasm", "oci://example.invalid/a:1", "http://127.0.0.1:1/a"] {
        sources.check(&parse(good)).unwrap();
    }
    for bad in ["http://example.invalid/a.wasm", "https://[/a", "https://me@example.invalid/", "oci://a"] {
        assert!(sources.check(&parse(bad)).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn where_a_lock_cannot_be_renewed_the_locked_file_is_used_and_it_is_said() {
    let bench = Bench::new();
    let server = Server::start(None, |_, n| match n {
        0 => Reply::ok("application/wasm", &component(1)),
        _ => Reply::status(503, "", b"down for a while"),
    })
    .await;
    let (url, sources) = (server.url("/a.wasm"), bench.sources());
    let locked = fetch(&sources, &url, None, None).await.unwrap().lock(&parse(&url));
    let stale = refresh(&sources, &url, Some(&locked)).await.unwrap();
    assert_eq!((&stale.digest, stale.from_cache), (&locked.sha256, true));
    let why = stale.unreachable.expect("says why").to_string();
    assert!(why.contains("503") && why.contains("down for a while"), "{why}");
    assert_eq!(server.count(), 1 + 3, "three attempts were made");

    drop(server);
    assert!(refresh(&sources, &url, Some(&locked)).await.unwrap().unreachable.is_some());
    // Not for another source, and not against a pin.
    let other = url.replace("a.wasm", "b.wasm");
    assert!(matches!(refused(refresh(&sources, &other, Some(&locked)).await), FetchError::Unreachable { .. }));
    let pin = sha256(b"x");
    let wanted = Wanted { pin: Some(&pin), locked: Some(&locked), lookup: Lookup::Anew, advice: ADVICE };
    assert!(matches!(refused(sources.fetch(&parse(&url), &wanted).await), FetchError::Unreachable { .. }));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let mut bench = Bench::new();
    let authority = Authority::new(bench.dir.path());
    let server =
        Server::start(Some(authority.server(&["127.0.0.1"])), |_, _| Reply::ok("application/wasm", &component(1)))
            .await;
    let url = server.https("/a.wasm");
    let error = refused(fetch(&bench.sources(), &url, None, None).await);
    assert!(matches!(error, FetchError::Certificate { .. }), "{}", chain(&error));
    assert!(
        chain(&error).contains("root certificates") && chain(&error).contains("UnknownIssuer"),
        "{}",
        chain(&error)
    );

    // Trusted, but for another name.
    bench.config.roots = Some(authority.roots.clone());
    let named = server.https("/a.wasm").replace("127.0.0.1", "localhost");
    let error = refused(fetch(&bench.sources(), &named, None, None).await);
    assert!(matches!(error, FetchError::Certificate { .. }), "{}", chain(&error));
    // A lock is no reason to go on when somebody else answers.
    let locked = fetch(&bench.sources(), &url, None, None).await.unwrap().lock(&parse(&url));
    bench.config.roots = None;
    let error = refused(refresh(&bench.sources(), &url, Some(&locked)).await);
    assert!(matches!(error, FetchError::Certificate { .. }), "{}", chain(&error));
    assert_eq!(server.count(), 1, "no request was sent to who is not believed");
}

#[tokio::test]
async fn plain_http_is_for_loopback() {
    let bench = Bench::new();
    let server = Server::start(None, |_, _| Reply::ok("application/wasm", &component(1))).await;
    let sources = bench.sources();
    let local = server.url("/a.wasm").replace("127.0.0.1", "localhost");
    fetch(&sources, &local, None, None).await.unwrap();
    // Never looked up: it would be refused even if it led here.
    let error = refused(fetch(&sources, "http://example.invalid/a.wasm", None, None).await);
    assert!(matches!(error, FetchError::Plain { .. }), "{error}");
    let secret = server.url("/a.wasm").replace("http://", "http://me:hunter2@");
    let said = refused(fetch(&sources, &secret, None, None).await).to_string();
    assert!(said.contains("password") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn redirects_are_followed_where_they_weaken_nothing() {
    let mut bench = Bench::new();
    let authority = Authority::new(bench.dir.path());
    bench.config.roots = Some(authority.roots.clone());
    let plain = Server::start(None, |request, _| match &*request.path {
        "/loop" => Reply::redirect("/loop"),
        "/remote" => Reply::redirect("http://example.invalid/a.wasm"),
        "/file" => Reply::redirect("file:///etc/passwd"),
        "/nowhere" => Reply::status(302, "", b""),
        _ => Reply::ok("application/wasm", &component(1)),
    })
    .await;
    let (up, down) = (plain.url("/a.wasm"), plain.url("/a.wasm"));
    let tls = Server::start(Some(authority.server(&["127.0.0.1"])), move |request, _| match &*request.path {
        "/down" => Reply::redirect(&down),
        "/relative" => Reply::redirect("b/../a.wasm?x=1"),
        _ => Reply::ok("application/wasm", &component(2)),
    })
    .await;
    let sources = bench.sources();

    let relative = fetch(&sources, &tls.https("/relative"), None, None).await.unwrap();
    assert_eq!(relative.digest, sha256(&component(2)));
    assert_eq!(relative.resolved, tls.https("/relative"), "where it led to is not what was asked for");
    assert_eq!(tls.requests().last().unwrap().path, "/a.wasm?x=1");

    let error = refused(fetch(&sources, &tls.https("/down"), None, None).await);
    assert!(error.to_string().contains(&up) && error.to_string().contains("plain http"), "{error}");
    let before = plain.count();
    assert_eq!(before, 0, "the redirect was not followed");
    for (path, says) in
        [("/loop", "too many"), ("/remote", "plain http"), ("/file", "not of http"), ("/nowhere", "302")]
    {
        let error = refused(fetch(&sources, &plain.url(path), None, None).await);
        assert!(error.to_string().contains(says), "{path}: {error}");
    }
}

#[tokio::test]
async fn what_breaks_off_is_tried_again_and_never_kept() {
    let bench = Bench::new();
    let server = Server::start(None, |request, n| match (&*request.path, n) {
        ("/once", 0) => Reply::claiming(200, "", 16, &component(1)[..9]),
        ("/once", 1) => Reply::status(429, "retry-after: 0\r\n", b""),
        ("/chunked", _) => Reply::raw("HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n10\r\n\0asm"),
        ("/always", _) => Reply::claiming(200, "", 17, &component(1)),
        ("/garbage", _) => Reply::raw("I am no HTTP server\r\n\r\n"),
        ("/gone", _) => Reply::status(404, "", b"no such file"),
        _ => Reply::ok("application/wasm", &component(1)),
    })
    .await;
    let sources = bench.sources();
    fetch(&sources, &server.url("/once"), None, None).await.unwrap();
    assert_eq!(server.count(), 3);
    let kept = bench.kept();
    for path in ["/always", "/chunked", "/garbage"] {
        let before = server.count();
        let error = refused(fetch(&sources, &server.url(path), None, None).await);
        assert!(matches!(error, FetchError::Broken { .. }), "{path}: {}", chain(&error));
        assert_eq!(server.count() - before, 3, "{path}");
    }
    let before = server.count();
    let error = refused(fetch(&sources, &server.url("/gone"), None, None).await);
    assert!(error.to_string().ends_with("answers 404: no such file"), "{error}");
    assert_eq!(server.count() - before, 1, "what is not there is not asked for again");
    assert_eq!(bench.kept(), kept);
}

#[tokio::test]
async fn what_is_too_big_is_not_read_to_its_end() {
    let mut bench = Bench::new();
    bench.config.size = 1000;
    let big = [component(1), vec![0; 2_000_000]].concat();
    let whole = big.clone();
    let server = Server::start(None, move |request, _| match &*request.path {
        "/said" => Reply::claiming(200, "", 2_000_000, b"").hanging(),
        "/exact" => Reply::ok("application/wasm", &whole[..1000]),
        _ => Reply::raw([b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n".as_slice(), &whole].concat()),
    })
    .await;
    let sources = bench.sources();
    let said = refused(fetch(&sources, &server.url("/said"), None, None).await).to_string();
    assert!(said.contains("too big: 2000000 bytes, and the limit is 1000B"), "{said}");
    let said = refused(fetch(&sources, &server.url("/unsaid"), None, None).await).to_string();
    assert!(said.contains("goes on after the limit"), "{said}");
    assert_eq!(server.count(), 2, "it will not be smaller the next time");
    assert_eq!(fetch(&sources, &server.url("/exact"), None, None).await.unwrap().size, 1000);
}

#[tokio::test]
async fn who_is_slow_is_not_waited_for() {
    let mut bench = Bench::new();
    (bench.config.attempts, bench.config.total) = (1, Duration::from_millis(900));
    let server = Server::start(None, |request, _| match &*request.path {
        "/silent" => Reply::raw("").hanging(),
        "/stops" => Reply::claiming(200, "", 16, &component(1)[..9]).hanging(),
        _ => Reply::ok("application/wasm", &[0; 3000]).paced(100, Duration::from_millis(100)),
    })
    .await;
    let sources = bench.sources();
    for (path, says) in [
        ("/silent", "no answer came within 300ms"),
        ("/stops", "the next piece did not come within 300ms"),
        ("/drips", "it was not done within 900ms"),
    ] {
        let start = Instant::now();
        let error = refused(fetch(&sources, &server.url(path), None, None).await);
        assert!(matches!(error, FetchError::Timeout { .. }) && error.to_string().contains(says), "{path}: {error}");
        assert!(start.elapsed() < Duration::from_secs(3), "{path}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn what_is_no_plugin_is_said_to_be_none() {
    let bench = Bench::new();
    let server = Server::start(None, |request, _| match &*request.path {
        "/login" => Reply::ok("text/html; charset=utf-8", b"<!DOCTYPE html><title>Sign in</title>"),
        "/disguised" => Reply::ok("application/octet-stream", b"\n<!doctype HTML><p>hello"),
        "/gzip" => Reply::ok("application/wasm", &[0x1f, 0x8b, 8, 0]),
        "/zip" => Reply::ok("application/wasm", b"PK\x03\x04"),
        "/text" => Reply::ok("application/wasm", b"(component)"),
        "/empty" => Reply::ok("application/wasm", b""),
        _ => Reply::ok("text/plain", b"404: \x1b[31mnot found"),
    })
    .await;
    let sources = bench.sources();
    for (path, says) in [
        ("/login", "is a web page, not a plugin"),
        ("/disguised", "is a web page, not a plugin"),
        ("/gzip", "compressed with gzip"),
        ("/zip", "a zip archive"),
        ("/text", "WebAssembly text"),
        ("/empty", "it is empty"),
        ("/plain", "it begins with \"404: [31mnot found\""),
    ] {
        let said = refused(fetch(&sources, &server.url(path), None, None).await).to_string();
        assert!(said.contains(says), "{path}: {said}");
    }
    assert!(bench.kept().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_downloads_of_one_file_do_no_harm() {
    let bench = Bench::new();
    let server =
        Server::start(None, |_, _| Reply::ok("application/wasm", &component(1)).paced(6, Duration::from_millis(5)))
            .await;
    let url = server.url("/a.wasm");
    let (one, other) = (std::sync::Arc::new(bench.sources()), std::sync::Arc::new(bench.sources()));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let (sources, url) = (if n % 2 == 0 { one.clone() } else { other.clone() }, url.clone());
        tasks.spawn(async move { fetch(&sources, &url, None, None).await.unwrap().path });
    }
    while let Some(path) = tasks.join_next().await {
        assert_eq!(std::fs::read(path.unwrap()).unwrap(), component(1));
    }
    assert_eq!(bench.kept(), [format!("{}.wasm", sha256(&component(1)))]);
}

#[tokio::test]
async fn a_fetch_that_is_given_up_leaves_nothing() {
    let bench = Bench::new();
    let server =
        Server::start(None, |_, _| Reply::ok("application/wasm", &component(1)).paced(1, Duration::from_millis(50)))
            .await;
    let sources = bench.sources();
    let url = server.url("/a.wasm");
    let given_up = tokio::time::timeout(Duration::from_millis(150), fetch(&sources, &url, None, None)).await;
    assert!(given_up.is_err() && bench.kept().is_empty());
}

#[tokio::test]
async fn what_nobody_uses_can_be_removed() {
    let bench = Bench::new();
    let server = Server::start(None, |_, n| Reply::ok("application/wasm", &component(n as u32))).await;
    let sources = bench.sources();
    for _ in 0..3 {
        fetch(&sources, &server.url("/a.wasm"), None, None).await.unwrap();
    }
    let keep = [sha256(&component(1))].into();
    assert_eq!(sources.prune(&keep).unwrap(), 2);
    assert_eq!(bench.kept(), [format!("{}.wasm", sha256(&component(1)))]);
    assert_eq!(sources.prune(&keep).unwrap(), 0);
}

#[tokio::test]
async fn a_kept_file_stays_when_the_one_it_was_made_of_changes() {
    let bench = Bench::new();
    let sources = bench.sources();
    let (path, manifest) = (bench.dir.path().join("a.wasm"), bench.dir.path().join("a.manifest.json"));
    let digest = sha256(&component(1));
    std::fs::write(&path, component(1)).unwrap();
    std::fs::write(&manifest, "{}").unwrap();
    let kept = sources.keep(&path, &digest).await.unwrap();
    assert_eq!(sources.kept(&digest), kept);
    assert_eq!(std::fs::read(kept.with_extension("manifest.json")).unwrap(), b"{}");
    assert_eq!(sources.keep(&kept, &digest).await.unwrap(), kept, "what is kept already is itself");

    std::fs::write(&path, component(2)).unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), component(1));
    let meanwhile = sources.keep(&path, &sha256(&component(3))).await.unwrap_err();
    assert!(chain(&meanwhile).contains("changed meanwhile"), "{}", chain(&meanwhile));

    // A manifest that is gone must not speak on, and one that cannot be read is not the same as none.
    std::fs::write(&path, component(1)).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    sources.keep(&path, &digest).await.unwrap();
    assert!(!kept.with_extension("manifest.json").exists());
    std::fs::create_dir(&manifest).unwrap();
    assert!(matches!(sources.keep(&path, &digest).await, Err(FetchError::File { .. })));
    std::fs::remove_dir(&manifest).unwrap();

    std::fs::write(&manifest, "{}").unwrap();
    sources.keep(&path, &digest).await.unwrap();
    assert_eq!(sources.prune(&Default::default()).unwrap(), 1);
    assert!(bench.kept().is_empty(), "{:?}", bench.kept());
    assert!(!sources.kept(&digest).exists());
}
