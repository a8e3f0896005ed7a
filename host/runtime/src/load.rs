//! From a path to a plugin: each stage checks one thing, and has its own way to say what is wrong.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use homeostat_core::grant::Manifest;
use homeostat_core::spec::{MAX_PLUGIN_SIZE, PluginSpec};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use wasmtime::component::{Component, Linker};

use crate::Wires;
use crate::abi::{self, Linked, PACKAGE};
use crate::cache::Compiled;
use crate::call::{Code, Failure, Sandbox};
use crate::describe::PluginDescription;
use crate::error::{CallErrorKind, LoadErrorKind};
use crate::grant::{Access, Authority};
use crate::host::Host;
use crate::inspect::{self, Names, World};
use crate::manifest;
use crate::plugin::{Plugin, PluginInfo, PluginKind};
use crate::state::CallState;

/// How long the compiler may take.
const COMPILE: Duration = Duration::from_secs(120);

/// How long `describe-plugin` may take, whatever the plugin's own limits are.
const DESCRIBE: Duration = Duration::from_secs(2);

/// A file that is a component of a world that is served.
struct Checked {
    bytes: Vec<u8>,
    digest: String,
    names: Names,
    world: World,
    manifest: Manifest,
}

/// The whole pipeline.
pub(crate) async fn load(
    host: &Arc<Host>,
    name: &str,
    file: &Path,
    spec: &PluginSpec,
    wires: Wires,
) -> Result<Plugin, LoadErrorKind> {
    let start = Instant::now();
    let path = file.to_owned();
    let drafts = host.drafts();
    let pin = spec.sha256.clone();
    let checked = beside(host, move || check(&path, pin, drafts)).await??;
    let Checked { bytes, digest, names, world, manifest } = checked;
    let size = bytes.len() as u64;
    let (compiled, from_cache) = compiled(host, &digest, bytes, COMPILE).await?;
    let linked = match &wires.files {
        None => link(host.linker(), &compiled.component, &names, &world, drafts)?,
        Some(_) => {
            let linker = host.wired_linker().map_err(|e| LoadErrorKind::Internal(format!("{e:#}")))?;
            link(&linker, &compiled.component, &names, &world, drafts)?
        }
    };

    let (of_work, called, wants, given) = (host.clone(), name.to_owned(), manifest.wants.clone(), spec.clone());
    let authority = beside(host, move || Authority::new(&of_work, &called, &wants, &given)).await?;
    let authority = authority.map_err(LoadErrorKind::Grant)?;
    let code = Code { digest: digest.as_str().into(), linked, compiled };
    let sandbox = Arc::new(Sandbox::new(host.clone(), name, code, authority, spec.limits.clone(), wires));
    let description = describe(host, &sandbox).await?;

    let info = PluginInfo {
        name: name.to_owned(),
        kind: world.kind,
        source: spec.source.clone(),
        digest,
        size,
        contract: format!("{PACKAGE}@{}", world.version),
        draft: world.served_by.is_draft(),
        description,
        manifest,
        producers: names.producers.into_iter().collect(),
        imports: names.imports,
        exports: names.exports,
        grants: spec.grants.clone(),
        limits: spec.limits.clone(),
        from_cache,
        load_time: start.elapsed(),
    };
    if info.draft {
        tracing::warn!(
            plugin = name,
            "it is of {}, a draft of the contract: what loads today may not load with the next host",
            info.contract
        );
    }
    tracing::info!(
        plugin = name, version = info.description.version, from_cache, time = ?info.load_time, "loaded"
    );
    Ok(Plugin::new(info, sandbox))
}

/// Run blocking work where it holds up no guest.
async fn beside<T: Send + 'static>(host: &Host, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadErrorKind> {
    host.threads().slow().spawn_blocking(work).await.map_err(|error| {
        if error.is_panic() { LoadErrorKind::Internal(error.to_string()) } else { LoadErrorKind::Stopped }
    })
}

fn check(path: &Path, pin: Option<String>, drafts: bool) -> Result<Checked, LoadErrorKind> {
    let bytes = read(path)?;
    let digest = HEXLOWER.encode(&Sha256::digest(&bytes));
    if let Some(wanted) = pin.filter(|pin| *pin != digest) {
        return Err(LoadErrorKind::Digest { found: digest, wanted });
    }
    let names = inspect::names(&bytes)?;
    let world = match inspect::world(&names, drafts) {
        Ok(world) => world,
        // A file may be cut off where a section ends: then this is the better message.
        Err(error) => return Err(inspect::validate(&bytes).err().unwrap_or(error)),
    };
    let manifest = manifest::read(path, &names.manifests)?;
    Ok(Checked { bytes, digest, names, world, manifest })
}

fn read(path: &Path) -> Result<Vec<u8>, LoadErrorKind> {
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => LoadErrorKind::NoFile,
        _ => LoadErrorKind::Unreadable(error.to_string()),
    })?;
    if metadata.is_dir() {
        return Err(LoadErrorKind::NotAFile("a directory"));
    }
    if !metadata.is_file() {
        return Err(LoadErrorKind::NotAFile("a device, a pipe or a socket"));
    }
    if metadata.len() > MAX_PLUGIN_SIZE {
        return Err(LoadErrorKind::TooBig { size: metadata.len(), limit: MAX_PLUGIN_SIZE });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path)
        .and_then(|file| file.take(MAX_PLUGIN_SIZE + 1).read_to_end(&mut bytes))
        .map_err(|error| LoadErrorKind::Unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_PLUGIN_SIZE {
        return Err(LoadErrorKind::TooBig { size: bytes.len() as u64, limit: MAX_PLUGIN_SIZE });
    }
    Ok(bytes)
}

/// Machine code for the file: of this process, of an earlier one, or made now. Says whether it was there already.
async fn compiled(
    host: &Arc<Host>,
    digest: &str,
    bytes: Vec<u8>,
    deadline: Duration,
) -> Result<(Arc<Compiled>, bool), LoadErrorKind> {
    if let Some(compiled) = host.cache().live(digest) {
        return Ok((compiled, true));
    }
    let (of_work, key) = (host.clone(), digest.to_owned());
    if let Some(component) = beside(host, move || of_work.cache().read(&key)).await? {
        return Ok((host.cache().share(digest, component), true));
    }
    let work = async {
        let turn = host.cache().compiling.clone().lock_owned().await;
        // Another load may have compiled the same file meanwhile.
        if let Some(compiled) = host.cache().live(digest) {
            return Ok((compiled, true));
        }
        let (of_work, key) = (host.clone(), digest.to_owned());
        let compiled = beside(host, move || compile(&of_work, &key, &bytes, turn)).await??;
        Ok((compiled, false))
    };
    timeout(deadline, work).await.unwrap_or(Err(LoadErrorKind::CompileDeadline { limit: deadline }))
}

/// Blocks. The turn is held to the end, also when nobody waits any more.
fn compile(host: &Host, digest: &str, bytes: &[u8], turn: OwnedMutexGuard<()>) -> Result<Arc<Compiled>, LoadErrorKind> {
    inspect::validate(bytes)?;
    let component = Component::new(host.engine(), bytes).map_err(|e| LoadErrorKind::Compile(format!("{e:#}")))?;
    let compiled = host.cache().share(digest, component);
    host.cache().write(digest, &compiled.component);
    drop(turn);
    Ok(compiled)
}

/// Check imports and exports against the world.
fn link(
    linker: &Linker<CallState>,
    component: &Component,
    names: &Names,
    world: &World,
    drafts: bool,
) -> Result<Linked, LoadErrorKind> {
    let pre = linker.instantiate_pre(component).map_err(|error| {
        let detail = format!("{error:#}");
        let named = names.imports.iter().find(|import| detail.contains(&format!("`{import}`")));
        let import = named.cloned().unwrap_or_else(|| "something".into());
        LoadErrorKind::MissingImport { hint: inspect::import_hint(&import, drafts), import, detail }
    })?;
    let (world_name, linked) = match world.kind {
        PluginKind::Instance => {
            ("instance-plugin", abi::instance::Linked::new(world.served_by, pre).map(Linked::Instance))
        }
        PluginKind::Flavor => {
            let removal = inspect::orders_removal(names, world.served_by);
            let linked = abi::flavor::Linked::new(world.served_by, pre, removal).map(Linked::Flavor);
            (if removal { "flavor-plugin-with-removal" } else { "flavor-plugin" }, linked)
        }
    };
    linked.map_err(|error| LoadErrorKind::WrongExport {
        world: world_name,
        version: world.version.clone(),
        detail: format!("{error:#}"),
    })
}

/// A throwaway instance: types are only compared when it is made, and it says what it is.
async fn describe(host: &Arc<Host>, sandbox: &Arc<Sandbox>) -> Result<PluginDescription, LoadErrorKind> {
    let raw = sandbox
        .attempt(DESCRIBE, DESCRIBE, Access::Nothing, |linked, store| Box::pin(linked.describe(store)))
        .await
        .map_err(|failure| match failure {
            Failure::Link(detail) => LoadErrorKind::Instantiate(detail),
            Failure::Call(CallErrorKind::Stopped) => LoadErrorKind::Stopped,
            Failure::Call(CallErrorKind::Timeout { limit } | CallErrorKind::CpuBudget { limit }) => {
                LoadErrorKind::DescribeDeadline { limit }
            }
            Failure::Call(kind) => LoadErrorKind::Describe(sandbox.error("describe-plugin", kind)),
        })?;
    beside(host, move || raw.check()).await?.map_err(LoadErrorKind::Description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuntimeConfig;

    /// A component whose compilation takes some time.
    fn big() -> Vec<u8> {
        let body = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 7)) (i32.const 1)))".repeat(20_000);
        wat::parse_str(format!("(component (core module (func (param i32) {body})))")).expect("is text")
    }

    #[tokio::test]
    async fn a_compilation_that_takes_too_long_is_given_up_and_its_turn_ends_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Arc::new(Host::start(RuntimeConfig::new(dir.path().join("cache"))).expect("starts"));
        let bytes = big();
        let late = compiled(&host, "late", bytes.clone(), Duration::from_millis(1)).await;
        assert!(matches!(late, Err(LoadErrorKind::CompileDeadline { .. })));
        // Waits for the one that was given up, which has been kept.
        let again = compiled(&host, "late", bytes, COMPILE).await;
        assert!(again.is_ok());
    }
}
