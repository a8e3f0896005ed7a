//! What the tests of this crate share: a runtime with a cache of its own, and the hostile guests.
#![allow(dead_code, missing_docs, reason = "each test file uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use homeostat_core::grant::{DirGrant, DirMode};
use homeostat_core::spec::{PluginSource, PluginSpec};
use homeostat_runtime::{InstancePlugin, LoadErrorKind, Plugin, Runtime, RuntimeConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) runtime: Runtime,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_threads(2)
    }

    pub(crate) fn with_threads(guest_threads: usize) -> Self {
        Self::with(|config| config.guest_threads = guest_threads)
    }

    /// One that loads plugins of a draft of the contract, too.
    pub(crate) fn with_drafts() -> Self {
        Self::with(|config| config.drafts = true)
    }

    fn with(set: impl FnOnce(&mut RuntimeConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = RuntimeConfig { guest_threads: 2, ..RuntimeConfig::new(dir.path().join("cache")) };
        set(&mut config);
        Self { runtime: Runtime::new(config).expect("a runtime"), dir }
    }

    /// Write a file, and answer with the spec of a plugin of it.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PluginSpec {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).expect("a file");
        spec(&path)
    }

    /// A component from its text.
    pub(crate) fn wat(&self, text: &str) -> PluginSpec {
        self.file("from-text.wasm", wat::parse_str(text).expect("is text"))
    }

    pub(crate) async fn refused(&self, spec: &PluginSpec) -> (LoadErrorKind, String) {
        let error = self.runtime.load("bad", spec).await.expect_err("was loaded");
        let mut text = error.to_string();
        assert!(text.contains(&spec.source.to_string()), "names no file: {text}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        (*error.kind, text)
    }

    pub(crate) async fn hostile(&self) -> InstancePlugin {
        self.plugin(&spec(&built("hostile_instance"))).await.as_instance().expect("an instance plugin")
    }

    /// The hostile guest with limits that end a test soon.
    pub(crate) async fn limited(&self, memory: u64, cpu: Duration, wall: Duration) -> Plugin {
        let mut spec = spec(&built("hostile_instance"));
        spec.limits.memory = memory;
        spec.limits.cpu = cpu;
        spec.limits.wall = wall;
        self.plugin(&spec).await
    }

    pub(crate) async fn plugin(&self, spec: &PluginSpec) -> Plugin {
        self.runtime.load("hostile", spec).await.expect("loads")
    }
}

pub(crate) fn spec(path: &Path) -> PluginSpec {
    PluginSpec {
        source: PluginSource::File(path.into()),
        sha256: None,
        grants: Default::default(),
        limits: Default::default(),
    }
}

/// The file of a plugin.
pub(crate) fn file(spec: &PluginSpec) -> &Path {
    spec.source.file().expect("is a file")
}

pub(crate) fn grant(spec: &mut PluginSpec, host: &Path, mode: DirMode) {
    spec.grants.dirs.push(DirGrant { host: host.into(), guest: "/granted".into(), mode });
}

/// A built guest.
pub(crate) fn built(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = workspace.join(target).join(format!("wasm32-wasip2/release/{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `make build` first", path.display());
    path
}

/// The hostile guest whose `describe-plugin` does this.
pub(crate) fn describing(mode: &str) -> Vec<u8> {
    let normal = "homeostat-hostile=normal..";
    patched("hostile_instance", normal, &format!("homeostat-hostile={mode:.<8}"), 1)
}

/// A built guest with some bytes of it replaced by as many others.
pub(crate) fn patched(name: &str, from: &str, to: &str, at_least: usize) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(built(name)).expect("a file");
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found >= at_least, "{from:?} occurs {found} times in {name}");
    bytes
}

/// Properties that ask the hostile guest for something.
pub(crate) fn please(what: &str) -> Value {
    json!({ "Do": what })
}
