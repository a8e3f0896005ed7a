//! `homeostat plugin`: what does the host's work.

mod check;
mod grants;
mod lock;
mod new;
mod publish;
mod swap;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use homeostat_core::grant::Grants;
use homeostat_core::spec::PluginSource;
use homeostat_server::view::{AddPlugin, PluginView};

use crate::args::Globals;
use crate::client::{Client, segment};
use crate::direct::{self, Name, Trusted};
use crate::failure::Usage;
use crate::out;
use crate::render::plugin;

pub(crate) use grants::GrantArgs;
use grants::LimitArgs;

/// `homeostat plugin`
#[derive(Subcommand)]
pub(crate) enum Verb {
    New(new::New),
    Add(Add),
    Ls(Ls),
    Inspect(Inspect),
    Check(check::Check),
    Swap(swap::Swap),
    Rollback(swap::Rollback),
    Lock(lock::Lock),
    Seal(publish::Seal),
    Push(publish::Push),
    Rm(Rm),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Self::New(verb) => verb.run(globals),
            Self::Add(verb) => verb.run(globals).await,
            Self::Ls(_) => {
                let plugins: Vec<PluginView> = Client::new(globals)?.get("/v1/plugins").await?;
                if globals.json() { out::json(&plugins) } else { out::print(&plugin::list(&plugins)) }
            }
            Self::Inspect(verb) => verb.run(globals).await,
            Self::Check(verb) => verb.run(globals).await,
            Self::Swap(verb) => verb.run(globals).await,
            Self::Rollback(verb) => verb.run(globals).await,
            Self::Lock(verb) => verb.run(globals).await,
            Self::Seal(verb) => verb.run(globals),
            Self::Push(verb) => verb.run(globals).await,
            Self::Rm(Rm { name }) => {
                Client::new(globals)?.delete(&at(&name)).await?;
                if globals.json() { Ok(()) } else { out::print(&format!("Removed plugin {name}")) }
            }
        }
    }
}

/// Register a plugin: what groups call it, where it comes from, and what it may touch
///
/// A plugin may touch nothing but what is granted here and what its manifest asks for as well. Adding a name that is there
/// already replaces its file, its grants and its limits while the groups that use it go on.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin add flavor-vanilla flavor_vanilla.wasm
  homeostat plugin add instance-file instance_file.wasm --allow-dir ./machines:/instances:rw --wall 10s
  homeostat plugin add cloud oci://registry.example.com/plugins/cloud:1.2 \\
      --allow-http 'https://api.example.com/v1/**; inject=Authorization:token:Bearer ' --allow-secret token=file:/run/token
  homeostat plugin add docker https://example.com/docker.wasm --sha256 b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9 \\
      --allow-http 'http://docker.local/containers/**; via=unix:/var/run/docker.sock'
  homeostat plugin add local ./local.wasm --allow-exec 'web=/usr/sbin/nginx -c **' --allow-config region=eu-1")]
pub(crate) struct Add {
    /// What groups will call it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Its .wasm file, an https:// URL, or an oci:// reference to a registry
    #[arg(value_name = "FILE|URL", value_parser = grants::source)]
    source: PluginSource,
    /// The SHA-256 that the file must have; anything else is refused
    #[arg(long, value_name = "DIGEST", value_parser = NonEmptyStringValueParser::new())]
    sha256: Option<String>,
    /// Ask anew what a URL or a tag means, where it is registered already
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

impl Add {
    async fn run(self, globals: &Globals) -> Result<()> {
        let request = AddPlugin {
            name: self.name,
            source: self.source,
            sha256: self.sha256,
            update: self.update,
            grants: self.grants.grants().map_err(Usage)?,
            limits: self.limits.limits(),
        };
        let view: PluginView = Client::new(globals)?.post("/v1/plugins", &request).await?;
        if globals.json() {
            return out::json(&view);
        }
        let what = view.info.as_ref().map(|it| format!(" ({} {})", it.description.name, it.description.version));
        out::print(&format!("Registered plugin {}{}", view.name, what.unwrap_or_default()))?;
        match plugin::gaps(&view.wanted_not_granted, &view.granted_not_wanted) {
            gaps if gaps.is_empty() => Ok(()),
            gaps => out::print(&gaps),
        }
    }
}

/// List the registered plugins
#[derive(Args)]
#[command(visible_alias = "list", after_long_help = "Example:\n  homeostat plugin ls")]
pub(crate) struct Ls {}

/// Show what a plugin is: its kind, digest, schema, example, imports, exports, and what it wants beside what it may do
///
/// A file or a URL is loaded by this command itself, without a host.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin inspect instance-file
  homeostat plugin inspect oci://registry.example.com/plugins/cloud:1.2
  homeostat plugin inspect ./instance_file.wasm -o json | jq .Description.PropertiesExample")]
pub(crate) struct Inspect {
    /// The name of a registered plugin, the path of a .wasm file, an https:// URL, or an oci:// reference
    #[arg(value_name = "NAME|FILE|URL", value_parser = NonEmptyStringValueParser::new())]
    plugin: String,
    #[command(flatten)]
    trusted: Trusted,
}

impl Inspect {
    async fn run(self, globals: &Globals) -> Result<()> {
        let name = match PluginSource::is_remote(&self.plugin) {
            true => Name::File(direct::fetch(globals, &self.trusted, &self.plugin).await?),
            false => Name::of(&self.plugin),
        };
        match name {
            Name::File(path) => {
                let plugin = direct::load_file(globals, &path, Grants::default()).await?;
                let info = plugin.info();
                if globals.json() { out::json(info) } else { out::print(&plugin::describe_file(info)) }
            }
            Name::Registered(name) => {
                let view: PluginView = Client::new(globals)?.get(&at(&name)).await?;
                if globals.json() { out::json(&view) } else { out::print(&plugin::describe(&view)) }
            }
        }
    }
}

/// Forget a plugin that no group uses
#[derive(Args)]
#[command(visible_alias = "remove", after_long_help = "Example:\n  homeostat plugin rm instance-file")]
pub(crate) struct Rm {
    /// The plugin
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
}

fn at(name: &str) -> String {
    format!("/v1/plugins/{}", segment(name))
}
