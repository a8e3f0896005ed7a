//! Golden scenarios: a script of what happens to a group, and what the engine makes of it, as text that a person can read.
//!
//! The engine is the real one, driven as a host drives it; provider, flavor and clock are made up. A scenario always gives
//! the same transcript. `tests/scenarios/` has the scenarios and, in its README, the words of a script.

mod host;
mod provider;
mod script;
mod spec;

use std::time::Duration;

use thiserror::Error;

use crate::time::Timestamp;
use host::Host;
use script::Script;

/// What divides the script from its transcript.
const DIVIDER: &str = "---";
/// When a scenario begins. The provider's own records reach a little back from there.
const START: Timestamp = Timestamp(1_000_000_000);

/// A script that cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ScenarioError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Play the script of a scenario's file. Answers with the file as it should be: its script, and the transcript.
///
/// # Errors
/// The first line that is no part of a script, or that cannot be done.
pub fn play(file: &str) -> Result<String, ScenarioError> {
    let script = Script::parse(head(file))?;
    let mut host = Host::new();
    for (line, at, event) in &script.events {
        host.run_until(START.after(*at)).map_err(|message| ScenarioError { line: *line, message })?;
        host.take(event).map_err(|message| ScenarioError { line: *line, message })?;
    }
    let transcript = host.into_transcript();
    Ok(format!("{}\n\n{DIVIDER}\n{transcript}", head(file).trim_end()))
}

fn head(file: &str) -> &str {
    file.split_once(&format!("\n{DIVIDER}\n")).map_or(file, |(head, _)| head)
}

/// A time of the transcript: seconds since the beginning.
fn clock(now: Timestamp) -> String {
    let since: Duration = now.since(START);
    format!("{}.{:03}", since.as_secs(), since.subsec_millis())
}
