//! `homeostat group commit`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use homeostat_server::view::{CommitReply, CommitRequest, GroupCommit, PlanReply};

use super::wait::Waiting;
use crate::args::Globals;
use crate::client::Client;
use crate::render::{plan, tame};
use crate::{input, out};

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
    /// Say what it would do, step by step, and change nothing
    #[arg(long, conflicts_with = "wait")]
    pretend: bool,
    #[command(flatten)]
    convert: Convert,
    #[command(flatten)]
    waiting: Waiting,
}

/// Whether the way of counting may change.
#[derive(Args)]
pub(super) struct Convert {
    /// Let a group of a Size become one of LogicalIDs, or back; its instances stay and take over the identities
    #[arg(long)]
    convert: bool,
}

impl Convert {
    /// The document of a file, to be committed or planned.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn request(&self, file: &Path) -> Result<CommitRequest> {
        let input::Spec { name, base_dir, text } = input::spec(file)?;
        Ok(CommitRequest { name, base_dir, text, pretend: false, convert: self.convert })
    }
}

impl Commit {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let request = self.convert.request(&self.file)?;
        if self.pretend {
            let reply: PlanReply = host.post("/v1/plan", &request).await?;
            return plan_shown(globals, &reply);
        }
        let reply: CommitReply = host.post("/v1/commit", &request).await?;
        replied(globals, &reply)?;
        self.waiting.converged(globals, host, &targets(&reply), deadline).await
    }
}

/// Show a plan.
pub(super) fn plan_shown(globals: &Globals, reply: &PlanReply) -> Result<()> {
    if globals.json() {
        return out::json(reply);
    }
    let words = lines(&said(reply), true);
    out::print(&plan::text(&words, reply, console::colors_enabled()))
}

/// What a plan says in words, as a commit says it.
pub(super) fn said(reply: &PlanReply) -> CommitReply {
    let group = |it: &homeostat_server::view::GroupPlan| GroupCommit {
        id: it.id.clone(),
        plan: it.plan.clone(),
        revision: it.revision,
    };
    CommitReply { plugins: reply.plugins.clone(), groups: reply.groups.iter().map(group).collect() }
}

/// Show what was committed.
pub(super) fn replied(globals: &Globals, reply: &CommitReply) -> Result<()> {
    let text = lines(reply, false);
    match globals.json() {
        true => out::json(reply),
        false if text.is_empty() => Ok(()),
        false => out::print(&text),
    }
}

/// What to wait for after a commit.
pub(super) fn targets(reply: &CommitReply) -> Vec<(&str, u64)> {
    reply.groups.iter().map(|it| (it.id.as_str(), it.revision)).collect()
}

/// What a commit did or would do, in InfraKit's words, a line for each group.
pub(crate) fn lines(reply: &CommitReply, pretend: bool) -> String {
    let plugin = if pretend { "Would register plugin" } else { "Registered plugin" };
    let plugins = reply.plugins.iter().map(|name| format!("{plugin} {name}"));
    let groups = reply.groups.iter().map(|GroupCommit { id, plan, .. }| match pretend {
        true => format!("Committing {id} would involve: {}", tame(plan)),
        false => format!("Committed {id}: {}", tame(plan)),
    });
    plugins.chain(groups).collect::<Vec<_>>().join("\n")
}
