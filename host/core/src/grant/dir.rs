//! Directories of the host that a plugin may open.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

/// What may be done in a granted directory. The lesser comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DirMode {
    /// Read only.
    #[default]
    #[serde(rename = "ro")]
    ReadOnly,
    /// Read and write.
    #[serde(rename = "rw")]
    ReadWrite,
}

impl fmt::Display for DirMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "read only",
            Self::ReadWrite => "read and write",
        })
    }
}
