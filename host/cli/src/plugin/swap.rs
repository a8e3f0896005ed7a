//! `homeostat plugin swap` and `rollback`: another version for a plugin while its groups go on.

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_core::spec::PluginSource;
use homeostat_server::view::{PluginView, SwapRequest};

use super::{at, grants};
use crate::args::Globals;
use crate::client::Client;
use crate::failure::Usage;
use crate::out;

/// Take another version of a plugin into use, while its groups go on
///
/// The new version is loaded beside the one in use. It has to be of the same kind, to accept the specs of all groups that
/// use it, to see their instances, and to want nothing that the one in use did not want, unless --consent is given or its
/// grants are stated anew. Otherwise nothing changes, and the command says why. Calls under way end on the old version.
/// Where the new one crashes three times within its first ten minutes, the old one comes back by itself.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin swap instance-file ./instance_file.wasm
  homeostat plugin swap cloud oci://registry.example.com/plugins/cloud:1.3 --consent
  homeostat plugin swap cloud        # its file, URL or tag anew")]
pub(crate) struct Swap {
    /// The plugin
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Its .wasm file, an https:// URL, or an oci:// reference [default: where the version in use came from]
    #[arg(value_name = "FILE|URL", value_parser = grants::source)]
    source: Option<PluginSource>,
    /// The SHA-256 that the file must have; anything else is refused
    #[arg(long, value_name = "DIGEST", value_parser = NonEmptyStringValueParser::new())]
    sha256: Option<String>,
    /// Go on with the grants as they are, although it wants more than the version in use
    #[arg(long)]
    consent: bool,
    #[command(flatten)]
    grants: grants::GrantArgs,
}

impl Swap {
    pub(super) async fn run(self, globals: &Globals) -> Result<()> {
        let grants = match self.grants.is_empty() {
            true => None,
            false => Some(self.grants.grants().map_err(Usage)?),
        };
        let request = SwapRequest { source: self.source, sha256: self.sha256, grants, consent: self.consent };
        let view: PluginView = Client::new(globals)?.post(&format!("{}/swap", at(&self.name)), &request).await?;
        say(globals, "Swapped", &view)
    }
}

/// Take the version before the one in use into use again
///
/// Done twice, it leads back to where it began.
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat plugin rollback cloud")]
pub(crate) struct Rollback {
    /// The plugin
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
}

impl Rollback {
    pub(super) async fn run(self, globals: &Globals) -> Result<()> {
        let view: PluginView = Client::new(globals)?.post(&format!("{}/rollback", at(&self.name)), &()).await?;
        say(globals, "Rolled back", &view)
    }
}

fn say(globals: &Globals, done: &str, view: &PluginView) -> Result<()> {
    if globals.json() {
        return out::json(view);
    }
    let version = view.info.as_ref().map(|it| format!(" to version {}", it.description.version)).unwrap_or_default();
    let digest = view.locked.as_ref().map(|it| format!(" (sha256:{:.12})", it.sha256)).unwrap_or_default();
    out::print(&format!("{done} plugin {}{version}{digest}", view.name))
}
