//! Instances as folders: `NAME/spec.json` is what the instance was made from, `NAME/tags.N.json` what was added later.
//!
//! The directory is the only memory, and calls may run at the same time or be cut off anywhere. Three rules keep it true:
//! - a folder is made under a name that begins with a dot, and renamed when it is whole. Of two calls for one name, one
//!   renames; the other finds the folder;
//! - a label is a file more, which is linked to its name when it is whole. Nothing is written twice, so nothing is lost;
//! - a folder is destroyed under another name that begins with a dot: half of an instance is never seen.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exports::homeostat::plugin::instance::{Finding, ListRequest, Page};
use crate::homeostat::plugin::types::{Attachment, Error, ErrorCode, Instance, InstanceSpec, InstanceState};
use crate::{INSTANCES, error};

/// The most instances on a page, whatever the host asks for.
const MAX_PAGE: usize = 10_000;

/// `spec.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    created_at_ms: u64,
    spec: Spec,
}

/// An instance's spec as it was given to `provision`, in a form that can be compared: the order of tags means nothing.
#[derive(Serialize, Deserialize, PartialEq)]
struct Spec {
    properties: Value,
    tags: BTreeMap<String, String>,
    init: String,
    logical_id: Option<String>,
    attachments: Vec<(String, String)>,
}

impl Spec {
    fn new(spec: &InstanceSpec, properties: Value) -> Self {
        Self {
            properties,
            tags: spec.tags.iter().cloned().collect(),
            init: spec.init.clone(),
            logical_id: spec.logical_id.clone(),
            attachments: spec.attachments.iter().map(|Attachment { id, kind }| (kind.clone(), id.clone())).collect(),
        }
    }
}

/// Make the instance `name`, or find it made; answers with its id, which is its name.
pub fn provision(root: &Path, name: &str, spec: &InstanceSpec, properties: Value) -> Result<String, Error> {
    if !is_name(name) {
        let message = format!("`{}` cannot name an instance: 1 to 128 of A-Z a-z 0-9 . _ -", name.escape_debug());
        return Err(error(ErrorCode::InvalidArgument, message));
    }
    granted(root)?;
    let record = Record { created_at_ms: now_ms(), spec: Spec::new(spec, properties) };
    let aside = root.join(format!(".new-{:016x}", unique()));
    let made = fs::create_dir(&aside)
        .and_then(|()| write(&aside.join("spec.json"), &record))
        .and_then(|()| fs::rename(&aside, folder(root, name)));
    let Err(failure) = made else { return Ok(name.to_owned()) };
    // What cannot be removed is in nobody's way.
    let _ = fs::remove_dir_all(&aside);
    // Which error says that the name is taken depends on the system, so it is asked whether it is.
    if !folder(root, name).exists() && failure.kind() != ErrorKind::AlreadyExists {
        return Err(failed("make", name, &failure));
    }
    match read::<Record>(&folder(root, name).join("spec.json")) {
        Ok(existing) if existing.spec == record.spec => Ok(name.to_owned()),
        Ok(_) => Err(error(ErrorCode::AlreadyExists, format!("`{name}` exists, made from another spec"))),
        Err(failure) if failure.kind() == ErrorKind::NotFound && !folder(root, name).exists() => {
            Err(error(ErrorCode::Aborted, format!("another call destroyed `{name}` meanwhile")))
        }
        Err(failure) => {
            let message = format!("`{name}` is taken by something that is not an instance of this plugin: {failure}");
            Err(error(ErrorCode::AlreadyExists, message))
        }
    }
}

/// Add tags to an instance, or overwrite those that are there.
pub fn label(root: &Path, id: &str, tags: Vec<(String, String)>) -> Result<(), Error> {
    granted(root)?;
    let missing = || error(ErrorCode::NotFound, format!("there is no instance `{}`", id.escape_debug()));
    if !is_name(id) || !folder(root, id).join("spec.json").exists() {
        return Err(missing());
    }
    let tags: BTreeMap<String, String> = tags.into_iter().collect();
    let aside = folder(root, id).join(format!(".tags-{:016x}", unique()));
    let added = write(&aside, &tags).and_then(|()| {
        for number in 1u64.. {
            match fs::hard_link(&aside, folder(root, id).join(tags_file(number))) {
                Err(failure) if failure.kind() == ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
        Ok(())
    });
    let _ = fs::remove_file(&aside);
    added.map_err(|failure| if failure.kind() == ErrorKind::NotFound { missing() } else { failed("label", id, &failure) })
}

/// Destroy an instance. Succeeds where it is gone.
pub fn destroy(root: &Path, id: &str) -> Result<(), Error> {
    if !is_name(id) {
        let message = format!("`{}` is not an id that this plugin gives", id.escape_debug());
        return Err(error(ErrorCode::InvalidArgument, message));
    }
    granted(root)?;
    let aside = root.join(format!(".gone-{:016x}", unique()));
    if !folder(root, id).join("spec.json").exists() {
        if !folder(root, id).exists() {
            return Ok(());
        }
        let message = format!("`{id}` in {INSTANCES} is not an instance of this plugin, and is left alone");
        return Err(error(ErrorCode::PermissionDenied, message));
    }
    match fs::rename(folder(root, id), &aside) {
        Ok(()) => {}
        Err(failure) if failure.kind() == ErrorKind::NotFound => return Ok(()),
        Err(failure) => return Err(failed("destroy", id, &failure)),
    }
    // The instance is gone. What cannot be removed is in nobody's way.
    let _ = fs::remove_dir_all(aside);
    Ok(())
}

/// The names of what is in the directory. Reading it fails in WASI where an entry is destroyed at that moment: then it is
/// read again.
fn names(root: &Path) -> io::Result<Vec<String>> {
    let mut tries = 10;
    loop {
        let read = fs::read_dir(root).and_then(|entries| {
            entries.map(|it| it.map(|it| it.file_name().to_string_lossy().into_owned())).collect()
        });
        tries -= 1;
        match read {
            Err(failure) if failure.kind() == ErrorKind::NotFound && tries > 0 => {}
            read => return read,
        }
    }
}

/// One page of the instances, in the order of their names. The cursor is the last name that was looked at.
pub fn list(root: &Path, request: &ListRequest) -> Result<Page, Error> {
    let limit = (request.limit as usize).min(MAX_PAGE);
    if limit == 0 {
        return Err(error(ErrorCode::InvalidArgument, "the limit of a page is 1 or more".to_owned()));
    }
    granted(root)?;
    let failed = |failure: io::Error| error(ErrorCode::Internal, format!("cannot list {INSTANCES}: {failure}"));
    let mut folders = names(root).map_err(failed)?;
    folders.retain(|it| !it.starts_with(HELPER) && request.cursor.as_ref().is_none_or(|cursor| it > cursor));
    folders.sort_unstable();

    let mut page = Page { instances: Vec::new(), next: None, complete: true, findings: Vec::new() };
    let mut folders = folders.into_iter().peekable();
    while let Some(folder) = folders.next() {
        match look(&root.join(&folder), name_of(&folder)) {
            Ok(instance) if request.tags.iter().all(|tag| instance.tags.contains(tag)) => {
                let properties = instance.properties.filter(|_| request.with_properties);
                page.instances.push(Instance { properties, ..instance });
            }
            Ok(_) => {}
            // Destroyed since the directory was read.
            Err(_) if !root.join(&folder).exists() => {}
            Err(failure) => {
                // What has a spec may be an instance: then this list cannot say that it knows them all.
                page.complete &= !root.join(&folder).join("spec.json").exists();
                page.findings.push(Finding { subject: folder.clone(), message: format!("not an instance: {failure}") });
            }
        }
        if page.instances.len() == limit && folders.peek().is_some() {
            page.next = Some(folder);
            break;
        }
    }
    Ok(page)
}

/// The instance that a folder is.
fn look(folder: &Path, name: Option<&str>) -> io::Result<Instance> {
    let name = name.ok_or_else(|| io::Error::other("no instance has such a name"))?;
    let Record { created_at_ms, spec } = read(&folder.join("spec.json"))?;
    let mut tags = spec.tags;
    for number in 1u64.. {
        match read::<BTreeMap<String, String>>(&folder.join(tags_file(number))) {
            Ok(added) => tags.extend(added),
            Err(failure) if failure.kind() == ErrorKind::NotFound => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(Instance {
        id: name.to_owned(),
        name: name.to_owned(),
        logical_id: spec.logical_id,
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: Some(created_at_ms),
        addresses: Vec::new(),
        tags: tags.into_iter().collect(),
        properties: Some(spec.properties.to_string()),
    })
}

/// How a folder begins that a call needs for a moment.
const HELPER: char = '.';

/// Where the instance `name` is. A name may begin with a dot, a folder's name may not: it gets an `@`, which is in no name.
fn folder(root: &Path, name: &str) -> PathBuf {
    root.join(if name.starts_with(HELPER) { format!("@{name}") } else { name.to_owned() })
}

/// The name of the instance that a folder would be.
fn name_of(folder: &str) -> Option<&str> {
    let name = folder.strip_prefix('@').unwrap_or(folder);
    (is_name(name) && folder.starts_with('@') == name.starts_with(HELPER)).then_some(name)
}

/// Whether `name` may name an instance, which is the contract's rule.
fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn tags_file(number: u64) -> String {
    format!("tags.{number}.json")
}

fn read<T: DeserializeOwned>(file: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

fn write(file: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut file = File::create_new(file)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    // Or a power failure leaves a name without its content.
    file.sync_all()
}

fn granted(root: &Path) -> Result<(), Error> {
    if root.is_dir() {
        return Ok(());
    }
    let message = format!("no directory is granted as {INSTANCES}; {GRANT}");
    Err(error(ErrorCode::PermissionDenied, message))
}

/// The grant that this plugin needs, as the operator writes it.
const GRANT: &str = r#"grant it with "Grants": {"Dirs": [{"Host": "DIRECTORY", "Guest": "/instances", "Mode": "rw"}]}"#;

fn failed(doing: &str, name: &str, failure: &io::Error) -> Error {
    let (code, hint) = match failure.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (ErrorCode::PermissionDenied, GRANT),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (ErrorCode::ResourceExhausted, "make room on the disk"),
        _ => (ErrorCode::Internal, "look at the directory"),
    };
    error(code, format!("cannot {doing} `{name}` in {INSTANCES}: {failure}; {hint}"))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64)
}

/// A number that no other call has: the keys of a `RandomState` are random.
fn unique() -> u64 {
    RandomState::new().hash_one(now_ms())
}

#[cfg(test)]
mod tests;
