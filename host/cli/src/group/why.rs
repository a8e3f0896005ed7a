//! `homeostat group why` and `history`: why things are as they are, and how they came to be so.

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_server::view::{HistoryEntry, WhyReply};

use super::at;
use crate::args::Globals;
use crate::client::{Client, segment};
use crate::out;
use crate::render::{history, now_ms, why};

/// Say why a group, or one instance of it, is as it is: the reason, since when, and when it is tried again
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group why web
  homeostat group why web web-4-9410686fd3")]
pub(crate) struct Why {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// One instance of it, by its id, its name, its logical id or the number of its slot
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    instance: Option<String>,
}

impl Why {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let query = self.instance.map(|it| format!("?instance={}", segment(&it))).unwrap_or_default();
        let reply: WhyReply = host.get(&at(&self.id, &format!("/why{query}"))).await?;
        if globals.json() { out::json(&reply) } else { out::print(&why::text(&reply, now_ms())) }
    }
}

/// Show what filled each slot of a group, now and before, and why it came and went
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group history web
  homeostat group history web --limit 100 -o json | jq '.[] | select(.Ended != null)'")]
pub(crate) struct History {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// How many to show of each slot, the newest [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl History {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let query = self.limit.map(|it| format!("?limit={it}")).unwrap_or_default();
        let entries: Vec<HistoryEntry> = host.get(&at(&self.id, &format!("/history{query}"))).await?;
        if globals.json() { out::json(&entries) } else { out::print(&history::table(&entries, now_ms())) }
    }
}
