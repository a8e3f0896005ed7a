//! The conformance kit: whether a plugin keeps the contract of `wit/README.md`.
//!
//! It does to a plugin what a host does, and what a provider, a network and a disk do to both, and demands what the
//! contract promises: exactly one instance of a name, none after `destroy`, errors that say what to do next. Each check has
//! an id that never changes its meaning ([`CATALOG`]).
//!
//! # What conformance promises
//! - Each check of the level held, in this run, with this file (by its digest), these samples and these grants.
//! - At level chaos, **every** file operation and HTTP exchange of one clean `provision`, `destroy`, `prepare` and `drain`
//!   was made to fail once in each way that the kit knows, and the host's own rules led back to the truth. The points are
//!   counted, not drawn.
//! - All that the run made was destroyed, or is named in the report.
//!
//! # What it does not promise
//! - **Nothing about malice.** A plugin can tell that it is being checked. Trust comes from what it is granted.
//! - Nothing about the provider: one that answers otherwise tomorrow, or that lists later than `Limits.ListLag` says.
//! - Nothing about what the samples do not touch. A plugin's own rules beyond its schema are tried only with the `Invalid`
//!   samples that its author gives.
//! - Two faults in one call, and races between calls of different names, are not tried. Races for one name are tried a few
//!   times, which can miss them.
//! - A check that was skipped says nothing; the report gives the reason for each.
//!
//! Everything is reached through [`check`]. [`Report`] is what comes of it, as text, JSON or JUnit.

mod catalog;
mod checks;
mod config;
mod fault;
mod kit;
mod made;
mod outcome;
mod report;
mod run;
mod sample;
mod secret;
mod waiver;
mod wire;

pub use catalog::{CATALOG, Check, Id, Level};
pub use config::{Config, ConfigError, Invalid};
pub use outcome::Failure;
pub use report::{CheckReport, Counts, Outcome, Report, Subject};
pub use run::{CannotRun, check};
pub use waiver::{Waiver, Waivers};
pub use wire::Tape;

/// What a plugin is called while it is checked.
pub const NAME: &str = "checked";

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far to go.
    pub level: Level,
    /// How often something is repeated that has to be the same each time.
    pub repeat: u32,
    /// These checks alone, whatever their level; empty for all of the level.
    pub only: Vec<Id>,
    /// Checks that may fail for now.
    pub waivers: Waivers,
    /// Samples, grants and limits.
    pub config: Config,
    /// The command that started this run, without `--only`: what a report tells to type to repeat one check.
    pub command: String,
    /// The run's id, a part of all names; drawn at random where there is none. A tape that is to be replayed needs one.
    pub run: Option<String>,
    /// A tape of the HTTP exchanges, to write or to play.
    pub tape: Option<Tape>,
}
