//! `homeostat plugin lock`: which files the plugins of a document are, written down beside it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use homeostat_core::document::{Document, Source};
use homeostat_server::{DocumentLock, LOCK_FILE};
use homeostat_source::{Lookup, Wanted};
use serde_json::json;

use crate::args::Globals;
use crate::direct::{self, Trusted};
use crate::failure::Faults;
use crate::input;
use crate::out;

/// Write down which files the plugins of a stack are, as homeostat.lock beside it
///
/// Where the lock file is there, committing the stack uses exactly these files, on this machine and on any other, whatever a
/// tag or a URL means by then; a file that is another one is refused. The lock file belongs beside the stack in version
/// control. Needs no host.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin lock stack.json
  homeostat plugin lock stack.json --roots ca.pem
  homeostat plugin lock stack.json --update     # ask anew what tags and URLs mean, and take changed files")]
pub(crate) struct Lock {
    /// The stack
    #[arg(value_name = "FILE")]
    stack: PathBuf,
    /// Ask anew what tags and URLs mean, and take files that have changed
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    trusted: Trusted,
}

impl Lock {
    pub(super) async fn run(self, globals: &Globals) -> Result<()> {
        let input::Spec { name: document, base_dir, text } = input::spec(&self.stack)?;
        let read = Document::read(&Source { name: &document, text: &text, base_dir: &base_dir }).map_err(Faults)?;
        let sources = direct::sources(globals, &self.trusted)?;
        let known = DocumentLock::beside(&base_dir)?;
        // Only what the stack still names is written again.
        let mut lock = DocumentLock::empty(&base_dir);
        let advice = format!("`homeostat plugin lock {} --update` takes it into the lock file", self.stack.display());
        let mut locked = Vec::new();
        for (name, spec) in &read.stack.plugins {
            let entry = known.of(name, spec).filter(|_| !self.update);
            let wanted = Wanted {
                pin: spec.sha256.as_deref(),
                locked: entry.as_ref(),
                lookup: if entry.is_some() { Lookup::AsLocked } else { Lookup::Anew },
                advice: &advice,
            };
            let fetched = sources.fetch(&spec.source, &wanted).await;
            let fetched = fetched.with_context(|| format!("plugin {name:?} cannot be locked"))?;
            locked.push(json!({"Name": name, "Path": spec.source, "Sha256": fetched.digest}));
            lock.put(name, &spec.source, fetched.lock(&spec.source));
        }
        let path = lock.write()?;
        if globals.json() {
            return out::json(&json!({"Path": path, "Plugins": locked}));
        }
        let count = crate::render::count(locked.len(), "plugin");
        out::print(&format!(
            "Locked {count} in {}",
            path.file_name().map_or(LOCK_FILE.into(), |it| it.to_string_lossy())
        ))
    }
}
