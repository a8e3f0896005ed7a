//! From a checked target to a connection: resolve once, keep what is allowed, connect to exactly that.
//!
//! There is no second lookup, so that a name cannot lead elsewhere between the check and the connection.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use homeostat_core::grant::{HttpGrant, Route, closed_address};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use crate::error::{EgressError, Stage};
use crate::target::{Host, Target};

/// How long an attempt has before the next address is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 16;

/// A connection, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How long connecting may take, and since when.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    pub(crate) fn new(after: Duration) -> Self {
        Self { at: Instant::now() + after, after }
    }

    /// Wait for it, but no longer.
    pub(crate) async fn bound<T>(self, stage: Stage, work: impl Future<Output = T>) -> Result<T, EgressError> {
        timeout_at(self.at, work).await.map_err(|_| EgressError::Timeout { stage, after: self.after })
    }
}

/// Who answers where a name leads.
#[derive(Clone)]
pub(crate) enum Resolver {
    /// The machine's own, with at most so many questions at once.
    System(Arc<Semaphore>),
    /// These, for tests.
    #[cfg(test)]
    Fixed(Vec<SocketAddr>),
}

impl Resolver {
    pub(crate) fn system(at_once: u32) -> Self {
        Self::System(Arc::new(Semaphore::new(at_once as usize)))
    }

    async fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        match self {
            Self::System(turns) => {
                let dns = |source| EgressError::Dns { host: name.to_owned(), source };
                let turn = turns.clone().acquire_owned().await.map_err(|error| dns(io::Error::other(error)))?;
                let question = (name.to_owned(), port);
                // The C library cannot be interrupted. It keeps its turn after a time-out, so that a guest that asks for
                // names that nobody answers never holds more threads than it has turns.
                let asked = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    question.to_socket_addrs().map(Iterator::collect)
                });
                asked.await.map_err(|error| dns(io::Error::other(error)))?.map_err(dns)
            }
            #[cfg(test)]
            Self::Fixed(addresses) => Ok(addresses.clone()),
        }
    }
}

/// What a connection needs besides its target.
pub(crate) struct Dial<'a> {
    pub(crate) grant: &'a HttpGrant,
    /// For `https`.
    pub(crate) tls: Option<&'a Arc<rustls::ClientConfig>>,
    pub(crate) resolver: &'a Resolver,
}

impl Dial<'_> {
    /// Connect.
    ///
    /// # Errors
    /// No address, none that is open, nobody who listens, no proof of who does; or too late.
    pub(crate) async fn connect(&self, target: &Target, deadline: Deadline) -> Result<Box<dyn Io>, EgressError> {
        let plain: Box<dyn Io> = match &self.grant.via {
            Some(Route::Unix(path)) => Box::new(unix(path, deadline).await?),
            // A route is the operator's own word on where to go.
            Some(Route::Address(address)) => Box::new(deadline.bound(Stage::Connect, tcp(*address)).await??),
            None => {
                let addresses = self.addresses(target, deadline).await?;
                Box::new(deadline.bound(Stage::Connect, first(&addresses)).await??)
            }
        };
        let Some(tls) = self.tls else { return Ok(plain) };
        let name = server_name(target)?;
        let handshake = TlsConnector::from(tls.clone()).connect(name, plain);
        match deadline.bound(Stage::Connect, handshake).await? {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(tls_error(&target.host, error)),
        }
    }

    /// The addresses of a target that may be reached, in the order to try.
    async fn addresses(&self, target: &Target, deadline: Deadline) -> Result<Vec<SocketAddr>, EgressError> {
        let found = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => deadline.bound(Stage::Resolve, self.resolver.resolve(name, target.port)).await??,
        };
        if found.is_empty() {
            return Err(EgressError::NoAddress(target.host.judged()));
        }
        let mut seen = HashSet::new();
        let found = found.into_iter().filter(|it| seen.insert(it.ip().to_canonical()));
        let (mut open, mut closed, mut why) = (Vec::new(), Vec::new(), "");
        for address in found {
            let ip = address.ip().to_canonical();
            match closed_address(ip).filter(|_| !self.grant.names_address(ip)) {
                None => open.push(address),
                Some(reason) => {
                    why = if closed.is_empty() { reason } else { why };
                    closed.push(ip);
                }
            }
        }
        if let (true, Some(first)) = (open.is_empty(), closed.first()) {
            let remedy = Box::new(self.grant.naming(*first));
            closed.truncate(MOST_ADDRESSES);
            return Err(EgressError::Address { host: target.host.judged(), addresses: closed, why, remedy });
        }
        open.truncate(MOST_ADDRESSES);
        Ok(open)
    }
}

/// Whoever of them answers first, with a head start for the earlier ones.
async fn first(addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = None;
    loop {
        match waiting.next() {
            Some(address) => attempts.push(tcp(*address)),
            None if attempts.is_empty() => {
                let none = || EgressError::NoAddress("the name".into());
                return Err(last.unwrap_or_else(none));
            }
            None => {}
        }
        // Without another address there is nothing to give a head start against.
        let next = async { if waiting.len() == 0 { std::future::pending().await } else { sleep(HEAD_START).await } };
        tokio::select! {
            Some(done) = attempts.next() => match done {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            },
            () = next => {}
        }
    }
}

async fn tcp(address: SocketAddr) -> Result<TcpStream, EgressError> {
    let failed = |source| EgressError::Connect { to: address.to_string(), source };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    let peer = stream.peer_addr().map_err(failed)?;
    if peer.ip().to_canonical() != address.ip().to_canonical() || peer.port() != address.port() {
        return Err(failed(io::Error::other(format!("the other side is {peer}"))));
    }
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

async fn unix(path: &Path, deadline: Deadline) -> Result<UnixStream, EgressError> {
    let connected = deadline.bound(Stage::Connect, UnixStream::connect(path)).await?;
    connected.map_err(|source| EgressError::Connect { to: format!("unix:{}", path.display()), source })
}

fn server_name(target: &Target) -> Result<ServerName<'static>, EgressError> {
    match &target.host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| EgressError::Tls {
            host: name.clone(),
            source: rustls::Error::General("the host's name cannot be that of a certificate".into()),
        }),
    }
}

/// A failure of TLS, or of what is below it.
pub(crate) fn tls_error(host: &Host, error: io::Error) -> EgressError {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()).cloned();
    match inner {
        Some(source) => EgressError::Tls { host: host.judged(), source },
        None => EgressError::Connect { to: host.judged(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use tokio::net::TcpListener;

    fn target(url: &str) -> Target {
        Target::new(&url.parse().unwrap()).unwrap()
    }

    fn grant(open: &[IpAddr]) -> HttpGrant {
        HttpGrant { addresses: open.iter().map(IpAddr::to_string).collect(), ..HttpGrant::to("http://name") }
    }

    async fn connect(url: &str, found: &[SocketAddr], open: &[IpAddr]) -> Result<Box<dyn Io>, EgressError> {
        let (grant, resolver) = (grant(open), Resolver::Fixed(found.to_vec()));
        let dial = Dial { grant: &grant, tls: None, resolver: &resolver };
        dial.connect(&target(url), Deadline::new(Duration::from_secs(5))).await
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address of loopback where nobody listens.
    async fn refusing() -> SocketAddr {
        let (listener, address) = listener().await;
        drop(listener);
        address
    }

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_closed_address_is_left_out_and_the_open_one_taken() {
        let (_listener, address) = listener().await;
        let closed: SocketAddr = "169.254.169.254:80".parse().unwrap();
        assert!(connect("http://name/", &[closed, address], &[LOOPBACK]).await.is_ok());
        let Err(EgressError::Address { addresses, why, remedy, .. }) =
            connect("http://name/", &[closed, address], &[]).await
        else {
            panic!("a closed address was reached");
        };
        assert_eq!(addresses, [closed.ip(), LOOPBACK]);
        assert!(why.contains("metadata"), "{why}");
        assert!(remedy.to_string().contains("169.254.169.254/32"), "{remedy}");
    }

    #[tokio::test]
    async fn mapped_addresses_are_judged_as_what_they_are() {
        let (_listener, address) = listener().await;
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), address.port());
        let Err(EgressError::Address { addresses, .. }) = connect("http://name/", &[mapped], &[]).await else {
            panic!("a mapped address was reached");
        };
        assert_eq!(addresses, [LOOPBACK]);
        assert!(connect("http://name/", &[mapped], &[LOOPBACK]).await.is_ok());
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let (_listener, address) = listener().await;
        let second: SocketAddr = format!("127.0.0.2:{}", refusing().await.port()).parse().unwrap();
        assert!(connect("http://name/", &[second, address], &[LOOPBACK, second.ip()]).await.is_ok());
        let Err(EgressError::Connect { to, .. }) = connect("http://name/", &[second], &[second.ip()]).await else {
            panic!("nobody listens there");
        };
        assert_eq!(to, second.to_string());
    }

    #[tokio::test]
    async fn the_next_address_is_tried_beside_one_that_is_silent() {
        // Nobody takes connections from a full queue, so that the kernel leaves the next ones without an answer.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(silent)).await {
            queued.push(stream);
        }
        let (_listener, address) = listener().await;
        let before = Instant::now();
        assert!(connect("http://name/", &[silent, address], &[LOOPBACK, silent.ip()]).await.is_ok());
        let took = before.elapsed();
        assert!((HEAD_START..Duration::from_secs(2)).contains(&took), "{took:?}");
        // And alone it is a time-out.
        let (grant, resolver) = (grant(&[silent.ip()]), Resolver::Fixed(vec![silent]));
        let dial = Dial { grant: &grant, tls: None, resolver: &resolver };
        let late = dial.connect(&target("http://name/"), Deadline::new(Duration::from_millis(100))).await;
        assert!(matches!(late, Err(EgressError::Timeout { stage: Stage::Connect, .. })));
    }

    #[tokio::test]
    async fn a_name_without_addresses() {
        assert!(matches!(connect("http://name/", &[], &[]).await, Err(EgressError::NoAddress(_))));
    }
}
