//! One exchange that goes wrong in one way: what a plugin has to survive without making anything twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

use super::{Failure, Then, Verdict, Wire};
use crate::error::EgressError;
use crate::guest::GuestCode;

/// How an exchange goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nobody listens. The server sees nothing of it.
    Refused,
    /// The server says that it failed, and has done nothing.
    Status(StatusCode),
    /// The server asks to come back after so many seconds (429), and has done nothing.
    Throttled(u32),
    /// The answer comes so much later. The server has done its part at once.
    Slow(Duration),
    /// The server has done its part, and the answer never comes.
    Lost,
}

/// Fails the k-th exchange, and no other.
pub struct FailExchange {
    k: u64,
    how: How,
    over: Option<Arc<dyn Wire>>,
    seen: AtomicU64,
}

impl FailExchange {
    /// Fail the `k`-th exchange (from 1) that this wire sees.
    pub fn new(k: u64, how: How) -> Self {
        Self { k, how, over: None, seen: AtomicU64::new(0) }
    }

    /// What another wire carries, for example a tape that is played.
    pub fn over(self, wire: Arc<dyn Wire>) -> Self {
        Self { over: Some(wire), ..self }
    }

    /// How many exchanges there were. From `k` on, one of them has failed.
    pub fn seen(&self) -> u64 {
        self.seen.load(SeqCst)
    }
}

impl Wire for FailExchange {
    fn decide(&self, number: u64, request: &Request<Bytes>) -> Verdict {
        let strikes = self.seen.fetch_add(1, SeqCst) + 1 == self.k;
        let below = || self.over.as_ref().map_or(Verdict::PASS, |it| it.decide(number, request));
        match self.how {
            _ if !strikes => below(),
            How::Refused => {
                Verdict::fail(Failure::new(GuestCode::ConnectionRefused, "the connection is refused on purpose"))
            }
            How::Status(status) => Verdict::status(status, None),
            How::Throttled(seconds) => {
                let header = (header::RETRY_AFTER, HeaderValue::from(seconds));
                Verdict::status(StatusCode::TOO_MANY_REQUESTS, Some(header))
            }
            How::Slow(by) => Verdict { then: Then::Delay(by), ..below() },
            How::Lost => Verdict { then: Then::Lose, ..below() },
        }
    }

    fn ended(&self, number: u64, request: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        if let Some(over) = &self.over {
            over.ended(number, request, answer);
        }
    }
}
