//! Why a request was not sent, or not answered. No message and no `Debug` holds a secret.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use homeostat_core::bytes;
use homeostat_core::grant::{Denial, Remedy};
use homeostat_core::outcome::chain;
use thiserror::Error;

use crate::secret::SecretError;
use crate::target::BadUrl;
use crate::wire::Failure;

/// An exchange that failed. What the guest is told of it is [`EgressError::guest_code`] alone.
#[derive(Debug, Error)]
pub enum EgressError {
    /// A URL that leads nowhere, or that two readers would read in two ways.
    #[error("the URL is refused: {0}")]
    Url(BadUrl),
    /// Methods that are no requests to a server (`CONNECT`), or that send back what was injected (`TRACE`).
    #[error("the method {0} is never sent")]
    Method(String),
    /// Wants and grants do not agree on it.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// The name leads to addresses that are closed unless a grant names them, and to no other.
    #[error("{host} leads to {addresses}, where no name may lead unless a grant says so ({why}); to allow it: {remedy}",
        addresses = list(.addresses))]
    Address {
        /// The host, as the URL has it.
        host: String,
        /// Where it leads.
        addresses: Vec<IpAddr>,
        /// Why the first of them is closed.
        why: &'static str,
        /// The grant that opens it.
        remedy: Box<Remedy>,
    },
    /// A header that is not the guest's to set.
    #[error("the header {name}: {why}")]
    Header {
        /// Its name.
        name: String,
        /// Whose it is.
        why: BadHeader,
    },
    /// More than is carried.
    #[error("{what} has more than {limit}", limit = what.format(*.limit))]
    TooLarge {
        /// What is too large.
        what: Part,
        /// The most, in bytes; in headers for [`Part::RequestHeaderCount`].
        limit: u64,
    },
    /// The plugin has as many requests under way as it may have, and none ended in time.
    #[error(
        "{limit} requests are under way, the most that this plugin may have, and none ended within {waited:?}; an answer has to be read to its end, or dropped"
    )]
    Busy {
        /// The most at once.
        limit: u32,
        /// How long this one waited.
        waited: Duration,
    },
    /// The name could not be resolved.
    #[error("{host} cannot be resolved")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The name resolves to nothing.
    #[error("{0} has no address")]
    NoAddress(String),
    /// No connection.
    #[error("cannot connect to {to}")]
    Connect {
        /// The address or the socket; the last one, where several were tried.
        to: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No agreement on encryption, or a certificate that proves nothing.
    #[error("TLS with {host}: {hint}", hint = tls_hint(.source))]
    Tls {
        /// The host, as the URL has it.
        host: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// It took too long.
    #[error("{stage} took more than {after:?}")]
    Timeout {
        /// What did.
        stage: Stage,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before anything was answered. Whether the request had an effect is not known.
    #[error("the connection ended before an answer came")]
    Closed(#[source] Option<hyper::Error>),
    /// The answer ended before its end.
    #[error("the answer was cut off")]
    Incomplete(#[source] Option<hyper::Error>),
    /// What came was no HTTP/1.1, or more of it than belongs.
    #[error("the answer is no valid HTTP/1.1")]
    Protocol(#[source] Option<hyper::Error>),
    /// The server wants to speak something else.
    #[error("the server answered {0}, which ends HTTP; a plugin speaks nothing else")]
    Upgrade(u16),
    /// The guest's own body failed while it was sent.
    #[error("the request's body failed")]
    RequestBody(#[source] Box<dyn StdError + Send + Sync>),
    /// `Content-Length` was not kept.
    #[error("Content-Length says {declared} bytes, and the body has {sent}")]
    Length {
        /// What the header says.
        declared: u64,
        /// What was there; at least so many, where it had more.
        sent: u64,
    },
    /// A secret to inject cannot be had.
    #[error("the secret {name:?}, which the header {header} needs")]
    Secret {
        /// Its name in the grants.
        name: String,
        /// The header that it belongs in.
        header: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// A secret that cannot stand in a header.
    #[error(
        "the secret {name:?} has control characters, which cannot stand in the header {header}; look for line ends inside of it"
    )]
    SecretValue {
        /// Its name in the grants.
        name: String,
        /// The header that it belongs in.
        header: String,
    },
    /// What an interposed wire made of it: a fault, or a tape that does not go on like this.
    #[error("{0}")]
    Wire(Failure),
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadHeader {
    /// The grant injects it.
    #[error("the host sets it from a secret (Inject), so the guest may not")]
    Injected,
    /// `Host` says something else than the URL.
    #[error("it differs from the URL's host; change the URL instead")]
    Host,
    /// It governs the connection, which is the host's.
    #[error("it governs the connection, which is the host's")]
    Connection,
    /// `Content-Length` that is no number, or two of them.
    #[error("it must be one decimal number")]
    Length,
    /// Headers after a request's body.
    #[error("headers after the body are not sent")]
    Trailer,
}

/// A part of an exchange that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes of the request's headers.
    RequestHeaders,
    /// The number of the request's headers.
    RequestHeaderCount,
    /// The request's body.
    RequestBody,
    /// The answer's status line and headers, in bytes or in number.
    ResponseHeaders,
    /// The answer's body.
    ResponseBody,
}

impl Part {
    fn format(self, limit: u64) -> String {
        match self {
            Self::RequestHeaderCount => format!("{limit} headers"),
            _ => bytes::format(limit),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestHeaders | Self::RequestHeaderCount => "the request's head",
            Self::RequestBody => "the request's body",
            Self::ResponseHeaders => "the answer's head",
            Self::ResponseBody => "the answer's body",
        })
    }
}

/// A part of an exchange that has a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading what is injected.
    Secrets,
    /// Asking where the name leads.
    Resolve,
    /// Reaching the server, and TLS.
    Connect,
    /// From the request's first byte to the end of the answer's headers.
    FirstByte,
    /// Between two pieces of the answer's body.
    BetweenBytes,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secrets => "reading the secrets to inject",
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::FirstByte => "the answer's beginning",
            Self::BetweenBytes => "the next piece of the answer",
        })
    }
}

impl EgressError {
    /// Whether it was refused because nobody allowed it, rather than having failed.
    pub fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::Denied(_)
                | Self::Address { .. }
                | Self::Method(_)
                | Self::Header { why: BadHeader::Injected | BadHeader::Host | BadHeader::Connection, .. }
        )
    }

    /// A line for the operator, where it failed for something that nobody else can mend and that the guest is not told: a
    /// certificate that proves nothing, a secret that cannot be injected.
    pub(crate) fn for_operator(&self) -> Option<String> {
        match self {
            // Without the cause, in which are names that the server wrote.
            Self::Tls { .. } => Some(self.to_string()),
            Self::Secret { .. } | Self::SecretValue { .. } => Some(chain(self)),
            _ => None,
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

fn tls_hint(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => {
                "its certificate leads to no root that is trusted; name its root in the grant's Roots"
            }
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate is not valid yet; look at both clocks"
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "its certificate is for another name",
            Bad::Revoked => "its certificate was revoked",
            _ => "its certificate is not valid",
        },
        rustls::Error::AlertReceived(
            rustls::AlertDescription::CertificateRequired
            | rustls::AlertDescription::BadCertificate
            | rustls::AlertDescription::UnknownCA
            | rustls::AlertDescription::AccessDenied,
        ) => "it does not accept who calls; see the grant's Client",
        rustls::Error::AlertReceived(_) => "it ended the handshake",
        _ => "the handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units() {
        let text = |what, limit| EgressError::TooLarge { what, limit }.to_string();
        assert_eq!(text(Part::RequestHeaderCount, 128), "the request's head has more than 128 headers");
        assert_eq!(text(Part::ResponseBody, 64 << 20), "the answer's body has more than 64MiB");
    }
}
