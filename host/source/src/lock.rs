//! The lock file: which file each plugin was, when it was added.
//!
//! ```json
//! {
//!   "Version": 1,
//!   "Plugins": {
//!     "greeter": {
//!       "Source": "oci://registry.example.com/greeter:1",
//!       "Resolved": "oci://registry.example.com/greeter@sha256:...",
//!       "Sha256": "...",
//!       "Size": 84213
//!     }
//!   }
//! }
//! ```
//!
//! It is sorted, so that two people who add different plugins change different lines. A name that occurs twice is an
//! error: one of the two would win silently, and that is how a merge undoes a lock.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::{is_sha256, not_sha256};
use crate::error::LockError;

/// The one version that is known.
const VERSION: u64 = 1;

/// The largest lock file that is read, in bytes: some 10,000 plugins.
const LARGEST: u64 = 8 << 20;

/// All that is locked, by the name of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Lock {
    #[serde(default)]
    version: Version,
    /// The entries.
    #[serde(deserialize_with = "no_name_twice")]
    pub plugins: BTreeMap<String, Locked>,
}

/// Written and read as the number; what it is was looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Version(u64);

impl Default for Version {
    fn default() -> Self {
        Self(VERSION)
    }
}

/// What a plugin was when it was locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Locked {
    /// The source, as the operator wrote it.
    pub source: String,
    /// The same without what may change: a tag has become a digest.
    pub resolved: String,
    /// The SHA-256 of the file, in lower-case hexadecimal.
    #[serde(deserialize_with = "digest")]
    pub sha256: String,
    /// The size of the file in bytes.
    pub size: u64,
}

impl Lock {
    /// Read a lock file. One that is not there is empty.
    ///
    /// # Errors
    /// [`LockError`], with line and column where the text is at fault.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let unreadable = |source| LockError::Read { path: path.to_owned(), source };
        let bytes = match crate::cache::read_at_most(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
        };
        if bytes.len() as u64 > LARGEST {
            return Err(unreadable(io::Error::other("it is larger than any lock file")));
        }
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, LockError> {
        /// Of any version.
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Head {
            version: u64,
        }
        let syntax = |error: serde_json::Error| {
            let text = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            LockError::Syntax {
                path: path.to_owned(),
                line: error.line().max(1),
                column: error.column().max(1),
                reason: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
            }
        };
        let head: Head = serde_json::from_slice(bytes).map_err(syntax)?;
        if head.version != VERSION {
            return Err(LockError::Version { path: path.to_owned(), found: head.version, known: VERSION });
        }
        serde_json::from_slice(bytes).map_err(syntax)
    }

    /// Replace the lock file whole. A link is followed, and the file's mode is kept.
    ///
    /// # Errors
    /// [`LockError::Write`]; the file is as it was.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        replace(path, self).map_err(|source| LockError::Write { path: path.to_owned(), source })
    }

    /// Read, change and replace the lock file, with nobody else doing so meanwhile: blocks while somebody does. Nothing
    /// is written where nothing was changed.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn update<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, LockError> {
        let unwritable = |source| LockError::Write { path: path.to_owned(), source };
        // The directory is what is locked: the file itself is replaced, and a lock on it would go with it.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let turn = File::open(parent(&target)).map_err(unwritable)?;
        turn.lock().map_err(unwritable)?;
        let before = Self::read(path)?;
        let mut after = before.clone();
        let answer = change(&mut after);
        if after != before {
            after.write(path)?;
        }
        Ok(answer)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(path: &Path, lock: &Lock) -> io::Result<()> {
    let target: PathBuf = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        other => other?,
    };
    let mode = fs::metadata(&target).map_or(0o644, |it| it.permissions().mode() & 0o777);
    let dir = parent(&target);
    let mut text = serde_json::to_vec_pretty(lock)?;
    text.push(b'\n');
    let mut file = tempfile::Builder::new().prefix(".homeostat-lock-").tempfile_in(dir)?;
    file.write_all(&text)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_sha256(&text) { Ok(text) } else { Err(D::Error::custom(not_sha256(&text))) }
}

fn no_name_twice<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Locked>, D::Error> {
    struct Once;
    impl<'de> Visitor<'de> for Once {
        type Value = BTreeMap<String, Locked>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of plugins")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut plugins = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                if plugins.contains_key(&name) {
                    return Err(A::Error::custom(format!("the plugin {name:?} is there twice")));
                }
                plugins.insert(name, map.next_value()?);
            }
            Ok(plugins)
        }
    }
    deserializer.deserialize_map(Once)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str) -> Locked {
        Locked {
            source: format!("oci://localhost:5000/{name}:1"),
            resolved: format!("oci://localhost:5000/{name}@sha256:{}", crate::sha256(b"manifest")),
            sha256: crate::sha256(name.as_bytes()),
            size: 12,
        }
    }

    #[test]
    fn a_lock_reads_back_sorted_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("homeostat.lock");
        assert_eq!(Lock::read(&path).unwrap(), Lock::default());
        let mut lock = Lock::default();
        for name in ["web", "api", "db"] {
            lock.plugins.insert(name.into(), locked(name));
        }
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        let text = fs::read_to_string(&path).unwrap();
        let order: Vec<_> = ["\"Version\": 1", "\"api\"", "\"db\"", "\"web\""].map(|it| text.find(it).unwrap()).into();
        assert!(order.is_sorted(), "{text}");
        assert!(text.ends_with("}\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let entry = serde_json::to_string(&locked("a")).unwrap();
        let short = entry.replace(&crate::sha256(b"a"), "abc");
        let cases = [
            ("{\n  \"Version\": 1,\n  \"Plugins\": {,\n}".to_owned(), "x.lock:3:15: "),
            ("<<<<<<< HEAD\n".into(), "x.lock:1:1: expected value"),
            ("".into(), "x.lock:1:1: EOF"),
            ("{}".into(), "missing field `Version`"),
            (r#"{"Version": 1}"#.into(), "missing field `Plugins`"),
            (r#"{"Version": 1, "Plugins": {}, "Plugin": {}}"#.into(), "unknown field `Plugin`"),
            (format!("{{\"Version\": 1, \"Plugins\": {{\n\"a\": {entry},\n\"a\": {entry}}}}}"), "x.lock:3:"),
            (format!("{{\"Version\": 1, \"Plugins\": {{\"a\": {entry}, \"a\": {entry}}}}}"), "\"a\" is there twice"),
            (format!("{{\"Version\": 1, \"Plugins\": {{\"a\": {short}}}}}"), "\"abc\" is no SHA-256"),
            (r#"{"Version": 2, "Plugins": []}"#.into(), "version 2, and this homeostat knows version 1"),
        ];
        for (text, says) in cases {
            let error = Lock::parse(Path::new("x.lock"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}\n{error}");
        }
    }

    #[test]
    fn a_lock_that_cannot_be_written_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no/homeostat.lock");
        assert!(matches!(Lock::default().write(&missing), Err(LockError::Write { .. })));
        assert!(matches!(Lock::update(&missing, |_| ()), Err(LockError::Write { .. })));
        let path = dir.path().join("homeostat.lock");
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(Lock::update(&path, |lock| lock.plugins.clear()), Err(LockError::Syntax { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense");
    }

    #[test]
    fn a_link_stays_one_and_the_mode_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        Lock::default().write(&real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Lock::update(&link, |lock| lock.plugins.insert("a".into(), locked("a"))).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Lock::read(&real).unwrap().plugins.len(), 1);
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_update_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("homeostat.lock");
        std::thread::scope(|scope| {
            for n in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    let name = format!("p{n}");
                    Lock::update(path, |lock| lock.plugins.insert(name.clone(), locked(&name))).unwrap();
                });
            }
        });
        assert_eq!(Lock::read(&path).unwrap().plugins.len(), 16);
    }
}
