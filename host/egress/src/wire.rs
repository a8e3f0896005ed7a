//! Something between a plugin and the network: to record what is said, to say it again, or to break it.
//!
//! A wire sees an exchange after it was judged, so that it never makes possible what is not granted, and before any secret
//! is read: what is injected, it sees as a placeholder. Bodies are whole, and so bounded. Without a wire none of this
//! costs anything.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::error::EgressError;
use crate::guest::GuestCode;

mod fault;
mod redact;
mod tape;

pub use fault::{FailExchange, How};
pub use redact::Redactor;
pub use tape::{Match, Recorder, Replayer, TapeError};

/// The most bytes of a request's body that a wire carries.
pub const MOST_REQUEST: u64 = 1 << 20;

/// The most bytes of an answer's body that a wire carries.
pub const MOST_ANSWER: u64 = 16 << 20;

/// Something between a plugin and the network.
pub trait Wire: Send + Sync {
    /// What becomes of an exchange. Exchanges are numbered from 1, in the order in which they were let through; several
    /// may be under way. The request has its whole URL.
    fn decide(&self, number: u64, request: &Request<Bytes>) -> Verdict;

    /// What became of it, whatever the guest is told: an answer that is lost afterwards is here.
    fn ended(&self, number: u64, request: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        let _ = (number, request, answer);
    }
}

/// What becomes of an exchange: who answers, and what the guest is told of it.
#[derive(Debug)]
pub struct Verdict {
    /// Who answers.
    pub by: By,
    /// What the guest is told.
    pub then: Then,
}

/// Who answers.
#[derive(Debug)]
pub enum By {
    /// The server.
    Server,
    /// Nobody else: this is the answer.
    Answer(Response<Bytes>),
    /// Nobody: it fails like this.
    Failure(Failure),
}

/// What the guest is told of an exchange that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The answer.
    Tell,
    /// That the connection ended: the request had its effect, and the answer is lost.
    Lose,
    /// The answer, so much later. A guest that does not wait as long has lost it.
    Delay(Duration),
}

impl Verdict {
    /// As without a wire.
    pub const PASS: Self = Self { by: By::Server, then: Then::Tell };

    /// This answer.
    pub fn answer(answer: Response<Bytes>) -> Self {
        Self { by: By::Answer(answer), then: Then::Tell }
    }

    /// This failure.
    pub fn fail(failure: Failure) -> Self {
        Self { by: By::Failure(failure), then: Then::Tell }
    }

    /// An answer with nothing but a status, and a header where one is given.
    pub(crate) fn status(status: StatusCode, header: Option<(http::HeaderName, http::HeaderValue)>) -> Self {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = status;
        answer.headers_mut().extend(header);
        Self::answer(answer)
    }
}

/// A failure that a wire made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: GuestCode,
    message: String,
}

impl Failure {
    /// A failure with the code that a guest is told, and a sentence for people. The sentence goes to the guest as well
    /// where the code is [`GuestCode::InternalError`].
    pub fn new(code: GuestCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn lost() -> Self {
        Self::new(GuestCode::ConnectionTerminated, "the exchange was done, and its answer lost on purpose")
    }

    pub(crate) fn code(&self) -> GuestCode {
        match &self.code {
            GuestCode::InternalError(None) => GuestCode::InternalError(Some(self.message.clone())),
            code => code.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
