//! What the benchmarks share.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The file plugin, as `make build` leaves it.
pub(crate) fn file_plugin() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = workspace().join(target).join("wasm32-wasip2/release/instance_file.wasm");
    assert!(path.exists(), "{} is missing: run `make build` first", path.display());
    path
}

/// The plugins of `examples/` in other languages, with their language; as an error those that are not built.
pub(crate) fn examples() -> Vec<(String, Result<PathBuf, String>)> {
    let files = [
        ("Python", "flavor-cloud-init-python", "flavor-cloud-init"),
        ("JavaScript", "flavor-http-ready-javascript", "flavor-http-ready"),
        ("C", "instance-runit-c", "instance-runit"),
    ];
    let found = files.map(|(language, folder, name)| {
        let relative = Path::new("examples").join(folder).join(name).with_extension("wasm");
        let file = workspace().join(&relative);
        let file = if file.is_file() { Ok(file) } else { Err(relative.display().to_string()) };
        (format!("{language} ({name})"), file)
    });
    found.into()
}

/// Print what so many runs took.
pub(crate) fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
    println!(
        "{what:<52} median {:>9.3} ms   p99 {:>9.3}   max {:>9.3}   ({} runs)",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}
