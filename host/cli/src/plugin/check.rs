//! `homeostat plugin check`: whether a plugin keeps the contract.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use homeostat_check::{CannotRun, CheckReport, Config, ConfigError, Id, Level, Options, Tape, Waivers};
use homeostat_core::document::Source;
use homeostat_core::grant::{Grants, HttpGrant};
use homeostat_core::outcome::chain;
use homeostat_process::{ExecError, Processes, Supervisor};
use tempfile::TempDir;

use super::{GrantArgs, LimitArgs};
use crate::args::{Globals, absolute};
use crate::direct;
use crate::failure::{Refused, Usage};
use crate::render::diagnostic;
use crate::signals::Signals;
use crate::{input, out};

/// How long programs that the plugin left running may take to end.
const FAREWELL: Duration = Duration::from_secs(20);
/// The time between two looks whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// The run's id where a tape is written or played: names have to be the same each time.
const ON_TAPE: &str = "tape";

/// Check whether a plugin keeps the contract, as a host and a bad day would find out
///
/// It is loaded by this command itself. What it makes is destroyed again, also when this is interrupted. Directories that it
/// wants and that are not granted here are made for it, so that many plugins need no options. Exits with 0 where it conforms,
/// 1 where it does not, 2 where that could not be found out.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin check instance_file.wasm
  homeostat plugin check cloud.wasm --level chaos --allow-http https://api.example.com --config check.json
  homeostat plugin check cloud.wasm --level chaos --config check.json --replay cloud.tape --format junit > check.xml
  homeostat plugin check cloud.wasm --only I2,I10 --repeat 100")]
pub(crate) struct Check {
    /// Its .wasm file
    file: PathBuf,
    /// How far to go: static, sandbox, contract or chaos; each includes those before
    #[arg(long, value_name = "LEVEL", default_value = "contract")]
    level: Level,
    /// How often to repeat what has to be the same each time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Run these checks alone, whatever their level
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<Id>,
    /// A JSON file of checks that may fail for now: [{"ID": "I8", "Reason": "...", "Until": "2027-01-31"}]
    #[arg(long, value_name = "FILE")]
    waive: Option<PathBuf>,
    /// A JSON file of samples, grants and limits: {"Valid": [...], "Invalid": [{"Properties": ..., "Path": "/x"}], ...}
    ///
    /// Paths in it begin at its folder. What options grant and limit counts more than what it does.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write all HTTP exchanges down in this file
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Answer all HTTP requests from this file, and from nowhere else
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// How to print what came of it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a check, as they end.
    Human,
    /// All of it as JSON.
    Json,
    /// For CI systems.
    Junit,
}

/// Where the programs that the plugin starts are kept track of.
struct Programs(TempDir);

impl Programs {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("homeostat-check-").tempdir();
        Ok(Self(dir.context("there is no directory for what the plugin starts")?))
    }

    /// End what the plugin has left running: the checks have told of it.
    async fn end(&self) {
        let ended: Result<_, ExecError> = async {
            let processes = Processes::open(self.0.path(), Supervisor::default())?;
            let list = || processes.list(homeostat_check::NAME, None, usize::MAX);
            let mut left = list()?;
            for process in &left {
                processes.stop(homeostat_check::NAME, &process.key)?;
            }
            let begun = Instant::now();
            // A supervisor tells nobody that its program has ended.
            while !left.is_empty() && begun.elapsed() < FAREWELL {
                tokio::time::sleep(LOOK).await;
                left = list()?;
            }
            Ok(left)
        }
        .await;
        match ended {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                let named = left
                    .iter()
                    .map(|it| it.pid.map_or_else(|| it.key.clone(), |pid| format!("{} (pid {pid})", it.key)));
                let named = named.collect::<Vec<_>>().join(", ");
                out::note(&format!("programs that the plugin started do not end: {named}; end them by hand"));
            }
            Err(error) => {
                let dir = self.0.path().display();
                let why = chain(&error);
                out::note(&format!(
                    "programs that the plugin started may run on: {why}; end those that `ps` shows below a supervisor of {dir}"
                ));
            }
        }
    }
}

impl Check {
    pub(super) async fn run(self, globals: &Globals) -> Result<()> {
        let file = absolute(&self.file)?;
        let format = if globals.json() { Format::Json } else { self.format };
        let name = self.file.display().to_string();
        let options = self.options()?;
        let command = options.command.clone();
        let programs = Programs::new()?;
        let runtime = direct::runtime(globals, Some(programs.0.path().to_owned()))?;
        let mut signals = Signals::take()?;
        let seen = move |check: &CheckReport| {
            if format == Format::Human {
                let details = check.details(&format!("{command} --only {}", check.id));
                // A reader that has gone away is told of once, at the end.
                let _ = out::print(&format!("{}\n{details}", check.line()));
            }
        };
        let stop = async {
            signals.next().await;
            out::note("stopping: what was made is being destroyed");
        };
        let report = homeostat_check::check(&runtime, &file, options, &seen, stop).await;
        programs.end().await;
        let report = report.map_err(cannot_run)?;
        match format {
            Format::Human => out::print(&report.closing())?,
            Format::Json => out::json(&report)?,
            Format::Junit => out::print(&report.junit())?,
        }
        match report.conforms {
            true => Ok(()),
            false => Err(Refused(format!("{name} does not keep the contract")).into()),
        }
    }

    fn options(self) -> Result<Options> {
        let more = self.grants.grants().map_err(Usage)?;
        let mut config = match &self.config {
            Some(path) => read_config(path, &more)?,
            None => Config::default(),
        };
        merge(&mut config.grants, more);
        let spec = direct::checked(config.grants, self.limits.over(config.limits))?;
        (config.grants, config.limits) = (spec.grants, spec.limits);
        let waivers = match &self.waive {
            Some(path) => Waivers::read(&text(path)?).map_err(|error| Usage(format!("{}: {error}", path.display())))?,
            None => Waivers::default(),
        };
        let tape = match (&self.record, &self.replay) {
            (Some(path), _) => Some(Tape::Record(absolute(path)?)),
            (None, Some(path)) => Some(Tape::Replay(absolute(path)?)),
            (None, None) => None,
        };
        Ok(Options {
            level: self.level,
            repeat: self.repeat,
            only: self.only,
            waivers,
            config,
            command: typed(std::env::args()),
            run: tape.is_some().then(|| ON_TAPE.to_owned()),
            tape,
        })
    }
}

/// What the run itself could not do: exit code 2, as for a command line that is wrong.
fn cannot_run(error: CannotRun) -> anyhow::Error {
    Usage(format!("{:#}", anyhow::Error::new(error))).into()
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Usage(format!("{} cannot be read: {error}", path.display())).into())
}

/// Read a configuration. What is granted by options as well is for it to use.
fn read_config(path: &Path, more: &Grants) -> Result<Config> {
    let input::Spec { name, base_dir, text } = input::spec(path).map_err(|error| Usage(format!("{error:#}")))?;
    let secrets: Vec<&str> = more.secrets.keys().map(String::as_str).collect();
    let source = Source { name: &name, text: &text, base_dir: &base_dir };
    Config::read(&source, &secrets).map_err(|error| {
        if let ConfigError::Permissions(faults) = &error {
            for fault in faults {
                out::note(&format!("{}\n\n", diagnostic::render(fault, console::colors_enabled_stderr())));
            }
        }
        Usage(format!("{name}: {error}")).into()
    })
}

/// What the options grant is added to what the file grants; for the same name the option counts.
fn merge(grants: &mut Grants, more: Grants) {
    let Grants { http, dirs, secrets, config, exec } = more;
    // Of two that fit a request, the first counts.
    let same = |it: &HttpGrant, other: &HttpGrant| {
        (&it.url, &it.methods, &it.paths) == (&other.url, &other.methods, &other.paths)
    };
    grants.http.retain(|it| http.iter().all(|other| !same(it, other)));
    grants.http.splice(..0, http);
    grants.dirs.retain(|it| dirs.iter().all(|other| other.guest != it.guest));
    grants.dirs.extend(dirs);
    grants.secrets.extend(secrets);
    grants.config.extend(config);
    grants.exec.extend(exec);
}

/// The command as it was typed, without `--only`: what to type to run one check again.
fn typed(words: impl Iterator<Item = String>) -> String {
    let mut typed = vec!["homeostat".to_owned()];
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        if word == "--only" {
            words.next();
        } else if !word.starts_with("--only=") {
            typed.push(quoted(&word));
        }
    }
    typed.join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_typed_again_without_what_it_was_narrowed_to() {
        let words = ["/bin/homeostat", "plugin", "check", "a b.wasm", "--only", "I2,I3", "--level=chaos", "--only=I4"];
        assert_eq!(typed(words.map(str::to_owned).into_iter()), "homeostat plugin check 'a b.wasm' --level=chaos");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }

    #[test]
    fn an_option_counts_more_than_the_file() {
        let read = |text: &str| {
            let source = Source { name: "check.json", text, base_dir: Path::new("/") };
            Config::read(&source, &[]).expect("is right").grants
        };
        let mut grants = read(
            r#"{"Grants": {"Dirs": [{"Host": "/a", "Guest": "/d"}, {"Host": "/b", "Guest": "/e"}],
            "Http": [{"Url": "http://a.b", "Via": "127.0.0.1:1"}, {"Url": "http://c.d"}]}}"#,
        );
        let more = r#"{"Grants": {"Dirs": [{"Host": "/c", "Guest": "/d", "Mode": "rw"}],
            "Http": [{"Url": "http://a.b", "Via": "127.0.0.1:2"}]}}"#;
        merge(&mut grants, read(more));
        let hosts: Vec<_> = grants.dirs.iter().map(|it| it.host.display().to_string()).collect();
        assert_eq!(hosts, ["/b", "/c"]);
        let routes: Vec<_> = grants.http.iter().map(|it| it.via.as_ref().map(ToString::to_string)).collect();
        assert_eq!(routes, [Some("127.0.0.1:2".to_owned()), None]);
        assert!(direct::checked(grants, Default::default()).is_ok());
    }
}
