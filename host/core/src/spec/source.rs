//! Where a plugin's file comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest file that may be a plugin, in bytes.
pub const MAX_PLUGIN_SIZE: u64 = 64 << 20;

/// Where a plugin's file comes from: the `Path` of its entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PluginSource {
    /// A file of this machine. Absolute once a document has been read.
    File(PathBuf),
    /// A URL: `https://host/path/plugin.wasm`.
    Https(String),
    /// An artifact in an OCI registry: `oci://host/repository:tag`, or `...@sha256:...`.
    Oci(String),
}

impl PluginSource {
    /// The file, where it is one of this machine.
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Https(_) | Self::Oci(_) => None,
        }
    }

    /// Whether a text names something that is fetched over the network.
    pub fn is_remote(text: &str) -> bool {
        text.contains("://")
    }
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Https(url) | Self::Oci(url) => f.write_str(url),
        }
    }
}

impl FromStr for PluginSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text.is_empty() => Err("the path is empty".into()),
            None => Ok(Self::File(text.into())),
            Some((_, "")) => Err(format!("{text:?} names no host")),
            Some(("oci", _)) => Ok(Self::Oci(text.into())),
            // Plain `http` is left to whoever fetches it: it may be allowed for this machine itself.
            Some(("https" | "http", _)) => Ok(Self::Https(text.into())),
            Some((scheme, _)) => Err(format!(
                "a plugin cannot be had from {scheme}://; give a file, an https:// URL, or an oci:// reference"
            )),
        }
    }
}

impl From<PluginSource> for String {
    fn from(source: PluginSource) -> Self {
        source.to_string()
    }
}

impl TryFrom<String> for PluginSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PathBuf> for PluginSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_back_as_it_is_written() {
        let sources = [
            ("/srv/a.wasm", PluginSource::File("/srv/a.wasm".into())),
            ("https://example.com/a.wasm", PluginSource::Https("https://example.com/a.wasm".into())),
            ("oci://example.com/a:1", PluginSource::Oci("oci://example.com/a:1".into())),
        ];
        for (text, source) in sources {
            assert_eq!(text.parse().as_ref(), Ok(&source));
            assert_eq!(source.to_string(), text);
        }
        for (text, says) in [("", "empty"), ("oci://", "names no host"), ("ftp://a/b.wasm", "ftp://")] {
            let refused = text.parse::<PluginSource>().expect_err("was accepted");
            assert!(refused.contains(says), "{refused}");
        }
    }
}
