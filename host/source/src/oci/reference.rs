//! `oci://host[:port]/repository[:tag][@sha256:digest]`.

use std::fmt;

use url::Url;

use crate::config::{Config, Transport};
use crate::digest::{is_sha256, not_sha256};
use crate::error::FetchError;
use crate::http::is_loopback;

/// An artifact in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// `host` or `host:port`.
    pub registry: String,
    pub repository: String,
    /// `latest` where none is given, as everywhere.
    pub tag: String,
    /// The SHA-256 of the manifest. Where there is one, the tag is only there to be read.
    pub digest: Option<String>,
}

impl Reference {
    /// # Errors
    /// [`FetchError::Source`].
    pub(crate) fn parse(text: &str) -> Result<Self, FetchError> {
        let wrong = |reason: String| FetchError::Source { place: text.to_owned(), reason };
        let rest = text.strip_prefix("oci://").ok_or_else(|| wrong("it does not begin with oci://".into()))?;
        let (rest, digest) = match rest.split_once('@') {
            None => (rest, None),
            Some((_, after)) if after.contains(['/', '@']) => {
                return Err(wrong("it holds a user name or a password; leave it out, and use `docker login`".into()));
            }
            Some((rest, digest)) => (rest, Some(digest)),
        };
        let (registry, path) = rest
            .split_once('/')
            .ok_or_else(|| wrong("it names no repository; write oci://host[:port]/repository:tag".into()))?;
        let url = Url::parse(&format!("https://{registry}/"))
            .ok()
            .filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| wrong(format!("{registry:?} is no host[:port]")))?;
        let registry = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();

        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, tag),
            None => (path, "latest"),
        };
        if !is_repository(repository) {
            return Err(wrong(format!(
                "{repository:?} is no repository: that is lower-case letters and digits, joined by one of . - _ or /"
            )));
        }
        if !is_tag(tag) {
            return Err(wrong(format!(
                "{tag:?} is no tag: that is up to 128 letters, digits and _ . -, and no . or - at the beginning"
            )));
        }
        let digest = match digest {
            None => None,
            Some(digest) => match digest.strip_prefix("sha256:") {
                Some(hex) if is_sha256(hex) => Some(hex.to_owned()),
                Some(hex) => return Err(wrong(not_sha256(hex))),
                None => return Err(wrong(format!("{digest:?} is no digest; write @sha256:..."))),
            },
        };
        Ok(Self { registry, repository: repository.into(), tag: tag.into(), digest })
    }

    /// The same artifact by the digest of its manifest, for good.
    pub(crate) fn at(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }

    /// The same without what can change.
    pub(crate) fn resolved(&self, manifest: &str) -> String {
        format!("oci://{}/{}@sha256:{manifest}", self.registry, self.repository)
    }

    /// The digest of another reference, where both are of one repository.
    pub(crate) fn digest_in(&self, other: &str) -> Option<String> {
        let other = Self::parse(other).ok()?;
        let same = other.registry == self.registry && other.repository == self.repository;
        other.digest.filter(|_| same)
    }

    /// What a manifest is asked for by.
    pub(super) fn version(&self) -> String {
        self.digest.as_ref().map_or_else(|| self.tag.clone(), |digest| format!("sha256:{digest}"))
    }

    /// A URL of the repository's API, `path` behind its name.
    ///
    /// # Errors
    /// [`FetchError::Source`]; a reference that was parsed gives none.
    pub(super) fn api(&self, config: &Config, path: &str) -> Result<Url, FetchError> {
        let make = |scheme: &str| {
            Url::parse(&format!("{scheme}://{}/v2/{}/{path}", self.registry, self.repository))
                .map_err(|error| FetchError::Source { place: self.to_string(), reason: error.to_string() })
        };
        let tls = make("https")?;
        let with_port =
            format!("{}:{}", tls.host_str().unwrap_or_default(), tls.port_or_known_default().unwrap_or(443));
        let listed = config.transports.get(&self.registry).or_else(|| config.transports.get(&with_port));
        match listed.copied().unwrap_or(if is_loopback(&tls) { Transport::Plain } else { Transport::Tls }) {
            Transport::Tls => Ok(tls),
            Transport::Plain => make("http"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.registry, self.repository)?;
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => write!(f, ":{}", self.tag),
        }
    }
}

/// By the distribution specification: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/...)*`.
fn is_repository(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 255
        && text.split('/').all(|part| {
            let joints = part.split(is_plain).filter(|it| !it.is_empty());
            part.starts_with(is_plain)
                && part.ends_with(is_plain)
                && joints.into_iter().all(|it| matches!(it, "." | "_" | "__") || it.bytes().all(|b| b == b'-'))
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().enumerate().all(|(at, b)| is_word(b) || at > 0 && matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back() {
        let digest = crate::sha256(b"x");
        let cases = [
            ("oci://example.com/a", "example.com", "a", "latest", None),
            ("oci://Example.com:5000/team/a_b.c--d:v1.2", "example.com:5000", "team/a_b.c--d", "v1.2", None),
            ("oci://[::1]:5000/a:1", "[::1]:5000", "a", "1", None),
            (&format!("oci://localhost/a@sha256:{digest}"), "localhost", "a", "latest", Some(digest.clone())),
            (&format!("oci://localhost/a:1@sha256:{digest}"), "localhost", "a", "1", Some(digest.clone())),
        ];
        for (text, registry, repository, tag, digest) in cases {
            let reference = Reference::parse(text).unwrap();
            let expected =
                Reference { registry: registry.into(), repository: repository.into(), tag: tag.into(), digest };
            assert_eq!(reference, expected, "{text}");
            let again = Reference::parse(&reference.to_string()).unwrap();
            assert_eq!(again.version(), reference.version(), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_told_why() {
        let cases = [
            ("https://a/b", "does not begin with oci://"),
            ("oci://example.com", "names no repository"),
            ("oci://example.com/", "is no repository"),
            ("oci:///a", "is no host"),
            ("oci://a b/c", "is no host"),
            ("oci://a:99999/c", "is no host"),
            ("oci://a/B", "lower-case"),
            ("oci://a/../b", "is no repository"),
            ("oci://a/b/", "is no repository"),
            ("oci://a/b.-c", "is no repository"),
            ("oci://a/b?x=y", "is no repository"),
            ("oci://a/b:", "is no tag"),
            ("oci://a/b:.1", "is no tag"),
            ("oci://a/b@sha512:00", "write @sha256:"),
            ("oci://a/b@sha256:00", "64 lower-case"),
            ("oci://me:pw@a/b", "password"),
            ("oci://a/b@sha256:00@x", "password"),
        ];
        for (text, says) in cases {
            let error = Reference::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_transport_is_tls_except_on_loopback_and_where_it_is_listed() {
        let transports =
            [("lan:5000", Transport::Plain), ("localhost:8443", Transport::Tls), ("b.lan", Transport::Plain)];
        let config = Config { transports: transports.map(|(it, t)| (it.to_owned(), t)).into(), ..Config::default() };
        for (text, scheme) in [
            ("oci://example.com/a", "https"),
            ("oci://localhost:5000/a", "http"),
            ("oci://127.0.0.1/a", "http"),
            ("oci://localhost:8443/a", "https"),
            ("oci://lan:5000/a", "http"),
            ("oci://lan/a", "https"),
            ("oci://b.lan/a", "http"),
        ] {
            let url = Reference::parse(text).unwrap().api(&config, "manifests/1").unwrap();
            assert_eq!(url.scheme(), scheme, "{text}");
            assert!(url.path() == "/v2/a/manifests/1", "{url}");
        }
    }

    #[test]
    fn a_digest_is_taken_from_the_same_repository_alone() {
        let digest = crate::sha256(b"x");
        let reference = Reference::parse("oci://a.com/x:1").unwrap();
        assert_eq!(reference.digest_in(&reference.resolved(&digest)), Some(digest.clone()));
        for other in ["oci://b.com/x", "oci://a.com/y"] {
            assert_eq!(reference.digest_in(&format!("{other}@sha256:{digest}")), None);
        }
        assert_eq!(reference.digest_in("oci://a.com/x:1"), None);
        assert_eq!(reference.digest_in("nonsense"), None);
    }
}
