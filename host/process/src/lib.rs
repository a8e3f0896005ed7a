//! Programs of this machine as supervised processes: the host's side of the contract's interface `exec`.
//!
//! Each process has a directory of its own, `ROOT/PLUGIN/KEY`, and a small *supervisor*: the same binary, started again
//! with the hidden verb `supervise` (see [`as_supervisor`]). The supervisor is the process's parent. It keeps what the
//! process writes, writes down how it ended, and ends it when it is told to; so that a host that is restarted or killed
//! neither ends nor doubles anything, and what was begun is finished without it.
//!
//! **What is in a directory:**
//!
//! | file | what | written by |
//! |---|---|---|
//! | `lock` | held (`flock`) by whoever may change the directory: the host that claims it, then the supervisor | host |
//! | `command.json` | what was asked for | host, before the directory has its name |
//! | `note` | the plugin's words | host |
//! | `process.json` | number, start time, boot, and how it ended | supervisor |
//! | `output` | a named pipe: what the process writes to | host |
//! | `output.log`, `output.log.1`... | what it wrote, the newest first | supervisor |
//! | `control` | a named pipe: has a reader exactly as long as a supervisor is at work; a byte in it means stop | host |
//! | `stop` | the process was told to end | host |
//! | `work/` | where it runs, unless it was given a directory | supervisor |
//!
//! **A process outlives its supervisor.** A supervisor that is killed takes nothing with it: the process is found again by
//! its number, its start time and the boot, and the next look gives it a new supervisor, which goes on reading what it
//! writes, since the pipe has a name. All that is lost is the exit status, which the system tells parents alone. The other
//! way (to have the system kill the process with its supervisor) would turn the loss of a helper into an outage, and
//! would spare the process's own children.
//!
//! **What a power failure loses** is the record of processes that it ended. Nothing is flushed, because nothing that
//! matters outlasts the machine: after a boot every process is lost, whatever the files say.

mod answer;
mod clock;
mod command;
mod error;
mod key;
mod leftover;
mod log;
mod nursery;
mod place;
mod proc;
mod process;
mod processes;
mod program;
mod record;
mod start;
mod stop;
mod supervisor;

pub use command::{Command, Resource, Retention};
pub use error::ExecError;
pub use key::valid_key;
pub use process::{Process, ProcessState};
pub use processes::{Processes, Signal, Supervisor};
pub use program::check_program;
pub use supervisor::{VERB, as_supervisor};
