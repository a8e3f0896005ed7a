//! Requests to a running host, over its Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use homeostat_server::Problem;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use crate::args::Globals;

/// How long a host may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a host may take for an answer that needs no plugin.
const QUICK: Duration = Duration::from_secs(30);
/// How long a host may take for an answer that a plugin gives. A call may be allowed one hour, and wait for its turn.
const PLUGIN: Duration = Duration::from_secs(2 * 3600);
/// The longest that one request asks the host to wait; a longer wait is several requests.
const WAIT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes: some 100,000 instances with all their tags are a tenth of it.
const LARGEST: usize = 1 << 30;

/// Why a request got no answer, or not the one hoped for.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("no host answers at {} ({why}); start one with `{start}`", socket.display())]
    Unreachable {
        /// Where.
        socket: PathBuf,
        /// The command that starts one.
        start: String,
        /// Why. A part of the message, since what to do comes after it.
        why: io::Error,
    },
    /// Somebody listens and does not answer.
    #[error("the host at {} {what}; what was asked may or may not have been done", socket.display())]
    Silent {
        /// Where.
        socket: PathBuf,
        /// What happened instead.
        what: String,
    },
    /// The host said no.
    #[error("{}{}", .0.detail, if .0.diagnostics.is_empty() { "" } else { "; nothing was changed" })]
    Answered(Box<Problem>),
    /// The answer is not one of this API.
    #[error("the host at {} answers in another way than expected; are it and this command of the same version?", socket.display())]
    Strange {
        /// Where.
        socket: PathBuf,
        /// What is strange.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ClientError {
    /// The HTTP status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(problem) => Some(problem.status),
            _ => None,
        }
    }
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The group is as declared.
    Converged,
    /// The group and its instances are gone.
    Gone,
}

/// A host's client. Each request has its own connection.
pub(crate) struct Client {
    socket: PathBuf,
    start: String,
}

impl Client {
    /// A client of the host that these options name. Nothing is connected yet.
    ///
    /// # Errors
    /// Where the options do not say where the host is.
    pub(crate) fn new(globals: &Globals) -> anyhow::Result<Self> {
        Ok(Self { socket: globals.socket()?, start: globals.serve_command() })
    }

    /// Ask for something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parse(&self.send(Method::GET, path, None, QUICK).await?)
    }

    /// Ask for something that the host may wait so long for.
    pub(crate) async fn get_within<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, ClientError> {
        self.parse(&self.send(Method::GET, path, None, wait + QUICK).await?)
    }

    /// Ask for something to be done that involves a plugin.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error))?;
        self.parse(&self.send(Method::POST, path, Some(body), PLUGIN).await?)
    }

    /// Ask for something to be done that has no answer. Calls in flight may have to end first.
    pub(crate) async fn post_nothing(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::POST, path, None, PLUGIN).await.map(drop)
    }

    /// Ask for something to be removed.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, None, QUICK).await.map(drop)
    }

    /// Wait for a group, until the deadline. Answers whether it came to pass.
    pub(crate) async fn wait(&self, group: &str, until: Until, deadline: Instant) -> Result<bool, ClientError> {
        let word = match until {
            Until::Converged => "converged",
            Until::Gone => "gone",
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(WAIT);
            let path = format!("/v1/groups/{}/wait?until={word}&timeout_ms={}", segment(group), left.as_millis());
            match self.send(Method::GET, &path, None, left + QUICK).await {
                Ok(_) => return Ok(true),
                Err(error) if error.status() == Some(404) && until == Until::Gone => return Ok(true),
                Err(error) if error.status() == Some(408) => {
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn parse<T: DeserializeOwned>(&self, body: &Bytes) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.strange(error))
    }

    fn strange(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Strange { socket: self.socket.clone(), source: source.into() }
    }

    fn silent(&self, what: String) -> ClientError {
        ClientError::Silent { socket: self.socket.clone(), what }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<Bytes, ClientError> {
        let stream = tokio::time::timeout(CONNECT, connect(&self.socket))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|why| ClientError::Unreachable { socket: self.socket.clone(), start: self.start.clone(), why })?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, "homeostat");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(|error| self.strange(error))?;
        let seconds = patience.as_secs();
        let (status, body) = tokio::time::timeout(patience, self.exchange(stream, request))
            .await
            .map_err(|_| self.silent(format!("has not answered for {seconds} seconds")))??;
        if status.is_success() {
            return Ok(body);
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => ClientError::Answered(Box::new(problem)),
            Err(_) => {
                let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
                self.strange(format!("status {status}: {}", if text.is_empty() { "no text" } else { &text }))
            }
        })
    }

    async fn exchange(
        &self,
        stream: UnixStream,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let cut = |error: hyper::Error| self.silent(format!("closed the connection before it answered ({error})"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(cut)?;
        let exchange = async {
            let (parts, body) = sender.send_request(request).await.map_err(cut)?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| self.strange(error))?;
            Ok((parts.status, body.to_bytes()))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection ends first where the host closes it after its answer, which is then still to be read.
            _ = connection => exchange.await,
        }
    }
}

/// Connect. Where many clients come at once the socket's queue is full for a moment.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            other => return other,
        }
    }
}

/// A text as one segment of a URL's path: all but RFC 3986's unreserved characters are percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        assert_eq!(segment("aws/ec2-instance"), "aws%2Fec2-instance");
        assert_eq!(segment("a?b=1 é"), "a%3Fb%3D1%20%C3%A9");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_socket_that_is_not_there_says_how_to_start_a_host() {
        let client = Client { socket: "/no/such/socket".into(), start: "homeostat serve --state-dir /x".into() };
        let error = client.get::<Problem>("/v1/host").await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }));
        assert!(error.to_string().contains("`homeostat serve --state-dir /x`"), "{error}");
    }

    /// A host that reads one request and sends these bytes.
    async fn answered_with(bytes: &'static str) -> Result<Problem, ClientError> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let client = Client { socket, start: String::new() };
        let host = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
        };
        tokio::join!(client.get("/v1/host"), host).0
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_host_that_goes_away_midway_is_no_refusal() {
        for bytes in ["", "HTTP/1.1 200 OK\r\n"] {
            let error = answered_with(bytes).await.unwrap_err();
            assert!(matches!(error, ClientError::Silent { .. }), "{bytes:?}: {error:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_refusal_keeps_its_words_and_anything_else_is_strange() {
        let refusal = "HTTP/1.1 409 Conflict\r\nContent-Length: 47\r\n\r\n{\"title\":\"t\",\"status\":409,\"detail\":\"too small\"}";
        let error = answered_with(refusal).await.unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (Some(409), "too small"));
        for bytes in
            ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
        {
            let error = answered_with(bytes).await.unwrap_err();
            assert!(matches!(error, ClientError::Strange { .. }), "{bytes:?}: {error:?}");
        }
    }
}
