//! What goes wrong inside redb, and how it is told.

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::store::StoreError;

/// Why a piece of work on the database failed.
pub(super) enum Fault {
    /// redb says so.
    Redb(redb::Error),
    /// redb panicked: it found something that it believes to be impossible.
    Panic(String),
    /// The store says so; the database is well.
    Store(StoreError),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// Whether the database has to be closed and opened again before it is used.
    pub(super) fn is_fatal(&self) -> bool {
        !matches!(self, Self::Store(_))
    }

    /// The same for people. `action` is what was tried: `opened`, `read`, `written`.
    pub(super) fn explain(self, path: &Path, action: &'static str) -> StoreError {
        let file = path.display().to_string();
        let damaged = |what: String| StoreError::Damaged { path: file.clone(), what };
        match self {
            Self::Store(error) => error,
            Self::Panic(text) => damaged(text),
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::InUse { path: file },
            Self::Redb(redb::Error::Io(error)) => match error.kind() {
                ErrorKind::InvalidData => damaged(error.to_string()),
                ErrorKind::UnexpectedEof => damaged("it is cut off".into()),
                _ => StoreError::Io { path: file, action, source: Box::new(error) },
            },
            Self::Redb(
                error @ (redb::Error::Corrupted(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::RepairAborted
                | redb::Error::LockPoisoned(_)
                | redb::Error::TableTypeMismatch { .. }
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TableDoesNotExist(_)
                | redb::Error::TypeDefinitionChanged { .. }),
            ) => damaged(error.to_string()),
            Self::Redb(error) => StoreError::Io { path: file, action, source: Box::new(error) },
        }
    }
}

/// Do something with the database. A panic of redb is an error like others.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // The database is closed after a panic, so nobody sees what it left half done.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Fault::Panic(text_of(&*panic))))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("reading it panicked ({})", text.unwrap_or("without a message").lines().next().unwrap_or_default())
}
