//! What is let through, what is refused, and what is sent.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{PATIENT, Reply, Server, all_of, get, granted, ok, read, request, send, text};
use bytes::Bytes;
use homeostat_core::grant::{HttpGrant, HttpWant, Route, SecretSource};
use homeostat_egress::{Access, Egress, EgressError, GuestCode, Secret, SecretError, Secrets, Stage, Timeouts};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

#[tokio::test]
async fn a_request_is_sent_and_answered() {
    let server = Server::new(|_, got| ok(&format!("{} {}", got.line(), got.body.len()))).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let post =
        request("POST", &format!("{}/a?b=c", server.url())).header("x-own", "1").body(Full::from("body")).unwrap();
    let answer = send(&egress, post).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(read(answer.into_body()).await.unwrap(), "POST /a?b=c HTTP/1.1 4");
    let got = &server.got()[0];
    assert_eq!(got.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!((got.header("x-own"), got.header("content-length")), (Some("1"), Some("4")));
    let counts = egress.counts();
    assert_eq!((counts.requests, counts.denied, counts.failed, counts.in_flight), (1, 0, 0, 0));
    assert!(counts.sent > 4 && counts.received > 20, "{counts:?}");
}

#[tokio::test]
async fn an_answer_fits_where_the_runtime_wants_it() {
    let server = Server::new(|_, _| ok("x")).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let url = server.url();
    // On another thread, boxed, and with an error of somebody else.
    let answer = tokio::spawn(async move { get(&egress, &url).await }).await.unwrap().unwrap();
    let body: UnsyncBoxBody<Bytes, GuestCode> = answer.into_body().map_err(|it| it.guest_code()).boxed_unsync();
    assert_eq!(&body.collect().await.unwrap().to_bytes()[..], b"x");
}

#[tokio::test]
async fn wants_and_grants_have_to_agree() {
    let server = Server::new(|_, _| ok("")).await;
    let mut setting = granted([HttpGrant {
        methods: vec!["GET".into()],
        paths: vec!["/v1/**".into()],
        ..HttpGrant::to(server.url())
    }]);
    setting.wants.http = vec![HttpWant {
        url: server.url(),
        methods: Vec::new(),
        paths: vec!["/v1/a".into(), "/v2".into()],
        why: String::new(),
    }];
    let egress = setting.egress();
    assert!(get(&egress, &format!("{}/v1/a", server.url())).await.is_ok());
    for (method, url, says) in [
        ("GET", format!("{}/v1/b", server.url()), "manifest needs"),
        ("GET", format!("{}/v2", server.url()), "--allow-http"),
        ("POST", format!("{}/v1/a", server.url()), "--allow-http"),
        ("GET", format!("{}/v1/../v1/a", server.url()), "two ways"),
        ("GET", format!("{}/v1/%2e%2e/a", server.url()), "two ways"),
        ("GET", "http://127.0.0.1:1/v1/a".into(), "--allow-http"),
        ("GET", format!("https://{}/v1/a", server.address), "--allow-http"),
    ] {
        let refused = send(&egress, request(method, &url).body(Full::default()).unwrap()).await.unwrap_err();
        assert!(matches!(refused, EgressError::Denied(_)), "{url}: {refused}");
        assert!(refused.to_string().contains(says), "{method} {url}: {refused}");
        assert!(refused.is_denial());
        assert_eq!(refused.guest_code(), GuestCode::HttpRequestDenied);
    }
    assert_eq!(server.got().len(), 1);
    assert_eq!(egress.counts().denied, 7);
}

#[tokio::test]
async fn a_call_that_only_looks_changes_nothing() {
    let server = Server::new(|_, _| ok("")).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    for (method, passes) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PUT", false),
        ("DELETE", false),
        ("get", false),
    ] {
        let asked = request(method, &server.url()).body(Full::<Bytes>::default()).unwrap();
        let done = egress.send(asked, Access::ReadOnly, PATIENT).await;
        assert_eq!(done.is_ok(), passes, "{method}");
        assert!(done.err().is_none_or(|it| it.is_denial()));
    }
    assert_eq!(server.got().len(), 3);
}

#[tokio::test]
async fn what_is_no_request_is_never_sent() {
    let server = Server::new(|_, _| ok("")).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    for method in ["CONNECT", "TRACE", &"A".repeat(41)] {
        let refused = send(&egress, request(method, &server.url()).body(Full::default()).unwrap()).await.unwrap_err();
        assert_eq!(refused.guest_code(), GuestCode::HttpRequestMethodInvalid, "{method}");
    }
    for url in ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://127.1/", "http://a..b/"] {
        let refused = get(&egress, url).await.unwrap_err();
        assert_eq!(refused.guest_code(), GuestCode::HttpRequestUriInvalid, "{url}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn redirects_are_answers_and_the_next_request_is_judged() {
    let to = "http://169.254.169.254/latest/meta-data/";
    let server = Server::new(move |_, _| {
        Reply::Say(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
    })
    .await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let answer = get(&egress, &server.url()).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (302, &to.parse().unwrap()));
    let followed = get(&egress, answer.headers()["location"].to_str().unwrap()).await.unwrap_err();
    assert!(matches!(followed, EgressError::Denied(_)));
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn a_network_in_a_grant_does_not_open_what_is_closed_in_it() {
    let egress = granted([HttpGrant::to("http://0.0.0.0/0:*"), HttpGrant::to("http://[::/0]:*")]).egress();
    for url in [
        "http://127.0.0.1:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://[::1]:1/",
        "http://169.254.169.254/",
        "http://0.0.0.0:1/",
    ] {
        let refused = get(&egress, url).await.unwrap_err();
        assert!(matches!(refused, EgressError::Address { .. }), "{url}: {refused}");
        assert!(refused.is_denial() && refused.to_string().contains("--allow-http"), "{url}: {refused}");
        assert_eq!(refused.guest_code(), GuestCode::DestinationIpProhibited);
    }
}

#[tokio::test]
async fn localhost_is_resolved_and_reached_where_it_is_named() {
    let server = Server::new(|_, got| ok(got.header("host").unwrap())).await;
    let url = format!("http://localhost:{}", server.address.port());
    let egress = granted([HttpGrant::to(&url)]).egress();
    assert_eq!(text(&egress, &url).await.unwrap(), format!("localhost:{}", server.address.port()));
}

#[tokio::test]
async fn names_that_lead_nowhere() {
    let egress = granted([HttpGrant::to("http://no-such-host.invalid")]).egress();
    let failed = get(&egress, "http://no-such-host.invalid/").await.unwrap_err();
    assert!(matches!(failed, EgressError::Dns { .. }), "{failed}");
    assert!(!failed.is_denial());
    assert_eq!(failed.guest_code(), GuestCode::DnsError);
}

#[tokio::test]
async fn a_route_leads_elsewhere_and_is_its_own_naming() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let fixed = Server::new(|_, got| ok(got.header("host").unwrap())).await;
    let unix =
        Server::unix(&socket, |_, got| ok(&format!("unix {} {}", got.header("host").unwrap(), got.line()))).await;
    let egress = granted([
        HttpGrant { via: Some(Route::Address(fixed.address)), ..HttpGrant::to("http://api.example.com") },
        HttpGrant { via: Some(Route::Unix(socket)), ..HttpGrant::to("http://docker.internal") },
        HttpGrant { via: Some(Route::Unix(folder.path().join("none"))), ..HttpGrant::to("http://none.internal") },
    ])
    .egress();
    assert_eq!(text(&egress, "http://api.example.com/").await.unwrap(), "api.example.com");
    assert_eq!(text(&egress, "http://docker.internal/v").await.unwrap(), "unix docker.internal GET /v HTTP/1.1");
    assert_eq!((fixed.connections(), unix.connections()), (1, 1));
    let failed = get(&egress, "http://none.internal/").await.unwrap_err();
    assert_eq!(failed.guest_code(), GuestCode::ConnectionRefused, "{failed}");
}

#[tokio::test]
async fn a_secret_is_injected_and_shown_nowhere() {
    let value = "s3cr3t-value-of-the-token";
    let server = Server::new(|_, got| ok(got.header("authorization").unwrap_or("none"))).await;
    let egress = granted([HttpGrant::to(server.url())]).injecting("Authorization", "Bearer ", value).egress();
    // The server may say it, and that is between the operator and the server.
    assert_eq!(text(&egress, &server.url()).await.unwrap(), format!("Bearer {value}"));

    let lines = Lines::default();
    let _guard = lines.listen();
    for own in ["authorization", "AUTHORIZATION"] {
        let asked = request("GET", &server.url()).header(own, "Bearer mine").body(Full::default()).unwrap();
        let refused = send(&egress, asked).await.unwrap_err();
        assert!(matches!(refused, EgressError::Header { .. }) && refused.is_denial(), "{refused}");
        assert_eq!(refused.guest_code(), GuestCode::HttpRequestDenied);
        assert!(!all_of(&refused).contains("s3cr3t"), "{refused:?}");
    }
    assert_eq!(server.got().len(), 1);
    assert!(!format!("{egress:?}").contains("s3cr3t"));

    let broken = Server::new(|_, _| Reply::Reset("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".into())).await;
    let egress = granted([HttpGrant::to(broken.url())]).injecting("Authorization", "Bearer ", value).egress();
    let failed = text(&egress, &broken.url()).await.unwrap_err();
    assert!(!all_of(&failed).contains("s3cr3t"), "{failed:?}");
    let said = lines.text();
    assert!(said.contains("authorization") && !said.contains("s3cr3t"), "{said}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_or_sent() {
    let server = Server::new(|_, _| ok("")).await;
    for bad in ["two\nlines", "two\r\nX-Evil: 1", "tab\there"] {
        let egress = granted([HttpGrant::to(server.url())]).injecting("X-Key", "", bad).egress();
        let refused = get(&egress, &server.url()).await.unwrap_err();
        assert!(matches!(refused, EgressError::SecretValue { .. }), "{refused}");
        assert!(!all_of(&refused).contains(bad.split_at(3).1), "{refused:?}");
        assert_eq!(refused.guest_code(), GuestCode::ConfigurationError);
    }
    let mut setting = granted([HttpGrant::to(server.url())]).injecting("X-Key", "", "x");
    setting.secrets.clear();
    let refused = get(&setting.egress(), &server.url()).await.unwrap_err();
    assert!(matches!(refused, EgressError::Secret { .. }), "{refused}");
    assert_eq!(server.connections(), 0, "a connection was made for a request that could not be sent");
}

/// Takes its time, as a file on a disk that is gone.
struct Slow(Arc<AtomicUsize>);

impl Secrets for Slow {
    fn read(&self, _: &SecretSource) -> Result<Secret, SecretError> {
        self.0.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(1500));
        Ok(Secret::new("x".into()))
    }
}

#[tokio::test]
async fn secrets_that_are_not_read_in_time_hold_no_more_threads_than_turns() {
    let server = Server::new(|_, _| ok("")).await;
    let setting = granted([HttpGrant::to(server.url())]).injecting("X-Key", "", "x").bounded(|it| it.in_flight = 2);
    let reads = Arc::new(AtomicUsize::new(0));
    let secrets = Arc::new(Slow(reads.clone()));
    let egress = Egress::new("tester", &setting.grants, &setting.wants, setting.bounds, secrets).unwrap();
    let short = Timeouts { connect: Duration::from_millis(50), ..PATIENT };
    for _ in 0..6 {
        let asked = request("GET", &server.url()).body(Full::<Bytes>::default()).unwrap();
        let failed = egress.send(asked, Access::Full, short).await.unwrap_err();
        assert!(matches!(failed, EgressError::Timeout { stage: Stage::Secrets, .. }), "{failed}");
    }
    assert_eq!((reads.load(SeqCst), server.connections()), (2, 0));
}

#[tokio::test]
async fn what_speaks_of_the_connection_stays_with_it() {
    let server = Server::new(|_, _| {
        Reply::Say("HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".into())
    })
    .await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let asked = request("GET", &server.url())
        .header("connection", "close, x-hop")
        .header("x-hop", "1")
        .header("te", "trailers");
    let answer = send(&egress, asked.header("accept", "*/*").body(Full::default()).unwrap()).await.unwrap();
    let names: Vec<&str> = answer.headers().keys().map(|it| it.as_str()).collect();
    assert_eq!(names, ["x-mine"]);
    assert_eq!(read(answer.into_body()).await.unwrap(), "ok");
    let got = &server.got()[0];
    assert_eq!((got.header("connection"), got.header("x-hop"), got.header("te")), (None, None, None));
    assert_eq!(got.header("accept"), Some("*/*"));
}

#[tokio::test]
async fn a_denial_is_one_line_with_the_grant_that_would_allow_it() {
    let egress = granted([]).egress();
    let lines = Lines::default();
    let _guard = lines.listen();
    for _ in 0..100 {
        assert!(get(&egress, "https://api.example.com/v1/x").await.is_err());
    }
    assert!(get(&egress, "https://other.example.com/").await.is_err());
    let text = lines.text();
    assert_eq!(text.lines().count(), 2, "{text}");
    let first = text.lines().next().unwrap();
    for part in ["WARN", "homeostat::grant", "tester", "--allow-http", r#"{"Http":[{"#, "https://api.example.com"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert_eq!(egress.counts().denied, 101);
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let to = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let mut ours =
            all.lines().filter(|it| it.contains("homeostat")).fold(String::new(), |text, it| text + it + "\n");
        if all.contains("s3cr3t") {
            ours += "the logs of others hold s3cr3t";
        }
        ours
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
