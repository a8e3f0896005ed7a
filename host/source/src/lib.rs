//! Where a plugin's file comes from: a path, an `https` URL, or an OCI registry; pinned, locked, and kept by digest.
//!
//! [`Sources::fetch`] turns a [`PluginSource`](homeostat_core::spec::PluginSource) into a file of this machine, and says
//! what it is. [`Lock`] is the lock file, [`Sources::push`] puts a plugin into a registry.
//!
//! # What can be trusted, and why
//!
//! A plugin is somebody else's program. The sandbox bounds what it can do; this crate answers another question: *is this
//! the file that was meant?* Three things answer it, from the strongest to the weakest.
//!
//! - **A pin** (`Sha256` of a plugin's entry) is the operator's word. It promises that the file has this digest, whoever
//!   served it, over whatever wire, today and in a year. No lock file, server, registry or cache can override it. It says
//!   nothing about whether the file is any good: that was judged by whoever wrote the pin.
//! - **A lock** (an entry of the lock file) is what was seen when the plugin was added: *trust on first use*. It promises
//!   that what is loaded later, or on another machine that has the same lock file, is what was loaded then. If the first
//!   download was wrong, the lock keeps it wrong. It changes only when somebody asks for it ([`Lookup::Anew`]), never
//!   because a server answers otherwise. A lock file belongs under version control, where its changes are reviewed.
//! - **TLS** promises that the first download came from whoever holds the certificate of that name, and was not changed
//!   on the way. It does not say that the name is the right one, that the server was not broken into, or that a tag means
//!   today what it meant yesterday. So TLS alone decides only where there is neither pin nor lock, or where both were set
//!   aside on request.
//!
//! An OCI reference with `@sha256:...` is a pin too, of another thing: of the *manifest*, which names the file's digest.
//! `Sha256` is always the digest of the file itself, the one that `sha256sum` prints.
//!
//! # What is done about it
//!
//! - **Mismatch is refusal.** Pin or lock and what came differ: nothing is kept, and the error names both digests.
//! - **The cache is addressed by digest, and verified at each use.** A file in it that was changed is removed and fetched
//!   again; it is never used. The directory is for this user alone (mode 0700), and refused where it is not. Whoever loads
//!   the file later should compare the digest again ([`Fetched::digest`]): the file is closed in between.
//! - **Known means no network.** Where pin or lock says which digest, and the cache has it, nothing is sent. A host starts
//!   without its registries. Where a lock was to be renewed and nobody answers, the locked file is used, and
//!   [`Fetched::unreachable`] says why.
//! - **A tag is followed once.** With a lock, the manifest that the lock names is fetched, not what the tag means by now.
//!   Only where the registry has lost it is the tag asked, and it has to mean the same file.
//! - **The wire is encrypted.** Plain `http` goes to loopback, and to registries that the operator listed
//!   ([`Transport::Plain`]). `localhost` is loopback by definition here, whatever a resolver says. A redirect may not lead
//!   from `https` to `http`, nor from another machine to this one. `HTTPS_PROXY` and its like are not heeded.
//! - **Credentials go where they belong.** They are those of `docker login`, sent to the registry that asked for them or
//!   to the token server that it named, never along a redirect to another server, never by plain http from an encrypted
//!   registry. No URL may hold a password: the lock file and the logs would hold it too.
//! - **Nothing is without bounds**: sizes, waits, redirects, attempts ([`Config`]).
//!
//! Signatures are not checked: who wants them verifies outside, and pins the digest that was verified.

mod cache;
mod config;
mod digest;
mod error;
mod http;
mod judge;
mod lock;
mod oci;
mod sources;

pub use config::{Config, Credentials, Transport};
pub use digest::sha256;
pub use error::{Authority, FetchError, LockError};
pub use lock::{Lock, Locked};
pub use oci::{Artifact, Pushed};
pub use sources::{Fetched, Lookup, Sources, Wanted};
