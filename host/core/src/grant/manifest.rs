//! What a plugin says that it needs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DirMode;
use crate::document::Diagnostic;

/// What the author of a plugin declares about it, beside what `describe-plugin` says.
///
/// Written as JSON in the component's custom section [`Manifest::SECTION`], or in a file beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub struct Manifest {
    /// What it was built with, for example `componentize-py 0.25`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toolchain: Option<String>,
    /// What it needs.
    pub wants: Wants,
}

impl Manifest {
    /// The custom section that holds it.
    pub const SECTION: &str = "homeostat:manifest";

    /// The largest text of one, in bytes.
    pub const MAX_TEXT: usize = 64 << 10;

    /// Read one.
    ///
    /// # Errors
    /// All that is wrong with it: where it is no JSON, what is not known, what cannot be read, what occurs twice.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        crate::document::manifest(text).map_err(|faults| ManifestError { faults })
    }
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Each fault with its place, in the order of the text; at least one.
    pub faults: Vec<Diagnostic>,
}

/// One line: `line 3: Wants.Http[0].Url: ...; line 5: ...`
impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let comma = if i > 0 { "; " } else { "" };
            write!(f, "{comma}line {}: ", fault.line)?;
            if !fault.path.is_empty() {
                write!(f, "{}: ", fault.path)?;
            }
            f.write_str(&fault.message)?;
            if let Some(help) = &fault.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

/// What a plugin needs. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub struct Wants {
    /// HTTP requests that it sends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpWant>,
    /// Directories that it opens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dirs: Vec<DirWant>,
    /// Secrets that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretWant>,
    /// Settings that it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigWant>,
    /// Programs that it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<ExecWant>,
}

/// Requests that a plugin sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct HttpWant {
    /// Where to: scheme, host and port as in a grant; or `*` where only the operator can know.
    pub url: String,
    /// Which methods; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Which paths, as in a grant; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// What for, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A directory that a plugin opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DirWant {
    /// What the plugin calls it: an absolute path.
    pub guest: String,
    /// Whether it writes.
    #[serde(default)]
    pub mode: DirMode,
    /// What for, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A secret that a plugin uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SecretWant {
    /// What the plugin calls it.
    pub name: String,
    /// What for, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A setting that a plugin reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ConfigWant {
    /// What the plugin calls it.
    pub name: String,
    /// What for, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A program that a plugin starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ExecWant {
    /// What the plugin calls it.
    pub name: String,
    /// What for, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}
