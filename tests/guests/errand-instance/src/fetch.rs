//! A request by `wasi:http`, word for word as it is asked for: nothing of it is made better on the way.

use serde_json::{Map, Value, json};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// Ask for it, and say what came, or why nothing did.
pub(crate) fn fetch(what: &Value) -> Value {
    let mut url = what["Url"].as_str().unwrap_or_default().to_owned();
    let mut follow = what["Follow"].as_u64().unwrap_or(0);
    loop {
        let response = match send(what, &url) {
            Ok(response) => response,
            Err(refused) => return json!({"Refused": refused, "Url": url}),
        };
        let location = response.headers().get("location").into_iter().next();
        match location.and_then(|it| String::from_utf8(it).ok()).filter(|_| follow > 0) {
            Some(location) => {
                follow -= 1;
                url = location;
            }
            None => return read(response).unwrap_or_else(|refused| json!({"Refused": refused, "Url": url})),
        }
    }
}

fn send(what: &Value, url: &str) -> Result<IncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let fields = Fields::new();
    for (name, value) in what["Headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default().as_bytes();
        fields.append(name, value).map_err(|refused| format!("the header {name}: {refused:?}"))?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match what["Method"].as_str() {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("DELETE") => Method::Delete,
        Some(other) => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "the method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "the authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "the path")?;
    let body = request.body().map_err(|()| "the body")?;
    let pending = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    pending.subscribe().block();
    let answer = pending.get().ok_or("no answer")?.map_err(|()| "the answer was taken already")?;
    answer.map_err(|code| format!("{code:?}"))
}

fn read(response: IncomingResponse) -> Result<Value, String> {
    let status = response.status();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let entries = response.headers().entries();
    let headers: Map<_, _> = entries.into_iter().map(|(name, value)| (name, text(value).into())).collect();
    let incoming = response.consume().map_err(|()| "the answer's body")?;
    let stream = incoming.stream().map_err(|()| "the answer's body")?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => body.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err("the answer was cut off".into()),
        }
    }
    Ok(json!({"Status": status, "Headers": headers, "Body": text(body)}))
}
