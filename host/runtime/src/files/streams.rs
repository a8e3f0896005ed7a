//! A file's streams: what `std` and the libc of guests read and write files by.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::Bytes;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use crate::files::tap::FileTap;

/// A stream whose operations go by a wire.
pub(super) struct Wired<S> {
    pub(super) stream: S,
    pub(super) tap: Arc<FileTap>,
    pub(super) path: Option<String>,
    closed: bool,
}

impl<S> Wired<S> {
    pub(super) fn new(stream: S, tap: Arc<FileTap>, path: Option<String>) -> Self {
        Self { stream, tap, path, closed: false }
    }

    /// A stream that failed is closed, as the interface has it.
    fn failed<T>(&mut self, result: StreamResult<T>) -> StreamResult<T> {
        self.closed |= result.is_err();
        result
    }

    fn open(&self) -> StreamResult<()> {
        if self.closed { Err(StreamError::Closed) } else { Ok(()) }
    }
}

impl Wired<DynInputStream> {
    /// A read changes nothing, so that it may be judged when it has an answer. One that found nothing yet does not count:
    /// how often that happens is chance.
    fn judged(&mut self, size: usize, read: StreamResult<Bytes>) -> StreamResult<Bytes> {
        if size == 0 || read.as_ref().is_ok_and(Bytes::is_empty) {
            return read;
        }
        let judged = match self.tap.begin("read", self.path.clone(), None) {
            Ok(after) => after.end(read),
            Err(fault) => Err(fault.into()),
        };
        self.failed(judged)
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Wired<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.open()?;
        let read = self.stream.read(size);
        self.judged(size, read)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.open()?;
        let read = self.stream.blocking_read(size).await;
        self.judged(size, read)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Wired<DynOutputStream> {
    /// Waits until it is written, unlike WASI's own, which does it beside the guest: a fault has to find the same files each
    /// time.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.open()?;
        let written = match self.tap.begin("write", self.path.clone(), None) {
            Ok(after) => {
                let mut written = self.stream.write(bytes);
                block_on(self.stream.ready());
                if after.hides_success() && written.is_ok() {
                    written = self.stream.flush();
                }
                after.end(written)
            }
            Err(fault) => Err(fault.into()),
        };
        self.failed(written)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.open()?;
        let written = match self.tap.begin("write", self.path.clone(), None) {
            Ok(after) => after.end(self.stream.blocking_write_and_flush(bytes).await),
            Err(fault) => Err(fault.into()),
        };
        self.failed(written)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.open()?;
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.open()?;
        self.stream.check_write()
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wired<DynInputStream> {
    async fn ready(&mut self) {
        if !self.closed {
            self.stream.ready().await;
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wired<DynOutputStream> {
    async fn ready(&mut self) {
        if !self.closed {
            self.stream.ready().await;
        }
    }
}

/// Wait on this thread for what another does. A guest's thread may be blocked by its files anyway.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    // Else a task that has had its share of the thread would be told to come back later for ever.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
