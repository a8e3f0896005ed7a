//! The state file becomes a document, and a document the state file. The file that was there keeps another name; at no
//! moment is there none.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::fault::{Fault, guarded};
use super::{file, load, tables};
use crate::store::{Change, Document, DocumentError, EventQuery, Snapshot, StoreError, StoredEvent, Write, wall_clock};

/// What is in the file, which stays as it is, and the events asked for.
///
/// # Errors
/// Where it is missing, in use, of a newer format, or damaged.
pub(in crate::store) fn export_file(
    path: &Path,
    query: &EventQuery,
) -> Result<(Snapshot, Vec<StoredEvent>), StoreError> {
    file::require(path)?;
    let work = || {
        let database = file::open(path)?;
        let snapshot = load::snapshot(&database, path, &mut |damage| Err(damage.into()))?;
        Ok((snapshot, tables::events(&database, query)?))
    };
    guarded(work).map_err(|fault| fault.explain(path, "read"))
}

/// Put the document in the place of the file. Returns where the file that was there is kept.
///
/// # Errors
/// As [`import`](crate::store::import).
pub(in crate::store) fn import_file(
    path: &Path,
    document: &Document,
    force: bool,
) -> Result<Option<PathBuf>, DocumentError> {
    let explain = |error: std::io::Error| Fault::from(error).explain(path, "written");
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(explain)?;
    }
    // Open until the end, so that no host takes it meanwhile.
    let old = match file::exists(path)? {
        true => Some(guarded(|| {
            let database = file::open(path)?;
            let holds = load::snapshot(&database, path, &mut |damage| Err(damage.into()));
            Ok((database, holds))
        })),
        false => None,
    };
    let occupied = |holds: String| DocumentError::Occupied { path: path.display().to_string(), holds };
    let refused = match &old {
        None => None,
        Some(Ok((_, Ok(it)))) if it.groups.is_empty() && it.plugins.is_empty() => None,
        Some(Ok((_, Ok(it)))) => {
            Some(format!("holds {} and {}", count(it.groups.len(), "group"), count(it.plugins.len(), "plugin")))
        }
        Some(Ok((_, Err(Fault::Store(StoreError::Format { found, .. }))))) => Some(format!("has format {found}")),
        Some(Ok((_, Err(_))) | Err(_)) => Some("is damaged, and may still be worth something".into()),
    };
    let old = match old {
        Some(Err(fault)) => match fault.explain(path, "opened") {
            damaged @ StoreError::Damaged { .. } => Some(Err(damaged)),
            other => return Err(other.into()),
        },
        Some(Ok((database, _))) => Some(Ok(database)),
        None => None,
    };
    if let Some(holds) = refused.filter(|_| !force) {
        return Err(occupied(holds));
    }
    let new = file::prepare(path, |tables| fill(tables, document)).map_err(|fault| fault.explain(path, "written"))?;
    let kept = old.is_some().then(|| file::beside(path, &format!("before-import-{}", wall_clock().0)));
    let placed = || -> std::io::Result<()> {
        if let Some(kept) = &kept {
            std::fs::hard_link(path, kept).or_else(|_| std::fs::copy(path, kept).map(drop))?;
        }
        std::fs::rename(&new, path)?;
        file::sync_dir(path)
    };
    let placed = placed();
    if placed.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    placed.map_err(explain)?;
    drop(old);
    Ok(kept)
}

fn fill(tables: &mut super::Tables<'_>, document: &Document) -> Result<(), Fault> {
    let plugins = document.plugins.iter().map(|(name, spec)| Change::PutPlugin(name.clone(), spec.clone()));
    let groups = document.groups.values().map(|it| Change::PutGroup(it.record.clone()));
    let rows = tables.rows_of(&plugins.chain(groups).collect::<Vec<_>>())?;
    tables.write(&rows)?;
    let mut writes = Vec::new();
    for (id, stored) in &document.groups {
        writes.push(Write::Memory { group: id.clone(), memory: stored.memory.clone() });
        for (key, intent) in &stored.intents {
            writes.push(Write::Intent { group: id.clone(), key: key.clone(), intent: Some(intent.clone()) });
        }
    }
    for event in &document.events {
        let json = serde_json::to_vec(&event.event)
            .map_err(|source| StoreError::Unwritable { what: format!("event {}", event.seq), source })?;
        writes.push(Write::Event(StoredEvent { seq: event.seq, group: event.group.clone(), json }));
    }
    tables.append(&writes, crate::store::EVENTS_KEPT)?;
    tables.meta.insert("revision", document.revision)?;
    tables.meta.insert("next-event", document.next_event)?;
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
