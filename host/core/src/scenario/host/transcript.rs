//! What is written down of a scenario.

use std::fmt::Write;

use crate::execute::Outcome;
use crate::ledger::{RolloutKind, Turn};
use crate::plan::{Report, Waiting};
use crate::scenario::clock;
use crate::step::{Action, Drain, Step};
use crate::time::Timestamp;

/// The text so far, and what it has said already.
#[derive(Default)]
pub(super) struct Transcript {
    text: String,
    reasons: Vec<Waiting>,
    /// What comes back with each attempt, and is said once.
    recurring: Vec<Waiting>,
    converged: bool,
}

impl Transcript {
    /// One line: the time, how many instances exist, how many of them are healthy, and what happened.
    pub(super) fn line(&mut self, now: Timestamp, there: usize, well: usize, text: &str) {
        if text.starts_with("##") {
            self.recurring.clear();
        }
        if self.text.is_empty() {
            self.text.push_str("    time  there  well\n");
        }
        let _ = writeln!(self.text, "{:>8}  {there:>5}  {well:>4}  {text}", clock(now));
    }

    /// What a report says that the one before did not.
    pub(super) fn news(&mut self, report: &Report) -> Vec<String> {
        // What passes by itself in a moment is no news.
        let passing = |it: &Waiting| matches!(it, Waiting::UnderWay { .. } | Waiting::RollAfterMotion { .. });
        let reasons: Vec<_> = report.waiting.iter().filter(|it| !passing(&it.waiting)).collect();
        let said = |it: &Waiting| self.reasons.iter().chain(&self.recurring).any(|said| said.is_like(it));
        let new = reasons.iter().filter(|it| !said(&it.waiting));
        let mut lines: Vec<String> = new.map(|it| format!("waits: {it}")).collect();
        let recurs = |it: &Waiting| matches!(it, Waiting::Backoff { .. } | Waiting::RollAwaitsRoom { .. });
        self.recurring.extend(reasons.iter().map(|it| it.waiting.clone()).filter(recurs));
        self.reasons = reasons.iter().map(|it| it.waiting.clone()).collect();
        if report.converged && !self.converged {
            lines.push("converged".into());
        }
        self.converged = report.converged;
        lines
    }

    /// Begin anew: what was said is said again.
    pub(super) fn forget(&mut self) {
        self.reasons.clear();
        self.recurring.clear();
        self.converged = false;
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

fn place(slot: Option<u32>, logical_id: Option<&str>) -> String {
    match (logical_id, slot) {
        (Some(id), _) => id.to_owned(),
        (None, Some(slot)) => format!("slot {slot}"),
        (None, None) => "no slot".into(),
    }
}

/// A step that begins.
pub(super) fn begun(id: &str, step: &Step) -> String {
    let why = &step.why;
    match &step.action {
        Action::Provision(it) => {
            let place = place(Some(it.slot), it.logical_id.as_deref());
            format!("make {id} for {place} from revision {}: {why}", it.revision)
        }
        Action::Destroy(it) => {
            let verb = if it.drain == Drain::Skip { "destroy" } else { "drain and destroy" };
            format!("{verb} {id} ({}): {why}", place(it.slot, it.logical_id.as_deref()))
        }
        Action::Label(it) => {
            let tags: Vec<_> = it.tags.keys().map(|it| it.rsplit('.').next().unwrap_or(it)).collect();
            format!("label {id} with {}: {why}", tags.join(", "))
        }
    }
}

/// A step that was done.
pub(super) fn done(id: &str, step: &Step) -> String {
    match &step.action {
        Action::Provision(_) => format!("{id} is made"),
        Action::Destroy(_) => format!("{id} is gone"),
        Action::Label(_) => format!("{id} is labelled"),
    }
}

/// A step that ended.
pub(super) fn ended(id: &str, step: &Step, outcome: &Outcome) -> String {
    let what = match &step.action {
        Action::Provision(_) => "making",
        Action::Destroy(_) => "destroying",
        Action::Label(_) => "labelling",
    };
    match outcome {
        Outcome::Done => done(id, step),
        Outcome::Refused(error) => format!("{what} {id} was refused: {error}"),
        Outcome::Failed(error) => format!("{what} {id} failed: {error}"),
        Outcome::Unknown(_) => format!("{what} {id} was cut off: nobody knows whether it was done"),
    }
}

/// A turn of the rollout.
pub(super) fn turn(turn: &Turn) -> String {
    let kind = |it: &RolloutKind| match it {
        RolloutKind::Create => "first",
        RolloutKind::Update => "update",
        RolloutKind::Rollback => "rollback",
    };
    match turn {
        Turn::Started { revision, kind: it } => format!("rollout of revision {revision} begins ({})", kind(it)),
        Turn::Failed { id: Some(id), how } => format!("rollout: {id} failed, {how}"),
        Turn::Failed { id: None, how } => format!("rollout: one failed, {how}"),
        Turn::CanariesReady => "rollout: the canaries are ready".into(),
        Turn::Promoted => "rollout: the canaries are promoted".into(),
        Turn::Baking { ready } => format!("rollout rests at a checkpoint with {ready} ready"),
        Turn::Paused { why } => format!("rollout is paused: {why}"),
        Turn::Resumed => "rollout goes on".into(),
        Turn::RollingBack { to, why } => format!("rollout failed, back to revision {to}: {why}"),
        Turn::Succeeded { revision } => format!("rollout of revision {revision} succeeded; it is stable"),
    }
}
