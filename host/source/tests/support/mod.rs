//! Servers on loopback that answer as a test says, and what else the tests share.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use homeostat_core::spec::PluginSource;
use homeostat_source::{Config, Credentials, FetchError, Fetched, Locked, Lookup, Sources, Wanted};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the callers of these tests pass on.
pub(crate) const ADVICE: &str = "run `homeostat plugin add --update`";

/// A small component: valid, and different for each number.
pub(crate) fn component(number: u32) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // A custom section (0) of 6 bytes: a name of one letter, and the number.
    bytes.extend([0, 6, 1, b'n']);
    bytes.extend(number.to_le_bytes());
    bytes
}

/// Everything a test needs besides a server.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let config = Config {
            credentials: Credentials::Anonymous,
            connect: Duration::from_secs(2),
            idle: Duration::from_millis(300),
            total: Duration::from_secs(20),
            attempts: 3,
            backoff: Duration::from_millis(10),
            ..Config::default()
        };
        Self { dir: tempfile::tempdir().unwrap(), config }
    }

    /// The directory of downloads.
    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources::new(&self.cache(), &self.config).unwrap()
    }

    /// What is kept, sorted.
    pub(crate) fn kept(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.cache().join("sha256")) else { return Vec::new() };
        let mut names: Vec<_> = files.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn parse(source: &str) -> PluginSource {
    source.parse().unwrap()
}

/// Fetch as a host does that knows nothing, or a pin, or a lock.
pub(crate) async fn fetch(
    sources: &Sources,
    source: &str,
    pin: Option<&str>,
    locked: Option<&Locked>,
) -> Result<Fetched, FetchError> {
    let wanted = Wanted { pin, locked, lookup: Lookup::AsLocked, advice: ADVICE };
    sources.fetch(&parse(source), &wanted).await
}

/// Fetch to renew the lock.
pub(crate) async fn refresh(sources: &Sources, source: &str, locked: Option<&Locked>) -> Result<Fetched, FetchError> {
    let wanted = Wanted { pin: None, locked, lookup: Lookup::Anew, advice: ADVICE };
    sources.fetch(&parse(source), &wanted).await
}

#[track_caller]
pub(crate) fn refused(result: Result<Fetched, FetchError>) -> FetchError {
    match result {
        Ok(fetched) => panic!("was not refused: {fetched:?}"),
        Err(error) => error,
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// By lower-case names.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What is answered: bytes, and what the connection does.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// So many bytes at once, with this pause after each.
    pace: Option<(usize, Duration)>,
    /// Stay silent for ever instead of closing.
    hang: bool,
}

impl Reply {
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), pace: None, hang: false }
    }

    /// A status, headers that end with `\r\n` each, and a body of this length.
    pub(crate) fn status(status: u16, headers: &str, body: &[u8]) -> Self {
        Self::claiming(status, headers, body.len(), body)
    }

    pub(crate) fn ok(kind: &str, body: &[u8]) -> Self {
        Self::status(200, &format!("content-type: {kind}\r\n"), body)
    }

    /// With another length than the body has.
    pub(crate) fn claiming(status: u16, headers: &str, length: usize, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n");
        Self::raw([head.as_bytes(), body].concat())
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(302, &format!("location: {to}\r\n"), b"")
    }

    pub(crate) fn paced(mut self, at_once: usize, pause: Duration) -> Self {
        self.pace = Some((at_once, pause));
        self
    }

    pub(crate) fn hanging(mut self) -> Self {
        self.hang = true;
        self
    }
}

/// A server that is ended with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answer each request by a function of it, and of how many came before.
    pub(crate) async fn start(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (seen, answer, tls) = (seen.clone(), answer.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(tcp, &seen, &*answer).await,
                        Some(tls) => match tokio_rustls::TlsAcceptor::from(tls).accept(tcp).await {
                            Ok(stream) => serve(stream, &seen, &*answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, requests, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) fn oci(&self, path: &str) -> String {
        format!("oci://{}/{path}", self.address)
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<Request>>,
    answer: &(impl Fn(&Request, usize) -> Reply + ?Sized),
) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = bytes.split_off(end + 4);
    let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
    while body.len() < length {
        stream.read_buf(&mut body).await.ok().filter(|read| *read > 0)?;
    }
    let request = Request { method, path, headers, body };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let reply = answer(&request, before);
    let (at_once, pause) = reply.pace.unwrap_or((usize::MAX, Duration::ZERO));
    for piece in reply.bytes.chunks(at_once) {
        stream.write_all(piece).await.ok()?;
        stream.flush().await.ok()?;
        tokio::time::sleep(pause).await;
    }
    if reply.hang {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await.ok()
}

/// An authority of the test's own. Writes its root into a directory.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) roots: PathBuf,
}

impl Authority {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let roots = dir.join("roots.pem");
        std::fs::write(&roots, issuer.pem()).unwrap();
        Self { issuer, roots }
    }

    /// A certificate and its key, for a server that is another program.
    pub(crate) fn pem(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    /// What a server of some names needs.
    pub(crate) fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        Arc::new(config)
    }
}
