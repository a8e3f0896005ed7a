//! A loaded plugin: what it is, and the handles through which it is called.

use std::sync::Arc;
use std::time::Duration;

use homeostat_core::grant::{Grants, Limits, Manifest};
use homeostat_core::spec::PluginSource;
use serde::{Deserialize, Serialize};

use crate::call::{CallStats, Sandbox};
use crate::describe::PluginDescription;
use crate::flavor::FlavorPlugin;
use crate::instance::InstancePlugin;

/// What a plugin is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Makes instances (world `instance-plugin`).
    Instance,
    /// Says what runs on them (world `flavor-plugin`).
    Flavor,
}

/// A function of a plugin that is not called for now, because it crashed too often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Degraded {
    /// Which.
    pub function: String,
    /// For how long.
    #[serde(with = "homeostat_core::duration")]
    pub rest: Duration,
    /// How the last call ended.
    pub reason: String,
}

/// A loaded plugin, for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginInfo {
    /// The name it is registered as.
    pub name: String,
    /// What it is for.
    pub kind: PluginKind,
    /// Where its file comes from.
    #[serde(rename = "Path")]
    pub source: PluginSource,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// The contract it was built against, for example `homeostat:plugin@0.1.0`.
    pub contract: String,
    /// Whether that is a draft: it may change any day, and then the plugin does not load any more.
    #[serde(default)]
    pub draft: bool,
    /// What it says of itself.
    pub description: PluginDescription,
    /// What its author says that it needs.
    #[serde(default)]
    pub manifest: Manifest,
    /// What it was made with, where the component says.
    #[serde(default)]
    pub producers: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it may touch.
    pub grants: Grants,
    /// What a call may cost.
    pub limits: Limits,
    /// Whether its machine code was there already.
    pub from_cache: bool,
    /// How long loading it took.
    #[serde(with = "homeostat_core::duration")]
    pub load_time: Duration,
}

/// A loaded plugin. Cheap to clone; the plugin is unloaded when the last handle is gone.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    info: PluginInfo,
    sandbox: Arc<Sandbox>,
}

impl Plugin {
    pub(crate) fn new(info: PluginInfo, sandbox: Arc<Sandbox>) -> Self {
        Self(Arc::new(Inner { info, sandbox }))
    }

    /// What it is.
    pub fn info(&self) -> &PluginInfo {
        &self.0.info
    }

    /// To call it as an instance plugin, where it is one.
    pub fn as_instance(&self) -> Option<InstancePlugin> {
        (self.0.info.kind == PluginKind::Instance).then(|| InstancePlugin::new(self.0.sandbox.clone()))
    }

    /// To call it as a flavor plugin, where it is one.
    pub fn as_flavor(&self) -> Option<FlavorPlugin> {
        (self.0.info.kind == PluginKind::Flavor).then(|| FlavorPlugin::new(self.0.sandbox.clone()))
    }

    /// The functions that crashed so often that they are not called for now.
    pub fn degraded(&self) -> Vec<Degraded> {
        let open = self.0.sandbox.degraded().into_iter();
        open.map(|it| Degraded { function: it.function.to_owned(), rest: it.rest, reason: it.reason }).collect()
    }

    /// How its calls went so far. The call that described it counts.
    pub fn stats(&self) -> CallStats {
        self.0.sandbox.stats()
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("info", self.info()).finish_non_exhaustive()
    }
}
