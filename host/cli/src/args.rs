//! The options that every verb takes, and how command line words are read.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::failure::Usage;

/// Options that every verb takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Where the host keeps its state [default: /var/lib/homeostat for root, else ~/.local/state/homeostat]
    #[arg(long, global = true, env = "HOMEOSTAT_STATE_DIR", value_name = "DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,

    /// The host's socket [default: homeostat.sock in the state directory]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// How to print: a table for people, or JSON for programs
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table, value_name = "FORMAT", hide_possible_values = true, help = "How to print: table or json")]
    output: Output,

    /// What to log to standard error: error, warn, info, debug, trace, or `target=level,...` [default: info for `serve`, else warn]
    #[arg(long, global = true, env = "HOMEOSTAT_LOG", value_name = "LEVEL", value_parser = log_filter, hide_env_values = true)]
    log: Option<String>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl Globals {
    /// The state directory, absolute. It need not exist.
    ///
    /// # Errors
    /// Where none is given and there is no home directory to put it in.
    pub(crate) fn state_dir(&self) -> Result<PathBuf> {
        let dir = match &self.state_dir {
            Some(dir) if dir.as_os_str().is_empty() => {
                return Err(Usage("the state directory is empty; give --state-dir a path".into()).into());
            }
            Some(dir) => dir.clone(),
            None => {
                let variable = |name| std::env::var_os(name).map(PathBuf::from);
                let root = rustix::process::geteuid().is_root();
                default_state_dir(root, variable("XDG_STATE_HOME"), variable("HOME")).ok_or_else(|| {
                    Usage("HOME is not set; say with --state-dir where the host keeps its state".into())
                })?
            }
        };
        absolute(&dir)
    }

    /// The host's socket, absolute. It need not exist.
    ///
    /// # Errors
    /// As [`Self::state_dir`].
    pub(crate) fn socket(&self) -> Result<PathBuf> {
        match &self.socket {
            Some(socket) => absolute(socket),
            None => Ok(self.state_dir()?.join("homeostat.sock")),
        }
    }

    /// The command that starts the host which these options look for.
    pub(crate) fn serve_command(&self) -> String {
        let mut command = String::from("homeostat serve");
        if let Some(dir) = &self.state_dir {
            command.push_str(&format!(" --state-dir {}", dir.display()));
        }
        if let Some(socket) = &self.socket {
            command.push_str(&format!(" --socket {}", socket.display()));
        }
        command
    }

    /// Whether to print JSON.
    pub(crate) fn json(&self) -> bool {
        self.output == Output::Json
    }

    /// The filter of the log.
    pub(crate) fn log_filter(&self, default: &str) -> EnvFilter {
        // The library writes a line for each request of a guest that makes no sense: a guest could flood the log with them.
        let filter = format!("wasmtime_wasi_http=off,{}", self.log.as_deref().unwrap_or(default));
        // What was given has been parsed once already.
        EnvFilter::try_new(filter).unwrap_or_default()
    }
}

fn default_state_dir(root: bool, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if root {
        return Some("/var/lib/homeostat".into());
    }
    // The XDG base directory specification: a relative path is to be ignored.
    let xdg = xdg.filter(|dir| dir.is_absolute());
    let home = home.filter(|dir| !dir.as_os_str().is_empty());
    xdg.or_else(|| home.map(|home| home.join(".local/state"))).map(|dir| dir.join("homeostat"))
}

/// A path made absolute without looking at the disk, so that a symbolic link stays one.
///
/// # Errors
/// Where the path is empty or there is no current directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("the path {:?} cannot be made absolute", path.display()))
}

fn log_filter(text: &str) -> Result<String, String> {
    let filter = text.parse::<EnvFilter>().map_err(|error| error.to_string())?;
    // A bare word that is no level is taken for a target and would silence everything else.
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| levels.contains(&word.to_ascii_lowercase().as_str());
    let mut bare = text.split(',').map(str::trim).filter(|part| !part.contains(['=', ':', '[']) && !part.is_empty());
    match bare.find(|word| !is_level(word)) {
        Some(word) => Err(format!("{word:?} is no level; use error, warn, info, debug, trace, or target=level")),
        None => Ok(filter.to_string()),
    }
}

/// A time as `30s`, `10m`, `1h30m`; more than nothing.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match homeostat_core::duration::parse(text)? {
        Duration::ZERO => Err("the time has to be more than 0".into()),
        time => Ok(time),
    }
}

/// A size as `128MiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    homeostat_core::bytes::parse(text)
}

/// Whether standard output is a terminal that can be drawn on, and standard error too.
pub(crate) fn on_a_terminal() -> bool {
    let capable = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
    capable && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_follows_root_then_xdg_then_home() {
        let dir = |root, xdg: Option<&str>, home: Option<&str>| {
            default_state_dir(root, xdg.map(PathBuf::from), home.map(PathBuf::from))
                .map(|it| it.to_string_lossy().into_owned())
        };
        assert_eq!(dir(true, Some("/x"), Some("/h")).as_deref(), Some("/var/lib/homeostat"));
        assert_eq!(dir(false, Some("/x"), Some("/h")).as_deref(), Some("/x/homeostat"));
        assert_eq!(dir(false, Some("relative"), Some("/h")).as_deref(), Some("/h/.local/state/homeostat"));
        assert_eq!(dir(false, None, Some("")), None);
        assert_eq!(dir(false, None, None), None);
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["debug", "WARN", "homeostat_server=debug,info", "off"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for wrong in ["verbose", "info,loud", "homeostat=loud"] {
            assert!(log_filter(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn a_time_of_nothing_is_refused() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["0", "0s", "10", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
