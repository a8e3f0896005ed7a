//! What the tests share: guests that are broken on purpose, and how they are checked.
#![allow(dead_code, missing_docs, reason = "each test file uses a part")]

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use homeostat_check::{Config, Invalid, Level, Options, Report, check};
use homeostat_runtime::{Runtime, RuntimeConfig};
use serde_json::json;
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) runtime: Runtime,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = Runtime::new(RuntimeConfig::new(dir.path().join("cache"))).expect("a runtime");
        Self { runtime, dir }
    }

    /// A guest that is broken in this way, as a file.
    pub(crate) fn broken(&self, guest: &str, fault: &str) -> PathBuf {
        // Both are as long as the array in the guest: 40 bytes.
        let marker = format!("{:.<40}", "homeostat-broken=none");
        let word = format!("{:.<40}", format!("homeostat-broken={fault}"));
        let (marker, word) = (marker.as_bytes(), word.as_bytes());
        assert_eq!(word.len(), marker.len(), "{fault:?} is too long");
        let bytes = fs::read(built(guest)).expect("a file");
        let found = bytes.windows(40).position(|it| it == marker).expect("the guest has the marker");
        let mut patched = bytes.clone();
        patched[found..found + 40].copy_from_slice(word);
        assert!(!patched.windows(40).any(|it| it == marker), "{guest} has the marker twice");
        let file = self.dir.path().join(format!("{guest}-{fault}.wasm"));
        fs::write(&file, patched).expect("a file");
        file
    }

    pub(crate) async fn check(&self, file: &Path, options: Options) -> Report {
        check(&self.runtime, file, options, &|_| {}, pending()).await.expect("comes to a verdict")
    }
}

pub(crate) fn built(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = workspace.join(target).join(format!("wasm32-wasip2/release/{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `make build` first", path.display());
    path
}

pub(crate) fn options(invalid: &[(&str, &str)], level: Level) -> Options {
    let invalid = invalid
        .iter()
        .map(|(member, value)| Invalid { properties: json!({ *member: value }), path: Some(format!("/{member}")) });
    let mut config = Config { invalid: invalid.collect(), ..Config::default() };
    // A guest that spins is ended soon.
    config.limits.cpu = Duration::from_millis(500);
    config.limits.wall = Duration::from_secs(10);
    Options { level, repeat: 4, config, command: "homeostat plugin check it.wasm".into(), ..Options::default() }
}

pub(crate) fn of_instance(level: Level) -> Options {
    options(&[("Size", "huge")], level)
}

pub(crate) fn of_flavor(level: Level) -> Options {
    options(&[("Level", "loud")], level)
}
