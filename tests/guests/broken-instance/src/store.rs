//! Making, labelling and destroying: an instance is a file that appears, changes and vanishes in one step.

use std::fs;
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::bindings::homeostat::plugin::types::{Error, ErrorCode, InstanceSpec};
use crate::bindings::homeostat::plugin::{log, secrets};
use crate::record::Record;
use crate::{broken, error, random};

pub(crate) const ROOT: &str = "/broken";

/// How often a directory is read whose files come and go.
const LOOKS: u32 = 1000;

/// How long the guest that looks first and makes afterwards takes in between.
const GAP: Duration = Duration::from_millis(30);

pub(crate) fn is_granted() -> Result<bool, Error> {
    match fs::metadata(ROOT) {
        Ok(_) => Ok(true),
        // What cannot be reached from any directory that is granted has no error of its own.
        Err(it) if matches!(it.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(false),
        Err(it) if it.raw_os_error().is_none() => Ok(false),
        Err(it) => Err(failed(&it)),
    }
}

/// Nothing was changed.
pub(crate) fn failed(source: &io::Error) -> Error {
    let code = if broken("io-invalid") { ErrorCode::InvalidArgument } else { ErrorCode::Unavailable };
    error(code, source.to_string())
}

/// It may have been changed all the same.
fn doubtful(source: &io::Error) -> Error {
    let code = if broken("io-invalid") { ErrorCode::InvalidArgument } else { ErrorCode::Internal };
    error(code, source.to_string())
}

pub(crate) fn path(id: &str) -> String {
    format!("{ROOT}/{id}.json")
}

fn is_valid(id: &str) -> bool {
    (1..=200).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

pub(crate) fn provision(name: &str, spec: &InstanceSpec) -> Result<String, Error> {
    if !is_valid(name) {
        return Err(error(ErrorCode::InvalidArgument, format!("{name:?} is no name")));
    }
    // A provider that is used with a secret, and need not show it.
    let token = secrets::get("token")?;
    if broken("leaks-secret") {
        fs::write(format!("{ROOT}/.{name}.request"), format!("Authorization: Bearer {token}"))
            .map_err(|it| failed(&it))?;
    }
    if broken("logs-secret") {
        log::log(log::Level::Debug, &format!("asking with the token {token}"));
    }
    if broken("prints-secret") {
        eprintln!("asking with the token {token}");
    }
    let lock = Lock::take(name)?;
    let made = make(name, spec);
    drop(lock);
    let tombstone = format!("{ROOT}/.{name}.failed");
    if broken("tombstone") {
        if fs::metadata(&tombstone).is_ok() {
            return Err(error(ErrorCode::Internal, "it failed before"));
        }
        if made.as_ref().is_err_and(|it| it.code != ErrorCode::AlreadyExists) {
            let _ = fs::write(tombstone, "");
        }
    }
    made
}

fn make(name: &str, spec: &InstanceSpec) -> Result<String, Error> {
    let id = if broken("racy") { format!("{name}.{:x}", random()) } else { name.to_owned() };
    if broken("racy") || broken("dup-on-retry") {
        if let Some((id, record)) = find(name)? {
            if !record.is_made_from(spec) {
                return Err(taken(name));
            }
            return if broken("dup-on-retry") { write(&format!("{name}.{:x}", random()), name, spec) } else { Ok(id) };
        }
        thread::sleep(GAP);
    }
    write(&id, name, spec)
}

/// The ids of all instances, in order.
pub(crate) fn ids() -> io::Result<Vec<String>> {
    for _ in 0..LOOKS {
        match fs::read_dir(ROOT)?.map(|it| it.map(|it| it.file_name())).collect::<io::Result<Vec<_>>>() {
            // The C library looks at each file that it names, and ends where one has gone meanwhile.
            Err(it) if it.kind() == ErrorKind::NotFound => {}
            Err(it) => return Err(it),
            Ok(files) => {
                let files = files.into_iter().map(|it| it.to_string_lossy().into_owned());
                let ids = files
                    .filter(|it| !it.starts_with('.'))
                    .filter_map(|it| it.strip_suffix(".json").map(str::to_owned));
                let mut ids: Vec<_> = ids.collect();
                ids.sort();
                return Ok(ids);
            }
        }
    }
    Err(ErrorKind::Interrupted.into())
}

/// The first instance of a name, whatever its id.
fn find(name: &str) -> Result<Option<(String, Record)>, Error> {
    for id in ids().map_err(|it| failed(&it))?.into_iter().filter(|it| it.starts_with(name)) {
        let text = fs::read_to_string(path(&id)).map_err(|it| failed(&it))?;
        if let Some(record) = Record::parse(&text).filter(|it| it.name() == name) {
            return Ok(Some((id, record)));
        }
    }
    Ok(None)
}

fn taken(name: &str) -> Error {
    error(ErrorCode::AlreadyExists, format!("the name {name} is taken by an instance with another spec"))
}

/// Written aside, and then linked: of any number of calls, one makes it.
fn write(id: &str, name: &str, spec: &InstanceSpec) -> Result<String, Error> {
    let aside = format!("{ROOT}/.{id}.{:x}", random());
    fs::write(&aside, Record::new(name, spec, now()).text()).map_err(|it| failed(&it))?;
    let linked = fs::hard_link(&aside, path(id));
    let _ = fs::remove_file(&aside);
    match linked {
        Ok(()) => Ok(id.to_owned()),
        Err(it) if it.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(path(id)).map_err(|it| failed(&it))?;
            match Record::parse(&text) {
                Some(record) if record.is_made_from(spec) || broken("ignores-spec") => Ok(id.to_owned()),
                _ => Err(taken(name)),
            }
        }
        Err(it) => Err(doubtful(&it)),
    }
}

pub(crate) fn label(id: &str, tags: &[(String, String)]) -> Result<(), Error> {
    let missing = || error(ErrorCode::NotFound, "there is no such instance");
    if !is_valid(id) {
        return Err(missing());
    }
    let text = match fs::read_to_string(path(id)) {
        Ok(text) => text,
        Err(it) if it.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(it) => return Err(failed(&it)),
    };
    let mut record = Record::parse(&text).ok_or_else(missing)?;
    record.label(tags);
    let aside = format!("{ROOT}/.{id}.{:x}", random());
    fs::write(&aside, record.text()).map_err(|it| failed(&it))?;
    fs::rename(&aside, path(id)).map_err(|it| doubtful(&it))
}

pub(crate) fn destroy(id: &str) -> Result<(), Error> {
    if !is_valid(id) {
        return Err(error(ErrorCode::InvalidArgument, format!("{:?} is no id of this plugin", &id[..id.len().min(9)])));
    }
    if broken("never-destroys") {
        return Ok(());
    }
    match fs::remove_file(path(id)) {
        Ok(()) => Ok(()),
        Err(it) if it.kind() == ErrorKind::NotFound && broken("missing-fails") => {
            Err(error(ErrorCode::NotFound, "there is no such instance"))
        }
        Err(it) if it.kind() == ErrorKind::NotFound => Ok(()),
        Err(it) => Err(doubtful(&it)),
    }
}

/// The lock of the guest that is broken so: it survives a call that is cut off, and nothing else.
struct Lock(Option<String>);

impl Lock {
    fn take(name: &str) -> Result<Self, Error> {
        if !broken("keeps-lock") {
            return Ok(Self(None));
        }
        let file = format!("{ROOT}/.{name}.lock");
        match fs::File::options().write(true).create_new(true).open(&file) {
            Ok(_) => Ok(Self(Some(file))),
            Err(it) if it.kind() == ErrorKind::AlreadyExists => {
                Err(error(ErrorCode::Aborted, "another call works on it"))
            }
            Err(it) => {
                drop(Self(Some(file)));
                Err(failed(&it))
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(file) = &self.0 else { return };
        for _ in 0..3 {
            if fs::remove_file(file).is_ok() {
                return;
            }
        }
    }
}
