//! HTTP requests that a plugin may send.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{HttpWant, Remedy};

mod address;
mod judge;
mod path;
mod span;
mod token;
mod url;

pub use address::{closed_address, opens_nothing};
pub use judge::{Denial, HttpRefusal, Missing, judge, judge_read_only};
pub use path::{PathFault, PathPattern};
pub(super) use span::Span;
pub use token::{header, method, prefix};
pub(crate) use url::split;
pub use url::{HostPattern, PortPattern, Scheme, UrlPattern, network};

/// Requests to one host, or to the hosts of one domain or network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HttpGrant {
    /// Where to, without a path: `https://api.example.com`, `https://*.example.com:8443`, `http://10.1.0.0/16:*`. Without
    /// a port it is the scheme's own.
    pub url: String,
    /// Which methods; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Which paths: `*` stands for any characters but `/`, `**` for any at all. Empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Where the connection goes instead of where the name leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Route>,
    /// Headers that the host adds, by name. The guest neither sees them nor may set them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inject: BTreeMap<String, Injection>,
    /// A file of certificates (PEM) to trust for this grant instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots: Option<PathBuf>,
    /// What to show a server that asks who calls (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientIdentity>,
    /// Networks (CIDR) that the name may lead to although they are closed by default: loopback, link-local, metadata
    /// services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl HttpGrant {
    /// A grant for one place, with all its methods and paths.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            methods: Vec::new(),
            paths: Vec::new(),
            via: None,
            inject: BTreeMap::new(),
            roots: None,
            client: None,
            addresses: Vec::new(),
        }
    }

    /// Whether it lets a request pass.
    ///
    /// # Errors
    /// The first part of the request that it does not fit.
    pub fn allows(&self, request: &HttpRequest<'_>) -> Result<(), HttpRefusal> {
        judge::fits(&self.url, &self.methods, &self.paths, request)
    }

    /// The same for calls that only look: GET, HEAD and OPTIONS are left. None where it has none of them.
    pub fn read_only(&self) -> Option<Self> {
        let mut methods: Vec<String> = token::SAFE.map(String::from).into();
        methods.retain(|it| self.methods.is_empty() || self.methods.contains(it));
        (!methods.is_empty()).then(|| Self { methods, ..self.clone() })
    }

    /// Whether it names this address, so that the host may go there although the address is closed to names: by the URL's
    /// own address or network, by `localhost`, or by `Addresses`. A network names a closed address only where it lies
    /// within what is closed: `0.0.0.0/0` does not mean this machine.
    pub fn names_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let by_url = match self.url.parse::<UrlPattern>().map(|it| it.host) {
            Ok(HostPattern::Address(own)) => own == address,
            Ok(HostPattern::Network(network)) => address::names(&network, address),
            Ok(HostPattern::Name(name)) => name == "localhost" && address.is_loopback(),
            Ok(HostPattern::Below(_)) | Err(_) => false,
        };
        by_url || self.addresses.iter().filter_map(|it| network(it).ok()).any(|it| address::names(&it, address))
    }

    /// The same grant with an address added to `Addresses`, for an operator whom the host tells that a name leads to a
    /// closed one.
    pub fn naming(&self, address: IpAddr) -> Remedy {
        let mut grant = self.clone();
        grant.addresses.push(IpNet::from(address.to_canonical()).to_string());
        Remedy::http(&grant)
    }
}

impl HttpWant {
    /// Whether it asks for a request.
    ///
    /// # Errors
    /// The first part of the request that it does not fit.
    pub fn allows(&self, request: &HttpRequest<'_>) -> Result<(), HttpRefusal> {
        judge::fits(&self.url, &self.methods, &self.paths, request)
    }
}

/// Where a connection goes, whatever the name says. Written as `unix:/run/x.sock` or as `10.0.0.5:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Route {
    /// A Unix socket.
    Unix(PathBuf),
    /// A fixed address.
    Address(SocketAddr),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl From<Route> for String {
    fn from(route: Route) -> Self {
        route.to_string()
    }
}

impl TryFrom<String> for Route {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // Docker's way to write it has two slashes more.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err("the socket's path is missing; write unix:/run/name.sock".into()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let address: Option<SocketAddr> = text.parse().ok();
        address.filter(|it| it.port() != 0).map(Self::Address).ok_or_else(|| {
            format!("{text:?} is no route; write unix:/run/name.sock, or an address and a port such as 10.0.0.5:8080")
        })
    }
}

/// A header's value that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Injection {
    /// The secret: a name of `Secrets`.
    pub secret: String,
    /// What stands before it, for example `Bearer `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClientIdentity {
    /// Its file (PEM), with the certificates that lead to the root.
    pub cert: PathBuf,
    /// The file of its private key (PEM).
    pub key: PathBuf,
}

/// What a request asks for, as far as grants judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpRequest<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host's name in lower case, or its address without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The method in upper case.
    pub method: &'a str,
    /// The path as it is sent, without the query.
    pub path: &'a str,
}

impl HttpRequest<'_> {
    /// Whether its method only looks.
    pub fn is_safe(&self) -> bool {
        token::SAFE.contains(&self.method)
    }

    /// Scheme, host and port, as a grant names them.
    pub fn origin(&self) -> String {
        let bracketed = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_owned() };
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => format!("{}://{bracketed}", self.scheme),
            (scheme, port) => format!("{scheme}://{bracketed}:{port}"),
        }
    }
}

/// `GET https://api.example.com/v1/x`
impl fmt::Display for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.origin(), self.path)
    }
}

#[cfg(test)]
mod tests;
