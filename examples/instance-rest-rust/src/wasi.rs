//! Requests by `wasi:http`, which the host makes where a grant allows it.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method as HttpMethod, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::api::{Answer, Api, Method, Request, Silence};

/// The name under which the operator grants the API. Where it really is, the grant's `Via` says.
const AUTHORITY: &str = "machines.internal";

/// How long to wait for a connection, for the first byte, and between two bytes.
const PATIENCE_NS: u64 = 15_000_000_000;

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// The API behind the host's HTTP.
pub(crate) struct Outgoing;

impl Api for Outgoing {
    fn send(&self, request: &Request) -> Result<Answer, Silence> {
        let refused = |what: &str| Silence::NotSent(format!("the host takes no {what}"));
        let fields = Fields::new();
        let mut headers = vec![("accept", "application/json")];
        headers.extend(request.body.as_ref().map(|_| ("content-type", "application/json")));
        headers.extend(request.if_none_match.map(|it| ("if-none-match", it)));
        for (name, value) in headers {
            fields.append(name, value.as_bytes()).map_err(|_| refused("headers"))?;
        }
        let outgoing = OutgoingRequest::new(fields);
        let method = match request.method {
            Method::Get => HttpMethod::Get,
            Method::Put => HttpMethod::Put,
            Method::Patch => HttpMethod::Patch,
            Method::Delete => HttpMethod::Delete,
        };
        outgoing.set_method(&method).map_err(|()| refused("method"))?;
        outgoing.set_scheme(Some(&Scheme::Http)).map_err(|()| refused("scheme"))?;
        outgoing.set_authority(Some(AUTHORITY)).map_err(|()| refused("authority"))?;
        outgoing.set_path_with_query(Some(&request.path)).map_err(|()| refused("path"))?;
        let options = RequestOptions::new();
        options.set_connect_timeout(Some(PATIENCE_NS)).map_err(|()| refused("timeout"))?;
        options.set_first_byte_timeout(Some(PATIENCE_NS)).map_err(|()| refused("timeout"))?;
        options.set_between_bytes_timeout(Some(PATIENCE_NS)).map_err(|()| refused("timeout"))?;

        let body = outgoing.body().map_err(|()| refused("body"))?;
        let pending = outgoing_handler::handle(outgoing, Some(options)).map_err(silence)?;
        // From here on the request may have arrived.
        write(body, request)?;
        pending.subscribe().block();
        let response = pending.get().ok_or_else(|| Silence::Lost("no answer came".to_owned()))?;
        read(response.map_err(|()| Silence::Lost("the answer was taken already".to_owned()))?.map_err(silence)?)
    }
}

fn write(body: OutgoingBody, request: &Request) -> Result<(), Silence> {
    let lost = |it: StreamError| Silence::Lost(format!("the request could not be sent to its end: {it:?}"));
    if let Some(content) = &request.body {
        let stream = body.write().map_err(|()| Silence::Lost("the request has no body to write to".to_owned()))?;
        // What one call of the host takes.
        for chunk in content.to_string().as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(chunk).map_err(lost)?;
        }
    }
    OutgoingBody::finish(body, None).map_err(silence)
}

fn read(response: IncomingResponse) -> Result<Answer, Silence> {
    let status = response.status();
    let retry_after_ms = retry_after(&response.headers().get("retry-after"));
    let lost = |why: &str| Silence::Lost(format!("the answer, of status {status}, {why}"));
    let incoming = response.consume().map_err(|()| lost("has no body"))?;
    let stream = incoming.stream().map_err(|()| lost("has no body"))?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => body.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(lost("was cut off")),
        }
        if body.len() > MAX_ANSWER {
            return Err(lost("is larger than 16 MiB"));
        }
    }
    Ok(Answer { status, retry_after_ms, body })
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3). Its other form, a date, asks for no more than the host's own backoff.
fn retry_after(values: &[Vec<u8>]) -> Option<u32> {
    let seconds: u32 = std::str::from_utf8(values.first()?).ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1000))
}

/// Which failures had no effect for certain: those before a byte was sent.
fn silence(code: ErrorCode) -> Silence {
    let why = format!("{code:?}");
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Silence::Denied(format!(
            "{why}; grant it with \"Grants\": {{\"Http\": [{{\"Url\": \"http://{AUTHORITY}\", \
             \"Methods\": [\"GET\", \"PUT\", \"PATCH\", \"DELETE\"], \"Via\": \"HOST:PORT\"}}]}}"
        )),
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => Silence::NotSent(why),
        _ => Silence::Lost(why),
    }
}
