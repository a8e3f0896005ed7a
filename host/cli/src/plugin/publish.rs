//! `homeostat plugin seal` and `push`: what an author does with a plugin that is built.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use homeostat_core::spec::MAX_PLUGIN_SIZE;
use homeostat_source::Artifact;
use serde_json::json;

use crate::args::Globals;
use crate::direct::{self, Trusted};
use crate::out;

/// Write a manifest into a component, so that it travels with it
///
/// The manifest says what the plugin needs. Languages in which it cannot be written in the source take it from a file:
/// either sealed into the component by this command, or left beside it (greeter.wasm has greeter.manifest.json).
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin seal greeter.wasm manifest.json
  homeostat plugin seal greeter.wasm manifest.json --to sealed.wasm")]
pub(crate) struct Seal {
    /// The component
    file: PathBuf,
    /// The manifest, as JSON
    manifest: PathBuf,
    /// Where to write it [default: the component itself]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Seal {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let (component, manifest) = (read(&self.file)?, read(&self.manifest)?);
        let sealed = homeostat_runtime::seal(&component, &manifest)
            .map_err(|why| anyhow!("{} is not sealed: {why}", self.file.display()))?;
        let to = self.to.unwrap_or(self.file);
        write(&to, &sealed)?;
        match globals.json() {
            true => out::json(&json!({"Path": to, "Size": sealed.len()})),
            false => out::print(&format!("Sealed {}", to.display())),
        }
    }
}

/// Put a plugin into an OCI registry
///
/// It becomes an artifact of the standard type for WebAssembly (application/wasm), which `plugin add oci://...` and other
/// tools understand. Passwords are those of `docker login`.
#[derive(Args)]
#[command(
    after_long_help = "Example:\n  homeostat plugin push greeter.wasm oci://registry.example.com/plugins/greeter:1.0.0"
)]
pub(crate) struct Push {
    /// The component
    file: PathBuf,
    /// Where to: oci://host/repository:tag
    #[arg(value_name = "oci://...")]
    reference: String,
    #[command(flatten)]
    trusted: Trusted,
}

impl Push {
    pub(super) async fn run(self, globals: &Globals) -> Result<()> {
        let plugin = direct::load_file(globals, &self.file, Default::default()).await?;
        let info = plugin.info();
        let words = [
            ("title", &info.description.name),
            ("version", &info.description.version),
            ("description", &info.description.summary),
        ];
        let annotation = |(key, value): (&str, &String)| (format!("org.opencontainers.image.{key}"), value.clone());
        let artifact = Artifact {
            created: created(),
            author: None,
            exports: info.exports.clone(),
            imports: info.imports.clone(),
            annotations: words.into_iter().map(annotation).collect(),
        };
        let file = read(&self.file)?;
        let pushed = direct::sources(globals, &self.trusted)?.push(&self.reference, file.into(), &artifact).await?;
        match globals.json() {
            true => out::json(&json!({"Resolved": pushed.resolved, "Sha256": pushed.sha256})),
            false => out::print(&format!(
                "Pushed {}\n  {}\n  sha256:{}",
                self.file.display(),
                pushed.resolved,
                pushed.sha256
            )),
        }
    }
}

/// When the artifact was made: as builds that can be repeated say, or now.
fn created() -> SystemTime {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|it| it.parse().ok());
    said.map_or_else(SystemTime::now, |seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if !metadata.is_file() {
        bail!("{} is no file", path.display());
    }
    if metadata.len() > MAX_PLUGIN_SIZE {
        bail!("{} has {} bytes, and a plugin has {MAX_PLUGIN_SIZE} at most", path.display(), metadata.len());
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}
