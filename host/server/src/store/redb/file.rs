//! The file on the disk: opened, or made whole before it gets its name.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::{Builder, Database};

use super::fault::{Fault, guarded};
use super::tables::{FORMAT, Tables};
use crate::store::StoreError;

/// How much of the file is kept in memory, in bytes.
const CACHE: usize = 32 << 20;

/// The database in an open file; none in it is an error unless `new`.
fn database(file: File, new: bool, path: &Path) -> Result<Database, Fault> {
    if !new && file.metadata()?.len() == 0 {
        // This store never leaves an empty file, so something else has emptied it.
        let what = "it is empty, so what it held is lost".into();
        return Err(StoreError::Damaged { path: path.display().to_string(), what }.into());
    }
    guarded(|| Ok(Builder::new().set_cache_size(CACHE).create_file(file)?))
}

/// Whether there is a file of that name.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|error| Fault::from(error).explain(path, "opened"))
}

/// Refuse where there is none.
pub(super) fn require(path: &Path) -> Result<(), StoreError> {
    match exists(path)? {
        true => Ok(()),
        false => Err(StoreError::Missing { path: path.display().to_string() }),
    }
}

/// Open a file that exists.
pub(super) fn open(path: &Path) -> Result<Database, Fault> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // Where the disk has failed to take what was written, the system's memory may still show it. What counts is the disk.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    database(file, false, path)
}

/// Make a new file. It gets its name when it is whole, unless the name is taken meanwhile.
pub(super) fn create(path: &Path, fill: impl FnOnce(&mut Tables<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    let new = prepare(path, fill)?;
    let linked = match std::fs::hard_link(&new, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => std::fs::rename(&new, path),
        _ => Ok(()),
    };
    let _ = std::fs::remove_file(&new);
    linked?;
    sync_dir(path)?;
    Ok(())
}

/// Make a new file beside `path`, whole and durable, and return its name.
pub(super) fn prepare(path: &Path, fill: impl FnOnce(&mut Tables<'_>) -> Result<(), Fault>) -> Result<PathBuf, Fault> {
    let new = beside(path, &format!("new-{:08x}", fastrand::u32(..)));
    // Specs may hold what others should not read.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
    let made = database(file, true, &new).and_then(|database| guarded(|| initialise(&database, fill)));
    if made.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    made.map(|()| new)
}

/// Make the tables of a new database, and fill them.
pub(super) fn initialise(
    database: &Database,
    fill: impl FnOnce(&mut Tables<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        let mut tables = Tables::open(&transaction)?;
        tables.meta.insert("format", FORMAT)?;
        tables.meta.insert("revision", 0)?;
        tables.meta.insert("next-event", 1)?;
        fill(&mut tables)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Make what was done to the names in the file's directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// `state.redb` as `state.redb.SUFFIX`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
