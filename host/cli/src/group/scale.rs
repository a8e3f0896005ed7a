//! `homeostat group scale`.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_core::spec::GroupSpec;
use homeostat_server::view::{GroupCommit, ScaleRequest};

use super::wait::Waiting;
use super::{at, committed};
use crate::args::Globals;
use crate::client::Client;
use crate::out;
use crate::render::count;

/// Change the number of a group's instances, or print it
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group scale web
  homeostat group scale web 8 --wait")]
pub(crate) struct Scale {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// How many instances it is to have; without it, the number is printed
    #[arg(allow_negative_numbers = true, value_name = "SIZE")]
    pub(crate) size: Option<i64>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Scale {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let Some(size) = self.size else {
            let spec: GroupSpec = host.get(&at(&self.id, "/spec")).await?;
            let size = spec.properties.allocation.len();
            return match globals.json() {
                true => out::json(&ScaleRequest { size: size as i64 }),
                false => out::print(&format!("Group {} at {}", spec.id, count(size, "instance"))),
            };
        };
        let reply: GroupCommit = host.post(&at(&self.id, "/scale"), &ScaleRequest { size }).await?;
        committed(globals, &reply)?;
        self.waiting.converged(globals, host, &[(&reply.id, reply.revision)], deadline).await
    }
}
