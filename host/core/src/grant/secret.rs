//! Secrets that a plugin may use.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a secret comes from. It is read when it is needed, so that a new one is used from the next call on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// A file; one line end at its end is left out. Absolute once a document has been read.
    File(PathBuf),
    /// A variable of the host's environment.
    Env(String),
    /// The host's own store, by name.
    Store(String),
}
