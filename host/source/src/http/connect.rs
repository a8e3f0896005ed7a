//! A connection to the server of a URL.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::rules;
use super::tls::Trust;
use crate::config::Config;
use crate::error::FetchError;

/// How long one address of several may take, so that the next still gets its turn.
const ADDRESS: Duration = Duration::from_secs(3);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connect, encrypted where the URL says `https`.
pub(super) async fn connect(config: &Config, trust: &Arc<Trust>, url: &Url) -> Result<Box<dyn Stream>, FetchError> {
    let place = || url.to_string();
    let limit = config.connect;
    let slow = |what| FetchError::Timeout { place: place(), what, limit };
    let end = Instant::now() + limit;
    let host = url.host().ok_or_else(|| FetchError::Source { place: place(), reason: "it names no host".into() })?;
    let port = url.port_or_known_default().unwrap_or_default();

    let tcp = timeout_at(end, dial(&host, port))
        .await
        .map_err(|_| slow("no connection was made"))?
        .map_err(|error| FetchError::Unreachable { place: place(), source: error.into() })?;
    tcp.set_nodelay(true).ok();
    if url.scheme() != "https" {
        return Ok(Box::new(tcp));
    }

    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.to_owned())
            .map_err(|error| FetchError::Source { place: place(), reason: format!("its host: {error}") })?,
        Host::Ipv4(address) => ServerName::IpAddress(std::net::IpAddr::from(address).into()),
        Host::Ipv6(address) => ServerName::IpAddress(std::net::IpAddr::from(address).into()),
    };
    let trust = trust.clone();
    let tls = crate::sources::beside(move || trust.config()).await?;
    let connector = TlsConnector::from(tls);
    let stream = timeout_at(end, connector.connect(name, tcp))
        .await
        .map_err(|_| slow("no encrypted connection was made"))?
        .map_err(|error| refused(place(), error))?;
    Ok(Box::new(stream))
}

/// One address after the other.
async fn dial(host: &Host<&str>, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match (rules::addresses(host), host) {
        (Some(known), _) => known.into_iter().map(|address| SocketAddr::new(address, port)).collect(),
        (None, Host::Domain(name)) => lookup_host((*name, port)).await?.collect(),
        (None, _) => Vec::new(),
    };
    let mut failure = io::Error::other("the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let last = index + 1 == addresses.len();
        let tried =
            if last { attempt.await } else { timeout(ADDRESS, attempt).await.unwrap_or_else(|it| Err(it.into())) };
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A certificate that is not believed will not be in a minute either; a handshake that broke off may.
fn refused(place: String, error: io::Error) -> FetchError {
    let tls = error.get_ref().and_then(|inner| (inner as &(dyn Error + 'static)).downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            FetchError::Certificate { place, source: error.into() }
        }
        _ => FetchError::Unreachable { place, source: error.into() },
    }
}
