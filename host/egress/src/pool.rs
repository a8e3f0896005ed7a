//! Connections of one plugin, and those of them that wait for their next request. No other plugin gets them.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::body::RequestBody;
use crate::bounds::Bounds;
use crate::counts::{Counters, count};
use crate::dial::Io;
use crate::target::{Host, Scheme};

/// The most idle connections of one plugin, whatever the number of servers.
const MOST_IDLE: usize = 64;

/// How long a connection may take to notice that its last exchange has ended.
const SETTLE: Duration = Duration::from_millis(100);

/// The least buffer that the library takes, in bytes.
const LEAST_BUFFER: usize = 8 << 10;

/// What two requests must have in common to use one connection. The grant fixes the route and the proofs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) grant: usize,
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A connection that carries one exchange at a time. Dropping it closes it.
pub(crate) struct Conn {
    pub(crate) sender: SendRequest<RequestBody>,
    key: Key,
    received: Arc<AtomicU64>,
    driver: AbortHandle,
    runtime: Handle,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Conn {
    pub(crate) async fn new(
        io: Box<dyn Io>,
        key: Key,
        bounds: &Bounds,
        counters: &Arc<Counters>,
    ) -> Result<Self, hyper::Error> {
        let received = Arc::new(AtomicU64::new(0));
        let metered = Metered { io, received: received.clone(), counters: counters.clone() };
        let mut builder = Builder::new();
        builder.max_headers(bounds.headers).max_header_size(bounds.head).max_buf_size(bounds.head.max(LEAST_BUFFER));
        let (sender, connection) = builder.handshake(TokioIo::new(metered)).await?;
        let runtime = Handle::current();
        let driver = runtime.spawn(async move {
            // Whoever uses the connection is told of its failure as well.
            if let Err(error) = connection.await {
                tracing::debug!(target: "homeostat::egress", %error, "a connection failed");
            }
        });
        count(&counters.connections);
        Ok(Self { sender, key, received, driver: driver.abort_handle(), runtime })
    }

    /// How many bytes have come over it.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

/// The connections that wait.
pub(crate) struct Pool {
    idle: Mutex<Waiting>,
    most: usize,
    keep: Duration,
}

#[derive(Default)]
struct Waiting {
    by_key: HashMap<Key, Vec<Idle>>,
    reaper: Option<AbortHandle>,
}

struct Idle {
    conn: Conn,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self { idle: Mutex::default(), most: bounds.idle, keep: bounds.idle_for }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last: the others may then grow old.
    pub(crate) async fn take(&self, key: &Key) -> Option<Conn> {
        loop {
            let mut conn = self.pop(key)?.conn;
            if !conn.sender.is_closed() && matches!(timeout(SETTLE, conn.sender.ready()).await, Ok(Ok(()))) {
                return Some(conn);
            }
        }
    }

    fn pop(&self, key: &Key) -> Option<Idle> {
        let mut waiting = self.lock();
        let list = waiting.by_key.get_mut(key)?;
        let found = list.pop().filter(|it| it.until > Instant::now());
        if found.is_none() || list.is_empty() {
            waiting.by_key.remove(key);
        }
        found
    }

    /// Keep a connection for a while.
    pub(crate) fn put(self: &Arc<Self>, conn: Conn) {
        if conn.sender.is_closed() || self.most == 0 {
            return;
        }
        let mut waiting = self.lock();
        let all: usize = waiting.by_key.values().map(Vec::len).sum();
        let runtime = conn.runtime.clone();
        let list = waiting.by_key.entry(conn.key.clone()).or_default();
        if list.len() >= self.most {
            list.remove(0);
        } else if all >= MOST_IDLE {
            return;
        }
        list.push(Idle { conn, until: Instant::now() + self.keep });
        if waiting.reaper.as_ref().is_none_or(AbortHandle::is_finished) {
            waiting.reaper = Some(runtime.spawn(reap(Arc::downgrade(self))).abort_handle());
        }
    }

    /// Close what has waited too long. When the next is due, or nothing where none is left.
    fn reap(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut waiting = self.lock();
        waiting.by_key.retain(|_, list| {
            list.retain(|it| it.until > now && !it.conn.sender.is_closed());
            !list.is_empty()
        });
        let next = waiting.by_key.values().flatten().map(|it| it.until).min();
        if next.is_none() {
            waiting.reaper = None;
        }
        next
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(reaper) = &self.lock().reaper {
            reaper.abort();
        }
    }
}

async fn reap(pool: Weak<Pool>) {
    loop {
        let Some(next) = pool.upgrade().and_then(|it| it.reap()) else { return };
        sleep_until(next).await;
    }
}

/// A stream that counts what comes and goes.
struct Metered {
    io: Box<dyn Io>,
    received: Arc<AtomicU64>,
    counters: Arc<Counters>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let more = (buf.filled().len() - before) as u64;
        self.received.fetch_add(more, Relaxed);
        self.counters.received.fetch_add(more, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl Metered {
    fn count_sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(more)) = &written {
            self.counters.sent.fetch_add(*more as u64, Relaxed);
        }
        written
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.count_sent(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.count_sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
