//! Grants in the two forms in which an operator writes them: an option of the command, and a member of a document.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::flag;
use super::{DirGrant, ExecGrant, Grants, HttpGrant, SecretSource};

/// One grant, ready to be written where it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Remedy {
    /// The option of `homeostat plugin add`, quoted for a shell.
    pub flag: String,
    /// What it is in the `Grants` of the plugin's entry in a stack.
    pub stanza: Value,
}

impl Remedy {
    fn new(flag: &str, value: &str, grants: &Grants) -> Self {
        // Plain data, which cannot fail to become JSON.
        let stanza = serde_json::to_value(grants).unwrap_or_else(|_| json!({}));
        Self { flag: format!("{flag} {}", flag::shell(value)), stanza }
    }

    /// Requests.
    pub fn http(grant: &HttpGrant) -> Self {
        let grants = Grants { http: vec![grant.clone()], ..Grants::default() };
        Self::new("--allow-http", &flag::write_http(grant), &grants)
    }

    /// A directory.
    pub fn dir(grant: &DirGrant) -> Self {
        let grants = Grants { dirs: vec![grant.clone()], ..Grants::default() };
        Self::new("--allow-dir", &flag::write_dir(grant), &grants)
    }

    /// A secret.
    pub fn secret(name: &str, source: &SecretSource) -> Self {
        let grants = Grants { secrets: BTreeMap::from([(name.into(), source.clone())]), ..Grants::default() };
        Self::new("--allow-secret", &flag::write_secret(name, source), &grants)
    }

    /// A setting.
    pub fn config(name: &str, value: &str) -> Self {
        let grants = Grants { config: BTreeMap::from([(name.into(), value.into())]), ..Grants::default() };
        Self::new("--allow-config", &format!("{name}={value}"), &grants)
    }

    /// A program.
    pub fn exec(name: &str, grant: &ExecGrant) -> Self {
        let grants = Grants { exec: BTreeMap::from([(name.into(), grant.clone())]), ..Grants::default() };
        Self::new("--allow-exec", &flag::write_exec(name, grant), &grants)
    }
}

/// `--allow-http '...', or {"Http": [...]} in the "Grants" of its entry`
impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or {} in the \"Grants\" of its entry in a stack", self.flag, self.stanza)
    }
}
