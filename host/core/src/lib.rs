//! The pure half of homeostat: what was declared, what was observed, and what to do about it.
//!
//! **Invariant:** nothing here performs I/O, reads a clock, draws randomness or spawns anything. Time and randomness are
//! arguments. There is no tokio and no wasmtime in this crate's dependencies, and a test keeps it so.
//!
//! Data flows one way: [`document`] -> [`spec`] -> [`plan`] -> [`verify`] -> [`execute`], and back as [`observed`].

pub mod backoff;
pub mod bytes;
pub mod document;
pub mod duration;
pub mod execute;
pub mod grant;
pub mod hash;
pub mod ledger;
pub mod machine;
mod mutant;
pub mod observed;
pub mod outcome;
pub mod plan;
pub mod plugin;
pub mod record;
pub mod scenario;
pub mod simulate;
pub mod spec;
pub mod step;
pub mod tags;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod verify;
