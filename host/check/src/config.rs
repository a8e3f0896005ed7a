//! What the author adds to a run: samples, grants, limits.

use std::path::PathBuf;

use homeostat_core::document::{Diagnostic, Source, read_permissions};
use homeostat_core::grant::{Grants, Limits};
use homeostat_core::spec::Allocation;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The file that `--config` names. All of it is optional: without it the plugin's own `properties-example` is the sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub struct Config {
    /// More properties that the plugin has to accept. Instances are made from the first, or else from the example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub valid: Vec<Value>,
    /// Properties that have to be refused, by the schema or by `validate`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub invalid: Vec<Invalid>,
    /// Properties that are valid and make another instance than the sample: for `already-exists`. Where there are none,
    /// another init script and other tags are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_spec: Option<Value>,
    /// How the group counts that a flavor is asked about; three alike by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocation>,
    /// How many instances the check of pages makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// What the plugin is granted. Directories that it wants and that are not granted are made by the kit.
    #[serde(deserialize_with = "read_otherwise")]
    pub grants: Grants,
    /// What a call may cost.
    #[serde(deserialize_with = "read_otherwise")]
    pub limits: Limits,
    /// An earlier version of the plugin, which has to find and destroy what this one made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PathBuf>,
}

/// What [`Config::read`] reads as a document has it.
fn read_otherwise<'de, D: Deserializer<'de>, T: Default>(deserializer: D) -> Result<T, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| T::default())
}

/// Properties that have to be refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Invalid {
    /// The properties.
    pub properties: Value,
    /// Where they are wrong, as a JSON Pointer; the plugin, or the schema, has to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It has another form.
    #[error("{0}")]
    Form(String),
    /// Its grants or its limits are not as a stack document would have them.
    #[error("its grants or limits have {} {}", .0.len(), if .0.len() == 1 { "fault" } else { "faults" })]
    Permissions(Vec<Diagnostic>),
}

impl Config {
    /// Read it. Grants and limits are what they are in a stack document, and all paths in it begin at the source's folder.
    /// `secrets` are the names of those that are granted by other means.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(source: &Source<'_>, secrets: &[&str]) -> Result<Self, ConfigError> {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
        let config: Self = serde_json::from_str(text).map_err(|error| ConfigError::Form(error.to_string()))?;
        let (grants, limits) = read_permissions(source, secrets).map_err(ConfigError::Permissions)?;
        if config.instances == Some(0) {
            return Err(ConfigError::Form("Instances has to be 1 or more".into()));
        }
        let previous = config.previous.map(|it| source.base_dir.join(it));
        Ok(Self { grants, limits, previous, ..config })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use homeostat_core::grant::{Route, SecretSource};

    use super::*;

    fn read(text: &str, secrets: &[&str]) -> Result<Config, ConfigError> {
        Config::read(&Source { name: "check.json", text, base_dir: Path::new("/srv/plugin") }, secrets)
    }

    #[test]
    fn every_path_begins_at_the_file() {
        let text = r#"{"Previous": "old.wasm", "Grants": {
            "Http": [
                {"Url": "https://a.b", "Roots": "ca.pem", "Client": {"Cert": "c.pem", "Key": "../k.pem"}},
                {"Url": "http://docker.local", "Via": "unix:run/docker.sock"},
                {"Url": "http://c.d", "Via": "127.0.0.1:80"}],
            "Dirs": [{"Host": "./machines", "Guest": "/instances"}, {"Host": "/abs", "Guest": "/abs"}],
            "Secrets": {"token": {"File": "token.txt"}, "other": {"Env": "OTHER"}},
            "Exec": {"web": {"Path": "./web"}}}}"#;
        let config = read(text, &[]).expect("is right");
        let Grants { http, dirs, secrets, exec, .. } = &config.grants;
        let here = |path: &str| PathBuf::from("/srv/plugin").join(path);
        assert_eq!(config.previous, Some(here("old.wasm")));
        assert_eq!(http[0].roots, Some(here("ca.pem")));
        let client = http[0].client.as_ref().expect("a client");
        assert_eq!((&client.cert, &client.key), (&here("c.pem"), &PathBuf::from("/srv/k.pem")));
        assert_eq!(http[1].via, Some(Route::Unix(here("run/docker.sock"))));
        assert_eq!(http[2].via.as_ref().map(ToString::to_string).as_deref(), Some("127.0.0.1:80"));
        assert_eq!((&dirs[0].host, &dirs[1].host), (&here("machines"), &PathBuf::from("/abs")));
        assert_eq!(secrets["token"], SecretSource::File(here("token.txt")));
        assert_eq!(exec["web"].path, here("web"));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let faults = |text: &str, secrets: &[&str]| match read(text, secrets).expect_err(text) {
            ConfigError::Form(text) => text,
            ConfigError::Permissions(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        };
        let inject = r#"{"Grants": {"Http": [{"Url": "http://a.b", "Inject": {"X-A": {"Secret": "token"}}}]}}"#;
        for (text, says) in [
            ("{", "EOF"),
            (r#"{"Valids": []}"#, "unknown field `Valids`"),
            (r#"{"Instances": 0}"#, "1 or more"),
            (r#"{"Grants": {"Htp": []}}"#, "check.json:1:13: Grants"),
            (r#"{"Grants": {"Http": [{"Url": "http://a.b", "Roots": "ca.pem"}]}}"#, "about TLS"),
            (r#"{"Limits": {"Wall": "0s"}}"#, "more than 0"),
            (inject, "there is no secret \"token\""),
        ] {
            let told = faults(text, &[]);
            assert!(told.contains(says), "{text}: {told}");
        }
        assert!(read(inject, &["token"]).is_ok());
    }
}
