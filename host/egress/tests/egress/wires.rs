//! What stands between a plugin and the network: tapes and faults.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use homeostat_core::grant::HttpGrant;
use homeostat_egress::wire::{FailExchange, How, Match, Recorder, Redactor, Replayer, Verdict, Wire};
use homeostat_egress::{Access, EgressError, GuestCode, Secret, Timeouts};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;

use crate::common::{PATIENT, Reply, Server, all_of, get, granted, ok, read, request, send, text};

/// Keeps what it sees.
#[derive(Default)]
struct Watcher {
    asked: Mutex<Vec<(u64, Request<Bytes>)>>,
    ended: Mutex<Vec<Result<Response<Bytes>, GuestCode>>>,
}

impl Wire for Watcher {
    fn decide(&self, number: u64, request: &Request<Bytes>) -> Verdict {
        self.asked.lock().unwrap().push((number, request.clone()));
        Verdict::PASS
    }

    fn ended(&self, _: u64, _: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        self.ended.lock().unwrap().push(answer.cloned().map_err(EgressError::guest_code));
    }
}

#[tokio::test]
async fn a_wire_sees_what_was_allowed_and_no_secret() {
    let server = Server::new(|_, got| ok(&format!("you are {}", got.header("x-key").unwrap()))).await;
    let watcher = Arc::new(Watcher::default());
    let egress = granted([HttpGrant::to(server.url())]).injecting("X-Key", "Key ", "s3cr3t").egress();
    egress.interpose(Some(watcher.clone()));
    assert!(get(&egress, "http://127.0.0.1:1/").await.is_err());
    let asked =
        request("POST", &format!("{}/a?b", server.url())).header("x-own", "1").body(Full::from("body")).unwrap();
    let answer = send(&egress, asked).await.unwrap();
    assert_eq!(read(answer.into_body()).await.unwrap(), "you are Key s3cr3t");
    let asked = std::mem::take(&mut *watcher.asked.lock().unwrap());
    let [(1, seen)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((seen.uri().to_string(), &seen.body()[..]), (format!("{}/a?b", server.url()), &b"body"[..]));
    assert_eq!(
        (&seen.headers()["x-own"], &seen.headers()["x-key"]),
        (&"1".parse().unwrap(), &"(redacted)".parse().unwrap())
    );
    let ended = std::mem::take(&mut *watcher.ended.lock().unwrap());
    assert_eq!(&ended[0].as_ref().unwrap().body()[..], b"you are Key (redacted)");
    assert!(!format!("{asked:?} {ended:?}").contains("s3cr3t"));
    // Taken away, it sees nothing more.
    egress.interpose(None);
    text(&egress, &server.url()).await.unwrap();
    assert_eq!(watcher.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_tape_is_played_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape.jsonl");
    let redactor = || Redactor::new([Secret::new("known-to-the-guest".into())]);
    let server = Server::new(|number, got| match got.line() {
        "GET /gone HTTP/1.1" => Reply::Close,
        line => ok(&format!("{number} {line} {}", String::from_utf8_lossy(&got.body))),
    })
    .await;
    let grant = HttpGrant::to(server.url());
    let recorder = Arc::new(Recorder::create(&path, redactor()).unwrap());
    let egress = granted([grant.clone()]).injecting("Authorization", "Bearer ", "s3cr3t").egress();
    egress.interpose(Some(recorder.clone()));
    let url = server.url();
    let play = async |egress: &homeostat_egress::Egress| {
        let mut said = Vec::new();
        for (method, path, body) in [
            ("POST", "/vm", "{\"n\":1}"),
            ("GET", "/vm", ""),
            ("GET", "/vm", ""),
            ("GET", "/gone", ""),
            ("POST", "/sign", "known-to-the-guest"),
        ] {
            let asked = request(method, &format!("{url}{path}")).body(Full::from(body)).unwrap();
            said.push(match send(egress, asked).await {
                Ok(answer) => read(answer.into_body()).await.unwrap().replace("known-to-the-guest", "(redacted)"),
                Err(error) => error.guest_code().to_string(),
            });
        }
        said
    };
    let first = play(&egress).await;
    assert_eq!(first[3], "connection-terminated");
    assert_eq!(recorder.finish().unwrap(), 5);
    let tape = fs::read_to_string(&path).unwrap();
    assert!(!tape.contains("s3cr3t") && !tape.contains("known-to-the-guest"), "{tape}");
    drop(server);

    for mode in [Match::InOrder, Match::Anywhere] {
        let replayer = Arc::new(Replayer::open(&path, mode, redactor()).unwrap());
        // Without the secret, and without the server.
        let mut setting = granted([grant.clone()]).injecting("Authorization", "Bearer ", "s3cr3t");
        setting.secrets.clear();
        let egress = setting.egress();
        egress.interpose(Some(replayer.clone()));
        assert_eq!(play(&egress).await, first);
        replayer.finish().unwrap();
        let refused = get(&egress, &format!("{url}/vm")).await.unwrap_err();
        assert!(refused.to_string().contains("after 5 of 5 exchanges it is at its end"), "{refused}");
        assert!(matches!(refused.guest_code(), GuestCode::InternalError(Some(text)) if text.contains("the tape")));
        assert_eq!(egress.counts().connections, 0);
        // What is not granted is not on any tape.
        assert!(get(&egress, "http://other.example/").await.unwrap_err().is_denial());
    }
}

/// A server that makes a thing at each POST, and one that fails the k-th exchange.
async fn struck(k: u64, how: How) -> (Server, Arc<AtomicU64>, Arc<homeostat_egress::Egress>, Arc<FailExchange>) {
    let made = Arc::new(AtomicU64::new(0));
    let counted = made.clone();
    let server = Server::new(move |_, _| {
        counted.fetch_add(1, SeqCst);
        ok("made")
    })
    .await;
    let fault = Arc::new(FailExchange::new(k, how));
    let egress = granted([HttpGrant::to(server.url())]).egress();
    egress.interpose(Some(fault.clone()));
    (server, made, egress, fault)
}

#[tokio::test]
async fn each_fault_strikes_the_kth_exchange_alone() {
    let late = Duration::from_millis(300);
    for (how, told, effects) in [
        (How::Refused, "connection-refused", 2),
        (How::Status(StatusCode::INTERNAL_SERVER_ERROR), "500", 2),
        (How::Throttled(7), "429", 2),
        (How::Slow(late), "200", 3),
        (How::Lost, "connection-terminated", 3),
    ] {
        let (server, made, egress, fault) = struck(2, how).await;
        let mut said = Vec::new();
        let mut took = Vec::new();
        for _ in 0..3 {
            let before = Instant::now();
            let asked = request("POST", &server.url()).body(Full::from("x")).unwrap();
            said.push(match send(&egress, asked).await {
                Ok(answer) => {
                    if answer.status() == 429 {
                        assert_eq!(answer.headers()["retry-after"], "7");
                    }
                    answer.status().as_str().to_owned()
                }
                Err(error) => error.guest_code().to_string(),
            });
            took.push(before.elapsed());
        }
        assert_eq!(said, ["200", told, "200"], "{how:?}");
        assert_eq!((made.load(SeqCst), fault.seen()), (effects, 3), "{how:?}");
        assert_eq!(took[1] >= late, how == How::Slow(late), "{how:?} {took:?}");
        assert_eq!(egress.counts().in_flight, 0);
    }
}

#[tokio::test]
async fn an_answer_that_is_later_than_the_guest_waits_is_lost() {
    let (server, made, egress, _) = struck(1, How::Slow(Duration::from_secs(60))).await;
    let short = Timeouts { first_byte: Duration::from_millis(200), ..PATIENT };
    let asked = request("POST", &server.url()).body(Full::<Bytes>::from("x")).unwrap();
    let before = Instant::now();
    let failed = egress.send(asked, Access::Full, short).await.unwrap_err();
    assert_eq!(failed.guest_code(), GuestCode::HttpResponseTimeout);
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(made.load(SeqCst), 1, "the server did its part");
}

#[tokio::test]
async fn faults_strike_tapes_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape.jsonl");
    let server = Server::new(|_, _| ok("made")).await;
    let recorder = Arc::new(Recorder::create(&path, Redactor::default()).unwrap());
    let egress = granted([HttpGrant::to(server.url())]).egress();
    egress.interpose(Some(recorder));
    text(&egress, &server.url()).await.unwrap();
    let tape = Arc::new(Replayer::open(&path, Match::InOrder, Redactor::default()).unwrap());
    egress.interpose(Some(Arc::new(FailExchange::new(1, How::Lost).over(tape.clone()))));
    let failed = text(&egress, &server.url()).await.unwrap_err();
    assert_eq!(failed.guest_code(), GuestCode::ConnectionTerminated);
    tape.finish().unwrap();
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn whole_bodies_are_bounded() {
    let server = Server::new(|_, _| Reply::Endless("HTTP/1.1 200 OK\r\n\r\n".into(), "x".repeat(1 << 16))).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    egress.interpose(Some(Arc::new(Watcher::default())));
    let asked = request("POST", &server.url()).body(Full::from(vec![b'x'; (1 << 20) + 1])).unwrap();
    let refused = send(&egress, asked).await.unwrap_err();
    assert_eq!(refused.guest_code(), GuestCode::HttpRequestBodySize(1 << 20), "{}", all_of(&refused));
    let refused = get(&egress, &server.url()).await.unwrap_err();
    assert_eq!(refused.guest_code(), GuestCode::HttpResponseBodySize(16 << 20), "{refused}");
}
