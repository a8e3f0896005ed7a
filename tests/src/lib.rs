//! What the end-to-end tests share: the built binary, the built plugins, and a world of its own for each test.
//!
//! Nothing of homeostat is linked into these tests: they type what a user types, and look at what a user sees.

mod errand;
mod process;
mod registry;
mod rest;
mod run;
mod service;
mod until;
mod variant;
mod watch;
mod world;

use std::path::PathBuf;

pub use process::Process;
pub use registry::Registry;
pub use rest::{Fault, Rest};
pub use run::Run;
pub use service::{Asked, Authority, Reply, Service};
pub use until::{LONG, until, until_eq};
pub use variant::Variant;
pub use watch::{Seen, Watch};
pub use world::{Fingerprint, World, group};

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

/// The `homeostat` command.
///
/// # Panics
/// Where it was not built.
pub fn binary() -> PathBuf {
    built("release/homeostat")
}

/// A plugin by the name of its file without `.wasm`: `instance_file`, `flavor_vanilla`, `hostile_instance`, ...
///
/// # Panics
/// Where it was not built.
pub fn plugin(name: &str) -> PathBuf {
    built(&format!("wasm32-wasip2/release/{name}.wasm"))
}

fn built(path: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let file = workspace().join(target).join(path);
    assert!(file.is_file(), "{} is missing; run `make build`, or `make test`, which builds it first", file.display());
    file
}
