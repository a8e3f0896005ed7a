//! `homeostat group`: what the host keeps.

mod commit;
mod control;
mod destroy;
mod plan;
mod protect;
mod scale;
mod wait;
mod why;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use homeostat_core::spec::GroupSpec;
use homeostat_server::view::{GroupCommit, GroupSummary, GroupView, Said};

use crate::args::Globals;
use crate::client::{Client, segment};
use crate::out;
use crate::render::{group, now_ms, tame};

pub(crate) use commit::lines;
pub(crate) use destroy::left;

/// `homeostat group`
#[derive(Subcommand)]
pub(crate) enum Verb {
    Commit(commit::Commit),
    Plan(plan::Plan),
    Apply(plan::Apply),
    Ls(Ls),
    Describe(Describe),
    Why(why::Why),
    History(why::History),
    Inspect(Inspect),
    Scale(scale::Scale),
    Pause(control::Pause),
    Resume(control::Resume),
    Promote(control::Promote),
    Rollback(control::Rollback),
    Reset(control::Reset),
    Protect(protect::Protect),
    Unprotect(protect::Unprotect),
    Free(destroy::Free),
    Destroy(destroy::Destroy),
    DestroyInstances(destroy::DestroyInstances),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        let host = Client::new(globals)?;
        match self {
            Self::Commit(verb) => verb.run(globals, &host).await,
            Self::Plan(verb) => verb.run(globals, &host).await,
            Self::Apply(verb) => verb.run(globals, &host).await,
            Self::Ls(_) => {
                let groups: Vec<GroupSummary> = host.get("/v1/groups").await?;
                if globals.json() { out::json(&groups) } else { out::print(&group::list(&groups)) }
            }
            Self::Describe(Describe { id }) => {
                let view: GroupView = host.get(&at(&id, "")).await?;
                if globals.json() { out::json(&view) } else { out::print(&group::describe(&view, now_ms())) }
            }
            Self::Why(verb) => verb.run(globals, &host).await,
            Self::History(verb) => verb.run(globals, &host).await,
            Self::Inspect(Inspect { id }) => out::json(&host.get::<GroupSpec>(&at(&id, "/spec")).await?),
            Self::Scale(verb) => verb.run(globals, &host).await,
            Self::Pause(verb) => verb.run(globals, &host).await,
            Self::Resume(verb) => verb.run(globals, &host).await,
            Self::Promote(verb) => verb.run(globals, &host).await,
            Self::Rollback(verb) => verb.run(globals, &host).await,
            Self::Reset(verb) => verb.run(globals, &host).await,
            Self::Protect(verb) => verb.run(globals, &host).await,
            Self::Unprotect(verb) => verb.run(globals, &host).await,
            Self::Free(verb) => verb.run(globals, &host).await,
            Self::Destroy(verb) => verb.run(globals, &host).await,
            Self::DestroyInstances(verb) => verb.run(globals, &host).await,
        }
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

/// Show a group: its counts, its rollout, what it waits for, and its instances
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

fn committed(globals: &Globals, reply: &GroupCommit) -> Result<()> {
    match globals.json() {
        true => out::json(reply),
        false => out::print(&format!("Committed {}: {}", reply.id, tame(&reply.plan))),
    }
}

/// Say that something is done that has no answer of its own. For a program the exit status says it.
fn done(globals: &Globals, text: &str) -> Result<()> {
    if globals.json() { Ok(()) } else { out::print(text) }
}

/// Pass on the host's sentence.
fn said(globals: &Globals, said: &Said) -> Result<()> {
    if globals.json() { out::json(said) } else { out::print(&tame(&said.text)) }
}

fn at(id: &str, rest: &str) -> String {
    format!("/v1/groups/{}{rest}", segment(id))
}
