//! The control loop of homeostat: observe, plan, execute; what it must remember; and its API.
//!
//! A [`Host`] keeps groups as declared. The `homeostat` command is one program around it; another may embed it:
//!
//! ```no_run
//! use homeostat_server::{Host, HostConfig, Until, view::CommitRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::open(HostConfig::new("/var/lib/homeostat".into())).await?;
//! let text = std::fs::read_to_string("/etc/homeostat/stack.json")?;
//! let request =
//!     CommitRequest { name: "stack.json".into(), base_dir: "/etc/homeostat".into(), text, pretend: false, convert: false };
//! for group in host.commit(&request).await?.groups {
//!     println!("{}: {}", group.id, group.plan);
//!     host.wait(&group.id, Until::Converged, std::time::Duration::from_secs(60)).await?;
//! }
//! host.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod admit;
pub mod api;
pub mod call;
mod clock;
mod error;
pub mod event;
mod group;
mod host;
mod lock;
mod registry;
pub mod store;
pub mod view;
mod watch;

pub use error::{HostError, OpenError, Problem};
pub use host::{Host, HostConfig, Until};
pub use lock::{DocumentLock, LOCK_FILE};
pub use registry::CandidateError;
