//! `homeostat group`: what the host keeps.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use homeostat_core::spec::GroupSpec;
use homeostat_server::view::{
    CommitReply, CommitRequest, DestroyInstancesRequest, GroupCommit, GroupSummary, GroupView, ScaleRequest,
};

use crate::args::{Globals, duration};
use crate::client::{Client, Until, segment};
use crate::failure::Refused;
use crate::render::{count, group, now_ms, tame};
use crate::{input, out};

/// `homeostat group`
#[derive(Subcommand)]
pub(crate) enum Verb {
    Commit(Commit),
    Ls(Ls),
    Describe(Describe),
    Inspect(Inspect),
    Scale(Scale),
    Free(Free),
    Destroy(Destroy),
    DestroyInstances(DestroyInstances),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        let host = Client::new(globals)?;
        match self {
            Self::Commit(verb) => verb.run(globals, &host).await,
            Self::Ls(_) => {
                let groups: Vec<GroupSummary> = host.get("/v1/groups").await?;
                if globals.json() { out::json(&groups) } else { out::print(&group::list(&groups)) }
            }
            Self::Describe(Describe { id }) => {
                let view: GroupView = host.get(&at(&id, "")).await?;
                if globals.json() { out::json(&view) } else { out::print(&group::describe(&view, now_ms())) }
            }
            Self::Inspect(Inspect { id }) => out::json(&host.get::<GroupSpec>(&at(&id, "/spec")).await?),
            Self::Scale(verb) => verb.run(globals, &host).await,
            Self::Free(Free { id }) => {
                host.post_nothing(&at(&id, "/free")).await?;
                done(globals, &format!("Freed {id}; its instances stay as they are"))
            }
            Self::Destroy(verb) => verb.run(globals, &host).await,
            Self::DestroyInstances(verb) => verb.run(globals, &host).await,
        }
    }
}

/// Declare groups: hand the host a spec to keep from now on
///
/// FILE is JSON or YAML: a group, a list of groups, or a stack with plugins and groups. All faults of a document are
/// shown at once, and a document with a fault changes nothing. Relative paths in it are relative to the file.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group commit web.json --pretend
  homeostat group commit web.json --wait --timeout 5m
  homeostat group inspect web | jq '.Properties.Allocation.Size = 8' | homeostat group commit -")]
pub(crate) struct Commit {
    /// The spec; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Say what it would do, and change nothing
    #[arg(long, conflicts_with = "wait")]
    pretend: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// Whether to wait until a group is as declared.
#[derive(Args)]
struct Waiting {
    /// Return when the instances are as declared
    #[arg(long)]
    wait: bool,
    /// The longest time to wait
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m", requires = "wait")]
    timeout: Duration,
}

impl Commit {
    async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let input::Spec { name, base_dir, text } = input::spec(&self.file)?;
        let request = CommitRequest { name, base_dir, text, pretend: self.pretend };
        let reply: CommitReply = host.post("/v1/commit", &request).await?;
        if globals.json() {
            out::json(&reply)?;
        } else {
            let text = lines(&reply, self.pretend);
            if !text.is_empty() {
                out::print(&text)?;
            }
        }
        let ids: Vec<&str> = reply.groups.iter().map(|it| it.id.as_str()).collect();
        self.waiting.converged(globals, host, &ids, deadline).await
    }
}

/// What a commit did or would do, in InfraKit's words, a line for each group.
pub(crate) fn lines(reply: &CommitReply, pretend: bool) -> String {
    let plugin = if pretend { "Would register plugin" } else { "Registered plugin" };
    let plugins = reply.plugins.iter().map(|name| format!("{plugin} {name}"));
    let groups = reply.groups.iter().map(|GroupCommit { id, plan, .. }| match pretend {
        true => format!("Committing {id} would involve: {plan}"),
        false => format!("Committed {id}: {plan}"),
    });
    plugins.chain(groups).collect::<Vec<_>>().join("\n")
}

impl Waiting {
    /// Wait for all of these groups, where that was asked for.
    async fn converged(&self, globals: &Globals, host: &Client, ids: &[&str], deadline: Instant) -> Result<()> {
        if !self.wait {
            return Ok(());
        }
        let mut late = Vec::new();
        for id in ids {
            if !host.wait(id, Until::Converged, deadline).await? {
                let view: GroupView = host.get(&at(id, "")).await?;
                let why = if view.waiting.is_empty() { vec![view.summary.status] } else { view.waiting };
                late.push(format!("{id}: {}", why.iter().map(|it| tame(it)).collect::<Vec<_>>().join("; ")));
            } else if !globals.json() {
                out::print(&format!("{id} is converged"))?;
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        let time = homeostat_core::duration::format(self.timeout);
        let noun = count(late.len(), "group");
        Err(Refused(format!("{noun} not converged within {time}; the host goes on trying\n  {}", late.join("\n  ")))
            .into())
    }
}

/// List the groups, and how each stands
#[derive(Args)]
#[command(
    visible_alias = "list",
    after_long_help = "\
Examples:
  homeostat group ls
  homeostat group ls -o json | jq -r '.[] | select(.Report.Converged | not) | .ID'"
)]
pub(crate) struct Ls {}

/// Show a group: its counts, what it waits for, and its instances
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group describe web")]
pub(crate) struct Describe {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

/// Print a group's spec as JSON, which can be committed again unchanged
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat group inspect web > web.json")]
pub(crate) struct Inspect {
    /// The group
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

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
    async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
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
        self.waiting.converged(globals, host, &[&reply.id], deadline).await
    }
}

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
    async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
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
        text.push_str(&format!("\n  {}", tame(reason)));
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
#[command(after_long_help = "Example:\n  homeostat group destroy-instances web web-0004-k2j9 web-0005-x81m --wait")]
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
    async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let request = DestroyInstancesRequest { ids: self.instances };
        let reply: GroupCommit = host.post(&at(&self.id, "/destroy-instances"), &request).await?;
        committed(globals, &reply)?;
        self.waiting.converged(globals, host, &[&reply.id], deadline).await
    }
}

fn committed(globals: &Globals, reply: &GroupCommit) -> Result<()> {
    match globals.json() {
        true => out::json(reply),
        false => out::print(&format!("Committed {}: {}", reply.id, reply.plan)),
    }
}

/// Say that something is done that has no answer of its own. For a program the exit status says it.
fn done(globals: &Globals, text: &str) -> Result<()> {
    if globals.json() { Ok(()) } else { out::print(text) }
}

fn at(id: &str, rest: &str) -> String {
    format!("/v1/groups/{}{rest}", segment(id))
}
