//! Machine code of plugins: in memory while a plugin uses it, and in a directory between runs.
//!
//! An entry is `KEY.cwasm` with `KEY.sha256` beside it. The key holds the digest of the plugin's file and the hash of all
//! that the compiler depends on, so an entry never goes stale. What is loaded is exactly what was checked against the
//! recorded digest.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::RuntimeError;

/// What the directory may hold, in bytes. The entries used longest ago make room.
const CAPACITY: u64 = 2 << 30;

/// A compiled component. Plugins of the same file share it.
pub(crate) struct Compiled {
    pub component: Component,
}

pub(crate) struct Cache {
    /// None where nothing can be kept between runs.
    dir: Option<PathBuf>,
    engine: Engine,
    compatibility: String,
    live: Mutex<HashMap<String, Weak<Compiled>>>,
    /// One compilation at a time: each uses all cores by itself.
    pub compiling: Arc<tokio::sync::Mutex<()>>,
}

impl Cache {
    /// Open or make the directory. One that cannot be made or written is done without.
    ///
    /// # Errors
    /// [`RuntimeError::UnsafeCache`] where somebody else could put machine code into it.
    pub(crate) fn open(dir: PathBuf, engine: &Engine) -> Result<Self, RuntimeError> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let dir = match prepare(&dir) {
            Ok(()) => Some(dir),
            Err(Unusable::Unsafe(reason)) => return Err(RuntimeError::UnsafeCache { path: dir, reason }),
            Err(Unusable::Missing(error)) => {
                tracing::warn!(dir = %dir.display(), %error, "no code cache: plugins are compiled at every start");
                None
            }
        };
        Ok(Self {
            dir,
            engine: engine.clone(),
            compatibility: format!("{:016x}", hasher.finish()),
            live: Mutex::default(),
            compiling: Arc::default(),
        })
    }

    /// Compiled code that a plugin in this process uses.
    pub(crate) fn live(&self, digest: &str) -> Option<Arc<Compiled>> {
        self.lock().get(digest).and_then(Weak::upgrade)
    }

    /// Share a component. Where another load was faster, its component is the answer.
    pub(crate) fn share(&self, digest: &str, component: Component) -> Arc<Compiled> {
        let mut live = self.lock();
        live.retain(|_, compiled| compiled.strong_count() > 0);
        if let Some(compiled) = live.get(digest).and_then(Weak::upgrade) {
            return compiled;
        }
        let compiled = Arc::new(Compiled { component });
        live.insert(digest.to_owned(), Arc::downgrade(&compiled));
        compiled
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Compiled>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look into the directory. An entry that is not as it was written is removed. Blocks.
    pub(crate) fn read(&self, digest: &str) -> Option<Component> {
        let dir = self.dir.as_ref()?;
        let entry = self.entry(dir, digest);
        let code = match fs::read(&entry.code) {
            Ok(code) => code,
            Err(e) if e.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(entry = %entry.code.display(), %error, "cannot read the code cache");
                return None;
            }
        };
        let recorded = fs::read_to_string(&entry.digest).unwrap_or_default();
        let component = if recorded.trim_end() == HEXLOWER.encode(&Sha256::digest(&code)) {
            self.deserialize(&code).map_err(|e| format!("{e:#}"))
        } else {
            Err("it is not as it was written".into())
        };
        match component {
            Ok(component) => {
                // Marks it as used; that it may fail costs nothing but the order of removal.
                let now = fs::FileTimes::new().set_modified(SystemTime::now());
                OpenOptions::new().append(true).open(&entry.digest).and_then(|file| file.set_times(now)).ok();
                Some(component)
            }
            Err(reason) => {
                tracing::warn!(entry = %entry.code.display(), reason, "removed a bad entry of the code cache");
                entry.remove();
                None
            }
        }
    }

    #[allow(unsafe_code)]
    fn deserialize(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes must come from `Component::serialize`. These do: they have the digest that `write` recorded
        // for its own output; code and digest lie in a directory that was found to be owned by this user and writable by
        // nobody else; and no file is mapped, so nothing can change under the code once it was checked.
        unsafe { Component::deserialize(&self.engine, code) }
    }

    /// Keep a component for the next run. Failing to is logged and has no other consequence. Blocks.
    pub(crate) fn write(&self, digest: &str, component: &Component) {
        let Some(dir) = self.dir.as_ref() else { return };
        let entry = self.entry(dir, digest);
        let written = component.serialize().map_err(|e| io::Error::other(format!("{e:#}"))).and_then(|code| {
            make_room(dir, code.len() as u64);
            replace(&entry.code, &code)?;
            replace(&entry.digest, format!("{}\n", HEXLOWER.encode(&Sha256::digest(&code))).as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(dir = %dir.display(), %error, "cannot keep compiled code: the plugin is compiled again at the next start");
        }
    }

    fn entry(&self, dir: &Path, digest: &str) -> Entry {
        let name = format!("{digest}-{}", self.compatibility);
        Entry { code: dir.join(format!("{name}.cwasm")), digest: dir.join(format!("{name}.sha256")) }
    }
}

struct Entry {
    code: PathBuf,
    digest: PathBuf,
}

impl Entry {
    fn remove(&self) {
        for path in [&self.digest, &self.code] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(entry = %path.display(), %error, "cannot remove from the code cache");
            }
        }
    }
}

enum Unusable {
    /// Somebody else may write it.
    Unsafe(String),
    /// It cannot be had.
    Missing(io::Error),
}

fn prepare(dir: &Path) -> Result<(), Unusable> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Unusable::Missing)?;
    let metadata = fs::symlink_metadata(dir).map_err(Unusable::Missing)?;
    if !metadata.is_dir() {
        return Err(Unusable::Unsafe("it is a symbolic link".into()));
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(Unusable::Unsafe(format!("it belongs to user {}, and this is user {user}", metadata.uid())));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(Unusable::Unsafe(format!("others may write it (mode {:03o})", metadata.mode() & 0o777)));
    }
    Ok(())
}

/// Write a file whole or not at all, for this user alone.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let fresh = path.with_extension(format!("{}-{next}.tmp", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        fs::remove_file(&fresh).ok();
    }
    written
}

/// Remove the entries used longest ago, and what a crash left, until `size` more bytes fit.
fn make_room(dir: &Path, size: u64) {
    let Ok(files) = fs::read_dir(dir) else { return };
    let mut entries: Vec<(SystemTime, u64, Entry)> = Vec::new();
    for path in files.flatten().map(|file| file.path()) {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let old = modified.elapsed().is_ok_and(|age| age.as_secs() > 3600);
        match path.extension().and_then(|e| e.to_str()) {
            Some("tmp") if old => drop(fs::remove_file(&path)),
            Some("cwasm") => {
                let digest = path.with_extension("sha256");
                let used = fs::metadata(&digest).and_then(|m| m.modified()).unwrap_or(modified);
                entries.push((used, metadata.len(), Entry { code: path, digest }));
            }
            _ => {}
        }
    }
    entries.sort_by_key(|(used, ..)| *used);
    let mut total: u64 = size + entries.iter().map(|(_, size, _)| size).sum::<u64>();
    for (_, size, entry) in entries {
        if total <= CAPACITY {
            break;
        }
        entry.remove();
        total -= size;
    }
}
