//! One run: which checks, in which order, and what becomes of what they made.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use homeostat_core::grant::{Grants, Limits};
use homeostat_core::spec::{PluginSource, PluginSpec};
use homeostat_egress::wire::TapeError;
use homeostat_runtime::{LoadError, LoadErrorKind, PluginKind, Runtime};
use thiserror::Error;

use crate::catalog::{CATALOG, Check, Id};
use crate::checks;
use crate::kit::{Kit, OpenError};
use crate::outcome::{Checked, Failure, Stop};
use crate::report::{CheckReport, Outcome, Report, Subject};
use crate::{Level, NAME, Options};

/// The order in which the loader looks at a file. What is before the check that it failed holds.
const STAGES: &[Id] = &[Id::S1, Id::S4, Id::S2, Id::S5, Id::S3, Id::B1, Id::B3];

/// How long the last clean-up may take when somebody waits for the run to end.
const FAREWELL: Duration = Duration::from_secs(30);

/// The run did not come to a verdict.
#[derive(Debug, Error)]
pub enum CannotRun {
    /// The file cannot be had, or the host is at fault.
    #[error("{0}")]
    Load(Box<LoadError>),
    /// The kit could not make a directory for the plugin.
    #[error("the kit cannot make a directory for the plugin")]
    Directory(#[source] std::io::Error),
    /// The tape cannot be written or read, or was not played to its end.
    #[error("the tape cannot be used")]
    Tape(#[source] TapeError),
    /// A check that was asked for is not for this kind of plugin.
    #[error("{id} is a check for {wanted} plugins, and this is one for {found}")]
    OtherKind {
        /// The check.
        id: Id,
        /// What it is for.
        wanted: &'static str,
        /// What the plugin is.
        found: &'static str,
    },
    /// Somebody stopped it.
    #[error("it was stopped; {}", told(.leftovers))]
    Stopped {
        /// What could not be destroyed.
        leftovers: Vec<String>,
    },
}

fn told(leftovers: &[String]) -> String {
    match leftovers {
        [] => "all that it had made was destroyed".into(),
        left => format!("this is left behind: {}", left.join("; ")),
    }
}

/// Run the checks of a plugin's file. `seen` is told of each as it ends; `stop` ends the run before its time.
///
/// # Errors
/// Where there is no verdict: the file cannot be read, a grant cannot be given, somebody stopped it.
pub async fn check(
    runtime: &Runtime,
    file: &Path,
    options: Options,
    seen: &(dyn Fn(&CheckReport) + Sync),
    stop: impl Future<Output = ()>,
) -> Result<Report, CannotRun> {
    let begun = Instant::now();
    // Without any grant, to learn what it is and what it wants.
    let source = PluginSource::File(file.to_owned());
    let spec = PluginSpec { source, sha256: None, grants: Grants::default(), limits: options.config.limits.clone() };
    let plugin = match runtime.load_file(NAME, file, &spec).await {
        Ok(plugin) => plugin,
        Err(error) => return refused(error, file, options, seen, begun),
    };
    let info = plugin.info().clone();
    drop(plugin);
    let kind = info.kind;
    if let Some(id) = options.only.iter().find(|id| !applies(id.check(), kind)) {
        let wanted = id.check().kind.map_or("all", name);
        return Err(CannotRun::OtherKind { id: *id, wanted, found: name(kind) });
    }
    let kit = Kit::open(runtime, file, options, info).await.map_err(|error| match error {
        OpenError::Directory(error) => CannotRun::Directory(error),
        OpenError::Tape(error) => CannotRun::Tape(error),
        OpenError::Load(error) => CannotRun::Load(error),
    })?;
    let mut stop = std::pin::pin!(stop);
    let mut reports: Vec<CheckReport> = Vec::new();
    let mut leftovers = Vec::new();
    let selected = CATALOG.iter().filter(|it| applies(it, kind) && is_selected(it, &kit.options));
    for check in selected {
        let begun = Instant::now();
        let outcome = match blocked(check, &reports) {
            by if !by.is_empty() => Outcome::Blocked { by },
            _ => {
                kit.begin(check.id);
                let run = AssertUnwindSafe(checks::run(&kit, check.id)).catch_unwind();
                let ended = tokio::select! {
                    biased;
                    () = &mut stop => None,
                    ended = run => Some(ended),
                };
                let took = begun.elapsed();
                let Some(ended) = ended else {
                    let left = tokio::time::timeout(FAREWELL, kit.clean_up()).await;
                    let leftovers = left.unwrap_or_else(|_| vec![format!("what begins with check-{}-", kit.run)]);
                    return Err(CannotRun::Stopped { leftovers });
                };
                // What follows from another answer than the recorded one says nothing about the plugin.
                kit.follows_tape().map_err(CannotRun::Tape)?;
                leftovers.extend(kit.clean_up().await);
                kit.follows_tape().map_err(CannotRun::Tape)?;
                let report = CheckReport::new(check, outcome(check.id, ended, &kit.options), took);
                seen(&report);
                reports.push(report);
                continue;
            }
        };
        let report = CheckReport::new(check, outcome, begun.elapsed());
        seen(&report);
        reports.push(report);
    }
    // A check that failed has not asked for all that it would have, and says more than that.
    let all = !reports.iter().any(|it| matches!(it.outcome, Outcome::Failed(_)));
    kit.finish(all).map_err(CannotRun::Tape)?;
    let subject = Subject {
        name: kit.info.description.name.clone(),
        version: kit.info.description.version.clone(),
        kind: Some(kind),
        contract: kit.info.contract.clone(),
        world: world(kind, &kit.info.exports).into(),
        digest: kit.info.digest.clone(),
    };
    Ok(Report::new(file, subject, &kit.options, reports, leftovers, begun.elapsed()))
}

fn name(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Instance => "instance",
        PluginKind::Flavor => "flavor",
    }
}

fn world(kind: PluginKind, exports: &[String]) -> &'static str {
    match kind {
        PluginKind::Instance => "instance-plugin",
        PluginKind::Flavor if exports.iter().any(|it| it.contains("/removal@")) => "flavor-plugin-with-removal",
        PluginKind::Flavor => "flavor-plugin",
    }
}

fn applies(check: &Check, kind: PluginKind) -> bool {
    check.kind.is_none_or(|it| it == kind)
}

/// Checks that are asked for by id are run, whatever the level.
fn is_selected(check: &Check, options: &Options) -> bool {
    if options.only.is_empty() { check.level <= options.level } else { options.only.contains(&check.id) }
}

/// The checks that this one builds on, and that did not hold.
fn blocked(check: &Check, reports: &[CheckReport]) -> Vec<Id> {
    let failed = |id: &Id| reports.iter().any(|it| it.id == *id && !it.outcome.holds());
    check.needs.iter().copied().filter(failed).collect()
}

fn outcome(id: Id, ended: Result<Checked, Box<dyn std::any::Any + Send>>, options: &Options) -> Outcome {
    match ended {
        Ok(Ok(note)) => Outcome::Passed { note },
        Ok(Err(Stop::Skipped(reason))) => Outcome::Skipped { reason },
        Ok(Err(Stop::Failed(failure))) => waived(id, *failure, options),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let failure = Failure::new("the check runs to its end", format!("the kit itself panicked: {said}"))
                .with_hint("this is a fault of homeostat: please report it with the file");
            waived(id, failure, options)
        }
    }
}

/// A failure, or what a waiver makes of it.
fn waived(id: Id, failure: Failure, options: &Options) -> Outcome {
    match options.waivers.of(id) {
        Some((waiver, true)) => {
            Outcome::Waived { until: waiver.until.clone(), reason: waiver.reason.clone(), failure: Box::new(failure) }
        }
        Some((waiver, false)) => {
            let hint = format!("its waiver ended on {}: {}", waiver.until, waiver.reason);
            Outcome::Failed(Box::new(failure.with_hint(hint)))
        }
        None => Outcome::Failed(Box::new(failure)),
    }
}

/// A plugin that the loader refused: which check that fails, and which hold all the same.
fn refused(
    error: LoadError,
    file: &Path,
    options: Options,
    seen: &(dyn Fn(&CheckReport) + Sync),
    begun: Instant,
) -> Result<Report, CannotRun> {
    let Some(failed) = stage(&error.kind) else { return Err(CannotRun::Load(Box::new(error))) };
    let actual = match &*error.kind {
        LoadErrorKind::Describe(call) => crate::outcome::said(call),
        kind => kind.to_string(),
    };
    let mut failure = Failure::new(failed.check().title, actual);
    if let LoadErrorKind::Describe(call) = &*error.kind {
        failure.stderr = Failure::of("", call).stderr;
    }
    let before: BTreeSet<_> = STAGES.iter().take_while(|it| **it != failed).copied().collect();
    let mut reports = Vec::new();
    // Its kind is not known, so only what is for all kinds can be said to be blocked.
    for check in CATALOG.iter().filter(|it| it.kind.is_none()) {
        let is_failed = check.id == failed;
        if !is_failed && !is_selected(check, &options) {
            continue;
        }
        let outcome = match check.id {
            id if is_failed => waived(id, failure.clone(), &options),
            id if before.contains(&id) => Outcome::Passed { note: String::new() },
            _ => Outcome::Blocked { by: vec![failed] },
        };
        let report = CheckReport::new(check, outcome, Duration::ZERO);
        seen(&report);
        reports.push(report);
    }
    Ok(Report::new(file, Subject::default(), &options, reports, Vec::new(), begun.elapsed()))
}

/// The check that a stage of the loader stands for; none where the plugin is not at fault.
fn stage(kind: &LoadErrorKind) -> Option<Id> {
    Some(match kind {
        LoadErrorKind::Empty
        | LoadErrorKind::NotWasm { .. }
        | LoadErrorKind::Truncated { .. }
        | LoadErrorKind::Malformed { .. }
        | LoadErrorKind::CoreModule => Id::S1,
        LoadErrorKind::NoWorld { .. }
        | LoadErrorKind::OtherVersion { .. }
        | LoadErrorKind::Draft { .. }
        | LoadErrorKind::BothWorlds
        | LoadErrorKind::WrongExport { .. } => Id::S2,
        LoadErrorKind::MissingImport { .. } => Id::S3,
        LoadErrorKind::Manifests { .. } | LoadErrorKind::Manifest { .. } => Id::S4,
        LoadErrorKind::Description(what) if what.starts_with("properties-") => Id::B3,
        LoadErrorKind::Description(_) => Id::S4,
        LoadErrorKind::TooBig { .. } | LoadErrorKind::Compile(_) | LoadErrorKind::CompileDeadline { .. } => Id::S5,
        LoadErrorKind::Instantiate(_) | LoadErrorKind::Describe(_) | LoadErrorKind::DescribeDeadline { .. } => Id::B1,
        _ => return None,
    })
}

/// Options as [`Options`] has them where nothing is said.
impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::Contract,
            repeat: 10,
            only: Vec::new(),
            waivers: Default::default(),
            config: crate::Config { limits: Limits::default(), ..Default::default() },
            command: "homeostat plugin check FILE".into(),
            run: None,
            tape: None,
        }
    }
}
