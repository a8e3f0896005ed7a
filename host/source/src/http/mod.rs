//! Requests over HTTP/1.1: one connection each, nothing without a bound, and redirects followed by the rules of [`rules`].

mod connect;
mod rules;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

pub(crate) use rules::{is_loopback, same_origin};

use crate::config::Config;
use crate::error::FetchError;
use tls::Trust;

/// How many redirects are followed for one request.
const REDIRECTS: usize = 5;

/// The longest wait that a server can ask for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a refusal's body is read for the error message, in bytes.
const EXCUSE: u64 = 16 << 10;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Sent to the server of `url` alone.
    pub authorization: Option<HeaderValue>,
    pub body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), authorization: None, body: Bytes::new() }
    }

    pub(crate) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    pub(crate) fn header(mut self, name: hyper::header::HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub(crate) fn body(mut self, bytes: Bytes) -> Self {
        self.body = bytes;
        self
    }
}

/// The head of an answer, and the connection that its body is read from.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who answers, after redirects.
    pub url: Url,
    response: Response<Incoming>,
    idle: Duration,
    _connection: Connection,
}

/// The task that drives a connection. It ends with the answer, read or not.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header that is text.
    pub(crate) fn header(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All headers of a name that are text.
    pub(crate) fn all(&self, name: hyper::header::HeaderName) -> Vec<String> {
        let all = self.response.headers().get_all(name).iter();
        all.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    }

    /// The type of the body, without its parameters, in lower case.
    pub(crate) fn content_type(&self) -> String {
        let text = self.header(CONTENT_TYPE).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The whole body.
    pub(crate) async fn bytes(mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        let place = self.url.to_string();
        let said = self.header(hyper::header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if let Some(size) = said.filter(|size| *size > limit) {
            return Err(FetchError::TooBig { place, size: Some(size), limit });
        }
        let mut bytes = Vec::new();
        loop {
            let what = "the next piece did not come";
            let frame = timeout(self.idle, self.response.body_mut().frame())
                .await
                .map_err(|_| FetchError::Timeout { place: place.clone(), what, limit: self.idle })?;
            let Some(frame) = frame else { return Ok(bytes) };
            let frame = frame.map_err(|error| FetchError::Broken { place: place.clone(), source: error.into() })?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() as u64 + data.len() as u64 > limit {
                return Err(FetchError::TooBig { place, size: None, limit });
            }
            bytes.extend_from_slice(&data);
        }
    }

    /// The error of an answer that is not the one hoped for.
    pub(crate) async fn refusal(self) -> FetchError {
        let (place, status) = (self.url.to_string(), self.status().as_u16());
        let asked = self.header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let is_page = self.content_type() == "text/html";
        let body = self.bytes(EXCUSE).await.unwrap_or_default();
        let detail = if is_page { String::new() } else { excuse(&body) };
        FetchError::Status { place, status, detail, retry_after: asked }
    }
}

/// What a server says about a refusal, in one line that is safe to print. Registries answer
/// `{"errors": [{"code": ..., "message": ...}]}`.
fn excuse(body: &[u8]) -> String {
    let parsed = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let first = &parsed["errors"][0];
    let text = match (first["code"].as_str(), first["message"].as_str()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => String::from_utf8_lossy(body).into_owned(),
    };
    tidy(&text)
}

/// A foreign text in one line, without what could move a cursor, and not long.
pub(crate) fn tidy(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|it| !it.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= 200 { line } else { line.chars().take(199).chain(['…']).collect() }
}

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Http {
    config: Config,
    trust: Arc<Trust>,
}

impl Http {
    /// # Errors
    /// [`FetchError::Roots`].
    pub(crate) fn new(config: &Config) -> Result<Self, FetchError> {
        Ok(Self { config: config.clone(), trust: Arc::new(Trust::new(config.roots.as_deref())?) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a URL may be asked at all.
    ///
    /// # Errors
    /// [`FetchError::Plain`], [`FetchError::Source`].
    pub(crate) fn admit(&self, url: &Url) -> Result<(), FetchError> {
        rules::admit(&self.config, url)
    }

    /// Send a request once, and follow redirects where it only reads.
    ///
    /// # Errors
    /// [`FetchError`]; an answer of any status is none.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, FetchError> {
        self.admit(&call.url)?;
        let follows = matches!(call.method, Method::GET | Method::HEAD);
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(call, url.clone()).await?;
            if !follows || !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let Some(to) = answer.header(LOCATION) else { return Ok(answer) };
            let refused = |reason| FetchError::Redirect { place: url.to_string(), to: tidy(to), reason };
            let next = url.join(to).map_err(|_| refused("it is no URL"))?;
            rules::step(&self.config, &url, &next).map_err(refused)?;
            url = next;
        }
        Err(FetchError::Redirect {
            place: call.url.to_string(),
            to: url.to_string(),
            reason: "there were too many redirects before it",
        })
    }

    /// Whether one server may send us to another, when it is no redirect: to its token server, say.
    ///
    /// # Errors
    /// [`FetchError::Redirect`].
    pub(crate) fn step(&self, from: &Url, to: &Url) -> Result<(), FetchError> {
        rules::step(&self.config, from, to).map_err(|reason| FetchError::Redirect {
            place: from.to_string(),
            to: to.to_string(),
            reason,
        })
    }

    /// One request on one connection.
    async fn exchange(&self, call: &Call, url: Url) -> Result<Answer, FetchError> {
        let place = url.to_string();
        let stream = connect::connect(&self.config, &self.trust, &url).await?;
        let broken = |error: hyper::Error| FetchError::Broken { place: place.clone(), source: error.into() };
        let (mut sender, driver) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.map_err(broken)?;
        // What goes wrong here is told to whoever waits for the answer.
        let connection = Connection(tokio::spawn(async move { drop(driver.await) }));

        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::builder()
            .method(&call.method)
            .uri(path)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("homeostat/", env!("CARGO_PKG_VERSION")));
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
            if let Some(authorization) = call.authorization.clone().filter(|_| same_origin(&url, &call.url)) {
                headers.insert(AUTHORIZATION, authorization);
            }
        }
        let request = request
            .body(Full::new(call.body.clone()))
            .map_err(|error| FetchError::Source { place: place.clone(), reason: error.to_string() })?;

        // Sending takes as long as it takes; the total bounds it.
        let limit = if call.body.is_empty() { self.config.idle } else { self.config.total };
        let response = timeout(limit, sender.send_request(request))
            .await
            .map_err(|_| FetchError::Timeout { place: place.clone(), what: "no answer came", limit })?
            .map_err(broken)?;
        Ok(Answer { url, response, idle: self.config.idle, _connection: connection })
    }

    /// How often something is tried.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts { left: self.config.attempts.max(1) - 1, wait: self.config.backoff }
    }
}

/// What is left of the attempts.
#[derive(Debug)]
pub(crate) struct Attempts {
    left: u32,
    wait: Duration,
}

impl Attempts {
    /// Wait for the next attempt after a failure.
    ///
    /// # Errors
    /// The failure, where there is no next attempt: it would not help, or there were enough.
    pub(crate) async fn after(&mut self, failure: FetchError) -> Result<(), FetchError> {
        let Some(wait) = self.next(&failure, fastrand::f64()) else { return Err(failure) };
        tracing::debug!(%failure, ?wait, left = self.left, "trying again");
        sleep(wait).await;
        Ok(())
    }

    /// The wait before the next attempt, if there is one. The jitter is from 0 to 1.
    fn next(&mut self, failure: &FetchError, jitter: f64) -> Option<Duration> {
        if !failure.is_transient() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let asked = match failure {
            FetchError::Status { retry_after: Some(asked), .. } => (*asked).min(PATIENCE),
            _ => Duration::ZERO,
        };
        let wait = self.wait.mul_f64(0.75 + 0.5 * jitter).max(asked);
        self.wait = self.wait.saturating_mul(2);
        Some(wait)
    }
}

/// Bound the whole of something.
///
/// # Errors
/// Its own, or [`FetchError::Timeout`].
pub(crate) async fn bounded<T>(
    config: &Config,
    place: &str,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    let limit = config.total;
    let end = Instant::now() + limit;
    tokio::time::timeout_at(end, work)
        .await
        .unwrap_or_else(|_| Err(FetchError::Timeout { place: place.to_owned(), what: "it was not done", limit }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_harmless_line() {
        let registry = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#;
        assert_eq!(excuse(registry), "MANIFEST_UNKNOWN: manifest unknown");
        assert_eq!(excuse(b"no \x1b[2Jsuch\r\nfile\0"), "no [2Jsuch file");
        assert_eq!(excuse(&[b'x'; 1000]).chars().count(), 200);
        assert_eq!(excuse(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert_eq!(excuse(b""), "");
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_not_for_ever() {
        let status = |status, asked: Option<u64>| FetchError::Status {
            place: "x".into(),
            status,
            detail: String::new(),
            retry_after: asked.map(Duration::from_secs),
        };
        let mut attempts = Attempts { left: 4, wait: Duration::from_millis(400) };
        assert_eq!(attempts.next(&status(404, None), 0.5), None);
        assert_eq!(attempts.next(&status(503, None), 0.0), Some(Duration::from_millis(300)));
        assert_eq!(attempts.next(&status(500, None), 1.0), Some(Duration::from_secs(1)));
        assert_eq!(attempts.next(&status(429, Some(3)), 0.5), Some(Duration::from_secs(3)));
        assert_eq!(attempts.next(&status(429, Some(86_400)), 0.5), Some(PATIENCE));
        assert_eq!(attempts.next(&status(503, None), 0.5), None);
    }
}
