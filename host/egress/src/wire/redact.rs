//! What must not be on a tape.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Uri};

use crate::headers::REDACTED;
use crate::secret::Secret;

/// Values shorter than this stand for too much else to be looked for, in bytes.
const SHORTEST: usize = 4;

/// Headers that say who calls.
const TELLING: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// What is in the names of others that do.
const TELLING_PARTS: [&str; 6] = ["token", "secret", "api-key", "apikey", "password", "signature"];

/// Takes secrets out of what is written down: the headers that say who calls, and given values wherever they stand.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    values: Vec<Secret>,
}

impl Redactor {
    /// Take these values out as well. Those of less than four bytes are left: they would take out too much else.
    pub fn new(values: impl IntoIterator<Item = Secret>) -> Self {
        let mut values: Vec<Secret> = values.into_iter().filter(|it| it.expose().len() >= SHORTEST).collect();
        // One that is a part of another would leave the rest of it.
        values.sort_by_key(|it| std::cmp::Reverse(it.expose().len()));
        Self { values }
    }

    /// A request as it is written down, and compared.
    pub fn request(&self, request: &Request<Bytes>) -> Request<Bytes> {
        let mut clean = Request::new(self.bytes(request.body()));
        *clean.method_mut() = request.method().clone();
        *clean.headers_mut() = self.headers(request.headers());
        let url = request.uri().to_string();
        *clean.uri_mut() = match self.text(&url) {
            same if same == url => request.uri().clone(),
            // In a URL the placeholder must not have brackets. A host that is a secret leaves nothing to show.
            other => other.replace(REDACTED, "redacted").parse().unwrap_or_else(|_| Uri::from_static("/redacted")),
        };
        clean
    }

    /// An answer as it is written down.
    pub fn answer(&self, answer: &Response<Bytes>) -> Response<Bytes> {
        let mut clean = Response::new(self.bytes(answer.body()));
        *clean.status_mut() = answer.status();
        *clean.headers_mut() = self.headers(answer.headers());
        if clean.body().len() != answer.body().len() && clean.headers().contains_key(header::CONTENT_LENGTH) {
            let length = HeaderValue::from(clean.body().len());
            clean.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        clean
    }

    fn headers(&self, headers: &HeaderMap) -> HeaderMap {
        let clean = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = match value.is_sensitive() || tells(name) {
                true => HeaderValue::from_static(REDACTED),
                false => HeaderValue::from_bytes(&self.bytes(value.as_bytes()))
                    .unwrap_or_else(|_| HeaderValue::from_static(REDACTED)),
            };
            (name.clone(), value)
        };
        headers.iter().map(clean).collect()
    }

    fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    fn bytes(&self, bytes: &[u8]) -> Bytes {
        let mut clean = bytes.to_vec();
        for value in &self.values {
            clean = replace(&clean, value.expose());
        }
        clean.into()
    }
}

fn tells(name: &HeaderName) -> bool {
    TELLING.contains(name) || TELLING_PARTS.iter().any(|it| name.as_str().contains(it))
}

fn replace(text: &[u8], value: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(value) {
            clean.extend_from_slice(REDACTED.as_bytes());
            at += value.len();
        } else {
            clean.push(text[at]);
            at += 1;
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_wherever_they_stand() {
        let redactor = Redactor::new(["hunter2", "hunter22", "abc"].map(|it| Secret::new(it.into())));
        let request = Request::post("http://a.b/hunter22?abc=hunter2")
            .header("authorization", "Bearer x")
            .header("x-own", "a hunter2 b")
            .header("cookie", "c")
            .header("x-vault-token", "t")
            .body(Bytes::from_static(b"hunter2 hunter22 \xff hunter"))
            .unwrap();
        let clean = redactor.request(&request);
        assert_eq!(clean.uri(), "http://a.b/redacted?abc=redacted");
        assert_eq!(clean.headers()["authorization"], REDACTED);
        assert_eq!(clean.headers()["cookie"], REDACTED);
        assert_eq!(clean.headers()["x-vault-token"], REDACTED);
        assert_eq!(clean.headers()["x-own"], "a (redacted) b");
        assert_eq!(&clean.body()[..], b"(redacted) (redacted) \xff hunter");
        let answer = Response::builder().header("content-length", "7").header("set-cookie", "s");
        let clean = redactor.answer(&answer.body(Bytes::from_static(b"hunter2")).unwrap());
        assert_eq!(clean.headers()["content-length"], "10");
        assert_eq!(clean.headers()["set-cookie"], REDACTED);
    }
}
