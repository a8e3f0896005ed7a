//! The door that a plugin's requests go through.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use homeostat_core::grant::{Grants, HttpGrant, HttpRequest, HttpWant, UrlPattern, Wants, judge, judge_read_only};
use http::header::HeaderMap;
use http::{Method, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::body::{Body, Outgoing};
use crate::bounds::{Access, Bounds, Timeouts};
use crate::counts::{Counters, Counts, Turn, count};
use crate::dial::{Deadline, Dial, Resolver};
use crate::error::{EgressError, Stage};
use crate::headers::{self, Injected};
use crate::notice::Denials;
use crate::pool::Pool;
use crate::secret::Secrets;
use crate::send::Carriage;
use crate::target::{Scheme, Target};
use crate::tls::{self, SetupError};
use crate::wire::Wire;

/// The most bytes of a method. None that is registered has half as many.
const MOST_METHOD: usize = 40;

/// The HTTP that one plugin may speak: made when it is loaded, and used by all its calls.
pub struct Egress {
    grants: Vec<HttpGrant>,
    prepared: Vec<Prepared>,
    wants: Vec<HttpWant>,
    pub(crate) bounds: Bounds,
    secrets: Arc<dyn Secrets>,
    turns: Arc<Semaphore>,
    /// Secrets that are read at once.
    reads: Arc<Semaphore>,
    pool: Arc<Pool>,
    resolver: Resolver,
    counters: Arc<Counters>,
    denials: Denials,
    wire: RwLock<Option<Arc<dyn Wire>>>,
    numbers: AtomicU64,
}

/// What was read for a grant.
struct Prepared {
    /// For `https`.
    tls: Option<Arc<rustls::ClientConfig>>,
    inject: Arc<[Injected]>,
}

/// A request that may be sent.
pub(crate) struct Allowed {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// The guest's, checked.
    pub(crate) headers: HeaderMap,
    /// The number of the grant.
    grant: usize,
    pub(crate) timeouts: Timeouts,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("plugin", &self.denials.plugin()).finish_non_exhaustive()
    }
}

impl Egress {
    /// Read what the grants of a plugin name: roots of trust, client certificates, headers to inject. Secrets are read at
    /// each request, so that a new one counts from then on.
    ///
    /// # Errors
    /// A grant that cannot work: a file that cannot be read, a secret that is not declared, no root of trust.
    pub fn new(
        plugin: impl Into<String>,
        grants: &Grants,
        wants: &Wants,
        bounds: Bounds,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, SetupError> {
        let mut prepared = Vec::with_capacity(grants.http.len());
        for grant in &grants.http {
            let pattern: UrlPattern = grant.url.parse().map_err(SetupError::Grant)?;
            let is_encrypted = pattern.scheme.name() == Scheme::Https.as_str();
            let tls = is_encrypted.then(|| tls::client_config(grant)).transpose()?;
            let inject = headers::injections(grant, &grants.secrets)?.into();
            prepared.push(Prepared { tls, inject });
        }
        let turns = bounds.in_flight.max(1);
        Ok(Self {
            grants: grants.http.clone(),
            prepared,
            wants: wants.http.clone(),
            bounds,
            secrets,
            turns: Arc::new(Semaphore::new(turns as usize)),
            reads: Arc::new(Semaphore::new(turns as usize)),
            pool: Arc::new(Pool::new(&bounds)),
            resolver: Resolver::system(turns),
            counters: Arc::default(),
            denials: Denials::new(&plugin.into()),
            wire: RwLock::new(None),
            numbers: AtomicU64::new(0),
        })
    }

    /// With something between the plugin and the network.
    pub fn with_wire(self, wire: Arc<dyn Wire>) -> Self {
        self.interpose(Some(wire));
        self
    }

    /// Put something between the plugin and the network, or take it away. Exchanges under way are not changed.
    pub fn interpose(&self, wire: Option<Arc<dyn Wire>>) {
        *self.wire.write().unwrap_or_else(PoisonError::into_inner) = wire;
    }

    /// Where what the plugin is denied is told, here and elsewhere.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What was sent and received so far.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Send a request, and wait for the head of its answer. The rest of it comes as the guest reads it.
    ///
    /// Redirects are not followed: an answer that asks for one is an answer, and where the guest follows it, its request
    /// is judged like any other. Dropping the future or the body ends the exchange and closes its connection.
    ///
    /// # Errors
    /// It was refused, it failed, or it took too long. What the guest may know of it is [`EgressError::guest_code`].
    pub async fn send<B>(
        &self,
        request: Request<B>,
        access: Access,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, EgressError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        count(&self.counters.requests);
        let done = self.exchange(request, access, timeouts.clamped()).await;
        match &done {
            Ok(_) => {}
            Err(error) if error.is_denial() => {
                count(&self.counters.denied);
                self.denials.tell(error);
            }
            Err(error) => {
                count(&self.counters.failed);
                if let Some(line) = error.for_operator() {
                    self.denials.tell(line);
                }
            }
        }
        done
    }

    async fn exchange<B>(
        &self,
        request: Request<B>,
        access: Access,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, EgressError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let declared = headers::declared_length(&parts.headers)?;
        let allowed = self.judge(parts, access, timeouts)?;
        let outgoing = Outgoing::new(body, declared, self.bounds.request_body)?;
        let deadline = Deadline::new(timeouts.connect);
        let turn = self.turn(timeouts).await?;
        let wire = self.wire.read().unwrap_or_else(PoisonError::into_inner).clone();
        let response = match wire {
            None => self.carry(&allowed, &outgoing, deadline).await?,
            Some(wire) => self.through(&*wire, &allowed, &outgoing, deadline).await?,
        };
        Ok(response.map(|it| it.with_turn(turn)))
    }

    fn judge(&self, parts: http::request::Parts, access: Access, timeouts: Timeouts) -> Result<Allowed, EgressError> {
        let target = Target::new(&parts.uri).map_err(EgressError::Url)?;
        let method = parts.method.as_str();
        // CONNECT would be a tunnel, and TRACE an answer with what was injected.
        if [Method::CONNECT, Method::TRACE].contains(&parts.method) || method.len() > MOST_METHOD {
            return Err(EgressError::Method(method.chars().take(MOST_METHOD).collect()));
        }
        let host = target.host.judged();
        let (scheme, port, path) = (target.scheme.as_str(), target.port, target.path());
        let asked = HttpRequest { scheme, host: &host, port, method, path };
        let judged = match access {
            Access::ReadOnly => judge_read_only(&self.grants, &self.wants, &asked),
            Access::Full => judge(&self.grants, &self.wants, &asked),
        };
        let granted = judged.map_err(EgressError::Denied)?;
        let grant = self.grants.iter().position(|it| ptr::eq(it, granted)).unwrap_or_default();
        let headers = headers::check(parts.headers, &target, &self.prepared[grant].inject, &self.bounds)?;
        Ok(Allowed { method: parts.method, target, headers, grant, timeouts })
    }

    /// Wait until one more request may be under way.
    async fn turn(&self, timeouts: Timeouts) -> Result<Turn, EgressError> {
        let waited = timeouts.connect;
        match timeout(waited, self.turns.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn::new(self.counters.clone(), permit)),
            _ => Err(EgressError::Busy { limit: self.bounds.in_flight.max(1), waited }),
        }
    }

    /// The names of the headers that a request gets from the host.
    pub(crate) fn injected_names(&self, allowed: &Allowed) -> impl Iterator<Item = &http::HeaderName> {
        self.prepared[allowed.grant].inject.iter().map(|it| &it.name)
    }

    /// Send what may be sent.
    pub(crate) async fn carry(
        &self,
        allowed: &Allowed,
        outgoing: &Outgoing,
        deadline: Deadline,
    ) -> Result<Response<Body>, EgressError> {
        let injected = self.injected(allowed, deadline).await?;
        self.carry_with(allowed, outgoing, &injected, deadline).await
    }

    /// The values of the headers that a request gets from the host.
    pub(crate) async fn injected(
        &self,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> Result<Vec<headers::Value>, EgressError> {
        let values = headers::values(&self.prepared[allowed.grant].inject, &self.secrets, &self.reads);
        deadline.bound(Stage::Secrets, values).await?
    }

    pub(crate) async fn carry_with(
        &self,
        allowed: &Allowed,
        outgoing: &Outgoing,
        injected: &[headers::Value],
        deadline: Deadline,
    ) -> Result<Response<Body>, EgressError> {
        let prepared = &self.prepared[allowed.grant];
        let tls = prepared.tls.as_ref().filter(|_| allowed.target.scheme == Scheme::Https);
        let carriage = Carriage {
            method: &allowed.method,
            target: &allowed.target,
            headers: &allowed.headers,
            injected,
            grant: allowed.grant,
            dial: Dial { grant: &self.grants[allowed.grant], tls, resolver: &self.resolver },
            timeouts: allowed.timeouts,
            bounds: &self.bounds,
            pool: &self.pool,
            counters: &self.counters,
        };
        carriage.send(outgoing, deadline).await
    }

    /// The number of the next exchange that a wire sees.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GuestCode, HostSecrets};
    use http_body_util::{BodyExt, Full};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn ask(addresses: &[&str], leads_to: &str, port: u16) -> Result<String, EgressError> {
        let url = format!("http://api.example.com:{port}");
        let addresses = addresses.iter().map(|it| (*it).to_owned()).collect();
        let grants = Grants { http: vec![HttpGrant { addresses, ..HttpGrant::to(&url) }], ..Grants::default() };
        let want = HttpWant { url: url.clone(), methods: Vec::new(), paths: Vec::new(), why: String::new() };
        let wants = Wants { http: vec![want], ..Wants::default() };
        let secrets = Arc::new(HostSecrets::default());
        let mut egress = Egress::new("tester", &grants, &wants, Bounds::default(), secrets).unwrap();
        egress.resolver = Resolver::Fixed(vec![SocketAddr::new(leads_to.parse().unwrap(), port)]);
        let request = Request::get(&url).body(Full::<Bytes>::default()).unwrap();
        let answer = egress.send(request, Access::Full, Timeouts::default()).await?;
        Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().into()).unwrap())
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_leads_nowhere_unless_a_grant_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for leads_to in ["127.0.0.1", "::ffff:127.0.0.1"] {
            let refused = ask(&[], leads_to, port).await.unwrap_err();
            assert_eq!(refused.guest_code(), GuestCode::DestinationIpProhibited);
            assert!(refused.is_denial() && refused.to_string().contains("127.0.0.1/32"), "{refused}");
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                stream
            };
            // The refused request has not come here: this is the first connection.
            let (answer, _stream) = tokio::join!(ask(&["127.0.0.1/32"], leads_to, port), server);
            assert_eq!(answer.unwrap(), "ok");
        }
    }
}
