//! `homeostat group pause`, `resume`, `promote`, `rollback` and `reset`: words to a rollout, and to healing that gave up.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_core::machine::Control;
use homeostat_server::view::{ControlRequest, GroupCommit, RollbackRequest, Said};

use super::wait::Waiting;
use super::{at, committed, said};
use crate::args::Globals;
use crate::client::Client;

/// Stop a rollout where it is, until it is resumed, rolled back, or another spec is committed
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group pause web")]
pub(crate) struct Pause {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

/// Go on with a paused rollout, with new deadlines and no failures counted
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group resume web")]
pub(crate) struct Resume {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

/// Let the other instances follow the canaries of a rollout
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group promote web")]
pub(crate) struct Promote {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

/// Try again at once what failed, and heal slots again that were healed too often
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group reset web")]
pub(crate) struct Reset {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

impl Pause {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        tell(globals, host, &self.id, Control::Pause).await
    }
}

impl Resume {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        tell(globals, host, &self.id, Control::Resume).await
    }
}

impl Promote {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        tell(globals, host, &self.id, Control::Promote).await
    }
}

impl Reset {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        tell(globals, host, &self.id, Control::Reset).await
    }
}

async fn tell(globals: &Globals, host: &Client, id: &str, control: Control) -> Result<()> {
    let answer: Said = host.post(&at(id, "/control"), &ControlRequest { control }).await?;
    said(globals, &answer)
}

/// Go back to an earlier config: the last that was wholly rolled out and healthy, or a certain one
///
/// The number of instances and how they are updated and healed stay as they are; only what instances are made from goes
/// back. `group describe` shows the revisions that the host remembers.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group rollback web --wait
  homeostat group rollback web --to 3")]
pub(crate) struct Rollback {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// The revision to go back to [default: the last stable one]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rollback {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let reply: GroupCommit = host.post(&at(&self.id, "/rollback"), &RollbackRequest { to: self.to }).await?;
        committed(globals, &reply)?;
        self.waiting.converged(globals, host, &[(&reply.id, reply.revision)], deadline).await
    }
}
