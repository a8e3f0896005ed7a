//! Values that nobody may see: read when they are needed, shown nowhere, wiped when they are dropped.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use homeostat_core::grant::SecretSource;
use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use zeroize::Zeroizing;

/// The most bytes that a secret may have.
const MOST: u64 = 64 << 10;

/// A value that neither `Debug` shows nor `Display` has. Its memory is wiped when it is dropped.
///
/// Copies that others make of it (a buffer that is written to a socket, the guest's own memory) are theirs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Take a value in.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether it can stand in a header: no control character, and not empty.
    pub(crate) fn fits_header(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|byte| !byte.is_ascii_control())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret cannot be had. No message holds any of it.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Neither its file nor the store's.
    #[error("{path} cannot be read", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory, a pipe, a device.
    #[error("{path} is no regular file", path = .0.display())]
    NotAFile(PathBuf),
    /// More than a secret has.
    #[error("{path} has more than {MOST} bytes: that is no secret", path = .0.display())]
    TooLarge(PathBuf),
    /// Others can read or change what is in the store.
    #[error("{path} may be opened by others (mode {mode:03o}, owner {owner}); `chmod 600` it, and let it belong to the user that the host runs as", path = path.display())]
    Open {
        /// The file of the store.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The number of the user who owns it.
        owner: u32,
    },
    /// The variable is not set.
    #[error("the host's environment has no variable {0:?}")]
    NoVariable(String),
    /// The host was started without a store.
    #[error("the host has no store of secrets")]
    NoStore,
    /// No name that the store could have.
    #[error("{0:?} is no name of a stored secret: letters, digits, `.`, `_` and `-`, and no dot at its beginning")]
    BadName(String),
    /// The host stops.
    #[error("reading it was interrupted")]
    Interrupted,
    /// There, and nothing in it.
    #[error("{0} is empty")]
    Empty(String),
}

/// Who reads secrets. A trait, so that tests and the conformance kit need no files.
pub trait Secrets: Send + Sync {
    /// The value as it is now.
    ///
    /// # Errors
    /// It cannot be had, or its place is not safe.
    fn read(&self, source: &SecretSource) -> Result<Secret, SecretError>;
}

/// The secrets of this machine.
#[derive(Clone, Debug, Default)]
pub struct HostSecrets {
    /// The directory of the host's own store, if it has one. Each secret is a file of it, with mode 0600.
    pub store: Option<PathBuf>,
}

impl Secrets for HostSecrets {
    fn read(&self, source: &SecretSource) -> Result<Secret, SecretError> {
        match source {
            SecretSource::File(path) => from_file(path, OFlags::empty(), warn_if_writable),
            SecretSource::Env(name) => {
                let value = env::var_os(name).ok_or_else(|| SecretError::NoVariable(name.clone()))?;
                not_empty(Secret::new(value.into_vec()), || format!("the variable {name:?}"))
            }
            SecretSource::Store(name) => {
                let store = self.store.as_ref().ok_or(SecretError::NoStore)?;
                if !is_store_name(name) {
                    return Err(SecretError::BadName(name.clone()));
                }
                from_file(&store.join(name), OFlags::NOFOLLOW, check_stored)
            }
        }
    }
}

fn is_store_name(name: &str) -> bool {
    let allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(allowed)
}

fn from_file(
    path: &Path,
    flags: OFlags,
    check: fn(&Path, &std::fs::Metadata) -> Result<(), SecretError>,
) -> Result<Secret, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // A pipe without a writer would keep `open` waiting.
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile(path.to_owned()));
    }
    check(path, &metadata)?;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = metadata.len().clamp(1 << 12, MOST) as usize + 1;
    let mut value = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST + 1).read_to_end(&mut value).map_err(unreadable)?;
    if value.len() as u64 > MOST {
        return Err(SecretError::TooLarge(path.to_owned()));
    }
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    not_empty(Secret(value), || path.display().to_string())
}

fn not_empty(secret: Secret, what: impl FnOnce() -> String) -> Result<Secret, SecretError> {
    if secret.0.is_empty() { Err(SecretError::Empty(what())) } else { Ok(secret) }
}

fn warn_if_writable(path: &Path, metadata: &std::fs::Metadata) -> Result<(), SecretError> {
    if metadata.permissions().mode() & 0o022 != 0 {
        crate::notice::secret_is_writable(path);
    }
    Ok(())
}

fn check_stored(path: &Path, metadata: &std::fs::Metadata) -> Result<(), SecretError> {
    let (mode, owner) = (metadata.permissions().mode() & 0o777, metadata.uid());
    if mode & 0o077 != 0 || (owner != rustix::process::geteuid().as_raw() && owner != 0) {
        return Err(SecretError::Open { path: path.to_owned(), mode, owner });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(folder: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn read(source: SecretSource) -> Result<Vec<u8>, String> {
        HostSecrets::default().read(&source).map(|it| it.expose().to_vec()).map_err(|it| it.to_string())
    }

    #[test]
    fn one_line_end_is_cut_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        for (content, value) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("a\r", "a\r")]
        {
            let path = file(folder.path(), "s", content.as_bytes(), 0o600);
            assert_eq!(read(SecretSource::File(path)).unwrap(), value.as_bytes(), "{content:?}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_refused_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let large = file(folder.path(), "large", &vec![b'x'; MOST as usize + 1], 0o600);
        assert!(read(SecretSource::File(large)).unwrap_err().contains("more than 65536 bytes"));
        let most = file(folder.path(), "most", &vec![b'x'; MOST as usize], 0o600);
        assert_eq!(read(SecretSource::File(most)).unwrap().len(), MOST as usize);
        let empty = file(folder.path(), "empty", b"\n", 0o600);
        assert!(read(SecretSource::File(empty)).unwrap_err().ends_with("empty is empty"));
        assert!(read(SecretSource::File(folder.path().into())).unwrap_err().contains("no regular file"));
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(read(SecretSource::File(pipe)).unwrap_err().contains("no regular file"));
        assert!(read(SecretSource::File(folder.path().join("none"))).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn the_store_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = HostSecrets { store: Some(folder.path().into()) };
        let read = |name: &str| secrets.read(&SecretSource::Store(name.into())).map(|it| it.expose().to_vec());
        file(folder.path(), "good", b"value\n", 0o600);
        assert_eq!(read("good").unwrap(), b"value");
        for mode in [0o640, 0o604, 0o620, 0o660] {
            file(folder.path(), "open", b"value", mode);
            assert!(matches!(read("open"), Err(SecretError::Open { .. })), "{mode:o}");
        }
        std::os::unix::fs::symlink(folder.path().join("good"), folder.path().join("link")).unwrap();
        assert!(matches!(read("link"), Err(SecretError::Unreadable { .. })));
        for name in ["", ".", "..", "../good", "a/b", ".hidden", "a b", "a\0"] {
            assert!(matches!(read(name), Err(SecretError::BadName(_))), "{name:?}");
        }
        let none = HostSecrets::default().read(&SecretSource::Store("good".into()));
        assert!(matches!(none, Err(SecretError::NoStore)));
    }

    #[test]
    fn the_environment_has_it_or_not() {
        assert_eq!(read(SecretSource::Env("PATH".into())).unwrap(), env::var_os("PATH").unwrap().into_vec());
        assert!(read(SecretSource::Env("HOMEOSTAT_NO_SUCH".into())).unwrap_err().contains("HOMEOSTAT_NO_SUCH"));
    }

    #[test]
    fn nothing_shows_it() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(..) Secret(..)");
    }

    #[test]
    fn what_cannot_stand_in_a_header() {
        for (value, fits) in
            [("abc", true), ("a b", true), ("a\nb", false), ("a\tb", false), ("", false), ("\x7f", false), ("é", true)]
        {
            assert_eq!(Secret::new(value.into()).fits_header(), fits, "{value:?}");
        }
    }
}
