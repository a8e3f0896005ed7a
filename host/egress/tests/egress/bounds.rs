//! How much, how many and how long.

use std::time::Duration;

use bytes::Bytes;
use homeostat_core::grant::HttpGrant;
use homeostat_egress::{Access, EgressError, GuestCode, Part, Stage, Timeouts};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep, timeout};

use crate::common::{PATIENT, Reply, Server, at_once, get, granted, ok, read, request, send, text};

#[tokio::test]
async fn no_more_requests_at_once_than_allowed() {
    let server = Server::new(|_, _| ok("0123456789")).await;
    let egress = granted([HttpGrant::to(server.url())]).bounded(|it| it.in_flight = 16).egress();
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(get(&egress, &server.url()).await.unwrap());
    }
    assert_eq!(egress.counts().in_flight, 16);
    let short = Timeouts { connect: Duration::from_millis(100), ..PATIENT };
    let asked = || request("GET", &server.url()).body(Full::<Bytes>::default()).unwrap();
    let before = Instant::now();
    let refused = egress.send(asked(), Access::Full, short).await.unwrap_err();
    assert!(matches!(refused, EgressError::Busy { limit: 16, .. }), "{refused}");
    assert_eq!(refused.guest_code(), GuestCode::ConnectionLimitReached);
    assert!((100..2000).contains(&before.elapsed().as_millis()));
    // One that ends lets the next one in, whether its answer was read or dropped.
    let waiting = {
        let egress = egress.clone();
        let asked = asked();
        tokio::spawn(async move { egress.send(asked, Access::Full, PATIENT).await })
    };
    sleep(Duration::from_millis(50)).await;
    assert_eq!(server.got().len(), 16);
    open.pop();
    open.push(waiting.await.unwrap().unwrap());
    read(open.remove(0).into_body()).await.unwrap();
    open.push(egress.send(asked(), Access::Full, short).await.unwrap());
    open.clear();
    assert_eq!(egress.counts().in_flight, 0);
}

#[tokio::test]
async fn a_request_that_is_given_up_ends_its_turn() {
    let server = Server::new(|_, _| Reply::Hang).await;
    let egress = granted([HttpGrant::to(server.url())]).bounded(|it| it.in_flight = 1).egress();
    for _ in 0..3 {
        assert!(timeout(Duration::from_millis(50), get(&egress, &server.url())).await.is_err());
        assert_eq!(egress.counts().in_flight, 0);
    }
}

#[tokio::test]
async fn slow_servers() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    let ms = Duration::from_millis;
    let short = Timeouts { connect: ms(2000), first_byte: ms(200), between_bytes: ms(200) };
    let run = async |pieces: Vec<(Duration, String)>| {
        let server = Server::new(move |_, _| Reply::Pieces(pieces.clone())).await;
        let egress = granted([HttpGrant::to(server.url())]).egress();
        let asked = request("GET", &server.url()).body(Full::<Bytes>::default()).unwrap();
        let before = Instant::now();
        let done = match egress.send(asked, Access::Full, short).await {
            Ok(answer) => read(answer.into_body()).await,
            Err(error) => Err(error),
        };
        assert!(before.elapsed() < Duration::from_secs(2));
        done.map_err(|error| (error.guest_code(), matches!(error, EgressError::Timeout { .. })))
    };
    let text = |it: &str| it.to_owned();
    // Slow, but never for too long.
    let pieces = vec![(ms(100), text(head)), (ms(100), text("ab")), (ms(100), text("c")), (ms(100), text("d"))];
    assert_eq!(run(pieces).await, Ok("abcd".into()));
    assert_eq!(run(vec![(ms(1000), text(head))]).await, Err((GuestCode::HttpResponseTimeout, true)));
    // A head that comes drop by drop counts as one.
    let drops = head.chars().map(|it| (ms(20), it.to_string())).collect();
    assert_eq!(run(drops).await, Err((GuestCode::HttpResponseTimeout, true)));
    let pieces = vec![(ms(0), text(head)), (ms(0), text("ab")), (ms(1000), text("cd"))];
    assert_eq!(run(pieces).await, Err((GuestCode::ConnectionReadTimeout, true)));
}

#[tokio::test]
async fn a_slow_guest_is_no_slow_server() {
    let ms = Duration::from_millis;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab";
    let server = Server::new(move |_, _| Reply::Pieces(vec![(ms(0), head.into()), (ms(700), "cd".into())])).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let asked = request("GET", &server.url()).body(Full::<Bytes>::default()).unwrap();
    let timeouts = Timeouts { between_bytes: ms(400), ..PATIENT };
    let mut answer = egress.send(asked, Access::Full, timeouts).await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    // Longer than the server may take; what is left of its time is short enough.
    sleep(ms(500)).await;
    assert_eq!(read(answer.into_body()).await.unwrap(), "cd");
}

#[tokio::test]
async fn times_without_measure_are_no_panic() {
    let server = Server::new(|number, _| if number == 1 { ok("x") } else { Reply::Hang }).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let ever = Timeouts { connect: Duration::MAX, first_byte: Duration::MAX, between_bytes: Duration::MAX };
    let asked = || request("GET", &server.url()).body(Full::<Bytes>::default()).unwrap();
    let answer = egress.send(asked(), Access::Full, ever).await.unwrap();
    assert_eq!(read(answer.into_body()).await.unwrap(), "x");
    let never = Timeouts { connect: Duration::ZERO, first_byte: Duration::ZERO, between_bytes: Duration::ZERO };
    let failed = egress.send(asked(), Access::Full, never).await.map(|_| ()).unwrap_err();
    assert!(matches!(failed, EgressError::Timeout { stage: Stage::FirstByte, .. }), "{failed:?}");
}

#[tokio::test]
async fn answers_without_end() {
    let piece = "x".repeat(64 << 10);
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n\r\n", piece.clone()),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", format!("10000\r\n{piece}\r\n")),
    ] {
        let server = Server::new(move |_, _| Reply::Endless(head.into(), piece.clone())).await;
        let egress = granted([HttpGrant::to(server.url())]).bounded(|it| it.response_body = 1 << 20).egress();
        let failed = text(&egress, &server.url()).await.unwrap_err();
        assert!(matches!(failed, EgressError::TooLarge { what: Part::ResponseBody, limit: 0x100000 }), "{failed}");
        assert_eq!(failed.guest_code(), GuestCode::HttpResponseBodySize(1 << 20));
        assert!(egress.counts().received < 3 << 20, "{}", egress.counts().received);
    }
    // One that says so is not even begun.
    let server = Server::new(|_, _| at_once("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n")).await;
    let egress = granted([HttpGrant::to(server.url())]).bounded(|it| it.response_body = 1 << 20).egress();
    assert!(matches!(get(&egress, &server.url()).await, Err(EgressError::TooLarge { .. })));
    // Of an answer without a body it says nothing.
    let asked = request("HEAD", &server.url()).body(Full::default()).unwrap();
    assert!(send(&egress, asked).await.is_ok());
}

#[tokio::test]
async fn heads_without_end() {
    let many: String = (0..200).map(|it| format!("h{it}: 1\r\n")).collect();
    let large = format!("h: {}\r\n", "x".repeat(80 << 10));
    for headers in [many, large] {
        let server =
            Server::new(move |_, _| at_once(&format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n"))).await;
        let egress = granted([HttpGrant::to(server.url())]).egress();
        let failed = get(&egress, &server.url()).await.unwrap_err();
        assert!(matches!(failed, EgressError::TooLarge { what: Part::ResponseHeaders, .. }), "{failed:?}");
    }
    let server = Server::new(|_, _| Reply::Endless("HTTP/1.1 200 OK\r\n".into(), "a: b\r\n".repeat(100))).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    assert!(matches!(get(&egress, &server.url()).await, Err(EgressError::TooLarge { .. })));
    assert!(egress.counts().received < 1 << 20);
    let just = (0..100).map(|it| format!("h{it}: 1\r\n")).collect::<String>();
    let server =
        Server::new(move |_, _| at_once(&format!("HTTP/1.1 200 OK\r\n{just}Content-Length: 1\r\n\r\nx"))).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    assert_eq!(text(&egress, &server.url()).await.unwrap(), "x");
}

#[tokio::test]
async fn trailers_without_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    let server = Server::new(move |_, _| Reply::Endless(head.into(), "a: b\r\n".repeat(100))).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    assert!(text(&egress, &server.url()).await.is_err());
    assert!(egress.counts().received < 4 << 20);
}

#[tokio::test]
async fn what_a_guest_sends_is_bounded() {
    let server = Server::new(|_, _| ok("x")).await;
    let egress = granted([HttpGrant::to(server.url())]).bounded(|it| it.request_body = 1000).egress();
    let url = server.url();
    let whole = |size: usize| Full::from(vec![b'x'; size]);
    assert!(send(&egress, request("POST", &url).body(whole(1000)).unwrap()).await.is_ok());
    let refused = send(&egress, request("POST", &url).body(whole(1001)).unwrap()).await.unwrap_err();
    assert_eq!(refused.guest_code(), GuestCode::HttpRequestBodySize(1000), "{refused}");
    let endless = || {
        let piece = || Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"0123456789")));
        StreamBody::new(futures_util::stream::repeat_with(piece))
    };
    let failed = egress.send(request("POST", &url).body(endless()).unwrap(), Access::Full, PATIENT).await.unwrap_err();
    assert!(matches!(failed, EgressError::TooLarge { what: Part::RequestBody, limit: 1000 }), "{failed:?}");
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn a_length_is_kept() {
    let server = Server::new(|_, _| ok("x")).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let url = server.url();
    let streamed = |pieces: &'static [&'static str]| {
        let frames = pieces.iter().map(|it| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(*it))));
        StreamBody::new(futures_util::stream::iter(frames))
    };
    for (declared, pieces, fits) in [
        ("5", &["ab", "cde"][..], true),
        ("6", &["ab", "cde"], false),
        ("4", &["ab", "cde"], false),
        ("4", &["abcd", "e"], false),
        ("1", &[], false),
    ] {
        let asked = request("POST", &url).header("content-length", declared).body(streamed(pieces)).unwrap();
        match egress.send(asked, Access::Full, PATIENT).await {
            Ok(_) => assert!(fits, "{declared}"),
            Err(error) => assert!(!fits && matches!(error, EgressError::Length { .. }), "{declared}: {error:?}"),
        }
    }
    let asked = request("POST", &url).header("content-length", "2").body(Full::from("abc")).unwrap();
    assert!(matches!(send(&egress, asked).await, Err(EgressError::Length { declared: 2, sent: 3 })));
    let asked = request("POST", &url).header("content-length", "+3").body(Full::from("abc")).unwrap();
    assert!(matches!(send(&egress, asked).await, Err(EgressError::Header { .. })));
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn a_body_of_the_guest_that_fails() {
    let server = Server::new(|_, _| ok("x")).await;
    let egress = granted([HttpGrant::to(server.url())]).egress();
    let frames = [Ok(http_body::Frame::data(Bytes::from("a"))), Err(std::io::Error::other("the guest gave up"))];
    let asked = request("POST", &server.url()).body(StreamBody::new(futures_util::stream::iter(frames))).unwrap();
    let failed = egress.send(asked, Access::Full, PATIENT).await.unwrap_err();
    assert!(matches!(failed, EgressError::RequestBody(_)), "{failed:?}");
    assert!(crate::common::all_of(&failed).contains("the guest gave up"));
    // Headers after the body are not sent; none at all are nothing.
    for (trailers, fits) in
        [(http::HeaderMap::new(), true), ([(http::header::ETAG, "x".parse().unwrap())].into_iter().collect(), false)]
    {
        let body = Full::<Bytes>::from("x").with_trailers(std::future::ready(Some(Ok(trailers))));
        let asked = request("POST", &server.url()).body(body).unwrap();
        let done = egress.send(asked, Access::Full, PATIENT).await;
        assert_eq!(done.is_ok(), fits);
        assert!(done.err().is_none_or(|it| it.guest_code() == GuestCode::HttpRequestTrailerSectionSize));
    }
}
