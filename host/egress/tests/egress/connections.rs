//! Connections that are kept, that go stale, and that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use homeostat_core::grant::HttpGrant;
use homeostat_egress::{EgressError, GuestCode};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::common::{Reply, Server, at_once, get, granted, ok, read, request, send, text};

#[tokio::test]
async fn one_connection_carries_one_request_after_another() {
    let server = Server::new(|number, _| match number % 3 {
        0 => Reply::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".into()),
        1 => Reply::Say("HTTP/1.1 204 No Content\r\n\r\n".into()),
        _ => ok("x"),
    })
    .await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    for _ in 0..50 {
        text(&egress, &server.url()).await.unwrap();
    }
    let counts = egress.counts();
    assert_eq!((server.connections(), counts.connections, counts.reused, counts.retried), (1, 1, 49, 0));
    // Another plugin with the same grant has its own.
    let other = granted([HttpGrant::to(server.url())]).egress();
    text(&other, &server.url()).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_is_dropped_takes_its_connection_along() {
    let server = Server::new(|_, _| ok(&"x".repeat(1 << 20))).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    for number in 1..=3 {
        let mut answer = get(&egress, &server.url()).await.unwrap();
        answer.body_mut().frame().await.unwrap().unwrap();
        drop(answer);
        assert_eq!((server.connections(), egress.counts().in_flight), (number, 0));
    }
}

#[tokio::test]
async fn idle_connections_are_closed_in_time_and_bounded_in_number() {
    let server = Server::new(|_, _| ok("x")).await;
    let setting =
        granted([HttpGrant::to(server.url())]).bounded(|it| (it.idle, it.idle_for) = (2, Duration::from_millis(300)));
    let egress = setting.egress();
    let url = server.url();
    let answers = futures_util::future::join_all((0..6).map(|_| get(&egress, &url))).await;
    for answer in answers {
        read(answer.unwrap().into_body()).await.unwrap();
    }
    assert_eq!(server.connections(), 6);
    let answers = futures_util::future::join_all((0..2).map(|_| get(&egress, &url))).await;
    for answer in answers {
        read(answer.unwrap().into_body()).await.unwrap();
    }
    assert_eq!((server.connections(), egress.counts().reused), (6, 2));
    sleep(Duration::from_millis(800)).await;
    text(&egress, &url).await.unwrap();
    assert_eq!((server.connections(), egress.counts().reused), (7, 2));
}

/// Answers the first request of a connection; at the second one the connection ends without a byte.
async fn forgetful() -> Server {
    Server::new(|number, _| if number % 2 == 1 { ok("x") } else { Reply::Close }).await
}

#[tokio::test]
async fn a_stale_connection_costs_an_idempotent_request_one_more_attempt() {
    for (method, body) in [("GET", ""), ("DELETE", ""), ("PUT", "a small body")] {
        let server = forgetful().await;
        let egress = granted([HttpGrant::to(server.url())]).egress();
        text(&egress, &server.url()).await.unwrap();
        let answer = send(&egress, request(method, &server.url()).body(Full::from(body)).unwrap()).await.unwrap();
        assert_eq!(read(answer.into_body()).await.unwrap(), "x", "{method}");
        let got = server.got();
        assert_eq!((got.len(), server.connections(), egress.counts().retried), (3, 2, 1), "{method}");
        assert_eq!(got[2].body, body.as_bytes(), "{method}");
    }
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_sent_again_from_its_beginning() {
    let server = forgetful().await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    text(&egress, &server.url()).await.unwrap();
    let pieces = ["one ", "two ", "three"].map(|it| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(it))));
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let asked = request("PUT", &server.url()).body(body).unwrap();
    let answer = egress.send(asked, homeostat_egress::Access::Full, crate::common::PATIENT).await.unwrap();
    read(answer.into_body()).await.unwrap();
    let bodies: Vec<Vec<u8>> = server.got().into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, [&b""[..], b"one two three", b"one two three"]);
}

#[tokio::test]
async fn what_is_not_idempotent_is_never_sent_twice() {
    let server = forgetful().await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    text(&egress, &server.url()).await.unwrap();
    let failed = send(&egress, request("POST", &server.url()).body(Full::from("x")).unwrap()).await.unwrap_err();
    assert!(matches!(failed, EgressError::Closed(_)), "{failed}");
    assert_eq!(failed.guest_code(), GuestCode::ConnectionTerminated);
    assert_eq!((server.got().len(), egress.counts().retried), (2, 0));
}

#[tokio::test]
async fn a_fresh_connection_is_never_tried_again() {
    let server = Server::new(|_, _| Reply::Close).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let failed = get(&egress, &server.url()).await.unwrap_err();
    assert!(matches!(failed, EgressError::Closed(_)), "{failed}");
    assert_eq!((server.got().len(), egress.counts().retried, egress.counts().failed), (1, 0, 1));
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let server = Server::new(|number, _| if number == 1 { ok("x") } else { at_once("HTTP/1.1 2") }).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    text(&egress, &server.url()).await.unwrap();
    assert!(get(&egress, &server.url()).await.is_err());
    assert_eq!((server.got().len(), egress.counts().retried), (2, 0));
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_in_the_meantime_harms_nobody() {
    let server = Server::new(|_, _| at_once("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    for _ in 0..20 {
        let answer = send(&egress, request("POST", &server.url()).body(Full::from("x")).unwrap()).await.unwrap();
        assert_eq!(read(answer.into_body()).await.unwrap(), "x");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.got().len(), 20);
}

#[tokio::test]
async fn answers_that_break_off() {
    let incomplete = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for said in incomplete {
        for reset in [false, true] {
            let server = Server::new(move |_, _| if reset { Reply::Reset(said.into()) } else { at_once(said) }).await;
            let egress = granted([HttpGrant::to(server.url())]).egress();
            let failed = text(&egress, &server.url()).await.unwrap_err();
            assert_eq!(failed.guest_code(), GuestCode::HttpResponseIncomplete, "{said:?} {reset}: {failed}");
        }
    }
    for said in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n0\r\n\r\n",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nBad Header: 1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    ] {
        let server = Server::new(move |_, _| at_once(said)).await;
        let egress = granted([HttpGrant::to(server.url())]).egress();
        let failed = text(&egress, &server.url()).await.unwrap_err();
        assert_eq!(failed.guest_code(), GuestCode::HttpProtocolError, "{said:?}: {failed:?}");
    }
}

#[tokio::test]
async fn more_than_was_announced_is_not_the_next_answer() {
    let server = Server::new(|number, _| match number {
        1 => Reply::Say(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".into(),
        ),
        _ => ok("good"),
    })
    .await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    assert_eq!(text(&egress, &server.url()).await.unwrap(), "ok");
    sleep(Duration::from_millis(50)).await;
    assert_eq!(text(&egress, &server.url()).await.unwrap(), "good");
}

#[tokio::test]
async fn another_protocol_is_not_spoken() {
    let server = Server::new(|_, _| {
        Reply::Say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx".into())
    })
    .await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let failed = get(&egress, &server.url()).await.unwrap_err();
    assert_eq!(failed.guest_code(), GuestCode::HttpUpgradeFailed, "{failed}");
}

#[tokio::test]
async fn an_early_answer_does_not_leave_half_a_request_for_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    let server = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            open.spawn(async move {
                let mut got = Vec::new();
                while !got.windows(4).any(|it| it == b"\r\n\r\n") {
                    stream.read_buf(&mut got).await.unwrap();
                }
                // The head alone is enough for an answer.
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
                while stream.read_buf(&mut got).await.is_ok_and(|it| it > 0) {}
            });
        }
    });
    let egress = granted([HttpGrant::to(&url)]).egress();
    let endless = futures_util::stream::unfold((), |()| async {
        sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from("x"))), ()))
    });
    let asked = request("PUT", &url).body(StreamBody::new(endless)).unwrap();
    let answer = egress.send(asked, homeostat_egress::Access::Full, crate::common::PATIENT).await.unwrap();
    assert_eq!(read(answer.into_body()).await.unwrap(), "x");
    assert_eq!(text(&egress, &url).await.unwrap(), "x");
    assert_eq!((accepted.load(SeqCst), egress.counts().reused), (2, 0));
    server.abort();
}
