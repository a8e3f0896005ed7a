//! From a source to a file: what pin, lock, cache and network have to say, in this order.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use homeostat_core::spec::PluginSource;
use hyper::header::ACCEPT;
use tokio::sync::Semaphore;
use url::Url;

use crate::cache::{Cache, Kind, read_at_most};
use crate::config::Config;
use crate::digest::sha256;
use crate::error::{Authority, FetchError};
use crate::http::{Call, Http, bounded};
use crate::judge::{expected, is_wasm, matches};
use crate::lock::Locked;
use crate::oci::{self, Artifact, Pushed, Reference};

/// How many files are downloaded at once. Each is in memory until it is whole.
const DOWNLOADS: usize = 4;

/// What is expected of a source.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The SHA-256 that the operator wrote down.
    pub pin: Option<&'a str>,
    /// The plugin's entry of the lock file.
    pub locked: Option<&'a Locked>,
    /// What the lock means.
    pub lookup: Lookup,
    /// What to do about a mismatch, as the end of a sentence: "run `...` if that is what you want".
    pub advice: &'a str,
}

/// Whether a lock binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// What is locked, and nothing else.
    #[default]
    AsLocked,
    /// What the source means now: the lock is about to be renewed. A pin binds all the same, and where the cache has what
    /// it says, nobody is asked.
    Anew,
}

/// A file, and what it is.
#[derive(Debug)]
pub struct Fetched {
    /// Where it is: the operator's own file, or one of the cache, which nobody may write to.
    pub path: PathBuf,
    /// Its SHA-256, in lower-case hexadecimal, as it was read just now.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// The source without what may change: for a tag, the digest of its manifest. Where a pin was found in the cache, and
    /// so nobody was asked, the source itself.
    pub resolved: String,
    /// Whether the file was there already, and was not downloaded.
    pub from_cache: bool,
    /// Why the source could not be asked what it means now, where that was wanted; the locked file is here instead.
    pub unreachable: Option<FetchError>,
}

impl Fetched {
    /// The entry for the lock file.
    pub fn lock(&self, source: &PluginSource) -> Locked {
        Locked {
            source: source.to_string(),
            resolved: self.resolved.clone(),
            sha256: self.digest.clone(),
            size: self.size,
        }
    }
}

/// Where plugins come from.
#[derive(Debug)]
pub struct Sources {
    cache: Arc<Cache>,
    http: Http,
    turns: Semaphore,
}

/// A source that was understood.
enum Place<'a> {
    File(&'a Path),
    Url(Url),
    Artifact(Reference),
}

/// What came, and what its source means.
struct Came {
    bytes: Vec<u8>,
    digest: String,
    resolved: String,
    from_cache: bool,
}

impl Sources {
    /// Keep downloads in a directory, which is made where it is missing. Blocks.
    ///
    /// # Errors
    /// [`FetchError::Cache`] where it cannot be used or others may use it, [`FetchError::Roots`] where the configured
    /// roots are none.
    pub fn new(dir: &Path, config: &Config) -> Result<Self, FetchError> {
        let cache = Arc::new(Cache::open(dir, config.size.max(oci::MANIFEST))?);
        Ok(Self { cache, http: Http::new(config)?, turns: Semaphore::new(DOWNLOADS) })
    }

    /// Get a plugin's file. It is as pin and lock say, where there are any.
    ///
    /// # Errors
    /// [`FetchError`]. Nothing that is refused is kept.
    pub async fn fetch(&self, source: &PluginSource, wanted: &Wanted<'_>) -> Result<Fetched, FetchError> {
        let expected = expected(source, wanted)?;
        let text = source.to_string();
        match self.place(source)? {
            Place::File(path) => self.file(path, &text, expected, wanted.advice).await,
            Place::Url(url) => self.remote(&text, wanted, expected, self.download(&url, &text)).await,
            Place::Artifact(reference) => {
                self.remote(&text, wanted, expected, self.pull(&reference, wanted, expected)).await
            }
        }
    }

    /// Whether a source could be asked, as far as can be told without asking it.
    ///
    /// # Errors
    /// [`FetchError::Source`], [`FetchError::Plain`].
    pub fn check(&self, source: &PluginSource) -> Result<(), FetchError> {
        self.place(source).map(drop)
    }

    fn place<'a>(&self, source: &'a PluginSource) -> Result<Place<'a>, FetchError> {
        match source {
            PluginSource::File(path) => Ok(Place::File(path)),
            PluginSource::Https(text) => {
                let url: Url = text.parse().map_err(|error: url::ParseError| FetchError::Source {
                    place: text.clone(),
                    reason: format!("it is no URL: {error}"),
                })?;
                self.http.admit(&url)?;
                Ok(Place::Url(url))
            }
            PluginSource::Oci(text) => Reference::parse(text).map(Place::Artifact),
        }
    }

    /// Put a plugin into a registry, under the tag of `oci://host[:port]/repository:tag`. A tag that is there is moved.
    ///
    /// # Errors
    /// [`FetchError`]; a push that fails leaves the tag as it was.
    pub async fn push(&self, reference: &str, file: Bytes, artifact: &Artifact) -> Result<Pushed, FetchError> {
        let reference = Reference::parse(reference)?;
        let place = reference.to_string();
        bounded(self.http.config(), &place, oci::push(&self.http, &reference, file, artifact)).await
    }

    /// Keep a file of this machine as what was downloaded is kept, with the manifest beside it: the one in use does not
    /// change then when a new version is built in its place. Answers with where the copy is.
    ///
    /// # Errors
    /// [`FetchError::File`] where it cannot be read or is not what it was a moment ago, [`FetchError::Cache`].
    pub async fn keep(&self, file: &Path, digest: &str) -> Result<PathBuf, FetchError> {
        let (cache, file, digest) = (Arc::clone(&self.cache), file.to_owned(), digest.to_owned());
        let limit = self.http.config().size;
        beside(move || {
            let unreadable = |source| FetchError::File { path: file.clone(), source };
            let kept = cache.path(&digest, Kind::Wasm);
            if kept == file {
                return Ok(kept);
            }
            if cache.read(&digest, Kind::Wasm).is_none() {
                let bytes = read_at_most(&file, limit).map_err(unreadable)?;
                if sha256(&bytes) != digest {
                    return Err(unreadable(std::io::Error::other("it was changed meanwhile; try again")));
                }
                cache.write(&digest, Kind::Wasm, &bytes)?;
            }
            let manifest = file.with_extension("manifest.json");
            match read_at_most(&manifest, limit) {
                Ok(bytes) => cache.write_beside(&kept.with_extension("manifest.json"), &bytes)?,
                // One that an earlier registration had must not speak for this one.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    drop(fs::remove_file(kept.with_extension("manifest.json")));
                }
                Err(source) => return Err(FetchError::File { path: manifest, source }),
            }
            Ok(kept)
        })
        .await
    }

    /// Where the file of a digest is kept, or would be. Whoever loads it compares the digest; one that is not as it was is
    /// fetched again by [`Self::fetch`].
    pub fn kept(&self, digest: &str) -> PathBuf {
        self.cache.path(digest, Kind::Wasm)
    }

    /// Remove what was downloaded and is not in `keep`, a set of SHA-256 of files. Says how many files went. Blocks.
    ///
    /// What another task fetches meanwhile has to be in `keep` already, or must not be fetched meanwhile.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub fn prune(&self, keep: &BTreeSet<String>) -> Result<usize, FetchError> {
        let unusable = |error: std::io::Error| FetchError::Cache {
            path: self.cache.path("", Kind::Wasm).parent().unwrap_or(Path::new("")).to_owned(),
            reason: error.to_string(),
        };
        let mut removed = 0;
        for (digest, kind) in self.cache.list().map_err(unusable)? {
            let kept = match kind {
                Kind::Wasm => keep.contains(&digest),
                // A manifest is kept for its file.
                Kind::Manifest => self
                    .cache
                    .read(&digest, kind)
                    .and_then(|bytes| oci::layer_of("", &bytes).ok())
                    .is_some_and(|layer| layer.sha256().is_some_and(|file| keep.contains(file))),
            };
            if !kept {
                self.cache.remove(&digest, kind).map_err(unusable)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// A file of this machine is taken where it is.
    async fn file(
        &self,
        path: &Path,
        text: &str,
        expected: Option<(&str, Authority)>,
        advice: &str,
    ) -> Result<Fetched, FetchError> {
        let (of_work, limit) = (path.to_owned(), self.http.config().size);
        let (digest, size) = beside(move || measure(&of_work, limit)).await?;
        matches(text, expected, &digest, advice)?;
        let (path, resolved) = (path.to_owned(), text.to_owned());
        Ok(Fetched { path, digest, size, resolved, from_cache: false, unreachable: None })
    }

    /// Whatever comes over the network. `work` asks it, where that is necessary.
    async fn remote(
        &self,
        text: &str,
        wanted: &Wanted<'_>,
        expected: Option<(&str, Authority)>,
        work: impl Future<Output = Result<Came, FetchError>>,
    ) -> Result<Fetched, FetchError> {
        // What a pin says is known whatever the source means now.
        let known = expected.filter(|(_, authority)| wanted.lookup == Lookup::AsLocked || *authority == Authority::Pin);
        if let Some((digest, _)) = known
            && let Some(bytes) = self.cached(digest).await?
        {
            let same = wanted.locked.filter(|locked| locked.source == text && locked.sha256 == digest);
            let resolved = same.map_or(text, |locked| &locked.resolved).to_owned();
            return Ok(self.known(digest, bytes.len() as u64, resolved, None));
        }
        let asked = async {
            // The semaphore is never closed; without a turn there would be more at once, and nothing worse.
            let _turn = self.turns.acquire().await.ok();
            bounded(self.http.config(), text, work).await
        };
        let came = match asked.await {
            Ok(came) => came,
            Err(failure) => return self.instead(text, wanted, failure).await,
        };
        matches(text, expected, &came.digest, wanted.advice)?;
        let (cache, size) = (self.cache.clone(), came.bytes.len() as u64);
        let Came { bytes, digest, resolved, from_cache } = came;
        let key = digest.clone();
        let path = beside(move || cache.write(&key, Kind::Wasm, &bytes)).await?;
        tracing::info!(source = text, %digest, size, from_cache, "fetched");
        Ok(Fetched { path, digest, size, resolved, from_cache, unreachable: None })
    }

    /// Nobody answers: the locked file is as good as it was, where it is that of this source and of the pin.
    async fn instead(&self, text: &str, wanted: &Wanted<'_>, failure: FetchError) -> Result<Fetched, FetchError> {
        let usable = wanted.locked.filter(|locked| {
            failure.is_transient() && locked.source == text && wanted.pin.is_none_or(|pin| pin == locked.sha256)
        });
        let Some(locked) = usable else { return Err(failure) };
        let Some(bytes) = self.cached(&locked.sha256).await? else { return Err(failure) };
        tracing::warn!(source = text, digest = locked.sha256, %failure, "cannot be asked; the locked file is used");
        Ok(self.known(&locked.sha256, bytes.len() as u64, locked.resolved.clone(), Some(failure)))
    }

    fn known(&self, digest: &str, size: u64, resolved: String, unreachable: Option<FetchError>) -> Fetched {
        let path = self.cache.path(digest, Kind::Wasm);
        Fetched { path, digest: digest.to_owned(), size, resolved, from_cache: true, unreachable }
    }

    async fn cached(&self, digest: &str) -> Result<Option<Vec<u8>>, FetchError> {
        let (cache, digest) = (self.cache.clone(), digest.to_owned());
        beside(move || Ok(cache.read(&digest, Kind::Wasm))).await
    }

    /// Over HTTPS.
    async fn download(&self, url: &Url, text: &str) -> Result<Came, FetchError> {
        let limit = self.http.config().size;
        let mut attempts = self.http.attempts();
        let bytes = loop {
            let got = match self.http.send(&Call::get(url.clone()).header(ACCEPT, "application/wasm, */*;q=0.5")).await
            {
                Ok(answer) if answer.status() == hyper::StatusCode::OK => {
                    if matches!(&*answer.content_type(), "text/html" | "application/xhtml+xml") {
                        return Err(FetchError::Page { place: text.to_owned() });
                    }
                    answer.bytes(limit).await
                }
                Ok(answer) => Err(answer.refusal().await),
                Err(failure) => Err(failure),
            };
            match got {
                Ok(bytes) => break bytes,
                Err(failure) => attempts.after(failure).await?,
            }
        };
        is_wasm(text, &bytes)?;
        let digest = sha256(&bytes);
        Ok(Came { bytes, digest, resolved: text.to_owned(), from_cache: false })
    }

    /// From a registry.
    async fn pull(
        &self,
        reference: &Reference,
        wanted: &Wanted<'_>,
        expected: Option<(&str, Authority)>,
    ) -> Result<Came, FetchError> {
        let binding = wanted.locked.filter(|_| wanted.lookup == Lookup::AsLocked);
        let locked = binding.and_then(|locked| reference.digest_in(&locked.resolved));
        let resolved = match locked.filter(|_| reference.digest.is_none()) {
            None => self.resolve(reference, wanted.advice).await?,
            // What the lock names is asked for, not what the tag has become.
            Some(digest) => match self.resolve(&reference.at(&digest), wanted.advice).await {
                Err(failure) if failure.is_status(404) => self.resolve(reference, wanted.advice).await?,
                other => other?,
            },
        };
        let file = resolved.layer.sha256().unwrap_or_default();
        // Before it is downloaded.
        matches(&reference.to_string(), expected, file, wanted.advice)?;
        let (bytes, from_cache) = match self.cached(file).await? {
            Some(bytes) => (bytes, true),
            None => (oci::blob(&self.http, reference, &resolved.layer).await?, false),
        };
        is_wasm(&reference.to_string(), &bytes)?;
        let digest = sha256(&bytes);
        Ok(Came { bytes, digest, resolved: reference.resolved(&resolved.digest), from_cache })
    }

    /// What a reference means. A manifest that is named by its digest is looked for in the cache first, and kept in it.
    async fn resolve(&self, reference: &Reference, advice: &str) -> Result<oci::Resolved, FetchError> {
        if let Some(digest) = reference.digest.clone() {
            let cache = self.cache.clone();
            let key = digest.clone();
            if let Some(manifest) = beside(move || Ok(cache.read(&key, Kind::Manifest))).await? {
                let layer = oci::layer_of(&reference.to_string(), &manifest)?;
                return Ok(oci::Resolved { manifest, digest, layer });
            }
        }
        let resolved = oci::resolve(&self.http, reference, advice).await?;
        let (cache, key, manifest) = (self.cache.clone(), resolved.digest.clone(), resolved.manifest.clone());
        beside(move || cache.write(&key, Kind::Manifest, &manifest)).await?;
        Ok(resolved)
    }
}

/// Digest and size of a file. Looked at before it is opened: opening a pipe would wait for its other end. Blocks.
fn measure(path: &Path, limit: u64) -> Result<(String, u64), FetchError> {
    let unreadable = |source| FetchError::File { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let not = |found| Err(FetchError::NotAFile { path: path.to_owned(), found });
    if metadata.is_dir() {
        return not("a directory");
    }
    if !metadata.is_file() {
        return not("a device, a pipe or a socket");
    }
    let too_big = |size| FetchError::TooBig { place: path.display().to_string(), size: Some(size), limit };
    if metadata.len() > limit {
        return Err(too_big(metadata.len()));
    }
    let bytes = read_at_most(path, limit).map_err(unreadable)?;
    let size = bytes.len() as u64;
    if size > limit { Err(too_big(size)) } else { Ok((sha256(&bytes), size)) }
}

/// Run blocking work where it holds up nobody.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(FetchError::Stopped(error.to_string())))
}
