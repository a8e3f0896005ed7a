//! A run as a person reads it: a line a check, more where one failed, and the verdict at the end.

use std::fmt::Write;

use super::{CheckReport, Outcome, Report};
use crate::outcome::Failure;

/// Columns before what a failure says.
const MARGIN: &str = "        ";

impl CheckReport {
    /// The check in one line: `PASS    I2  the same name is idempotent (10x, 41 ms)`.
    pub fn line(&self) -> String {
        let took = format!("{} ms", self.took.as_millis());
        let more = match &self.outcome {
            Outcome::Passed { note } => match note.as_str() {
                "" => took,
                note => format!("{note}, {took}"),
            },
            Outcome::Failed(_) => took,
            Outcome::Waived { until, reason, .. } => format!("until {until}: {reason}"),
            Outcome::Skipped { reason } => reason.clone(),
            Outcome::Blocked { by } => {
                let ids: Vec<_> = by.iter().map(ToString::to_string).collect();
                format!("it builds on {}", ids.join(" and "))
            }
        };
        format!("{:<7} {:<3} {} ({more})", self.outcome.word(), self.id, self.title)
    }
}

impl Report {
    /// One check: its line, and where it failed, what a person needs to mend it.
    pub fn check_text(&self, check: &CheckReport) -> String {
        let mut text = check.line();
        text.push('\n');
        text.push_str(&check.details(&self.repeat(check.id)));
        text
    }

    /// What is said after the checks: what was left behind, waivers that are not needed, the verdict.
    pub fn closing(&self) -> String {
        let mut text = String::new();
        for left in &self.leftovers {
            // Writing to a string does not fail.
            let _ = writeln!(text, "LEFT BEHIND {left}");
        }
        for waiver in &self.unneeded {
            let _ = writeln!(text, "the waiver of {} was not needed: {}", waiver.id, waiver.reason);
        }
        let _ = writeln!(text, "{}", self.verdict);
        text
    }

    /// The whole run.
    pub fn human(&self) -> String {
        let checks: String = self.checks.iter().map(|it| self.check_text(it)).collect();
        format!("{checks}{}", self.closing())
    }
}

impl CheckReport {
    /// What a person needs to mend what failed; empty where nothing did. `repeat` is the command that runs it again.
    pub fn details(&self, repeat: &str) -> String {
        let failure = match &self.outcome {
            Outcome::Failed(failure) | Outcome::Waived { failure, .. } => failure,
            _ => return String::new(),
        };
        let Failure { expected, actual, stderr, hint } = &**failure;
        let mut text = String::new();
        let mut part = |label: &str, what: &str| {
            let mut lines = what.lines();
            let _ = writeln!(text, "{MARGIN}{label:<9} {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, "{MARGIN}          {line}");
            }
        };
        part("expected", &visible(expected));
        part("actual", &visible(actual));
        if !stderr.is_empty() {
            part("stderr", &visible(stderr));
        }
        if !hint.is_empty() {
            part("note", hint);
        }
        part("contract", &self.contract);
        part("repeat", repeat);
        text
    }
}

/// A text of the plugin's without what a terminal would obey.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
