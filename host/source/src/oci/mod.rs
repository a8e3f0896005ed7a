//! Plugins as artifacts in OCI registries.
//!
//! The form is the one that Wasm tools agree on: an image manifest whose config is of type
//! `application/vnd.wasm.config.v0+json`, with one layer of type `application/wasm`, which is the file. So the layer's
//! digest is the file's.
//!
//! The protocol is small, and spoken here instead of by a library for what the libraries leave no say in: whom a redirect
//! may lead to, how much of an answer is read, and where a password goes.

mod auth;
mod manifest;
mod pull;
mod push;
mod reference;
mod session;

pub(crate) use manifest::layer_of;
pub(crate) use pull::{Resolved, blob, resolve};
pub(crate) use push::push;
pub use push::{Artifact, Pushed};
pub(crate) use reference::Reference;

/// The largest manifest that is read, in bytes: what registries have to accept.
pub(crate) const MANIFEST: u64 = 4 << 20;
