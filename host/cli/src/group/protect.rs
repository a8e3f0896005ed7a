//! `homeostat group protect` and `unprotect`: instances that nothing destroys.

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_server::view::{ProtectRequest, Said};

use super::{at, said};
use crate::args::Globals;
use crate::client::Client;

/// Let nothing destroy these instances: no update, no healing, no smaller size
///
/// What a protected instance holds up is shown by `group why`.
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group protect web web-4-9410686fd3 web-5-059d622d70")]
pub(crate) struct Protect {
    #[command(flatten)]
    which: Which,
}

/// Let protected instances be destroyed again, where that is called for
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group unprotect web web-4-9410686fd3")]
pub(crate) struct Unprotect {
    #[command(flatten)]
    which: Which,
}

/// Some instances of a group.
#[derive(Args)]
struct Which {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// The instances, by the provider's id (`group describe` shows them)
    #[arg(required = true, value_name = "INSTANCE", value_parser = NonEmptyStringValueParser::new())]
    instances: Vec<String>,
}

impl Which {
    async fn set(self, globals: &Globals, host: &Client, protected: bool) -> Result<()> {
        let request = ProtectRequest { ids: self.instances, protected };
        let answer: Said = host.post(&at(&self.id, "/protect"), &request).await?;
        said(globals, &answer)
    }
}

impl Protect {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        self.which.set(globals, host, true).await
    }
}

impl Unprotect {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        self.which.set(globals, host, false).await
    }
}
