//! One plugin called by hand: through the running host, or loaded in this process.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_core::document::{Document, Source, check_plugin};
use homeostat_core::grant::{Grants, Limits};
use homeostat_core::spec::{PluginSource, PluginSpec};
use homeostat_runtime::{Plugin, Runtime, RuntimeConfig};
use homeostat_server::call::Call;
use homeostat_server::view::CallReply;
use homeostat_source::{Lookup, Sources, Wanted};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::{Globals, absolute};
use crate::client::{Client, segment};
use crate::failure::{Faults, Usage};
use crate::input;
use crate::plugin::GrantArgs;

/// Which plugin to call.
#[derive(Args)]
pub(crate) struct Target {
    /// A registered plugin, or the path of a .wasm file, or with --stack a name in that stack
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    plugin: String,
    /// Take the plugin's file, grants and limits from this stack document; no host is needed
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
}

/// A plugin as it is named on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// By the path of its file.
    File(PathBuf),
    /// By a registered name.
    Registered(String),
}

impl Name {
    /// A file ends in `.wasm`, is said to be here (`./plugin`) or at an absolute path, or has a `/` and exists. Names of
    /// plugins may hold a `/` (`aws/ec2-instance`), and none ends in `.wasm`.
    pub(crate) fn of(given: &str) -> Self {
        let path = Path::new(given);
        let is_path =
            given.ends_with(".wasm") || given.starts_with(['/', '.']) || (given.contains('/') && path.is_file());
        if is_path { Self::File(path.to_owned()) } else { Self::Registered(given.to_owned()) }
    }
}

/// Where a plugin's calls go. A plugin of this process is loaded once, however often it is called.
pub(crate) enum Callee {
    /// To the running host.
    Host { client: Client, plugin: String },
    /// To this process.
    Here(Plugin),
}

impl Target {
    /// Find the plugin, and load it where that is this process's business.
    pub(crate) async fn open(self, globals: &Globals) -> Result<Callee> {
        let Self { plugin, stack, grants } = self;
        match (Name::of(&plugin), stack) {
            (Name::File(path), None) => {
                let grants = grants.grants().map_err(Usage)?;
                Ok(Callee::Here(load_file(globals, &path, grants).await?))
            }
            (Name::File(_), Some(_)) => {
                Err(Usage("--stack takes the name of a plugin in the stack, not a path".into()).into())
            }
            (Name::Registered(_), _) if !grants.is_empty() => {
                let help = "a registered plugin has the grants it was registered with";
                Err(Usage(format!("--allow-... goes with the path of a .wasm file; {help}")).into())
            }
            (Name::Registered(name), Some(stack)) => {
                let spec = from_stack(&name, &stack)?;
                Ok(Callee::Here(load(globals, &name, &spec).await?))
            }
            (Name::Registered(plugin), None) => Ok(Callee::Host { client: Client::new(globals)?, plugin }),
        }
    }
}

impl Callee {
    /// Call a function and take its result.
    ///
    /// # Errors
    /// Where the host does not answer, the plugin is of the other kind, or the call fails.
    pub(crate) async fn call(&self, call: Call) -> Result<Value> {
        match self {
            Self::Here(plugin) => Ok(call.run(plugin).await?),
            Self::Host { client, plugin } => {
                let reply: CallReply = client.post(&format!("/v1/plugins/{}/call", segment(plugin)), &call).await?;
                Ok(reply.result)
            }
        }
    }

    /// As [`Self::call`], with the result in its form.
    ///
    /// # Errors
    /// As [`Self::call`], and where the result has another form.
    pub(crate) async fn typed<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let result = self.call(call).await?;
        serde_json::from_value(result).context("the plugin's answer has another form than expected")
    }
}

/// Load a plugin from its file, with these grants and the usual limits.
///
/// # Errors
/// What is wrong with the file or the grants.
pub(crate) async fn load_file(globals: &Globals, path: &Path, grants: Grants) -> Result<Plugin> {
    let name = path.file_stem().map_or_else(|| "plugin".into(), |it| it.to_string_lossy().into_owned());
    let spec = checked(grants, Limits::default())?;
    let spec = PluginSpec { source: PluginSource::File(absolute(path)?), ..spec };
    load(globals, &name, &spec).await
}

/// Grants and limits that were put together from options, checked as those of a document are; for a file that is yet to be
/// named.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn checked(grants: Grants, limits: Limits) -> Result<PluginSpec> {
    // The name and the path are not bound to what a registered plugin's would be.
    let stand_in = PluginSource::File("/plugin.wasm".into());
    let spec = PluginSpec { source: stand_in, sha256: None, grants, limits };
    check_plugin("plugin", spec).map_err(|faults| {
        let said = faults.iter().map(|it| match &it.help {
            Some(help) => format!("{} ({help})", it.message),
            None => it.message.clone(),
        });
        Usage(said.collect::<Vec<_>>().join("; ")).into()
    })
}

async fn load(globals: &Globals, name: &str, spec: &PluginSpec) -> Result<Plugin> {
    // Programs outlive this command, and are found again by the next one.
    let processes = globals.state_dir().ok().filter(|_| !spec.grants.exec.is_empty()).map(|dir| dir.join("exec"));
    Ok(runtime(globals, processes)?.load(name, spec).await?)
}

/// What plugins run in where there is no host: with a directory in which the programs that they start are kept track of, if
/// they may start any.
///
/// # Errors
/// Where a directory cannot be used, or the system gives no threads.
pub(crate) fn runtime(globals: &Globals, processes: Option<PathBuf>) -> Result<Runtime> {
    // Whoever calls a plugin by hand may try a draft; the runtime's warning says that it is one.
    let config = RuntimeConfig { drafts: true, processes, ..RuntimeConfig::new(cache_dir(globals)) };
    Ok(Runtime::new(config)?)
}

/// Whom to trust where this command itself fetches or pushes plugins.
#[derive(Args)]
pub(crate) struct Trusted {
    /// Certificates (PEM) to trust besides the system's where plugins are fetched from URLs and registries, or pushed there
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
}

/// Where plugins are fetched from by this command itself.
///
/// # Errors
/// Where their files cannot be kept, or the certificates cannot be read.
pub(crate) fn sources(globals: &Globals, trusted: &Trusted) -> Result<Sources> {
    let cache = cache_dir(globals);
    let roots = trusted.roots.as_deref().map(absolute).transpose()?;
    let config = homeostat_source::Config { roots, ..homeostat_source::Config::default() };
    Ok(Sources::new(&cache.with_file_name("plugins-by-hand"), &config)?)
}

/// Fetch a plugin to look at, from a URL or a registry.
///
/// # Errors
/// Where it cannot be had.
pub(crate) async fn fetch(globals: &Globals, trusted: &Trusted, source: &str) -> Result<PathBuf> {
    let source: PluginSource = source.parse().map_err(Usage)?;
    let wanted = Wanted { pin: None, locked: None, lookup: Lookup::Anew, advice: "look at another one" };
    Ok(sources(globals, trusted)?.fetch(&source, &wanted).await?.path)
}

/// The host's code cache where this user may use it, or else one of the user's own.
pub(crate) fn cache_dir(globals: &Globals) -> PathBuf {
    let own = || std::env::temp_dir().join(format!("homeostat-cache-{}", rustix::process::geteuid().as_raw()));
    let Ok(state_dir) = globals.state_dir() else { return own() };
    let cache = state_dir.join("cache");
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    let usable = private.create(&cache).is_ok()
        && rustix::fs::access(&cache, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    if usable { cache } else { own() }
}

fn from_stack(name: &str, file: &Path) -> Result<PluginSpec> {
    let input::Spec { name: document, base_dir, text } = input::spec(file)?;
    let read = Document::read(&Source { name: &document, text: &text, base_dir: &base_dir }).map_err(Faults)?;
    let mut plugins = read.stack.plugins;
    if let Some(spec) = plugins.remove(name) {
        return Ok(spec);
    }
    let known = match plugins.into_keys().collect::<Vec<_>>() {
        known if known.is_empty() => "it registers none".into(),
        known => format!("it registers {}", known.join(", ")),
    };
    Err(anyhow::anyhow!("{document} has no plugin {name:?}; {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_no_file_unless_there_is_one() {
        for file in ["a.wasm", "./a", "../a", "/a/b", "aws/a.wasm"] {
            assert_eq!(Name::of(file), Name::File(file.into()));
        }
        for name in ["instance-file", "aws/ec2-instance"] {
            assert_eq!(Name::of(name), Name::Registered(name.into()));
        }
    }
}
