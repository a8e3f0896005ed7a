//! How much a plugin may send, receive and wait for.

use std::time::Duration;

use homeostat_core::grant::Limits;

/// The longest that anything is waited for, whatever a guest asks: no call lasts as long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What one plugin's exchanges may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests under way at once, until their answers were read or dropped.
    pub in_flight: u32,
    /// Bytes of a request's body.
    pub request_body: u64,
    /// Bytes of an answer's body.
    pub response_body: u64,
    /// Bytes of a head: the names and values of the headers, and of an answer also its status line.
    pub head: usize,
    /// Headers in a head.
    pub headers: usize,
    /// Idle connections kept to one server.
    pub idle: usize,
    /// How long an idle connection is kept.
    pub idle_for: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            in_flight: limits.requests.max(1),
            request_body: limits.answer,
            response_body: limits.answer,
            head: 64 << 10,
            headers: 128,
            idle: (limits.requests as usize).clamp(1, 8),
            idle_for: Duration::from_secs(30),
        }
    }
}

/// How long a guest is ready to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For its turn, the name, the connection and TLS together.
    pub connect: Duration,
    /// From the beginning of the request to the end of the answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of the answer's body.
    pub between_bytes: Duration,
}

impl Timeouts {
    /// What can be added to any time without going too far.
    pub(crate) fn clamped(self) -> Self {
        Self {
            connect: self.connect.min(LONGEST),
            first_byte: self.first_byte.min(LONGEST),
            between_bytes: self.between_bytes.min(LONGEST),
        }
    }
}

impl Default for Timeouts {
    /// For a guest that says nothing; the call's own limit usually comes first.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
        }
    }
}

/// What the call may do that sends the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look: `GET`, `HEAD` and `OPTIONS`.
    ReadOnly,
    /// All that was granted.
    Full,
}
