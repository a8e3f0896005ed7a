//! One exchange over one connection, and once more where a kept connection had gone stale.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::body::{Body, Outgoing, RequestBody};
use crate::bounds::{Bounds, Timeouts};
use crate::counts::{Counters, count};
use crate::dial::{Deadline, Dial};
use crate::error::{EgressError, Part, Stage};
use crate::headers;
use crate::pool::{Conn, Key, Pool};
use crate::target::Target;

/// A request that was judged, with all that carrying it needs.
pub(crate) struct Carriage<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a Target,
    /// The guest's, checked.
    pub(crate) headers: &'a HeaderMap,
    /// The host's.
    pub(crate) injected: &'a [headers::Value],
    /// The number of the grant.
    pub(crate) grant: usize,
    pub(crate) dial: Dial<'a>,
    pub(crate) timeouts: Timeouts,
    pub(crate) bounds: &'a Bounds,
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) counters: &'a Arc<Counters>,
}

/// An exchange that failed, with what decides on another attempt.
struct Failed {
    error: EgressError,
    /// The connection gave the request back without having sent any of it.
    untouched: bool,
    /// It ended, rather than saying something that is wrong, and before a byte of the answer.
    ended_silently: bool,
}

impl Carriage<'_> {
    /// Send it, and wait for the answer's head.
    ///
    /// # Errors
    /// All that can go wrong on the way.
    pub(crate) async fn send(&self, outgoing: &Outgoing, deadline: Deadline) -> Result<Response<Body>, EgressError> {
        let key = Key {
            grant: self.grant,
            scheme: self.target.scheme,
            host: self.target.host.clone(),
            port: self.target.port,
        };
        let mut deadline = deadline;
        if let Some(conn) = self.pool.take(&key).await {
            count(&self.counters.reused);
            let repeatable = is_idempotent(self.method);
            if repeatable {
                outgoing.keep();
            }
            match self.over(conn, outgoing).await {
                Ok(response) => return Ok(response),
                // What was never sent can be sent; what may have had an effect, only where a second one changes nothing.
                Err(failed) if failed.untouched || (repeatable && failed.ended_silently) => {
                    if !outgoing.can_repeat() {
                        return Err(failed.error);
                    }
                    count(&self.counters.retried);
                    deadline = Deadline::new(self.timeouts.connect);
                }
                Err(failed) => return Err(failed.error),
            }
        }
        let io = self.dial.connect(self.target, deadline).await?;
        let conn = Conn::new(io, key, self.bounds, self.counters).await.map_err(|it| EgressError::Closed(Some(it)))?;
        self.over(conn, outgoing).await.map_err(|it| it.error)
    }

    async fn over(&self, mut conn: Conn, outgoing: &Outgoing) -> Result<Response<Body>, Failed> {
        let before = conn.received();
        let request = self.request(outgoing)?;
        let after = self.timeouts.first_byte;
        let answered = match timeout(after, conn.sender.try_send_request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut failed)) => {
                let untouched = failed.take_message().is_some();
                let silent = conn.received() == before;
                let error = failed.into_error();
                let fault = outgoing.take_fault();
                let ended_silently = silent && fault.is_none() && !error.is_parse() && !error.is_user();
                let error = fault.unwrap_or_else(|| self.explain(error));
                return Err(Failed { error, untouched, ended_silently });
            }
            Err(_) => return Err(EgressError::Timeout { stage: Stage::FirstByte, after }.into()),
        };
        self.answer(answered, conn, outgoing).map_err(Failed::from)
    }

    fn request(&self, outgoing: &Outgoing) -> Result<Request<RequestBody>, EgressError> {
        let mut request = Request::new(outgoing.stream());
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_11;
        // The path alone: a whole URL would speak to a proxy.
        *request.uri_mut() = self.target.path_and_query.clone().into();
        let host = HeaderValue::try_from(self.target.authority());
        let host = host.map_err(|_| EgressError::Url(crate::target::BadUrl::Host))?;
        let headers = request.headers_mut();
        headers.reserve(self.headers.len() + self.injected.len() + 1);
        headers.insert(header::HOST, host);
        for (name, value) in self.headers {
            headers.append(name, value.clone());
        }
        for (name, _, value) in self.injected {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        conn: Conn,
        outgoing: &Outgoing,
    ) -> Result<Response<Body>, EgressError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Upgrade(response.status().as_u16()));
        }
        let limit = self.bounds.response_body;
        if response.body().size_hint().lower() > limit {
            return Err(EgressError::TooLarge { what: Part::ResponseBody, limit });
        }
        let between = self.timeouts.between_bytes;
        let (mut parts, incoming) = response.into_parts();
        headers::strip(&mut parts.headers);
        // What the library keeps there is of no use to a guest.
        parts.extensions.clear();
        let body = Body::live(incoming, conn, self.pool.clone(), outgoing.clone(), limit, between);
        Ok(Response::from_parts(parts, body))
    }

    /// What a failure before the answer's head means.
    fn explain(&self, error: hyper::Error) -> EgressError {
        if let Some(source) = tls_cause(&error) {
            return EgressError::Tls { host: self.target.host.judged(), source };
        }
        if error.is_parse_too_large() {
            return EgressError::TooLarge { what: Part::ResponseHeaders, limit: self.bounds.head as u64 };
        }
        if error.is_parse() || error.is_user() {
            return EgressError::Protocol(Some(error));
        }
        EgressError::Closed(Some(error))
    }
}

impl From<EgressError> for Failed {
    fn from(error: EgressError) -> Self {
        Self { error, untouched: false, ended_silently: false }
    }
}

/// A method that may be sent twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

/// What a failure after the answer's head means.
pub(crate) fn cut_off(error: hyper::Error) -> EgressError {
    if let Some(source) = tls_cause(&error) {
        return EgressError::Tls { host: "the server".into(), source };
    }
    let kind = io_cause(&error).map(io::Error::kind);
    match kind {
        // Chunks and trailers that are none.
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => EgressError::Protocol(Some(error)),
        _ if error.is_parse() => EgressError::Protocol(Some(error)),
        _ => EgressError::Incomplete(Some(error)),
    }
}

fn io_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn tls_cause(error: &hyper::Error) -> Option<rustls::Error> {
    io_cause(error)?.get_ref()?.downcast_ref().cloned()
}
