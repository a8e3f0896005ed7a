//! `homeostat group plan` and `apply`: first what would be done, then exactly that.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use homeostat_server::view::{CommitReply, PlanReply};

use super::commit::{Convert, plan_shown, replied, targets};
use super::wait::Waiting;
use crate::args::Globals;
use crate::client::Client;
use crate::failure::Usage;
use crate::{input, out};

/// Show what committing a spec would do, step by step, and change nothing
///
/// What changes in the spec is shown as a difference, and every step with its reason; of many that are alike, some, and
/// with -o json all. Steps of one round run at the same time. A plan takes it that all new instances become healthy. With
/// --out it is also saved, for `group apply`.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group plan web.json
  homeostat group plan web.json --out web.plan.json
  homeostat group plan web.json -o json | jq '[.Groups[].Rounds[][]] | length'")]
pub(crate) struct Plan {
    /// The spec; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Save the plan to this file, with the spec in it
    #[arg(long, value_name = "PLAN")]
    out: Option<PathBuf>,
    #[command(flatten)]
    convert: Convert,
}

impl Plan {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let reply: PlanReply = host.post("/v1/plan", &self.convert.request(&self.file)?).await?;
        plan_shown(globals, &reply)?;
        let Some(file) = &self.out else { return Ok(()) };
        save(&reply, file)?;
        // Standard output holds nothing but the plan.
        out::note(&format!("saved; to do this: homeostat group apply {}", file.display()));
        Ok(())
    }
}

fn save(reply: &PlanReply, file: &Path) -> Result<()> {
    let mut text = serde_json::to_vec(reply).context("the plan cannot be written as JSON")?;
    text.push(b'\n');
    // The spec in it may hold what is nobody else's business, and the host's socket too is for its owner alone.
    let mut private = std::fs::OpenOptions::new();
    private.write(true).create(true).truncate(true).mode(0o600);
    let saved = private.open(file).and_then(|mut to| to.write_all(&text));
    saved.with_context(|| format!("the plan cannot be saved to {}", file.display()))
}

/// Commit a saved plan, if neither the groups nor their instances have changed since
///
/// Where something has changed the plan is refused and nothing is done; make a new one with `group plan`.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat group apply web.plan.json
  homeostat group apply web.plan.json --wait --timeout 5m")]
pub(crate) struct Apply {
    /// A plan that `group plan --out` saved; - for standard input
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    waiting: Waiting,
}

impl Apply {
    pub(super) async fn run(self, globals: &Globals, host: &Client) -> Result<()> {
        let deadline = Instant::now() + self.waiting.timeout;
        let mut plan = load(&self.plan)?;
        // The host plans anew, and what was planned is not asked for again: 100,000 steps are more than it takes.
        plan.groups.iter_mut().for_each(|it| it.rounds.clear());
        let reply: CommitReply = host.post("/v1/apply", &plan).await?;
        replied(globals, &reply)?;
        self.waiting.converged(globals, host, &targets(&reply), deadline).await
    }
}

fn load(file: &Path) -> Result<PlanReply> {
    let bytes = input::read(file, input::MAX_PLAN)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let help = "`homeostat group plan FILE --out PLAN` makes one";
        Usage(format!("{} is no saved plan: {error}; {help}", file.display())).into()
    })
}

#[cfg(test)]
mod tests {
    use crate::render::plan::example;

    use super::*;

    #[test]
    fn a_saved_plan_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.plan.json");
        let plan = example::plan(3);
        // What was there before is longer.
        std::fs::write(&file, "x".repeat(100_000)).unwrap();
        save(&plan, &file).unwrap();
        let read = load(&file).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&plan).unwrap());
    }

    #[test]
    fn a_spec_is_no_plan_and_says_how_to_make_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.json");
        std::fs::write(&file, r#"{"ID": "web"}"#).unwrap();
        let error = load(&file).unwrap_err();
        assert_eq!(crate::failure::code(&error), 2);
        assert!(error.to_string().contains("web.json is no saved plan"), "{error}");
        assert!(error.to_string().contains("--out"), "{error}");
    }

    #[test]
    fn a_plan_that_cannot_be_saved_names_the_file() {
        let error = format!("{:#}", save(&example::plan(1), Path::new("/no/such/dir/p.json")).unwrap_err());
        assert!(error.starts_with("the plan cannot be saved to /no/such/dir/p.json: "), "{error}");
    }
}
