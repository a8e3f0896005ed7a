//! What came of a run.

mod human;
mod junit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use homeostat_runtime::PluginKind;
use serde::Serialize;

use crate::catalog::{Check, Id, Level};
use crate::outcome::Failure;
use crate::{Options, Waiver};

/// The page of the contract that failures point to.
pub(crate) const CONTRACT: &str = "wit/README.md";

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all_fields = "PascalCase")]
pub enum Outcome {
    /// What has to hold held.
    Passed {
        /// How often, how many: for a person.
        note: String,
    },
    /// It did not.
    Failed(Box<Failure>),
    /// It did not, and may for now.
    Waived {
        /// The last day on which it may.
        until: String,
        /// Why it may.
        reason: String,
        /// What went wrong.
        failure: Box<Failure>,
    },
    /// It does not apply to this plugin, or could not be tried.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was not run, since what it builds on did not hold.
    Blocked {
        /// The checks that did not.
        by: Vec<Id>,
    },
}

impl Outcome {
    /// Whether others may build on it.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Skipped { .. })
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Passed { .. } => "PASS",
            Self::Failed(_) => "FAIL",
            Self::Waived { .. } => "WAIVED",
            Self::Skipped { .. } => "SKIP",
            Self::Blocked { .. } => "NOT RUN",
        }
    }
}

/// One check of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckReport {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: Id,
    /// What has to hold.
    pub title: &'static str,
    /// The level it belongs to.
    pub level: Level,
    /// Where the contract asks for it.
    pub contract: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    #[serde(rename = "Seconds", serialize_with = "seconds")]
    pub took: Duration,
}

impl CheckReport {
    pub(crate) fn new(check: &Check, outcome: Outcome, took: Duration) -> Self {
        Self {
            id: check.id,
            title: check.title,
            level: check.level,
            contract: format!("{CONTRACT}#{}", check.paragraph),
            outcome,
            took,
        }
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// What was checked. Empty where the loader refused the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Subject {
    /// What its author calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub kind: Option<PluginKind>,
    /// The contract it was built against, for example `homeostat:plugin@0.1.0`.
    pub contract: String,
    /// Its world.
    pub world: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Counts {
    /// Held.
    pub passed: usize,
    /// Did not hold.
    pub failed: usize,
    /// Did not apply.
    pub skipped: usize,
    /// Did not hold, and may for now.
    pub waived: usize,
    /// Were not run, since what they build on failed.
    pub blocked: usize,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// The plugin's file.
    pub file: PathBuf,
    /// What it is.
    pub plugin: Subject,
    /// How far the run went.
    pub level: Level,
    /// The checks that were asked for alone; empty for all of the level.
    pub only: Vec<Id>,
    /// Whether everything held that has to.
    pub conforms: bool,
    /// How many checks ended how.
    pub counts: Counts,
    /// The same, and what conforms to what, in one line.
    pub verdict: String,
    /// The checks, in the order in which they ran.
    pub checks: Vec<CheckReport>,
    /// What could not be destroyed: names, ids, and why.
    pub leftovers: Vec<String>,
    /// Waivers of checks that ran and held without.
    pub unneeded: Vec<Waiver>,
    /// How long the run took.
    #[serde(rename = "Seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// What to type to run one check again, without its id.
    #[serde(skip)]
    command: String,
}

impl Report {
    pub(crate) fn new(
        file: &Path,
        plugin: Subject,
        options: &Options,
        checks: Vec<CheckReport>,
        mut leftovers: Vec<String>,
        took: Duration,
    ) -> Self {
        leftovers.sort();
        leftovers.dedup();
        let mut counts = Counts::default();
        for check in &checks {
            *match check.outcome {
                Outcome::Passed { .. } => &mut counts.passed,
                Outcome::Failed(_) => &mut counts.failed,
                Outcome::Waived { .. } => &mut counts.waived,
                Outcome::Skipped { .. } => &mut counts.skipped,
                Outcome::Blocked { .. } => &mut counts.blocked,
            } += 1;
        }
        let held = |id: Id| checks.iter().any(|it| it.id == id && it.outcome.holds());
        let unneeded = options.waivers.all().filter(|it| held(it.id)).cloned().collect();
        // What a waived check held back is waived with it.
        let is_waived = |id: &Id| checks.iter().any(|it| it.id == *id && matches!(it.outcome, Outcome::Waived { .. }));
        let blocked = |it: &CheckReport| match &it.outcome {
            Outcome::Blocked { by } => !by.iter().all(is_waived),
            _ => false,
        };
        let conforms = counts.failed == 0 && leftovers.is_empty() && !checks.iter().any(blocked);
        let mut report = Self {
            file: file.to_owned(),
            plugin,
            level: options.level,
            only: options.only.clone(),
            conforms,
            counts,
            verdict: String::new(),
            checks,
            leftovers,
            unneeded,
            took,
            command: options.command.clone(),
        };
        report.verdict = report.say();
        report
    }

    /// The verdict in one line.
    fn say(&self) -> String {
        let Subject { contract, world, .. } = &self.plugin;
        let contract = match contract.rsplit_once('.') {
            Some((minor, _)) => format!("{minor} {world}"),
            None => "homeostat:plugin".into(),
        };
        let word = match (self.conforms, self.only.is_empty()) {
            (true, true) => format!("conforms to {contract} at level {}", self.level),
            (false, true) => format!("does not conform to {contract} at level {}", self.level),
            (held, false) => {
                let ids: Vec<_> = self.only.iter().map(Id::to_string).collect();
                format!("{} for {contract}, of {} alone", if held { "holds" } else { "does not hold" }, ids.join(", "))
            }
        };
        let Counts { passed, failed, skipped, waived, blocked } = self.counts;
        let mut parts = vec![format!("{passed} required passed, {failed} failed")];
        if blocked > 0 {
            parts.push(format!("{blocked} not run"));
        }
        if skipped > 0 {
            let mut reasons: Vec<&str> = Vec::new();
            for check in &self.checks {
                if let Outcome::Skipped { reason } = &check.outcome
                    && !reasons.contains(&reason.as_str())
                {
                    reasons.push(reason);
                }
            }
            parts.push(format!("{skipped} optional skipped ({})", reasons.join("; ")));
        }
        if waived > 0 {
            let days = self.checks.iter().filter_map(|it| match &it.outcome {
                Outcome::Waived { until, .. } => Some(until.as_str()),
                _ => None,
            });
            parts.push(format!("{waived} waived until {}", days.min().unwrap_or_default()));
        }
        if !self.leftovers.is_empty() {
            parts.push(format!("{} left behind", self.leftovers.len()));
        }
        format!("{word}: {}", parts.join(", "))
    }

    /// The exit code of a command that shows it: 0 where all held, 1 where not.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.conforms)
    }

    /// What to type to run one check again.
    pub fn repeat(&self, id: Id) -> String {
        format!("{} --only {id}", self.command)
    }
}
