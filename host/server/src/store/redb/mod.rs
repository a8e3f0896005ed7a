//! The embedded store: one redb file.
//!
//! redb makes a commit durable with one flush: whatever a crash leaves, the file opens with the last commit that was
//! wholly written. After an I/O error it refuses all work until it is opened again, and so this store does that by itself.

mod check;
mod fault;
mod file;
mod load;
mod tables;
#[cfg(test)]
pub(in crate::store) mod tests;
mod transfer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::Database;

pub use self::check::{Checked, OpenIntent, check};
use self::fault::{Fault, guarded};
use self::tables::{RESERVE, Row, Tables};
pub(super) use self::transfer::{export_file, import_file};
use crate::store::{Batch, Change, EVENTS_KEPT, EventQuery, Revision, Snapshot, Store, StoreError, StoredEvent};

type Opener = Box<dyn Fn() -> Result<Database, Fault> + Send + Sync>;

/// A store in one file, which one host at a time can open.
pub struct RedbStore {
    path: PathBuf,
    opener: Opener,
    /// None while it is broken. Taken before `book`.
    database: RwLock<Option<Database>>,
    book: Mutex<Book>,
    kept: u64,
}

/// What this process knows of the file.
struct Book {
    /// The last commit that succeeded.
    revision: Revision,
    /// A later one that failed and may be in the file nevertheless: the rows that undo it.
    doubt: Option<Vec<Row>>,
    /// The first number for an event of this host.
    start: u64,
}

impl RedbStore {
    /// Open the file, or make it. An older format is brought up to date.
    ///
    /// # Errors
    /// Where it is in use, damaged, of a newer format, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !file::exists(path)? {
            file::create(path, |_| Ok(())).map_err(|fault| fault.explain(path, "made"))?;
        }
        let file = path.to_owned();
        Self::with(path, Box::new(move || file::open(&file)), EVENTS_KEPT)
    }

    fn with(path: &Path, opener: Opener, kept: u64) -> Result<Self, StoreError> {
        let prepare = || -> Result<_, Fault> {
            let mut database = opener()?;
            // Opening reads little: a flipped bit would be found only when it does harm.
            if !database.check_integrity()? {
                tracing::error!(
                    file = %path.display(),
                    "the state file was damaged, and has been set back to what was whole; the last changes may be missing"
                );
            }
            load::upgrade(&database, path)?;
            let transaction = database.begin_write()?;
            let (revision, start) = {
                let mut tables = Tables::open(&transaction)?;
                let start = tables.number("next-event")?.unwrap_or(1);
                tables.meta.insert("next-event", start.saturating_add(RESERVE))?;
                (tables.number("revision")?.unwrap_or(0), start)
            };
            transaction.commit()?;
            Ok((database, Book { revision, doubt: None, start }))
        };
        let (database, book) = guarded(prepare).map_err(|fault| fault.explain(path, "opened"))?;
        Ok(Self { path: path.to_owned(), opener, database: RwLock::new(Some(database)), book: Mutex::new(book), kept })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Do something with the database, opening it first where it was closed for an error.
    fn run<T>(&self, action: &'static str, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.reopen()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let done = match database.as_ref() {
            Some(database) => guarded(|| work(database)),
            // Somebody else met an error since it was opened.
            None => Err(Fault::Redb(redb::Error::PreviousIo)),
        };
        drop(database);
        done.map_err(|fault| {
            if fault.is_fatal() {
                self.close();
            }
            fault.explain(&self.path, action)
        })
    }

    fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // It may panic for the same reason as the work before; there is nothing left to lose in it.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    /// Open the file again after an error, and see what became of the commit that failed.
    fn reopen(&self) -> Result<(), StoreError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            return Ok(());
        }
        let mut book = self.book();
        let work = || -> Result<Database, Fault> {
            let database = (self.opener)()?;
            let found = tables::number(&database, "revision")?.unwrap_or(0);
            match &book.doubt {
                Some(undo) if found == book.revision + 1 => {
                    let transaction = database.begin_write()?;
                    {
                        let mut tables = Tables::open(&transaction)?;
                        tables.write(undo)?;
                        tables.meta.insert("revision", book.revision)?;
                    }
                    transaction.commit()?;
                }
                _ if found == book.revision => {}
                _ => Err(StoreError::Conflict { expected: book.revision, found })?,
            }
            Ok(database)
        };
        let database = guarded(work).map_err(|fault| fault.explain(&self.path, "opened again"))?;
        book.doubt = None;
        *slot = Some(database);
        Ok(())
    }
}

impl Store for RedbStore {
    fn load(&self) -> Result<Snapshot, StoreError> {
        let start = self.book().start;
        self.run("read", |database| {
            let snapshot = load::snapshot(database, &self.path, &mut |damage| Err(damage.into()))?;
            Ok(Snapshot { next_event: start, ..snapshot })
        })
    }

    fn commit(&self, expect: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        self.run("written", |database| {
            let transaction = database.begin_write()?;
            let undo = {
                let mut tables = Tables::open(&transaction)?;
                let found = tables.number("revision")?.unwrap_or(0);
                if found != expect {
                    return Err(StoreError::Conflict { expected: expect, found }.into());
                }
                let rows = tables.rows_of(changes)?;
                tables.meta.insert("revision", expect + 1)?;
                tables.write(&rows)?
            };
            self.book().doubt = Some(undo);
            transaction.commit()?;
            let mut book = self.book();
            book.doubt = None;
            book.revision = expect + 1;
            Ok(book.revision)
        })
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let start = self.book().start;
        self.run("written", |database| {
            let transaction = database.begin_write()?;
            {
                let mut tables = Tables::open(&transaction)?;
                tables.append(&batch.writes, self.kept)?;
                if batch.closing {
                    tables.release_numbers(start)?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.run("read", |database| Ok(tables::events(database, query)?))
    }
}
