//! Where a request goes, in the one spelling that is judged, resolved, and sent.
//!
//! What two parsers could read in two ways is refused rather than mended: a guest has no reason to write it, and what is
//! judged must be what the server reads. Paths are left to the judgement, which knows whether they matter.

use std::net::IpAddr;

use http::Uri;
use http::uri::PathAndQuery;
use thiserror::Error;

/// The most bytes that a URL may have. Servers rarely take more than 8 KiB.
const MOST: usize = 8 << 10;

/// A URL that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether the connection is encrypted.
    pub(crate) scheme: Scheme,
    /// What the URL calls the other side.
    pub(crate) host: Host,
    /// The port, with the scheme's own where the URL has none.
    pub(crate) port: u16,
    /// As it is sent: path and query.
    pub(crate) path_and_query: PathAndQuery,
}

/// The two schemes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A name, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// In lower case.
    Name(String),
    /// IPv4 where it is IPv4 mapped into IPv6.
    Address(IpAddr),
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadUrl {
    /// Neither `http` nor `https`.
    #[error("its scheme must be http or https")]
    Scheme,
    /// No host, or none that could be.
    #[error("it has no valid host: a name of letters, digits and `-`, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// A name that a resolver takes for an address, such as `127.1` or `0x7f000001`.
    #[error("its host looks like an address and is none; write all four numbers, in decimal")]
    Numeric,
    /// `user:password@`.
    #[error("it holds a user or a password; a header has to say who calls")]
    UserInfo,
    /// Port 0, or none that could be.
    #[error("its port is invalid")]
    Port,
    /// Longer than servers take.
    #[error("it has more than {MOST} bytes")]
    TooLong,
    /// `*`, which asks about the server as a whole.
    #[error("its path must begin with `/`")]
    Path,
}

impl Target {
    /// Check a URL.
    ///
    /// # Errors
    /// What could be read in more than one way, or leads nowhere.
    pub(crate) fn new(uri: &Uri) -> Result<Self, BadUrl> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(BadUrl::Scheme),
        };
        let authority = uri.authority().ok_or(BadUrl::Host)?;
        // One without a path, which a guest's library may make, reads as `/` and would be sent as nothing.
        let path_and_query = uri.path_and_query().filter(|it| it.as_str() != "/").cloned();
        let path_and_query = path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if authority.as_str().len() + path_and_query.as_str().len() > MOST {
            return Err(BadUrl::TooLong);
        }
        if authority.as_str().contains('@') {
            return Err(BadUrl::UserInfo);
        }
        let host = Host::new(authority.host())?;
        let port = match authority.as_str().get(authority.host().len()..) {
            Some("") => scheme.port(),
            Some(port) => port.strip_prefix(':').and_then(parse_port).ok_or(BadUrl::Port)?,
            None => return Err(BadUrl::Host),
        };
        if !path_and_query.as_str().starts_with('/') {
            return Err(BadUrl::Path);
        }
        Ok(Self { scheme, host, port, path_and_query })
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.path_and_query.path()
    }

    /// Host and port as `Host` says them: the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = match &self.host {
            Host::Address(IpAddr::V6(it)) => format!("[{it}]"),
            Host::Address(IpAddr::V4(it)) => it.to_string(),
            Host::Name(it) => it.clone(),
        };
        if self.port == self.scheme.port() { host } else { format!("{host}:{}", self.port) }
    }

    /// The whole URL, as errors and tapes say it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority(), self.path_and_query)
    }
}

impl Host {
    fn new(text: &str) -> Result<Self, BadUrl> {
        if let Some(inner) = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            let address: std::net::Ipv6Addr = inner.parse().map_err(|_| BadUrl::Host)?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        let name = text.to_ascii_lowercase();
        let mut labels = name.split('.');
        let valid = |label: &str| {
            let inside = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_';
            (1..=63).contains(&label.len())
                && label.bytes().all(inside)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !labels.clone().all(valid) {
            return Err(BadUrl::Host);
        }
        let last = labels.next_back().unwrap_or_default();
        let hexadecimal = last.strip_prefix("0x").is_some_and(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        if hexadecimal || last.bytes().all(|it| it.is_ascii_digit()) {
            return Err(BadUrl::Numeric);
        }
        Ok(Self::Name(name))
    }

    /// As grants are judged by it: a name in lower case, or an address without brackets.
    pub(crate) fn judged(&self) -> String {
        match self {
            Self::Name(it) => it.clone(),
            Self::Address(it) => it.to_string(),
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16` would take a plus sign as well.
    if text.is_empty() || !text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|it| *it != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<String, BadUrl> {
        // Some hosts are refused before it comes to a target.
        let Ok(uri) = url.parse() else { return Err(BadUrl::Host) };
        Target::new(&uri).map(|it| it.url())
    }

    #[test]
    fn one_spelling() {
        for (url, normal) in [
            ("http://Example.COM", "http://example.com/"),
            ("HTTPS://example.com:443/a?b#c", "https://example.com/a?b"),
            ("http://example.com:443/", "http://example.com:443/"),
            ("http://[::1]:80/", "http://[::1]/"),
            ("http://[0:0:0:0:0:0:0:1]:8080/", "http://[::1]:8080/"),
            ("http://[::ffff:127.0.0.1]/", "http://127.0.0.1/"),
            ("http://[::FFFF:7f00:1]/", "http://127.0.0.1/"),
            ("http://a_b.example/%7Euser/%2F", "http://a_b.example/%7Euser/%2F"),
            ("http://example.com//a//b", "http://example.com//a//b"),
            ("http://example.com/...", "http://example.com/..."),
            ("http://example.com/?a=../..", "http://example.com/?a=../.."),
        ] {
            assert_eq!(check(url).as_deref(), Ok(normal), "{url}");
        }
    }

    #[test]
    fn no_path_is_sent_as_the_root() {
        let whole: Uri = "http://example.com".parse().unwrap();
        let parts = Uri::builder().scheme("http").authority("example.com").path_and_query("").build().unwrap();
        for uri in [whole, parts] {
            let sent = Uri::from(Target::new(&uri).unwrap().path_and_query);
            assert_eq!(sent.to_string(), "/");
        }
    }

    #[test]
    fn two_readings_are_none() {
        for (url, wrong) in [
            ("ftp://example.com/", BadUrl::Scheme),
            ("unix://example.com/", BadUrl::Scheme),
            ("/path", BadUrl::Scheme),
            ("example.com:80", BadUrl::Scheme),
            ("http://user@example.com/", BadUrl::UserInfo),
            ("http://a:b@example.com/", BadUrl::UserInfo),
            ("http://good.example:80@evil.example/", BadUrl::UserInfo),
            ("http://example.com./", BadUrl::Host),
            ("http://-a.example/", BadUrl::Host),
            ("http://a..example/", BadUrl::Host),
            ("http://exam%70le.com/", BadUrl::Host),
            ("http://[fe80::1%25eth0]/", BadUrl::Host),
            ("http://[v1.x]/", BadUrl::Host),
            ("http://127.1/", BadUrl::Numeric),
            ("http://2130706433/", BadUrl::Numeric),
            ("http://0x7f000001/", BadUrl::Numeric),
            ("http://0x7f.0.0.0x1/", BadUrl::Numeric),
            ("http://0177.0.0.1/", BadUrl::Numeric),
            ("http://127.0.0.1.5/", BadUrl::Numeric),
            ("http://example.com:0/", BadUrl::Port),
            ("http://example.com:/", BadUrl::Port),
        ] {
            assert_eq!(check(url), Err(wrong), "{url}");
        }
        let star = Uri::builder().scheme("http").authority("example.com").path_and_query("*").build().unwrap();
        assert_eq!(Target::new(&star), Err(BadUrl::Path));
        let long = format!("http://example.com/{}", "a".repeat(MOST));
        assert_eq!(check(&long), Err(BadUrl::TooLong));
    }
}
