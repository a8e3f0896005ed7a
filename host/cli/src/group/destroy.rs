//! `homeostat group free`, `destroy` and `destroy-instances`: how groups and instances end.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_server::view::{DestroyInstancesRequest, GroupCommit, GroupView};

use super::wait::Waiting;
use super::{at, committed, done};
use crate::args::{Globals, duration};
use crate::client::{Client, Until};
use crate::failure::Refused;
use crate::render::{count, group, now_ms, why};

/// Stop keeping a group, and leave its instances as they are
///
/// Commit the group again, and the host finds its instances by their tags and keeps them.
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group free web")]
pub(crate) struct Free {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

impl Free {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        host.post_nothing(&at(&self.id, "/free")).await?;
        done(globals, &format!("Freed {}; its instances stay as they are", self.id))
    }
}

/// Destroy a group with all its instances, and return when they are gone
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group destroy web
  homeostat group destroy web --no-wait")]
pub(crate) struct Destroy {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Return at once; the host goes on by itself
    #[arg(long)]
    no_wait: bool,
    /// The longest time to wait
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m", conflicts_with = "no_wait")]
    timeout: Duration,
}

impl Destroy {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let Self { id, no_wait, timeout } = self;
        host.post_nothing(&at(&id, "/destroy")).await?;
        if no_wait {
            return done(globals, &format!("Destroying {id}"));
        }
        if host.wait(&id, Until::Gone, Instant::now() + timeout).await? {
            return done(globals, &format!("Destroyed {id}"));
        }
        let view: GroupView = match host.get(&at(&id, "")).await {
            // It went between the two questions.
            Err(error) if error.status() == Some(404) => return done(globals, &format!("Destroyed {id}")),
            other => other?,
        };
        Err(Refused(left(&view, Some(timeout))).into())
    }
}

/// What is left of a group that should be gone. With the time that was waited, the host goes on after this.
pub(crate) fn left(view: &GroupView, waited: Option<Duration>) -> String {
    const SHOWN: usize = 20;
    let (id, left) = (&view.summary.id, &view.instances);
    let instances = format!("{} left when they were listed last", count(left.len(), "instance"));
    let mut text = match waited.map(homeostat_core::duration::format) {
        Some(time) => format!("{id} is not gone after {time}: {instances}; the host goes on trying"),
        None => format!("{id} is not gone: {instances}"),
    };
    for reason in &view.waiting {
        text.push_str(&format!("\n  {}", why::reason(reason, now_ms())));
    }
    if !left.is_empty() {
        let shown = &left[..left.len().min(SHOWN)];
        text.push_str(&format!("\n{}", group::instances(shown, now_ms())));
    }
    if left.len() > SHOWN {
        text.push_str(&format!("\n... and {} more", left.len() - SHOWN));
    }
    text
}

/// Destroy some instances of a group, and make the group smaller by so many
///
/// A group of LogicalIDs keeps its identities: there, an instance that was destroyed is made anew.
#[derive(Args)]
#[command(
    after_long_help = "Example:\n  homeostat group destroy-instances web web-4-9410686fd3 web-5-059d622d70 --wait"
)]
pub(crate) struct DestroyInstances {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// The instances, by the provider's id (`group describe` shows them)
    #[arg(required = true, value_name = "INSTANCE", value_parser = NonEmptyStringValueParser::new())]
    instances: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
}

impl DestroyInstances {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let request = DestroyInstancesRequest { ids: self.instances };
        let reply: GroupCommit = host.post(&at(&self.id, "/destroy-instances"), &request).await?;
        committed(globals, &reply)?;
        self.waiting.converged(globals, host, &[(&reply.id, reply.revision)], deadline).await
    }
}
