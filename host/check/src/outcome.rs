//! How a check ends.

use homeostat_runtime::{CallError, CallErrorKind};
use serde::{Deserialize, Serialize};

/// Lines of standard error that a failure shows.
const STDERR: usize = 20;

/// What was expected, and what was seen instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failure {
    /// What should have been.
    pub expected: String,
    /// What was.
    pub actual: String,
    /// The last lines that the guest wrote to standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// What to do about it, where more can be said than the contract does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Failure {
    pub(crate) fn new(expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self { expected: expected.into(), actual: actual.into(), ..Self::default() }
    }

    /// A call that ended otherwise than it should have.
    pub(crate) fn of(expected: impl Into<String>, error: &CallError) -> Self {
        let stderr = match &error.kind {
            CallErrorKind::Trap { stderr, .. } => {
                let lines: Vec<_> = stderr.lines().collect();
                lines[lines.len().saturating_sub(STDERR)..].join("\n")
            }
            _ => String::new(),
        };
        Self { expected: expected.into(), actual: said(error), stderr, hint: String::new() }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// An error as the report tells it: with its code, which is what the contract is about.
pub(crate) fn said(error: &CallError) -> String {
    let function = error.function;
    match &error.kind {
        CallErrorKind::Plugin(error) => {
            let code = serde_json::to_value(error.code).ok().and_then(|it| it.as_str().map(str::to_owned));
            let path = error.path.as_deref().map(|path| format!(" at {path:?}")).unwrap_or_default();
            format!("{function} answered {}{path}: {}", code.unwrap_or_default(), shortened(&error.message))
        }
        kind => format!("{function}: {}", shortened(&kind.to_string())),
    }
}

/// A text as a report shows it: not pages of it.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 600;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{} ... ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(Box<Failure>),
    /// It does not apply, and why.
    Skipped(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// A note for the report, or why there is nothing to pass.
pub(crate) type Checked = Result<String, Stop>;

pub(crate) fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skipped(reason.into()))
}

pub(crate) fn fail<T>(expected: impl Into<String>, actual: impl Into<String>) -> Result<T, Stop> {
    Err(Failure::new(expected, actual).into())
}

/// Take what a call answered, or fail with what it answered instead.
pub(crate) trait Expect<T> {
    fn expect_call(self, expected: impl Into<String>) -> Result<T, Stop>;
}

impl<T> Expect<T> for Result<T, CallError> {
    fn expect_call(self, expected: impl Into<String>) -> Result<T, Stop> {
        self.map_err(|error| Failure::of(expected, &error).into())
    }
}
