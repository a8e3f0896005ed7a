//! Requests and answers, and what an answer that is no success means for the host.

use serde_json::Value;

use crate::bindings::homeostat::plugin::types::{Error, ErrorCode};

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Make.
    Put,
    /// Change.
    Patch,
    /// Destroy.
    Delete,
}

/// One request. There are no credentials in it: the host adds them.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// The path, with what follows `?`.
    pub path: String,
    /// The value of `If-None-Match`, if any.
    pub if_none_match: Option<&'static str>,
    /// The body, if any.
    pub body: Option<Value>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// What `Retry-After` asks for, in milliseconds.
    pub retry_after_ms: Option<u32>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// The host does not let the plugin do this.
    Denied(String),
    /// The request never left: it had no effect.
    NotSent(String),
    /// The request may have arrived, and may have had its effect.
    Lost(String),
}

/// What sends requests.
pub trait Api {
    /// Send one, and wait for its answer.
    ///
    /// # Errors
    /// See [`Silence`].
    fn send(&self, request: &Request) -> Result<Answer, Silence>;
}

/// An error of this code.
pub fn error(code: ErrorCode, message: String) -> Error {
    Error { code, message, path: None, retry_after_ms: None }
}

impl Silence {
    /// What it means for a request that changes nothing, or did not get so far.
    pub fn into_error(self, changing: bool) -> Error {
        match self {
            Self::Denied(why) => error(ErrorCode::PermissionDenied, format!("the host refused the request: {why}")),
            Self::NotSent(why) => error(ErrorCode::Unavailable, format!("the API cannot be reached: {why}")),
            Self::Lost(why) if changing => error(
                ErrorCode::Internal,
                format!("the API did not answer, and it is not known whether it did what was asked: {why}"),
            ),
            Self::Lost(why) => error(ErrorCode::Unavailable, format!("the API did not answer: {why}")),
        }
    }
}

impl Answer {
    /// Whether it tells that nothing is known of the effect: the API failed while it worked, or something before it did.
    pub fn is_lost(&self) -> bool {
        matches!(self.status, 500 | 502 | 504)
    }

    /// What an answer that is no success means. `doing` says what was asked for, as in "make `web-1`".
    pub fn into_error(self, doing: &str) -> Error {
        let told = self.told();
        let (code, what) = match self.status {
            400 | 422 => (ErrorCode::InvalidArgument, "does not take this"),
            401 => (ErrorCode::PermissionDenied, "does not know who asks; look at the secret that the grant injects"),
            403 => (ErrorCode::PermissionDenied, "does not allow it to whoever asks"),
            404 => (ErrorCode::NotFound, "knows no such machine"),
            409 => (ErrorCode::Aborted, "does something else with this machine right now"),
            402 | 507 => (ErrorCode::ResourceExhausted, "has no room for it"),
            429 => (ErrorCode::Unavailable, "asks for fewer requests"),
            503 => (ErrorCode::Unavailable, "is out of service"),
            500..=599 => (ErrorCode::Internal, "failed at it"),
            _ => (ErrorCode::Internal, "gave an answer that it should not give"),
        };
        let waits = matches!(code, ErrorCode::Unavailable | ErrorCode::ResourceExhausted);
        let message = format!("cannot {doing}: the API {what} (status {}{told})", self.status);
        Error { retry_after_ms: self.retry_after_ms.filter(|_| waits), ..error(code, message) }
    }

    /// What the API says of an error in its body, cut short: `: ` and its `"error"`.
    fn told(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let told: String = body["error"].as_str().unwrap_or_default().chars().take(300).collect();
        if told.is_empty() { told } else { format!(": {told}") }
    }
}

/// A part of a path or query, with all escaped that could mean something there.
pub fn escaped(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric()
            || b"-_~".contains(&byte)
            || (byte == b'.' && !part.trim_matches('.').is_empty())
        {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
