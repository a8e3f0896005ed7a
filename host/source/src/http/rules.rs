//! Who may be asked, and whom they may send us to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::config::{Config, Transport};
use crate::error::FetchError;

/// Whether a URL is of this machine by what it says: a loopback address, or `localhost`, which is never looked up.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

fn is_localhost(name: &str) -> bool {
    name.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

/// The addresses of a host that needs no lookup.
pub(super) fn addresses(host: &Host<&str>) -> Option<Vec<IpAddr>> {
    match host {
        Host::Domain(name) if is_localhost(name) => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(vec![(*address).into()]),
        Host::Ipv6(address) => Some(vec![(*address).into()]),
    }
}

/// The same server, as far as credentials are concerned.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// `host` or `host:port`, as in the configuration.
fn is_listed_plain(config: &Config, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    let listed =
        config.transports.get(&with_port).or_else(|| config.transports.get(host).filter(|_| url.port().is_none()));
    listed == Some(&Transport::Plain)
}

/// Whether a URL may be asked at all.
pub(super) fn admit(config: &Config, url: &Url) -> Result<(), FetchError> {
    let refused = |reason: &str| FetchError::Source { place: shown(url), reason: reason.to_owned() };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "the URL holds a user name or a password, which would be in the lock file and in logs too; leave it out",
        ));
    }
    if url.host().is_none() {
        return Err(refused("it names no host"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) || is_listed_plain(config, url) => Ok(()),
        "http" => Err(FetchError::Plain { place: shown(url) }),
        _ => Err(refused("only https can be asked")),
    }
}

/// A URL without what must not be printed.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.set_password(None).and_then(|()| url.set_username("")).is_err() {
        return format!("a URL of the scheme {}", url.scheme());
    }
    url.to_string()
}

/// Whether one server may send us to another.
pub(super) fn step(config: &Config, from: &Url, to: &Url) -> Result<(), &'static str> {
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err("it leads from https to plain http");
    }
    if is_loopback(to) && !is_loopback(from) {
        return Err("it leads from another machine to this one");
    }
    match admit(config, to) {
        Ok(()) => Ok(()),
        Err(FetchError::Plain { .. }) => Err("it is plain http to another machine"),
        Err(_) => Err("it holds a password, or is not of http at all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn plain_http_is_for_loopback_and_for_what_is_listed() {
        let transports =
            [("registry.lan:5000", Transport::Plain), ("web.lan", Transport::Plain), ("b.lan", Transport::Tls)];
        let transports = transports.map(|(name, it)| (name.to_owned(), it)).into();
        let config = Config { transports, ..Config::default() };
        for text in [
            "https://example.com/x",
            "http://127.0.0.1:1/x",
            "http://127.9.9.9/",
            "http://[::1]:1/x",
            "http://[::ffff:127.0.0.1]/x",
            "http://localhost/x",
            "http://LOCALHOST.:8/x",
            "http://0x7f.1/x",
            "http://registry.lan:5000/v2/",
            "http://web.lan/v2/",
        ] {
            assert!(admit(&config, &url(text)).is_ok(), "{text}");
        }
        for text in [
            "http://example.com/x",
            "http://localhost.example.com/x",
            "http://127.0.0.1.example.com/x",
            "http://10.0.0.1/x",
            "http://registry.lan/v2/",
            "http://registry.lan:5001/v2/",
            "http://web.lan:81/v2/",
            "http://b.lan/v2/",
        ] {
            assert!(matches!(admit(&config, &url(text)), Err(FetchError::Plain { .. })), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_printing_it() {
        let refused = admit(&Config::default(), &url("https://me:hunter2@example.com/x")).unwrap_err().to_string();
        assert!(refused.contains("password") && !refused.contains("hunter2"), "{refused}");
        assert!(admit(&Config::default(), &url("ftp://example.com/x")).is_err());
        assert!(admit(&Config::default(), &url("data:x")).is_err());
    }

    #[test]
    fn a_step_never_weakens() {
        let allowed = [
            ("https://a.com/", "https://b.com/x"),
            ("http://127.0.0.1:1/", "http://[::1]:2/"),
            ("http://127.0.0.1:1/", "https://b.com/"),
        ];
        let refused = [
            ("https://a.com/", "http://a.com/", "https to plain http"),
            ("https://127.0.0.1/", "http://127.0.0.1/", "https to plain http"),
            ("https://a.com/", "https://127.0.0.1/", "to this one"),
            ("https://a.com/", "https://localhost/", "to this one"),
            ("http://127.0.0.1/", "http://a.com/", "plain http to another machine"),
            ("http://127.0.0.1/", "file:///etc/passwd", "not of http"),
            ("https://a.com/", "https://me:x@b.com/", "password"),
        ];
        for (from, to) in allowed {
            assert_eq!(step(&Config::default(), &url(from), &url(to)), Ok(()), "{from} {to}");
        }
        for (from, to, says) in refused {
            let reason = step(&Config::default(), &url(from), &url(to)).unwrap_err();
            assert!(reason.contains(says), "{from} {to}: {reason}");
        }
    }

    #[test]
    fn credentials_belong_to_scheme_host_and_port() {
        let one = url("https://a.com/x");
        assert!(same_origin(&one, &url("https://A.com:443/y")));
        for other in ["http://a.com/x", "https://a.com:444/x", "https://b.a.com/x"] {
            assert!(!same_origin(&one, &url(other)), "{other}");
        }
    }
}
