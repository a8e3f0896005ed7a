//! What a plugin wants, what an operator lets it do, and what a call may cost.
//!
//! A plugin declares its [`Wants`] in a [`Manifest`]; the operator gives [`Grants`]. Only what both name is effective:
//! a wish alone opens nothing, and neither does a grant that the plugin did not ask for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

mod agreement;
mod dir;
mod exec;
pub mod flag;
pub mod http;
mod limits;
mod manifest;
mod name;
mod remedy;
mod secret;

pub use agreement::{Agreement, Effective, Gap, GrantKind};
pub use dir::{DirGrant, DirMode};
pub use exec::{ExecDenial, ExecGrant, ExecRefusal, judge_exec};
pub use http::{
    ClientIdentity, Denial, HostPattern, HttpGrant, HttpRefusal, HttpRequest, Injection, Missing, PathFault,
    PathPattern, Route, UrlPattern, closed_address, judge, judge_read_only,
};
pub use limits::Limits;
pub use manifest::{ConfigWant, DirWant, ExecWant, HttpWant, Manifest, ManifestError, SecretWant, Wants};
pub use name::valid_name;
pub use remedy::Remedy;
pub use secret::SecretSource;

/// What a plugin may touch. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Grants {
    /// HTTP requests it may send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Directories it may open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dirs: Vec<DirGrant>,
    /// Secrets it may read, or have sent along with its requests, by the name that it uses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Settings it may read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Programs of this machine that it may start, by the name that it uses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exec: BTreeMap<String, ExecGrant>,
}

/// A line for each grant, or `nothing`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = self.http.iter().map(|it| format!("requests {}", flag::write_http(it)));
        let dirs = self.dirs.iter().map(|it| format!("{} as {} ({})", it.host.display(), it.guest, it.mode));
        let secrets = self.secrets.iter().map(|(name, it)| format!("secret {}", flag::write_secret(name, it)));
        let config = self.config.iter().map(|(name, value)| format!("setting {name}={value}"));
        let exec = self.exec.iter().map(|(name, it)| format!("program {}", flag::write_exec(name, it)));
        let lines: Vec<String> = http.chain(dirs).chain(secrets).chain(config).chain(exec).collect();
        if lines.is_empty() { f.write_str("nothing") } else { f.write_str(&lines.join("\n")) }
    }
}

/// A line for each wish with its reason, or `nothing`.
impl fmt::Display for Wants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.beyond(&Self::default()).iter().map(ToString::to_string).collect();
        if lines.is_empty() { f.write_str("nothing") } else { f.write_str(&lines.join("\n")) }
    }
}
