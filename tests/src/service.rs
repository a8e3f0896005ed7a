//! A service on loopback, with and without TLS, that answers as a test says and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::World;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its path and query, as they were sent.
    pub path: String,
    /// Its headers, by names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// Status 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// The headers of the request, a line each.
    pub fn echo(asked: &Asked) -> Self {
        Self::ok(asked.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>())
    }

    /// Look there.
    pub fn redirect(to: String) -> Self {
        Self { status: 307, headers: vec![("location", to)], body: Vec::new() }
    }
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

#[derive(Clone)]
struct Shared {
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answer>,
}

/// A server that is stopped when this is dropped.
pub struct Service {
    shared: Shared,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    /// Start one on a free port of loopback that answers each request so.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(None, Arc::new(answer))
    }

    /// The same behind TLS, with a certificate of this authority for these names and addresses.
    ///
    /// # Panics
    /// As above.
    pub fn start_tls(
        authority: &Authority,
        names: &[&str],
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with(Some(authority.server(names)), Arc::new(answer))
    }

    fn with(tls: Option<Arc<ServerConfig>>, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("it has an address");
        let shared = Shared { asked: Arc::default(), answer };
        let router = axum::Router::new().fallback(reply).with_state(shared.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let serve = async {
                    match tls {
                        None => axum::serve(listener, router).await,
                        Some(tls) => axum::serve(Encrypted { listener, tls: tls.into() }, router).await,
                    }
                };
                tokio::select! {
                    served = serve => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Self { shared, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The paths that it was asked for so far.
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn reply(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let asked = Asked {
        method: request.method().to_string(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
    };
    let Reply { status, headers, body } = (shared.answer)(&asked);
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let builder = Response::builder().status(status);
    let builder = headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(body.into()).expect("a reply")
}

/// What comes encrypted. Who does not get through the handshake is not heard.
struct Encrypted {
    listener: tokio::net::TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A certificate authority that nobody trusts who was not told to.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The file of its root certificate.
    pub roots: PathBuf,
}

impl Authority {
    /// A new one, whose root is in a file of this name.
    ///
    /// # Panics
    /// Where none can be made.
    pub fn new(world: &World, file: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
        let roots = world.write(file, issuer.pem());
        Self { issuer, roots }
    }

    fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let leaf = CertificateParams::new(names).expect("names").signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![leaf.der().clone()], key).expect("the key is the certificate's"))
    }
}
