//! What the author adds to a run: samples, grants, limits.

use std::path::PathBuf;

use homeostat_core::grant::{Grants, Limits};
use homeostat_core::spec::Allocation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    pub grants: Grants,
    /// What a call may cost.
    pub limits: Limits,
    /// An earlier version of the plugin, which has to find and destroy what this one made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PathBuf>,
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

impl Config {
    /// Read it.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(text: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if config.instances == Some(0) {
            return Err("Instances has to be 1 or more".into());
        }
        Ok(config)
    }
}
