//! Files by their digest, in a directory of this user. What is read from it has the digest it was asked for, or is not
//! read.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::{is_sha256, sha256};
use crate::error::FetchError;

/// What a download that was cut off leaves is removed after this time.
const LEFTOVER: Duration = Duration::from_secs(3600);

/// How a file in the making is named. No digest begins so.
const MAKING: &str = ".making-";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plugin.
    Wasm,
    /// The manifest of an artifact in a registry.
    Manifest,
}

impl Kind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Manifest => "json",
        }
    }
}

/// `DIR/sha256/DIGEST.wasm`, and `DIGEST.json` for manifests. All functions block.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    size: u64,
}

impl Cache {
    /// Make the directory, or look whether it is ours alone.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub(crate) fn open(dir: &Path, size: u64) -> Result<Self, FetchError> {
        let unusable = |path: &Path, reason: String| FetchError::Cache { path: path.to_owned(), reason };
        let inner = dir.join("sha256");
        for path in [dir, &inner] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| unusable(path, error.to_string()))?;
            let metadata = fs::symlink_metadata(path).map_err(|error| unusable(path, error.to_string()))?;
            let user = rustix::process::geteuid().as_raw();
            if !metadata.is_dir() {
                return Err(unusable(path, "it is a symbolic link; give the directory itself".into()));
            }
            if metadata.uid() != user {
                return Err(unusable(path, format!("it belongs to user {}, and this is user {user}", metadata.uid())));
            }
            if metadata.mode() & 0o077 != 0 {
                let mode = metadata.mode() & 0o777;
                return Err(unusable(
                    path,
                    format!("others may use it (mode {mode:03o}); `chmod 700` makes it private"),
                ));
            }
        }
        Ok(Self { dir: inner, size })
    }

    /// Where a file is, or would be. The digest is one: see [`is_sha256`].
    pub(crate) fn path(&self, digest: &str, kind: Kind) -> PathBuf {
        self.dir.join(format!("{digest}.{}", kind.extension()))
    }

    /// The file of a digest. One that has another digest by now is removed, as if it had never been there.
    pub(crate) fn read(&self, digest: &str, kind: Kind) -> Option<Vec<u8>> {
        if !is_sha256(digest) {
            return None;
        }
        let path = self.path(digest, kind);
        let bytes = match read_at_most(&path, self.size) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read from the plugin cache");
                return None;
            }
        };
        if bytes.len() as u64 <= self.size && sha256(&bytes) == digest {
            return Some(bytes);
        }
        tracing::warn!(file = %path.display(), "removed a file of the plugin cache: it is not what it was");
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "cannot remove it");
        }
        None
    }

    /// Keep a file, durably and never in part. Two that keep the same one at once both succeed.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub(crate) fn write(&self, digest: &str, kind: Kind, bytes: &[u8]) -> Result<PathBuf, FetchError> {
        let path = self.path(digest, kind);
        if self.read(digest, kind).is_none() {
            self.write_beside(&path, bytes)?;
        }
        Ok(path)
    }

    /// Write a file of this directory, durably and never in part.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub(crate) fn write_beside(&self, path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
        let written = (|| {
            let mut file = tempfile::Builder::new().prefix(MAKING).tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            File::open(&self.dir)?.sync_all()
        })();
        written.map_err(|error| FetchError::Cache { path: path.to_owned(), reason: error.to_string() })
    }

    /// The digests that are there, with what each file is. Leftovers of downloads that were cut off are removed.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn list(&self) -> io::Result<Vec<(String, Kind)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(MAKING) {
                let age = entry.metadata().and_then(|it| it.modified()).map(|it| it.elapsed().unwrap_or_default());
                if age.is_ok_and(|age| age > LEFTOVER) {
                    fs::remove_file(entry.path()).ok();
                }
            } else if let Some((digest, extension)) = name.split_once('.')
                && is_sha256(digest)
                && let Some(kind) = [Kind::Wasm, Kind::Manifest].into_iter().find(|it| it.extension() == extension)
            {
                found.push((digest.to_owned(), kind));
            }
        }
        Ok(found)
    }

    /// Remove a file. One that is not there is removed already.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self, digest: &str, kind: Kind) -> io::Result<()> {
        if kind == Kind::Wasm {
            fs::remove_file(self.path(digest, kind).with_extension("manifest.json")).ok();
        }
        match fs::remove_file(self.path(digest, kind)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A file that is one, and at most one byte more of it than may be.
pub(crate) fn read_at_most(path: &Path, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(size.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("plugins"), 1 << 20).unwrap();
        (dir, cache)
    }

    #[test]
    fn what_is_written_is_read_and_is_for_this_user_alone() {
        let (_dir, cache) = cache();
        let digest = sha256(b"hello");
        assert_eq!(cache.read(&digest, Kind::Wasm), None);
        let path = cache.write(&digest, Kind::Wasm, b"hello").unwrap();
        assert_eq!(cache.read(&digest, Kind::Wasm).as_deref(), Some(&b"hello"[..]));
        assert_eq!(cache.read(&digest, Kind::Manifest), None);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_was_changed_is_removed_and_written_again() {
        let (_dir, cache) = cache();
        let digest = sha256(b"hello");
        let path = cache.write(&digest, Kind::Wasm, b"hello").unwrap();
        for changed in [&b"hellO"[..], b"", b"hello ", &[0; 2 << 20]] {
            fs::write(&path, changed).unwrap();
            assert_eq!(cache.read(&digest, Kind::Wasm), None);
            assert!(!path.exists());
            cache.write(&digest, Kind::Wasm, b"hello").unwrap();
            assert!(cache.read(&digest, Kind::Wasm).is_some());
        }
        // Also where it is found damaged by the one who writes.
        fs::write(&path, "hal").unwrap();
        cache.write(&digest, Kind::Wasm, b"hello").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"hello");
    }

    #[test]
    fn a_digest_that_is_none_names_no_file() {
        let (dir, cache) = cache();
        fs::write(dir.path().join("x.wasm"), "x").unwrap();
        assert_eq!(cache.read("../../x", Kind::Wasm), None);
        assert!(dir.path().join("x.wasm").exists());
    }

    #[test]
    fn many_writers_of_one_file_leave_one_whole_file() {
        let (_dir, cache) = cache();
        let bytes = vec![7; 300_000];
        let digest = sha256(&bytes);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    cache.write(&digest, Kind::Wasm, &bytes).unwrap();
                    assert!(cache.read(&digest, Kind::Wasm).is_some());
                });
            }
        });
        assert_eq!(cache.list().unwrap(), [(digest, Kind::Wasm)]);
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_others_may_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o750)).unwrap();
        let refused = Cache::open(&plugins, 1).unwrap_err().to_string();
        assert!(refused.contains("mode 750") && refused.contains("chmod 700"), "{refused}");
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o700)).unwrap();
        Cache::open(&plugins, 1).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&plugins, &link).unwrap();
        assert!(Cache::open(&link, 1).unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn leftovers_go_when_they_are_old() {
        let (_dir, cache) = cache();
        let (old, young) = (cache.dir.join(".making-old"), cache.dir.join(".making-young"));
        fs::write(&old, "x").unwrap();
        fs::write(&young, "x").unwrap();
        let then = std::time::SystemTime::now() - 2 * LEFTOVER;
        File::options().append(true).open(&old).unwrap().set_modified(then).unwrap();
        assert_eq!(cache.list().unwrap(), []);
        assert!(!old.exists() && young.exists());
    }
}
