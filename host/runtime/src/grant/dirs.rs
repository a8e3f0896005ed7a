//! Directories: opened once, and checked again before each call.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use homeostat_core::grant::{DirGrant, DirMode};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::Access;

/// The directories of one plugin. They stay open between calls: a call then costs one `stat` a directory instead of
/// opening it, and sees at once when another directory has taken the name.
pub(crate) struct Dirs {
    grants: Vec<DirGrant>,
    opened: Mutex<Opened>,
}

struct Opened {
    ids: Vec<Id>,
    granted: WasiFilesystemCtx,
    read_only: WasiFilesystemCtx,
}

/// Device and inode.
type Id = (u64, u64);

impl Dirs {
    /// Check and open them.
    ///
    /// # Errors
    /// A sentence that names the grant and says what is wrong with it.
    pub(crate) fn open(grants: &[DirGrant]) -> Result<Self, String> {
        let mut seen = BTreeSet::new();
        for grant in grants {
            let guest = normal(&grant.guest).ok_or_else(|| {
                format!("Grants.Dirs: Guest {:?} must be an absolute path without \"..\"", grant.guest)
            })?;
            if !seen.insert(guest) {
                return Err(format!(
                    "Grants.Dirs: Guest {:?} is given twice; each needs a name of its own",
                    grant.guest
                ));
            }
        }
        let opened = open(grants)?;
        Ok(Self { grants: grants.to_owned(), opened: Mutex::new(opened) })
    }

    /// The guest's view of them, opened anew where a directory was replaced.
    ///
    /// # Errors
    /// As [`Dirs::open`]: a directory may have gone since.
    pub(crate) fn view(&self, access: Access) -> Result<WasiFilesystemCtx, String> {
        if access == Access::Nothing {
            return view(&[], access);
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let same = self.grants.iter().zip(&opened.ids).all(|(grant, id)| identify(grant).is_ok_and(|now| now == *id));
        if !same {
            *opened = open(&self.grants)?;
        }
        let view = if access == Access::ReadOnly { &opened.read_only } else { &opened.granted };
        Ok(view.clone())
    }
}

/// A guest path as it is compared: absolute, no empty, `.` or `..` parts.
fn normal(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<_> = path.strip_prefix('/')?.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..") && !path.contains('\0')).then_some(parts)
}

fn open(grants: &[DirGrant]) -> Result<Opened, String> {
    let ids = grants.iter().map(identify).collect::<Result<_, _>>()?;
    let granted = view(grants, Access::Granted)?;
    let read_only = if grants.iter().all(|grant| grant.mode == DirMode::ReadOnly) {
        granted.clone()
    } else {
        view(grants, Access::ReadOnly)?
    };
    Ok(Opened { ids, granted, read_only })
}

fn view(grants: &[DirGrant], access: Access) -> Result<WasiFilesystemCtx, String> {
    let mut builder = WasiCtx::builder();
    // Guests have threads of their own, where a short file operation is cheaper done than handed on.
    builder.allow_blocking_current_thread(true);
    for grant in grants {
        let perms = match (access, grant.mode) {
            (Access::Granted, DirMode::ReadWrite) => FsPerms::ReadWrite,
            _ => FsPerms::ReadOnly,
        };
        builder
            .preopened_dir(&grant.host, &grant.guest, perms)
            .map_err(|e| format!("Grants.Dirs: cannot open {} for {}: {e:#}", grant.host.display(), grant.guest))?;
    }
    Ok(builder.build().filesystem().clone())
}

fn identify(grant: &DirGrant) -> Result<Id, String> {
    let (host, guest) = (grant.host.display(), &grant.guest);
    match fs::metadata(&grant.host) {
        Ok(metadata) if metadata.is_dir() => Ok(id(&metadata)),
        Ok(_) => Err(format!("Grants.Dirs: {host} (granted as {guest}) is not a directory")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("Grants.Dirs: {host} (granted as {guest}) does not exist; create it, or mend the grant's Host"))
        }
        Err(e) => Err(format!("Grants.Dirs: {host} (granted as {guest}) cannot be looked at: {e}")),
    }
}

fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(dirs: &[(&std::path::Path, &str)]) -> Vec<DirGrant> {
        dirs.iter()
            .map(|(host, guest)| DirGrant { host: host.into(), guest: (*guest).into(), mode: DirMode::ReadWrite })
            .collect()
    }

    fn refusal(dirs: &[(&std::path::Path, &str)]) -> String {
        Dirs::open(&grants(dirs)).err().expect("was accepted")
    }

    #[test]
    fn refuses_what_cannot_work_and_names_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("a file");
        assert!(refusal(&[(&dir.path().join("none"), "/a")]).contains("none (granted as /a) does not exist"));
        assert!(refusal(&[(&file, "/a")]).contains("is not a directory"));
        for twice in ["/a", "/a/", "//a", "/./a"] {
            assert!(refusal(&[(dir.path(), "/a"), (dir.path(), twice)]).contains("twice"), "{twice}");
        }
        for bad in ["a", "", "/a/../b", "/a\0b"] {
            assert!(refusal(&[(dir.path(), bad)]).contains("absolute path"), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_that_was_replaced_is_opened_anew_and_a_missing_one_is_an_error() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("d");
        fs::create_dir(&dir).expect("a directory");
        let dirs = Dirs::open(&grants(&[(&dir, "/d")])).expect("opens");
        let before = dirs.opened.lock().expect("a lock").ids.clone();
        fs::rename(&dir, root.path().join("old")).expect("renames");
        assert!(dirs.view(Access::Granted).err().expect("was given").contains("does not exist"));
        fs::create_dir(&dir).expect("a directory");
        dirs.view(Access::ReadOnly).expect("opens again");
        assert_ne!(before, dirs.opened.lock().expect("a lock").ids);
    }
}
