//! `homeostat plugin`: what does the host's work.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use homeostat_core::grant::{DirGrant, Grants, Limits};
use homeostat_server::view::{AddPlugin, PluginView};

use crate::args::{Globals, absolute, bytes, dir_grant, duration};
use crate::client::{Client, segment};
use crate::direct::{self, Name};
use crate::out;
use crate::render::plugin;

/// `homeostat plugin`
#[derive(Subcommand)]
pub(crate) enum Verb {
    Add(Add),
    Ls(Ls),
    Inspect(Inspect),
    Rm(Rm),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Self::Add(verb) => verb.run(globals).await,
            Self::Ls(_) => {
                let plugins: Vec<PluginView> = Client::new(globals)?.get("/v1/plugins").await?;
                if globals.json() { out::json(&plugins) } else { out::print(&plugin::list(&plugins)) }
            }
            Self::Inspect(verb) => verb.run(globals).await,
            Self::Rm(Rm { name }) => {
                Client::new(globals)?.delete(&at(&name)).await?;
                if globals.json() { Ok(()) } else { out::print(&format!("Removed plugin {name}")) }
            }
        }
    }
}

/// Register a plugin: what groups call it, its file, and what it may touch
///
/// A plugin may touch nothing but the directories granted here. Adding a name that is there already replaces its file,
/// its grants and its limits while the groups that use it go on.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin add flavor-vanilla flavor_vanilla.wasm
  homeostat plugin add instance-file instance_file.wasm --dir ./machines:/instances:rw --wall 10s")]
pub(crate) struct Add {
    /// What groups will call it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Its .wasm file
    file: PathBuf,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What a plugin may touch.
#[derive(Args)]
pub(crate) struct GrantArgs {
    /// Let it open a directory: HOST:GUEST to read, HOST:GUEST:rw to read and write; may be given several times
    #[arg(long = "dir", value_name = "HOST:GUEST[:rw]", value_parser = dir_grant)]
    dirs: Vec<DirGrant>,
}

impl GrantArgs {
    pub(crate) fn grants(self) -> Grants {
        Grants { dirs: self.dirs }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }
}

/// What a call of a plugin may cost.
#[derive(Args)]
struct LimitArgs {
    /// The memory of one call [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory: Option<u64>,
    /// The time a call may compute [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cpu: Option<Duration>,
    /// The time a call may take in all [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wall: Option<Duration>,
    /// The calls at once; more wait their turn [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    calls: Option<u32>,
    /// How long the provider's list may lag behind what was done [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    list_lag: Option<Duration>,
}

impl LimitArgs {
    fn limits(self) -> Limits {
        let default = Limits::default();
        let memory = self.memory.unwrap_or(default.memory);
        // Where one of the two is given, the default of the other makes room for it, as in a document.
        let cpu = self.cpu.unwrap_or_else(|| default.cpu.min(self.wall.unwrap_or(default.wall)));
        let wall = self.wall.unwrap_or_else(|| default.wall.max(cpu));
        Limits {
            memory,
            cpu,
            wall,
            calls: self.calls.unwrap_or(default.calls),
            list_lag: self.list_lag.unwrap_or_default(),
        }
    }
}

impl Add {
    async fn run(self, globals: &Globals) -> Result<()> {
        let request = AddPlugin {
            name: self.name,
            path: absolute(&self.file)?,
            grants: self.grants.grants(),
            limits: self.limits.limits(),
        };
        let view: PluginView = Client::new(globals)?.post("/v1/plugins", &request).await?;
        if globals.json() {
            return out::json(&view);
        }
        let what = view.info.as_ref().map(|it| format!(" ({} {})", it.description.name, it.description.version));
        out::print(&format!("Registered plugin {}{}", view.name, what.unwrap_or_default()))
    }
}

/// List the registered plugins
#[derive(Args)]
#[command(visible_alias = "list", after_long_help = "Example:\n  homeostat plugin ls")]
pub(crate) struct Ls {}

/// Show what a plugin is: its kind, schema, example, imports, exports, grants and limits
///
/// A path is loaded by this command itself, without a host.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin inspect instance-file
  homeostat plugin inspect ./instance_file.wasm -o json | jq .Description.PropertiesExample")]
pub(crate) struct Inspect {
    /// The name of a registered plugin, or the path of a .wasm file
    #[arg(value_name = "NAME|FILE", value_parser = NonEmptyStringValueParser::new())]
    plugin: String,
}

impl Inspect {
    async fn run(self, globals: &Globals) -> Result<()> {
        match Name::of(&self.plugin) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_one_time_makes_room_for_the_other() {
        let limits = |cpu: Option<u64>, wall: Option<u64>| {
            let seconds = |it: Option<u64>| it.map(Duration::from_secs);
            let it = LimitArgs { memory: None, cpu: seconds(cpu), wall: seconds(wall), calls: None, list_lag: None }
                .limits();
            (it.cpu.as_secs(), it.wall.as_secs())
        };
        assert_eq!(limits(None, None), (5, 60));
        assert_eq!(limits(None, Some(2)), (2, 2));
        assert_eq!(limits(Some(90), None), (90, 90));
        // The host refuses it, and says why.
        assert_eq!(limits(Some(9), Some(3)), (9, 3));
    }
}
