//! What can go wrong, what it means, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use homeostat_core::bytes;
use thiserror::Error;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Whose word a digest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// `Sha256` of the plugin's entry.
    Pin,
    /// The lock file.
    Lock,
    /// The reference itself: `oci://...@sha256:...`.
    Reference,
    /// The manifest of an artifact, which says what its layer is.
    Manifest,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "the pin (`Sha256`)",
            Self::Lock => "the lock file",
            Self::Reference => "the reference",
            Self::Manifest => "the registry's manifest",
        })
    }
}

/// Why a plugin's file was not had, or not pushed. `place` is the source, or the URL that was asked.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The source cannot be read as one.
    #[error("{place}: {reason}")]
    Source {
        /// What was given.
        place: String,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// The pin cannot be read as one.
    #[error("the pin of {place}: {reason}")]
    Pin {
        /// The source.
        place: String,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// A file of this machine cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path leads to something else than a file.
    #[error("{} is {found}, not a file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Larger than a plugin may be.
    #[error(
        "{place} is too big: {}, and the limit is {}",
        size.map_or_else(|| "it goes on after the limit".to_owned(), |size| format!("{size} bytes")),
        bytes::format(*limit)
    )]
    TooBig {
        /// What is.
        place: String,
        /// In bytes, where it is known.
        size: Option<u64>,
        /// In bytes.
        limit: u64,
    },
    /// What came is not what pin, lock or manifest says.
    #[error("refused: {place} is not what {authority} says: expected sha256 {expected}, found {found}; {advice}")]
    Mismatch {
        /// The source.
        place: String,
        /// Who says what is expected.
        authority: Authority,
        /// The digest that should be.
        expected: String,
        /// The digest that is.
        found: String,
        /// What to do.
        advice: String,
    },
    /// Pin and lock contradict each other.
    #[error("refused: {place}: the pin (`Sha256`) says sha256 {pin}, and the lock file says {locked}; {advice}")]
    Contradiction {
        /// The source.
        place: String,
        /// The pin's digest.
        pin: String,
        /// The lock's digest.
        locked: String,
        /// What to do.
        advice: String,
    },
    /// The lock is of the same plugin from elsewhere.
    #[error("refused: the lock file has this plugin from {locked}, and now it is to come from {place}; {advice}")]
    Elsewhere {
        /// The source.
        place: String,
        /// The lock's source.
        locked: String,
        /// What to do.
        advice: String,
    },
    /// Plain HTTP where it is not allowed.
    #[error(
        "{place} would be read over plain http, where anybody on the way can replace it; use https \
         (plain http is for loopback, and for registries that were listed as such)"
    )]
    Plain {
        /// The URL.
        place: String,
    },
    /// A redirect that is not followed.
    #[error("{place} redirects to {to}, which is not followed: {reason}")]
    Redirect {
        /// Who redirects.
        place: String,
        /// Where to.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// Nobody answers.
    #[error("cannot reach {place}")]
    Unreachable {
        /// The URL.
        place: String,
        /// Why.
        source: Cause,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the answer of {place} broke off")]
    Broken {
        /// The URL.
        place: String,
        /// How.
        source: Cause,
    },
    /// The server's certificate is not to be trusted.
    #[error(
        "{place} does not prove to be what it says; where its certificate is from a private authority, name the \
         authority's root certificates in the host's configuration"
    )]
    Certificate {
        /// The URL.
        place: String,
        /// What is wrong with it.
        source: Cause,
    },
    /// Too slow.
    #[error("{place} took too long: {what} within {}", homeostat_core::duration::format(*limit))]
    Timeout {
        /// The URL, or the source.
        place: String,
        /// What did not happen.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// An answer that is none.
    #[error("{place} answers {status}{}", if .detail.is_empty() { String::new() } else { format!(": {detail}") })]
    Status {
        /// The URL.
        place: String,
        /// The HTTP status.
        status: u16,
        /// What the server says, cleaned and cut.
        detail: String,
        /// What it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// A registry wants to know who we are, and nothing is known, or what is known is not accepted.
    #[error("{registry} refuses {who}{detail}; log in with `docker login {registry}`, or ask for access to {place}")]
    Login {
        /// The registry.
        registry: String,
        /// The source.
        place: String,
        /// As whom we came.
        who: &'static str,
        /// What it says: nothing, or a text that begins with a colon.
        detail: String,
    },
    /// A registry speaks another protocol than expected.
    #[error("{place} does not answer as a registry should: {reason}")]
    Protocol {
        /// The URL.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A web page.
    #[error(
        "{place} is a web page, not a plugin: a login page perhaps, or the page about the file instead of the file; \
         open it in a browser, and take the link of the download itself"
    )]
    Page {
        /// The URL.
        place: String,
    },
    /// Not WebAssembly.
    #[error("{place} is not WebAssembly: it {found}")]
    NotWasm {
        /// The source.
        place: String,
        /// What was found instead.
        found: String,
    },
    /// An artifact of another kind.
    #[error(
        "{place} is {found}, not a plugin; a plugin is an artifact with one layer of type application/wasm and a config \
         of type application/vnd.wasm.config.v0+json, as `homeostat plugin push` makes it"
    )]
    NotAnArtifact {
        /// The source.
        place: String,
        /// What it is.
        found: String,
    },
    /// The cache cannot be used.
    #[error("the plugin cache {} cannot be used: {reason}", path.display())]
    Cache {
        /// The directory or the file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The roots of trust cannot be had.
    #[error("no roots of trust from {place}: {reason}")]
    Roots {
        /// The file, or "the system".
        place: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The process is ending, or the machinery of this crate failed.
    #[error("fetching was cut off: {0}")]
    Stopped(String),
    /// The credentials cannot be read.
    #[error("cannot take credentials for {registry} from {}: {reason}", path.display())]
    Credentials {
        /// The registry that asks.
        registry: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl FetchError {
    /// Whether it may pass by itself, so that it is worth another attempt.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    pub(crate) fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Status { status, .. } if *status == wanted)
    }
}

/// Why the lock file was not read or written.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file cannot be read.
    #[error("cannot read the lock file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something else than a lock file does.
    #[error("{}:{line}:{column}: {reason}; mend it, or remove it and add the plugins again", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// Of another version of homeostat.
    #[error(
        "the lock file {} is of version {found}, and this homeostat knows version {known}; use the homeostat that \
         wrote it, or a newer one",
        path.display()
    )]
    Version {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: u64,
        /// What is understood.
        known: u64,
    },
    /// The file cannot be written; it is as it was.
    #[error("cannot write the lock file {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
