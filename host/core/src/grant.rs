//! What an operator lets a plugin do, and what a call may cost.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a plugin may touch. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Grants {
    /// Directories it may open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dirs: Vec<DirGrant>,
}

/// One directory of the host, shown to the guest under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DirGrant {
    /// The directory on the host. Absolute once a document has been read. It must exist.
    pub host: PathBuf,
    /// What the guest calls it: an absolute path.
    pub guest: String,
    /// Whether the guest may write.
    #[serde(default)]
    pub mode: DirMode,
}

/// What may be done in a granted directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirMode {
    /// Read only.
    #[default]
    #[serde(rename = "ro")]
    ReadOnly,
    /// Read and write.
    #[serde(rename = "rw")]
    ReadWrite,
}

/// What one call of a plugin may cost, and how many run at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Limits {
    /// Linear memory of one instance, in bytes. Written as `"128MiB"`.
    #[serde(with = "crate::bytes")]
    pub memory: u64,
    /// Time a call may compute.
    #[serde(rename = "CPU", with = "crate::duration")]
    pub cpu: Duration,
    /// Time a call may take, waiting included.
    #[serde(with = "crate::duration")]
    pub wall: Duration,
    /// Calls at once; more wait their turn.
    pub calls: u32,
    /// How long the provider's list may lag behind what was done. The contract asks for none; where a cloud cannot keep
    /// that, what seems to be missing is only made again after so long.
    #[serde(with = "crate::duration", skip_serializing_if = "Duration::is_zero")]
    pub list_lag: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(60),
            calls: 16,
            list_lag: Duration::ZERO,
        }
    }
}
