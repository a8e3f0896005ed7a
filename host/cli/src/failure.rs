//! How the command ends when something did not work: one message, one exit code.
//!
//! 0 done; 1 refused or failed; 2 the command line is wrong; 3 no host answers.

use homeostat_core::document::Diagnostic;
use homeostat_server::HostError;
use thiserror::Error;

use crate::client::ClientError;
use crate::out;
use crate::render::diagnostic;

/// The command line is well formed and makes no sense.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A document has faults.
#[derive(Debug, Error)]
#[error("the document has {} {}; nothing was changed", .0.len(), if .0.len() == 1 { "fault" } else { "faults" })]
pub(crate) struct Faults(pub(crate) Vec<Diagnostic>);

/// What the command was to do went wrong, and why has been said.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// What a host in this process answered: faults of a document keep their places.
pub(crate) fn from_host(error: HostError) -> anyhow::Error {
    match error {
        HostError::Document(faults) => Faults(faults).into(),
        other => other.into(),
    }
}

/// The exit code that stands for an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    let unreachable = |it: &ClientError| matches!(it, ClientError::Unreachable { .. } | ClientError::Silent { .. });
    match error {
        it if it.is::<Usage>() => 2,
        it if it.downcast_ref::<ClientError>().is_some_and(unreachable) => 3,
        _ => 1,
    }
}

/// Print an error to standard error, once, with its causes.
pub(crate) fn show(error: &anyhow::Error) {
    let faults = match (error.downcast_ref::<Faults>(), error.downcast_ref::<ClientError>()) {
        (Some(Faults(faults)), _) => faults.as_slice(),
        (_, Some(ClientError::Answered(problem))) => problem.diagnostics.as_slice(),
        _ => &[],
    };
    for fault in faults {
        out::note(&format!("{}\n\n", diagnostic::render(fault, console::colors_enabled_stderr())));
    }
    let label = console::style("error:").red().bold().for_stderr();
    out::note(&format!("{label} {error:#}"));
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use homeostat_server::Problem;

    use super::*;

    fn problem() -> ClientError {
        ClientError::Answered(Box::new(Problem {
            title: "refused".into(),
            status: 409,
            detail: "no".into(),
            diagnostics: Vec::new(),
        }))
    }

    fn unreachable() -> ClientError {
        let why = std::io::ErrorKind::NotFound.into();
        ClientError::Unreachable { socket: "/s".into(), start: "homeostat serve".into(), why }
    }

    #[test]
    fn a_script_can_tell_refused_from_wrong_usage_from_no_host() {
        assert_eq!(code(&Usage("x".into()).into()), 2);
        assert_eq!(code(&unreachable().into()), 3);
        assert_eq!(code(&problem().into()), 1);
        assert_eq!(code(&Faults(Vec::new()).into()), 1);
        assert_eq!(code(&anyhow::anyhow!("x")), 1);
    }

    #[test]
    fn context_does_not_change_the_code() {
        let error = Err::<(), _>(unreachable()).context("while waiting").unwrap_err();
        assert_eq!(code(&error), 3);
    }
}
