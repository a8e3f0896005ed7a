//! A server that says what a test wants, on loopback, and an [`Egress`] that may speak to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use homeostat_core::grant::{Grants, HttpGrant, HttpWant, SecretSource, Wants};
use homeostat_egress::{Access, Body, Bounds, Egress, EgressError, Secret, SecretError, Secrets, Timeouts};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// What a server got: the head as it came, and the body as its framing says.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|it| it.split_once(": "));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What a server does with a request.
pub(crate) enum Reply {
    /// Says this, and goes on listening.
    Say(String),
    /// Says these, one after the other, each after a while, and closes.
    Pieces(Vec<(Duration, String)>),
    /// Says this, and then the second without end.
    Endless(String, String),
    /// Closes.
    Close,
    /// Closes so that the other side gets a reset, after having said this.
    Reset(String),
    /// Says nothing.
    Hang,
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

pub(crate) fn at_once(text: &str) -> Reply {
    Reply::Pieces(vec![(Duration::ZERO, text.into())])
}

type Handler = dyn Fn(usize, &Got) -> Reply + Send + Sync;

/// A server on loopback. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    got: Arc<Mutex<Vec<Got>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn new(handler: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, handler).await
    }

    pub(crate) async fn tls(
        tls: Arc<rustls::ServerConfig>,
        handler: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(TlsAcceptor::from(tls)), handler).await
    }

    async fn start(tls: Option<TlsAcceptor>, handler: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, got): (Arc<AtomicUsize>, Arc<Mutex<Vec<Got>>>) = Default::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let mut tasks = JoinSet::new();
        let (counted, kept) = (connections.clone(), got.clone());
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                let (handler, kept, tls) = (handler.clone(), kept.clone(), tls.clone());
                open.spawn(async move {
                    match tls {
                        None => serve(stream, &*handler, &kept, |it| drop(it.set_zero_linger())).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &*handler, &kept, |_| {}).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, connections, got, _tasks: tasks }
    }

    pub(crate) async fn unix(path: &Path, handler: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (connections, got): (Arc<AtomicUsize>, Arc<Mutex<Vec<Got>>>) = Default::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let mut tasks = JoinSet::new();
        let (counted, kept) = (connections.clone(), got.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                serve(stream, &*handler, &kept, |_| {}).await;
            }
        });
        Self { address: "0.0.0.0:0".parse().unwrap(), connections, got, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn serve<S>(mut stream: S, handler: &Handler, kept: &Mutex<Vec<Got>>, reset: fn(&S))
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    while let Some(got) = read_request(&mut stream, &mut buffer).await {
        let number = {
            let mut kept = kept.lock().unwrap();
            kept.push(got.clone());
            kept.len()
        };
        match handler(number, &got) {
            Reply::Say(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::Pieces(pieces) => {
                for (after, text) in pieces {
                    sleep(after).await;
                    if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                drop(stream.shutdown().await);
                return;
            }
            Reply::Endless(head, more) => {
                drop(stream.write_all(head.as_bytes()).await);
                while stream.write_all(more.as_bytes()).await.is_ok() {}
                return;
            }
            Reply::Close => return drop(stream.shutdown().await),
            Reply::Reset(text) => {
                drop(stream.write_all(text.as_bytes()).await);
                drop(stream.flush().await);
                // What was said has to arrive before the reset overtakes it.
                sleep(Duration::from_millis(100)).await;
                return reset(&stream);
            }
            Reply::Hang => std::future::pending().await,
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Got> {
    let find = |buffer: &[u8], what: &[u8]| buffer.windows(what.len()).position(|it| it == what);
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut got = Got { head, body: Vec::new() };
    buffer.drain(..end);
    if got.header("transfer-encoding").is_some() {
        loop {
            let line = loop {
                if let Some(line) = find(buffer, b"\r\n") {
                    break line;
                }
                if stream.read_buf(buffer).await.ok()? == 0 {
                    return None;
                }
            };
            let size = usize::from_str_radix(&String::from_utf8_lossy(&buffer[..line]), 16).unwrap();
            while buffer.len() < line + 2 + size + 2 {
                if stream.read_buf(buffer).await.ok()? == 0 {
                    return None;
                }
            }
            got.body.extend_from_slice(&buffer[line + 2..line + 2 + size]);
            buffer.drain(..line + 2 + size + 2);
            if size == 0 {
                return Some(got);
            }
        }
    }
    let length: usize = got.header("content-length").map_or(0, |it| it.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    got.body = buffer.drain(..length).collect();
    Some(got)
}

/// Secrets by the name of their variable.
pub(crate) struct Known(pub(crate) BTreeMap<String, String>);

impl Secrets for Known {
    fn read(&self, source: &SecretSource) -> Result<Secret, SecretError> {
        let SecretSource::Env(name) = source else { return Err(SecretError::NoStore) };
        let value = self.0.get(name).ok_or_else(|| SecretError::NoVariable(name.clone()))?;
        Ok(Secret::new(value.clone().into()))
    }
}

/// What a plugin is granted, and its secrets.
pub(crate) struct Setting {
    pub(crate) grants: Grants,
    pub(crate) wants: Wants,
    pub(crate) bounds: Bounds,
    pub(crate) secrets: BTreeMap<String, String>,
}

pub(crate) fn granted(grants: impl IntoIterator<Item = HttpGrant>) -> Setting {
    let want = HttpWant { url: "*".into(), methods: Vec::new(), paths: Vec::new(), why: String::new() };
    Setting {
        grants: Grants { http: grants.into_iter().collect(), ..Grants::default() },
        wants: Wants { http: vec![want], ..Wants::default() },
        bounds: Bounds::default(),
        secrets: BTreeMap::new(),
    }
}

impl Setting {
    pub(crate) fn bounded(mut self, change: impl FnOnce(&mut Bounds)) -> Self {
        change(&mut self.bounds);
        self
    }

    /// A secret with this value, which is injected into the first grant as this header.
    pub(crate) fn injecting(mut self, header: &str, prefix: &str, value: &str) -> Self {
        let secret = format!("for-{}", header.to_lowercase());
        self.grants.secrets.insert(secret.clone(), SecretSource::Env(secret.clone()));
        self.secrets.insert(secret.clone(), value.into());
        let injection = homeostat_core::grant::Injection { secret, prefix: prefix.into() };
        self.grants.http[0].inject.insert(header.into(), injection);
        self
    }

    pub(crate) fn egress(self) -> Arc<Egress> {
        let secrets = Arc::new(Known(self.secrets));
        Arc::new(Egress::new("tester", &self.grants, &self.wants, self.bounds, secrets).unwrap())
    }
}

pub(crate) const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_secs(10),
    between_bytes: Duration::from_secs(10),
};

pub(crate) fn request(method: &str, url: &str) -> http::request::Builder {
    Request::builder().method(method).uri(url)
}

pub(crate) async fn send(egress: &Egress, request: Request<Full<Bytes>>) -> Result<Response<Body>, EgressError> {
    egress.send(request, Access::Full, PATIENT).await
}

pub(crate) async fn get(egress: &Egress, url: &str) -> Result<Response<Body>, EgressError> {
    send(egress, request("GET", url).body(Full::default()).unwrap()).await
}

pub(crate) async fn read(body: Body) -> Result<String, EgressError> {
    Ok(String::from_utf8(body.collect().await?.to_bytes().into()).unwrap())
}

/// The text of an answer to a GET.
pub(crate) async fn text(egress: &Egress, url: &str) -> Result<String, EgressError> {
    read(get(egress, url).await?.into_body()).await
}

/// All that an error says: itself, its sources, and how it is shown to programmers.
pub(crate) fn all_of(error: &EgressError) -> String {
    let mut text = format!("{error:?} {error} {:?}", error.guest_code());
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text += &format!(" {source:?} {source}");
        next = source.source();
    }
    text
}
