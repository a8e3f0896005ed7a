//! Where a request may go: `scheme://host[:port]`, in which parts may be left open.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

/// The longest name of a host (RFC 1035, section 2.3.4), in bytes.
const MAX_NAME: usize = 253;
/// The longest part of a name between two dots.
const MAX_LABEL: usize = 63;

const EXAMPLE: &str = "write it as https://api.example.com, https://*.example.com:8443 or http://10.1.0.0/16:*";

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is written.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// One name, in lower case.
    Name(String),
    /// All names below a domain, at any depth; not the domain itself. Without the `*.`.
    Below(String),
    /// One address, where a request names it and no name.
    Address(IpAddr),
    /// The addresses of a network, where a request names one of them and no name.
    Network(IpNet),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        let address = || host.parse::<IpAddr>().ok().map(|it| it.to_canonical());
        match self {
            Self::Name(name) => host.eq_ignore_ascii_case(name),
            Self::Below(domain) => {
                let head = host.len().checked_sub(domain.len() + 1).filter(|head| *head > 0);
                let parts = head.and_then(|head| Some((host.get(..head)?, host.get(head..)?)));
                parts.is_some_and(|(head, tail)| {
                    !head.ends_with('.') && tail.starts_with('.') && tail[1..].eq_ignore_ascii_case(domain)
                })
            }
            Self::Address(own) => address() == Some(*own),
            Self::Network(network) => address().is_some_and(|it| network.contains(&it)),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(_), Self::Name(name)) => self.matches(name),
            (Self::Below(domain), Self::Below(inner)) => domain == inner || self.matches(inner),
            (Self::Network(network), Self::Address(address)) => network.contains(address),
            (Self::Network(network), Self::Network(inner)) => network.contains(inner),
            _ => self == other,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Address(address @ IpAddr::V6(_)) => write!(f, "[{address}]"),
            Self::Network(network @ IpNet::V6(_)) => write!(f, "[{network}]"),
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// Which ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortPattern {
    /// All: `*`.
    Any,
    /// One.
    Is(u16),
}

impl PortPattern {
    fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// Where requests may go. Its text reads back the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPattern {
    /// How they are sent.
    pub scheme: Scheme,
    /// To which hosts.
    pub host: HostPattern,
    /// To which of their ports.
    pub port: PortPattern,
}

/// A part of a URL, the one first that tells most: a request to another host is further off than one to another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UrlPart {
    Host,
    Scheme,
    Port,
}

impl UrlPattern {
    /// The first part in which a request differs.
    pub(super) fn differs(&self, scheme: &str, host: &str, port: u16) -> Option<UrlPart> {
        if !self.host.matches(host) {
            Some(UrlPart::Host)
        } else if !scheme.eq_ignore_ascii_case(self.scheme.name()) {
            Some(UrlPart::Scheme)
        } else if !self.port.covers(PortPattern::Is(port)) {
            Some(UrlPart::Port)
        } else {
            None
        }
    }

    /// Whether every request that fits `other` fits this one too.
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port.covers(other.port) && self.host.covers(&other.host)
    }

    /// Whether there is a request that fits both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && (self.port.covers(other.port) || other.port.covers(self.port))
            && (self.host.covers(&other.host) || other.host.covers(&self.host))
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            PortPattern::Any => f.write_str(":*"),
            PortPattern::Is(port) if port == self.scheme.port() => Ok(()),
            PortPattern::Is(port) => write!(f, ":{port}"),
        }
    }
}

impl FromStr for UrlPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            (pattern, "") => Ok(pattern),
            (pattern, "/") => Err(format!("{text:?} ends in a slash; write {pattern}")),
            (pattern, path) if path.starts_with('/') => {
                Err(format!("{text:?} has a path, which belongs into \"Paths\": {path:?}, with {pattern} as the URL"))
            }
            (pattern, _) => Err(format!("{text:?} has a query or a fragment, which is not matched; write {pattern}")),
        }
    }
}

/// A pattern at the beginning of a text, and what follows it: nothing, or a text that begins with `/`, `?` or `#`.
pub(crate) fn split(text: &str) -> Result<(UrlPattern, &str), String> {
    if text == "*" {
        return Err(format!("\"*\" would be every host there is; name them: {EXAMPLE}"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match text {
            "" => format!("the URL is empty; {EXAMPLE}"),
            _ if text.starts_with("unix:") => {
                format!("{text:?} is a route, not a URL: give the host a name, and put the socket into \"Via\"")
            }
            _ if text.starts_with('/') => format!("{text:?} is a path; {EXAMPLE}"),
            _ => format!("{text:?} lacks a scheme; write https://{text}, or http://{text} for one without TLS"),
        });
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "unix" => return Err(format!("{text:?} is a route: give the host a name, and put the socket into \"Via\"")),
        "*" => return Err("\"*\" is no scheme; make one grant for http and one for https".into()),
        other => return Err(format!("the scheme {other:?} cannot be granted; http and https can")),
    };
    let (host, rest) = host(rest)?;
    let (port, rest) = match rest.strip_prefix(':') {
        None => (PortPattern::Is(scheme.port()), rest),
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (port(&rest[..end])?, &rest[end..])
        }
    };
    match rest.chars().next() {
        None | Some('/' | '?' | '#') => Ok((UrlPattern { scheme, host, port }, rest)),
        Some(_) => Err(format!("{rest:?} after the host means nothing; {EXAMPLE}")),
    }
}

fn port(text: &str) -> Result<PortPattern, String> {
    match text {
        "*" => Ok(PortPattern::Any),
        // `u16` would take a plus sign as well.
        _ if text.bytes().all(|b| b.is_ascii_digit()) => match text.parse() {
            Ok(port) if port > 0 => Ok(PortPattern::Is(port)),
            _ => Err(format!("{text:?} is no port; write a number from 1 to 65535, or * for all")),
        },
        _ => Err(format!("{text:?} is no port; write a number from 1 to 65535, or * for all")),
    }
}

fn host(text: &str) -> Result<(HostPattern, &str), String> {
    if let Some(inner) = text.strip_prefix('[') {
        let (inner, rest) = inner.split_once(']').ok_or_else(|| format!("the bracket of {text:?} is not closed"))?;
        return Ok((bracketed(inner)?, rest));
    }
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let (authority, rest) = text.split_at(end);
    if authority.contains('@') {
        return Err(format!("{authority:?} holds a user; a secret goes into \"Inject\", where nobody reads it"));
    }
    if authority.matches(':').count() > 1 {
        return Err(format!("{authority:?} looks like an IPv6 address; write it in brackets: [::1]:8080"));
    }
    if let (Ok(address), Some(prefix)) = (authority.parse::<Ipv4Addr>(), rest.strip_prefix('/')) {
        let digits = prefix.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && matches!(prefix.as_bytes().get(digits), None | Some(b':' | b'/')) {
            let network = network(&format!("{address}/{}", &prefix[..digits]))?;
            return Ok((HostPattern::Network(network), &prefix[digits..]));
        }
    }
    let end = authority.find(':').unwrap_or(authority.len());
    Ok((name(&authority[..end])?, &text[end..]))
}

fn bracketed(text: &str) -> Result<HostPattern, String> {
    if text.contains('/') {
        return match network(text)? {
            network @ IpNet::V6(_) => Ok(HostPattern::Network(network)),
            network @ IpNet::V4(_) => Err(format!("brackets are for IPv6; write {network} without them")),
        };
    }
    match text.parse::<Ipv6Addr>() {
        Ok(address) => match address.to_ipv4_mapped() {
            None => Ok(HostPattern::Address(address.into())),
            Some(v4) => Err(format!("[{text}] is the IPv4 address {v4} in disguise; write {v4}")),
        },
        Err(_) => Err(format!("{text:?} in brackets is no IPv6 address or network; write [::1] or [fd00::/8]")),
    }
}

/// A network as `10.1.0.0/16`, or one address as a network of its own.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = match (text.parse(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (_, Ok(address)) => address.into(),
        _ => return Err(format!("{text:?} is no network; write it as 10.1.0.0/16 or fd00::/8")),
    };
    if network.trunc() != network {
        return Err(format!(
            "{text:?} is an address inside of the network {}; write that, or the address",
            network.trunc()
        ));
    }
    match network {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{text:?} is a network of IPv4 in disguise; write it as IPv4"))
        }
        network => Ok(network),
    }
}

/// A name, a domain, or an IPv4 address.
fn name(text: &str) -> Result<HostPattern, String> {
    if text.is_empty() {
        return Err(format!("the host is missing; {EXAMPLE}"));
    }
    if !text.is_ascii() {
        return Err(format!("{text:?} is not ASCII; write the name in its punycode form, which begins with xn--"));
    }
    let lower = text.to_ascii_lowercase();
    let (below, domain) = match lower.strip_prefix("*.") {
        Some(domain) => (true, domain),
        None => (false, lower.as_str()),
    };
    if domain == "*" {
        return Err(format!("\"*\" would be every host there is; name them: {EXAMPLE}"));
    }
    if domain.contains('*') {
        return Err(format!("{text:?} has a \"*\" where none may be: only a whole first part, as in *.example.com"));
    }
    if domain.ends_with('.') {
        return Err(format!("{text:?} ends in a dot; leave it out"));
    }
    if domain.len() > MAX_NAME {
        return Err(format!("the name of the host has {} bytes; at most {MAX_NAME} are allowed", domain.len()));
    }
    let labels: Vec<&str> = domain.split('.').collect();
    for label in &labels {
        let valid = (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !valid {
            return Err(format!("{label:?} cannot be a part of a host's name, in {text:?}; {EXAMPLE}"));
        }
    }
    // What ends in a number is an address in one of its many spellings, and not a name (WHATWG URL, "ends in a number").
    let last = labels.last().copied().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        return match (below, domain.parse::<Ipv4Addr>()) {
            (false, Ok(address)) => Ok(HostPattern::Address(address.into())),
            (true, _) => Err(format!("{text:?} is no domain; write a network as 10.1.0.0/16")),
            (false, Err(_)) => Err(format!("{text:?} is neither a name nor an address; write an address as 10.0.0.1")),
        };
    }
    match below {
        true if labels.len() < 2 => {
            Err(format!("{text:?} takes in too much: at least two parts have to follow, as in *.example.com"))
        }
        true => Ok(HostPattern::Below(domain.into())),
        false => Ok(HostPattern::Name(domain.into())),
    }
}

#[cfg(test)]
mod tests;
