//! Bodies on their way: counted, bounded, and of a request kept for as long as it may have to be sent once more.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::counts::Turn;
use crate::error::{BadHeader, EgressError, Part, Stage};
use crate::pool::{Conn, Pool};

/// The most bytes of a request's body that are kept to be sent once more.
const MOST_KEPT: usize = 64 << 10;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a guest sends. It outlives the connection that it is sent over.
#[derive(Clone)]
pub(crate) struct Outgoing(Arc<Mutex<Source>>);

struct Source {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    /// The exact size, where it is known.
    declared: Option<u64>,
    limit: u64,
    sent: u64,
    /// The piece that makes it whole. It is held back until the guest has ended the body: what has more in it than it
    /// says must not reach the server as if it were well.
    held: Option<Bytes>,
    kept: VecDeque<Bytes>,
    keeps: bool,
    is_done: bool,
    fault: Option<EgressError>,
}

impl Outgoing {
    /// # Errors
    /// Where it says itself that it is larger than `limit`.
    pub(crate) fn new<B>(body: B, declared: Option<u64>, limit: u64) -> Result<Self, EgressError>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let exact = body.size_hint().exact();
        if let (Some(declared), Some(sent)) = (declared, exact)
            && declared != sent
        {
            return Err(EgressError::Length { declared, sent });
        }
        let declared = declared.or(exact);
        if declared.unwrap_or(body.size_hint().lower()) > limit {
            return Err(EgressError::TooLarge { what: Part::RequestBody, limit });
        }
        let is_done = body.is_end_stream();
        if is_done && declared.is_some_and(|it| it > 0) {
            return Err(EgressError::Length { declared: declared.unwrap_or_default(), sent: 0 });
        }
        let inner = body.map_err(Into::into).boxed_unsync();
        let (kept, fault) = (VecDeque::new(), None);
        Ok(Self(Arc::new(Mutex::new(Source {
            inner,
            declared,
            limit,
            sent: 0,
            held: None,
            kept,
            keeps: false,
            is_done,
            fault,
        }))))
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keep what is sent from now on, up to [`MOST_KEPT`].
    pub(crate) fn keep(&self) {
        let mut source = self.lock();
        source.keeps = source.sent == 0;
    }

    /// Whether it can be sent from its beginning.
    pub(crate) fn can_repeat(&self) -> bool {
        let source = self.lock();
        source.fault.is_none() && (source.keeps || source.sent == 0)
    }

    /// From its beginning.
    pub(crate) fn stream(&self) -> RequestBody {
        RequestBody { source: self.clone(), kept: 0, at: 0 }
    }

    /// Whether all of it was taken by the connection.
    pub(crate) fn is_done(&self) -> bool {
        self.lock().is_done
    }

    /// Why it failed, if it did. What the connection says of it is only that it did.
    pub(crate) fn take_fault(&self) -> Option<EgressError> {
        self.lock().fault.take()
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EgressError>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(EgressError::RequestBody(error)))),
                None => {
                    self.is_done = true;
                    return Poll::Ready(match (self.held.take(), self.declared) {
                        (Some(last), _) => Some(Ok(self.keep(last))),
                        (None, Some(declared)) if declared != self.sent => {
                            Some(Err(EgressError::Length { declared, sent: self.sent }))
                        }
                        _ => None,
                    });
                }
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) if frame.trailers_ref().is_some_and(|it| !it.is_empty()) => {
                    let why = BadHeader::Trailer;
                    return Poll::Ready(Some(Err(EgressError::Header { name: "(trailer)".into(), why })));
                }
                Err(_) => continue,
            };
            self.sent += data.len() as u64;
            if let Some(declared) = self.declared.filter(|it| self.sent > *it) {
                return Poll::Ready(Some(Err(EgressError::Length { declared, sent: self.sent })));
            }
            if self.sent > self.limit {
                let (what, limit) = (Part::RequestBody, self.limit);
                return Poll::Ready(Some(Err(EgressError::TooLarge { what, limit })));
            }
            if data.is_empty() {
                continue;
            }
            if self.declared == Some(self.sent) {
                self.held = Some(data);
                continue;
            }
            return Poll::Ready(Some(Ok(self.keep(data))));
        }
    }

    /// A piece on its way, kept where it may have to go once more.
    fn keep(&mut self, data: Bytes) -> Bytes {
        if self.keeps && self.sent <= MOST_KEPT as u64 {
            self.kept.push_back(data.clone());
        } else {
            self.keeps = false;
            self.kept.clear();
        }
        data
    }
}

/// One sending of an [`Outgoing`].
pub(crate) struct RequestBody {
    source: Outgoing,
    /// How many of the kept pieces were sent.
    kept: usize,
    at: u64,
}

/// The body failed; why is with the [`Outgoing`].
#[derive(Debug, thiserror::Error)]
#[error("the request's body failed")]
pub(crate) struct BodyFailed;

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let mut source = this.source.lock();
        let data = match source.kept.get(this.kept) {
            Some(again) if source.keeps => again.clone(),
            _ if source.is_done => return Poll::Ready(None),
            _ => match ready!(source.poll(cx)) {
                Some(Ok(data)) => data,
                Some(Err(error)) => {
                    source.fault = Some(error);
                    return Poll::Ready(Some(Err(BodyFailed)));
                }
                None => return Poll::Ready(None),
            },
        };
        drop(source);
        this.kept += 1;
        this.at += data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.lock();
        source.is_done && self.at == source.sent
    }

    fn size_hint(&self) -> SizeHint {
        match self.source.lock().declared {
            Some(all) => SizeHint::with_exact(all.saturating_sub(self.at)),
            None => SizeHint::default(),
        }
    }
}

/// An answer's body, as the guest reads it. It holds the connection and the turn until it has ended or is dropped.
pub struct Body {
    from: From,
    /// Ends the request's turn.
    _turn: Option<Turn>,
}

enum From {
    Wire(Box<Live>),
    Memory(Bytes),
    Done,
}

struct Live {
    incoming: Incoming,
    conn: Option<Conn>,
    pool: Arc<Pool>,
    outgoing: Outgoing,
    received: u64,
    limit: u64,
    between: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether the guest waits. The time that it takes between two pieces is its own.
    waits: bool,
}

impl Body {
    pub(crate) fn live(
        incoming: Incoming,
        conn: Conn,
        pool: Arc<Pool>,
        outgoing: Outgoing,
        limit: u64,
        between: Duration,
    ) -> Self {
        let timer = Box::pin(sleep(between));
        let live =
            Live { incoming, conn: Some(conn), pool, outgoing, received: 0, limit, between, timer, waits: false };
        Self { from: From::Wire(Box::new(live)), _turn: None }
    }

    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self { from: From::Memory(bytes), _turn: None }
    }

    pub(crate) fn with_turn(self, turn: Turn) -> Self {
        Self { _turn: Some(turn), ..self }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Live {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let waited = std::mem::replace(&mut self.waits, polled.is_pending());
        if self.waits && !waited {
            self.timer.as_mut().reset(Instant::now() + self.between);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, |it| it.len() as u64);
                if self.received > self.limit {
                    let (what, limit) = (Part::ResponseBody, self.limit);
                    return Poll::Ready(Some(Err(EgressError::TooLarge { what, limit })));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = self.outgoing.take_fault().unwrap_or_else(|| crate::send::cut_off(error));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(cx));
                let (stage, after) = (Stage::BetweenBytes, self.between);
                Poll::Ready(Some(Err(EgressError::Timeout { stage, after })))
            }
        }
    }

    /// Keep the connection, if both sides have said all.
    fn give_back(&mut self) {
        if let Some(conn) = self.conn.take()
            && self.outgoing.is_done()
        {
            self.pool.put(conn);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A guest need not ask for the end of what it knows to have ended.
        if self.conn.is_some() && self.incoming.is_end_stream() {
            self.give_back();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let polled = match &mut self.from {
            From::Done => return Poll::Ready(None),
            From::Memory(bytes) if bytes.is_empty() => Poll::Ready(None),
            From::Memory(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            From::Wire(live) => live.poll(cx),
        };
        // After its end or an error there is nothing more, and nobody has to wait for the guest to notice.
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.from = From::Done;
            self._turn = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Done => true,
            From::Memory(bytes) => bytes.is_empty(),
            From::Wire(live) => live.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Done => SizeHint::with_exact(0),
            From::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            From::Wire(live) => live.incoming.size_hint(),
        }
    }
}
