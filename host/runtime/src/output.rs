//! What guests write: to the operator's log, a line at a time, and (standard error) kept for the report of a trap.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use zeroize::Zeroizing;

/// Bytes of one line; more is cut off.
const LINE: usize = 4096;

/// Bytes of standard error that are kept, at the beginning and again at the end.
const KEPT: usize = 8 << 10;

/// Lines of one plugin in one [`WINDOW`]; more are counted and not shown.
const LINES: u32 = 200;

/// See [`LINES`].
const WINDOW: Duration = Duration::from_secs(1);

/// Bytes of the shortest secret that is hidden.
const SHORTEST: usize = 4;

/// Bytes that a guest may write to a stream in one go.
const PERMIT: usize = 64 << 10;

/// Hears what a plugin writes: to its log, to standard output and to standard error.
pub trait LogWire: Send + Sync {
    /// A line as the guest wrote it, with the secrets that the operator is not shown. `from` is `log`, `stdout` or `stderr`;
    /// of a line of the latter two, no more is heard than is shown.
    fn line(&self, from: &'static str, text: &str);
}

/// The log of one plugin: lines without control characters, and no flood.
pub(crate) struct Log {
    plugin: Arc<str>,
    window: Mutex<Window>,
    wire: Option<Arc<dyn LogWire>>,
}

struct Window {
    began: Instant,
    lines: u32,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(plugin: Arc<str>, wire: Option<Arc<dyn LogWire>>) -> Self {
        Self { plugin, window: Mutex::new(Window { began: Instant::now(), lines: 0, dropped: 0 }), wire }
    }

    /// Let the wire hear a line, before anything is taken out of it.
    fn hear(&self, from: &'static str, text: &str) {
        if let Some(wire) = &self.wire {
            wire.line(from, text);
        }
    }

    /// Write one line. `from` says how it came: `log`, `stdout` or `stderr`.
    pub(crate) fn line(&self, level: Level, from: &'static str, text: &str) {
        let plugin = &*self.plugin;
        match self.admit(Instant::now()) {
            None => return,
            Some(0) => {}
            Some(dropped) => {
                tracing::warn!(target: "homeostat::plugin", plugin, dropped, "lines of a flood were left out")
            }
        }
        let text = clean(text);
        match level {
            Level::ERROR => tracing::error!(target: "homeostat::plugin", plugin, from, "{text}"),
            Level::WARN => tracing::warn!(target: "homeostat::plugin", plugin, from, "{text}"),
            Level::INFO => tracing::info!(target: "homeostat::plugin", plugin, from, "{text}"),
            _ => tracing::debug!(target: "homeostat::plugin", plugin, from, "{text}"),
        }
    }

    /// Whether a line may be shown, and how many were left out before it.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = lock(&self.window);
        if now.duration_since(window.began) >= WINDOW {
            window.began = now;
            window.lines = 0;
        }
        if window.lines == LINES {
            window.dropped += 1;
            return None;
        }
        window.lines += 1;
        Some(mem::take(&mut window.dropped))
    }
}

/// A line as it may be shown on a terminal: no control characters, and not too long.
fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LINE));
    for c in text.chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).filter(|c| !c.is_control()) {
        if line.len() + c.len_utf8() > LINE {
            line.push('\u{2026}');
            break;
        }
        line.push(c);
    }
    line
}

/// What one call has written.
pub(crate) struct Output {
    log: Arc<Log>,
    written: Mutex<Written>,
    /// What must not be shown: secrets that the guest was given in this call, and what to show instead.
    hidden: Mutex<Vec<(Zeroizing<String>, String)>>,
}

#[derive(Default)]
struct Written {
    lines: [Vec<u8>; 2],
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Output {
    pub(crate) fn new(log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self { log, written: Mutex::default(), hidden: Mutex::default() })
    }

    /// Write one line that came through the contract's log.
    pub(crate) fn line(&self, level: Level, text: &str) {
        self.log.hear("log", text);
        self.log.line(level, "log", &self.shown(text));
    }

    /// From now on, show the name of this secret instead of it.
    pub(crate) fn hide(&self, secret: &str, name: &str) {
        // Hiding what is as short as a word would only tell where it occurs.
        if secret.len() >= SHORTEST {
            lock(&self.hidden).push((Zeroizing::new(secret.to_owned()), format!("[secret {name}]")));
        }
    }

    /// Whether the guest was given any secret.
    pub(crate) fn hides(&self) -> bool {
        !lock(&self.hidden).is_empty()
    }

    /// Take the secrets that the guest was given out of a text.
    pub(crate) fn redact(&self, text: &mut String) {
        for (secret, name) in lock(&self.hidden).iter() {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), name);
            }
        }
    }

    /// A line without secrets, also such as were broken up by control characters, which are not shown.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.redact(&mut text);
        if self.hides() {
            text = clean(&text);
            self.redact(&mut text);
        }
        text
    }

    /// End the lines that were begun.
    pub(crate) fn finish(&self) {
        for stream in [Stream::Out, Stream::Err] {
            let line = mem::take(&mut lock(&self.written).lines[stream as usize]);
            if !line.is_empty() {
                self.show(stream, &line);
            }
        }
    }

    /// Standard error: its beginning and its end, and how much is missing between them.
    pub(crate) fn stderr(&self) -> String {
        let mut written = lock(&self.written);
        let head = String::from_utf8_lossy(&written.head).into_owned();
        let dropped = written.dropped;
        let tail = String::from_utf8_lossy(written.tail.make_contiguous());
        let mut text = if dropped == 0 { head + &tail } else { format!("{head}\n[{dropped} bytes left out]\n{tail}") };
        drop(written);
        self.redact(&mut text);
        text
    }

    fn write(&self, stream: Stream, mut bytes: &[u8]) {
        if let Stream::Err = stream {
            lock(&self.written).keep(bytes);
        }
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| *b == b'\n');
            let (part, rest) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..]),
                None => (bytes, &[][..]),
            };
            bytes = rest;
            let line = {
                let line = &mut lock(&self.written).lines[stream as usize];
                // One byte more than is shown, so that the cut can be seen.
                line.extend_from_slice(&part[..part.len().min((LINE + 1).saturating_sub(line.len()))]);
                if end.is_none() {
                    continue;
                }
                mem::take(line)
            };
            self.show(stream, &line);
        }
    }

    fn show(&self, stream: Stream, line: &[u8]) {
        let from = match stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        };
        let line = String::from_utf8_lossy(line);
        self.log.hear(from, &line);
        self.log.line(Level::INFO, from, &self.shown(&line));
    }
}

impl Written {
    fn keep(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which of its streams a guest writes to.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A guest's end of a stream. Takes all that is written, at once.
#[derive(Clone)]
pub(crate) struct Pipe(pub Arc<Output>, pub Stream);

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}

impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(self.1, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(self.1, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Arc<Output> {
        Output::new(Arc::new(Log::new("p".into(), None)))
    }

    #[test]
    fn keeps_beginning_and_end_of_a_flood() {
        let output = output();
        output.write(Stream::Err, b"begin\n");
        for _ in 0..10_000 {
            output.write(Stream::Err, &[b'x'; 100]);
        }
        output.write(Stream::Err, b"\nend\xff");
        let kept = output.stderr();
        assert!(kept.starts_with("begin\n"), "{kept:.20}");
        assert!(kept.ends_with("\nend\u{fffd}"));
        assert!(kept.contains("bytes left out"));
        assert!(kept.len() < 2 * KEPT + 100);
        assert!(lock(&output.written).lines[Stream::Err as usize].len() <= LINE + 1);
    }

    #[test]
    fn keeps_all_of_a_little() {
        let output = output();
        output.write(Stream::Out, b"not this");
        output.write(Stream::Err, b"thread panicked:\nno\n");
        assert_eq!(output.stderr(), "thread panicked:\nno\n");
    }

    #[test]
    fn a_line_cannot_command_the_terminal() {
        assert_eq!(clean("a\x1b[31mred\r\u{9b}2J\tb\nc\u{7}"), "a[31mred2J b c");
        let long = clean(&"\u{e4}".repeat(5000));
        assert!(long.ends_with('\u{2026}') && long.len() <= LINE + 3, "{}", long.len());
    }

    #[test]
    fn a_wire_hears_what_nobody_is_shown() {
        struct Heard(Mutex<Vec<(&'static str, String)>>);
        impl LogWire for Heard {
            fn line(&self, from: &'static str, text: &str) {
                lock(&self.0).push((from, text.to_owned()));
            }
        }
        let heard = Arc::new(Heard(Mutex::default()));
        let output = Output::new(Arc::new(Log::new("p".into(), Some(heard.clone()))));
        output.hide("hunter22", "token");
        output.line(Level::INFO, "it is hunter22");
        output.write(Stream::Err, b"hun");
        output.write(Stream::Err, b"ter22\nend");
        output.finish();
        let expected = [("log", "it is hunter22"), ("stderr", "hunter22"), ("stderr", "end")];
        assert_eq!(*lock(&heard.0), expected.map(|(from, text)| (from, text.to_owned())));
        assert!(!output.stderr().contains("hunter22"));
    }

    #[test]
    fn a_flood_is_counted_and_not_shown() {
        let log = Log::new("p".into(), None);
        let now = Instant::now();
        let shown = (0..1000).filter(|_| log.admit(now).is_some()).count();
        assert_eq!(shown, LINES as usize);
        assert_eq!(log.admit(now + WINDOW), Some(1000 - u64::from(LINES)));
        assert_eq!(log.admit(now + WINDOW), Some(0));
    }
}
