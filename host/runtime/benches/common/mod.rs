//! What the benchmarks share.

use std::path::PathBuf;

/// The file plugin, as `make build` leaves it.
pub(crate) fn file_plugin() -> PathBuf {
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = workspace.join(target).join("wasm32-wasip2/release/instance_file.wasm");
    assert!(path.exists(), "{} is missing: run `make build` first", path.display());
    path
}
