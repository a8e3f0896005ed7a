//! `homeostat state`: what a host that is stopped remembers.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use homeostat_core::ledger::{Intent, Status};
use homeostat_core::time::Timestamp;
use homeostat_server::store::{self, Checked, Document, OpenIntent, STATE_FILE};
use serde::Serialize;

use crate::args::Globals;
use crate::failure::Refused;
use crate::render::table::{fields, table};
use crate::render::{age, cell, now_ms, tame};
use crate::{input, out};

/// The largest document that is read, in bytes.
const MOST: usize = 1 << 30;

/// Verbs of what a host remembers.
#[derive(Subcommand)]
pub(crate) enum Verb {
    Export(Export),
    Import(Import),
    Check(Check),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Self::Export(verb) => verb.run(globals),
            Self::Import(verb) => verb.run(globals),
            Self::Check(verb) => verb.run(globals),
        }
    }
}

/// Write all that a stopped host remembers as one JSON document
///
/// The document holds the registered plugins, the groups with their specs, former configs and what was under way, and the
/// last 1,000 events; not the instances, which their providers know. Specs may hold secrets: the file is made for this
/// user alone.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat state export backup.json
  homeostat state export | jq '.Groups | keys'
  homeostat state export --state-dir /srv/homeostat | ssh other homeostat state import -")]
pub(crate) struct Export {
    /// Where to write it; standard output if not given
    file: Option<PathBuf>,
}

impl Export {
    fn run(self, globals: &Globals) -> Result<()> {
        let document = quietly(|| store::export(&globals.state_dir()?).map_err(Into::into))?;
        let Some(file) = self.file.filter(|it| it.as_os_str() != "-") else { return out::json(&document) };
        let text = serde_json::to_vec_pretty(&document).context("the state cannot be written as JSON")?;
        replace(&file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
        let (groups, plugins) = (document.groups.len(), document.plugins.len());
        if globals.json() {
            return out::json(&Exported { path: &file, groups, plugins, events: document.events.len() });
        }
        out::print(&format!("exported {} to {}", content(groups, plugins), file.display()))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Exported<'a> {
    path: &'a Path,
    groups: usize,
    plugins: usize,
    events: usize,
}

/// Make an exported document what the host remembers
///
/// The whole document is checked before anything is written. A state that is there is refused, unless it is empty or
/// --force is given: then it is kept beside the new one, as state.redb.before-import-TIME. The host has to be stopped.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat state import backup.json
  homeostat state import backup.json --force
  homeostat state import backup.json --state-dir /srv/homeostat && homeostat state check --state-dir /srv/homeostat")]
pub(crate) struct Import {
    /// The document, as `state export` wrote it; `-` for standard input
    file: PathBuf,
    /// Put a state that is there aside
    #[arg(long)]
    force: bool,
}

impl Import {
    fn run(self, globals: &Globals) -> Result<()> {
        let text = input::read(&self.file, MOST)?;
        let document = Document::parse(&self.file.display().to_string(), &text)?;
        let done = quietly(|| store::import(&globals.state_dir()?, &document, self.force).map_err(Into::into))?;
        if globals.json() {
            return out::json(&done);
        }
        let mut text = format!("imported {} into {}", content(done.groups, done.plugins), done.path.display());
        if let Some(kept) = done.kept {
            text.push_str(&format!("\nwhat was there is kept as {}", kept.display()));
        }
        out::print(&text)
    }
}

/// Check that what a stopped host remembers is sound and that nothing was under way
///
/// Every page and every record of the state file is read. Exit status 0 says that all of it makes sense and that no
/// instance was being made or destroyed when the host ended; anything else is listed, with exit status 1.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat state check
  homeostat state check -o json | jq '.Intents'
  homeostat state check && homeostat state export nightly.json")]
pub(crate) struct Check {}

impl Check {
    fn run(self, globals: &Globals) -> Result<()> {
        let found = quietly(|| store::check(&globals.state_dir()?.join(STATE_FILE)).map_err(Into::into))?;
        match globals.json() {
            true => out::json(&Answer { clean: found.is_clean(), found: &found })?,
            false => out::print(&shown(&found, now_ms()))?,
        }
        match verdict(&found, &globals.serve_command()) {
            None => Ok(()),
            Some(why) => Err(Refused(why).into()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    clean: bool,
    #[serde(flatten)]
    found: &'a Checked,
}

/// Why a check does not succeed, and what to do.
fn verdict(found: &Checked, serve: &str) -> Option<String> {
    let file = &found.path;
    match (found.faults.len(), found.intents.len()) {
        (0, 0) => None,
        (0, open) => Some(format!(
            "{file} is sound, and {open} {} under way when the host ended; start it ({serve}), and it settles them",
            if open == 1 { "step was" } else { "steps were" }
        )),
        (faults, _) => Some(format!(
            "{file} has {faults} {}; move it aside (mv {file} {file}.damaged), then import an export of it (homeostat state \
             import FILE), or start the host and commit the specs again: instances are found by their tags",
            if faults == 1 { "fault" } else { "faults" }
        )),
    }
}

fn shown(found: &Checked, now_ms: u64) -> String {
    let mut text = fields([
        ("State", found.path.clone()),
        ("Format", found.format.to_string()),
        ("Revision", found.revision.to_string()),
        ("Plugins", found.plugins.to_string()),
        ("Groups", found.groups.to_string()),
        ("Events", found.events.to_string()),
        ("Sound", if found.faults.is_empty() { "yes" } else { "no" }.into()),
        ("Under way", found.intents.len().to_string()),
    ]);
    for fault in &found.faults {
        text.push_str(&format!("\nfault: {}", tame(fault)));
    }
    if !found.intents.is_empty() {
        let rows = found.intents.iter().map(|it| row(it, now_ms));
        text.push_str("\n\n");
        text.push_str(&table(["GROUP", "STEP", "INSTANCE", "STATUS", "SINCE"], rows));
    }
    text
}

fn row(open: &OpenIntent, now_ms: u64) -> [String; 5] {
    let (step, since, status) = match &open.intent {
        Intent::Create(it) => ("create", it.since, it.status),
        Intent::Destroy(it) => ("destroy", it.since, it.status),
    };
    let Timestamp(since) = since;
    let status = match status {
        Status::InFlight => "under way",
        Status::Accepted(_) => "accepted",
        Status::Unknown(_) => "unknown",
        Status::Absent(_) => "to be repeated",
    };
    // The first character of a key says what it is of.
    let instance = open.key.strip_prefix(['+', '-']).unwrap_or(&open.key);
    [cell(&open.group), step.into(), cell(instance), status.into(), age(Some(since), now_ms)]
}

/// What a document holds.
fn content(groups: usize, plugins: usize) -> String {
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    format!("{} and {}", count(groups, "group"), count(plugins, "plugin"))
}

/// Do something with a file that may be damaged. The library that reads it panics where it finds nonsense; that comes back
/// as an error, and is not to be printed as well.
fn quietly<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = work();
    std::panic::set_hook(hook);
    done
}

/// Put a text in the place of a file, wholly or not at all. Only this user can read it.
fn replace(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let write = || {
        let mut open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        open.write_all(text)?;
        open.write_all(b"\n")?;
        open.sync_all()?;
        std::fs::rename(&new, file)
    };
    let written = write();
    if written.is_err() {
        // It may not have been made at all.
        let _ = std::fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use homeostat_core::ledger::Creation;

    use super::*;

    fn found(faults: &[&str], intents: usize) -> Checked {
        let creation = Creation {
            slot: 1,
            logical_id: None,
            revision: 1,
            hash: "abc".into(),
            since: Timestamp(1_000),
            status: Status::InFlight,
            tried: None,
        };
        let open = |it| OpenIntent {
            group: "web".into(),
            key: format!("+web-{it}"),
            intent: Intent::Create(creation.clone()),
        };
        Checked {
            path: "/s/state.redb".into(),
            format: 2,
            revision: 7,
            plugins: 2,
            groups: 1,
            events: 12,
            faults: faults.iter().map(|it| (*it).to_owned()).collect(),
            intents: (0..intents).map(open).collect(),
        }
    }

    #[test]
    fn what_is_wrong_is_listed() {
        let found = found(&["the record of group \u{1b}[31mdb makes no sense"], 2);
        expect![[r#"
            State:      /s/state.redb
            Format:     2
            Revision:   7
            Plugins:    2
            Groups:     1
            Events:     12
            Sound:      no
            Under way:  2
            fault: the record of group �[31mdb makes no sense

            GROUP  STEP    INSTANCE  STATUS     SINCE
            web    create  web-0     under way  4s
            web    create  web-1     under way  4s"#]]
        .assert_eq(&shown(&found, 5_000));
    }

    #[test]
    fn only_a_sound_state_with_nothing_under_way_passes() {
        assert_eq!(verdict(&found(&[], 0), "homeostat serve"), None);
        let open = verdict(&found(&[], 1), "homeostat serve").unwrap();
        assert!(open.contains("1 step was under way") && open.contains("(homeostat serve)"), "{open}");
        let faults = verdict(&found(&["x"], 1), "homeostat serve").unwrap();
        assert!(faults.contains("has 1 fault;") && faults.contains("homeostat state import FILE"), "{faults}");
    }

    #[test]
    fn an_export_replaces_a_file_wholly_and_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup.json");
        std::fs::write(&file, "a much longer text than the new one").unwrap();
        replace(&file, b"{}").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(replace(&dir.path().join("none/backup.json"), b"{}").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
