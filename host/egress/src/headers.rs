//! What a guest may say in a request's head, and what the host says instead of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use homeostat_core::grant::{HttpGrant, SecretSource};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::bounds::Bounds;
use crate::error::{BadHeader, EgressError, Part};
use crate::secret::{Secret, SecretError, Secrets};
use crate::target::Target;
use crate::tls::SetupError;

/// What a tape has where a secret was.
pub(crate) const REDACTED: &str = "(redacted)";

/// A header whose value holds a secret.
pub(crate) struct Injected {
    pub(crate) name: HeaderName,
    prefix: String,
    /// What the grants call the secret.
    secret: String,
    source: SecretSource,
}

/// An injected header: its name, the secret, and its value, which holds the secret.
pub(crate) type Value = (HeaderName, Secret, HeaderValue);

/// The headers that a grant injects.
///
/// # Errors
/// A name that cannot be injected, a secret that is not there, a prefix with control characters.
pub(crate) fn injections(
    grant: &HttpGrant,
    secrets: &BTreeMap<String, SecretSource>,
) -> Result<Vec<Injected>, SetupError> {
    let mut found: Vec<Injected> = Vec::new();
    for (text, injection) in &grant.inject {
        let wrong = |reason| SetupError::Inject { url: grant.url.clone(), reason };
        let name =
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| wrong(format!("{text:?} is no name of a header")))?;
        if name == header::HOST || name == header::CONTENT_LENGTH || governs_connection(&name) {
            return Err(wrong(format!("{text} governs the connection, and is the host's to set")));
        }
        if found.iter().any(|it| it.name == name) {
            return Err(wrong(format!("{text} is there twice, in another spelling")));
        }
        let secret = injection.secret.clone();
        let Some(source) = secrets.get(&secret).cloned() else {
            return Err(wrong(format!("{text} needs the secret {secret:?}, which Secrets does not have")));
        };
        if injection.prefix.chars().any(char::is_control) {
            return Err(wrong(format!("the prefix of {text} has control characters")));
        }
        found.push(Injected { name, prefix: injection.prefix.clone(), secret, source });
    }
    Ok(found)
}

/// A name that speaks of the connection and not of the request (RFC 9110, section 7.6.1), or that makes another protocol
/// of it.
fn governs_connection(name: &HeaderName) -> bool {
    let known = [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::EXPECT,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
    ];
    known.contains(name)
        || name.as_str() == "keep-alive"
        || name.as_str() == "http2-settings"
        || name.as_str().starts_with("proxy-")
}

/// A name of those that libraries set by habit, and that means nothing for a connection that is not theirs.
fn is_habit(name: &HeaderName) -> bool {
    *name == header::CONNECTION || *name == header::TE || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// The guest's headers, checked. Without `Host`, and without those that are set by habit.
///
/// # Errors
/// Headers that are injected, that are the host's, or too many.
pub(crate) fn check(
    mut headers: HeaderMap,
    target: &Target,
    injected: &[Injected],
    bounds: &Bounds,
) -> Result<HeaderMap, EgressError> {
    let refused = |name: &HeaderName, why| EgressError::Header { name: name.to_string(), why };
    if headers.len() > bounds.headers {
        return Err(EgressError::TooLarge { what: Part::RequestHeaderCount, limit: bounds.headers as u64 });
    }
    // Two for the colon and the blank, two for the end of the line.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > bounds.head {
        return Err(EgressError::TooLarge { what: Part::RequestHeaders, limit: bounds.head as u64 });
    }
    let authority = target.authority();
    if headers.get_all(header::HOST).iter().any(|it| !names_same(it, &authority, target)) {
        return Err(refused(&header::HOST, BadHeader::Host));
    }
    headers.remove(header::HOST);
    if let Some(name) = headers.keys().find(|name| injected.iter().any(|it| it.name == **name)) {
        return Err(refused(name, BadHeader::Injected));
    }
    if let Some(name) = headers.keys().find(|it| governs_connection(it) && !is_habit(it)) {
        return Err(refused(name, BadHeader::Connection));
    }
    // What `Connection` names goes with it.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .filter_map(|it| HeaderName::from_bytes(it.trim().as_bytes()).ok())
        .collect();
    let habits: Vec<HeaderName> = headers.keys().filter(|it| is_habit(it)).cloned().collect();
    for name in named.iter().filter(|it| **it != header::CONTENT_LENGTH).chain(&habits) {
        headers.remove(name);
    }
    Ok(headers)
}

/// Whether a `Host` of the guest says what its URL says.
fn names_same(value: &HeaderValue, authority: &str, target: &Target) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let text = format!("{}://{text}/", target.scheme.as_str());
    let same = text.parse().ok().and_then(|it| Target::new(&it).ok());
    same.is_some_and(|it| it.authority() == authority)
}

/// The size that the guest says its body has.
///
/// # Errors
/// No number, or two that differ.
pub(crate) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, EgressError> {
    let wrong = || EgressError::Header { name: header::CONTENT_LENGTH.to_string(), why: BadHeader::Length };
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        // `u64` would take a plus sign as well.
        let digits = value.to_str().ok().filter(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
        let length: u64 = digits.and_then(|it| it.parse().ok()).ok_or_else(wrong)?;
        if found.is_some_and(|it| it != length) {
            return Err(wrong());
        }
        found = Some(length);
    }
    Ok(found)
}

/// The values that are injected, as they are now; with `turns` for how many are read at once.
///
/// # Errors
/// A secret that cannot be had, or that cannot stand in a header.
pub(crate) async fn values(
    injected: &Arc<[Injected]>,
    secrets: &Arc<dyn Secrets>,
    turns: &Arc<Semaphore>,
) -> Result<Vec<Value>, EgressError> {
    if injected.is_empty() {
        return Ok(Vec::new());
    }
    let (all, reader) = (injected.clone(), secrets.clone());
    let turn = turns.clone().acquire_owned().await;
    // Files may lie on disks that take their time, and reading cannot be interrupted: it keeps its turn after a time-out, so
    // that a plugin never holds more threads than it has turns.
    let read = move || {
        let _turn = turn;
        all.iter().map(|it| value(it, &*reader)).collect()
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(values) => values,
        Err(_) => {
            let names = || injected.iter().map(|it| (it.secret.clone(), it.name.to_string()));
            let (name, header) = names().next().unwrap_or_default();
            Err(EgressError::Secret { name, header, source: SecretError::Interrupted })
        }
    }
}

fn value(injected: &Injected, secrets: &dyn Secrets) -> Result<Value, EgressError> {
    let (name, header) = (injected.secret.clone(), injected.name.to_string());
    let secret = match secrets.read(&injected.source) {
        Ok(secret) => secret,
        Err(source) => return Err(EgressError::Secret { name, header, source }),
    };
    if !secret.fits_header() {
        return Err(EgressError::SecretValue { name, header });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(injected.prefix.len() + secret.expose().len()));
    text.extend_from_slice(injected.prefix.as_bytes());
    text.extend_from_slice(secret.expose());
    // The header owns the bytes that are wiped, and has no copy of them.
    let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from_owner(text)) else {
        return Err(EgressError::SecretValue { name, header });
    };
    value.set_sensitive(true);
    Ok((injected.name.clone(), secret, value))
}

/// An answer's headers without those that spoke of its connection.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> =
        headers.keys().filter(|it| governs_connection(it) && **it != header::PROXY_AUTHENTICATE).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let target = Target::new(&"http://Example.com:8080/".parse().unwrap()).unwrap();
        let injected = [Injected {
            name: header::AUTHORIZATION,
            prefix: String::new(),
            secret: "s".into(),
            source: SecretSource::Env("S".into()),
        }];
        let bounds = Bounds { headers: 4, head: 200, ..Bounds::default() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let left = check(map, &target, &injected, &bounds).map_err(|it| it.to_string())?;
        Ok(left.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect())
    }

    #[test]
    fn habits_are_dropped_with_what_they_name() {
        let headers = [("connection", "keep-alive, X-Hop"), ("x-hop", "1"), ("te", "trailers"), ("accept", "*/*")];
        assert_eq!(checked(&headers).unwrap(), ["accept: */*"]);
        for host in ["example.com:8080", "EXAMPLE.com:8080"] {
            assert_eq!(checked(&[("host", host), ("a", "b")]).unwrap(), ["a: b"]);
        }
    }

    #[test]
    fn what_is_the_hosts_is_refused() {
        for (name, value, says) in [
            ("authorization", "mine", "the host sets it from a secret"),
            ("AUTHORIZATION", "", "the host sets it from a secret"),
            ("host", "evil.example", "differs from the URL's host"),
            ("host", "example.com", "differs from the URL's host"),
            ("transfer-encoding", "chunked", "governs the connection"),
            ("upgrade", "websocket", "governs the connection"),
            ("expect", "100-continue", "governs the connection"),
            ("proxy-authorization", "x", "governs the connection"),
            ("proxy-anything", "x", "governs the connection"),
            ("http2-settings", "x", "governs the connection"),
            ("trailer", "x", "governs the connection"),
        ] {
            let refused = checked(&[(name, value)]).expect_err(name);
            assert!(refused.contains(says), "{name}: {refused}");
        }
    }

    #[test]
    fn heads_are_bounded() {
        assert!(
            checked(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")]).unwrap_err().contains("4 headers")
        );
        assert!(checked(&[("a", &"x".repeat(200))]).unwrap_err().contains("the request's head has more than 200"));
    }

    #[test]
    fn a_length_is_one_number() {
        let length = |values: &[&str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(header::CONTENT_LENGTH, HeaderValue::from_str(value).unwrap());
            }
            declared_length(&map).map_err(|_| ())
        };
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&["12"]), Ok(Some(12)));
        assert_eq!(length(&["12", "12"]), Ok(Some(12)));
        for wrong in [&["12", "13"][..], &["+1"], &["-1"], &["1, 1"], &[""], &["0x1"], &["18446744073709551616"]] {
            assert_eq!(length(wrong), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_injected() {
        let secrets = BTreeMap::from([("s".to_owned(), SecretSource::Env("S".into()))]);
        let inject = |name: &str, secret: &str, prefix: &str| {
            let injection = homeostat_core::grant::Injection { secret: secret.into(), prefix: prefix.into() };
            let mut grant = HttpGrant::to("http://a.b");
            grant.inject.insert(name.into(), injection);
            injections(&grant, &secrets).map(|it| it.len()).map_err(|it| it.to_string())
        };
        assert_eq!(inject("Authorization", "s", "Bearer "), Ok(1));
        for (name, secret, prefix, says) in [
            ("Bad Name", "s", "", "is no name of a header"),
            ("Host", "s", "", "is the host's to set"),
            ("Transfer-Encoding", "s", "", "is the host's to set"),
            ("X-Key", "other", "", "which Secrets does not have"),
            ("X-Key", "s", "a\r\nb", "control characters"),
        ] {
            let refused = inject(name, secret, prefix).expect_err(name);
            assert!(refused.contains(says), "{name}: {refused}");
        }
    }
}
