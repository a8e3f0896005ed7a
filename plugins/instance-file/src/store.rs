//! Making, labelling and destroying instances.
//!
//! **How it stays true.** A new file is written under a helper's name and then linked to its own, which fails where that
//! exists: of any number of calls for one name, one makes the instance and the others find it. Calls that replace or
//! remove an instance's file hold its lock, a file that only one call can make; a call that finds it answers `aborted`.
//! So a label never brings back what was destroyed meanwhile, and no label is lost.
//!
//! **What a killed call leaves.** A temporary file, which nothing looks at; or a lock, which is broken when it is
//! [`ABANDONED`]. Nothing is flushed to the disk: after a power failure a file may be empty, and is then torn, not counted,
//! and may be made anew.

use std::thread;
use std::time::Duration;

use crate::bindings::homeostat::plugin::types::{Error, ErrorCode, InstanceSpec};
use crate::directory::{Directory, Failure};
use crate::fault;
use crate::name;
use crate::record::{NotAnInstance, Record};

/// How often, and how far apart, a call looks again at what another call is about to settle.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// The age at which a lock is taken for one that a killed call left behind. A call holds one for a few file operations. If
/// a disk stalls a label for longer, that label may bring back what was destroyed meanwhile; the host then lists it, and
/// destroys it again.
const ABANDONED: Duration = Duration::from_secs(2);

/// Make the instance `name`, or find it made; answers with its id.
pub fn provision(dir: &impl Directory, name: &str, spec: &InstanceSpec) -> Result<String, Error> {
    if !name::is_valid(name) {
        let message = format!("`{}` cannot name an instance: 1 to 128 of A-Z a-z 0-9 . _ -", name.escape_debug());
        return Err(fault::error(ErrorCode::InvalidArgument, message));
    }
    let content = Record::new(name, spec)?.to_bytes()?;
    let temporary = write_temporary(dir, name, &content)?;
    let settled = settle(dir, name, spec, &temporary);
    // Gone already where it took the place of a torn file; where this fails, `list` reports what is left.
    let _ = dir.remove(&temporary);
    settled.map(|()| name.to_owned())
}

/// Give `temporary` the instance's name, unless an instance has it.
fn settle(dir: &impl Directory, name: &str, spec: &InstanceSpec, temporary: &str) -> Result<(), Error> {
    let file = name::instance_file(name);
    for _ in 0..LOOKS {
        match dir.link(temporary, &file) {
            Ok(()) => return Ok(()),
            Err(Failure::Exists) => {}
            // The directory can be written, so this is the file system's way to say that it has no hard links.
            Err(Failure::NotGranted) => return Err(fault::failed(&format!("link `{file}`"), Failure::Unsupported)),
            Err(failure) => return Err(fault::failed(&format!("link `{file}`"), failure)),
        }
        let content = match dir.read_by_name(&file) {
            Ok(content) => content,
            Err(Failure::NotFound) => continue,
            Err(failure @ (Failure::TooBig | Failure::NotAFile)) => {
                return Err(taken(&file, &format!("by something that is not an instance: {failure}")));
            }
            Err(failure) => return Err(fault::failed(&format!("read `{file}`"), failure)),
        };
        match Record::parse(name, &content) {
            Ok(record) if record.is_made_from(spec) => return Ok(()),
            Ok(_) => return Err(taken(&file, "by an instance with another spec")),
            Err(NotAnInstance::Foreign(why)) => return Err(taken(&file, &format!("by a file of another kind: {why}"))),
            Err(NotAnInstance::Torn) => match replace_torn(dir, name, temporary) {
                Err(error) if error.code == ErrorCode::Aborted => thread::sleep(BETWEEN_LOOKS),
                other => return other,
            },
        }
    }
    Err(busy(name))
}

/// Put `temporary` in the place of a torn file, if it still is one; `aborted` where it is not.
fn replace_torn(dir: &impl Directory, name: &str, temporary: &str) -> Result<(), Error> {
    let _lock = Lock::take(dir, name)?;
    let file = name::instance_file(name);
    let torn =
        dir.read_by_name(&file).is_ok_and(|content| matches!(Record::parse(name, &content), Err(NotAnInstance::Torn)));
    if !torn {
        return Err(busy(name));
    }
    dir.rename(temporary, &file).map_err(|failure| fault::failed(&format!("replace `{file}`"), failure))
}

/// Add `tags` to an instance, or overwrite those that are there.
pub fn label(dir: &impl Directory, id: &str, tags: &[(String, String)]) -> Result<(), Error> {
    let missing = || fault::error(ErrorCode::NotFound, format!("there is no instance `{}`", id.escape_debug()));
    if !name::is_valid(id) {
        return Err(missing());
    }
    let _lock = Lock::take(dir, id)?;
    let file = name::instance_file(id);
    let content = match dir.read_by_name(&file) {
        Ok(content) => content,
        Err(Failure::NotFound) => return Err(missing()),
        Err(failure @ (Failure::TooBig | Failure::NotAFile)) => {
            return Err(not_ours(&file, "label", &NotAnInstance::Foreign(failure.to_string())));
        }
        Err(failure) => return Err(fault::failed(&format!("read `{file}`"), failure)),
    };
    let mut record = Record::parse(id, &content).map_err(|found| not_ours(&file, "label", &found))?;
    if !record.label(tags) {
        return Ok(());
    }
    let temporary = write_temporary(dir, id, &record.to_bytes()?)?;
    dir.rename(&temporary, &file).map_err(|failure| {
        let _ = dir.remove(&temporary);
        fault::failed(&format!("replace `{file}`"), failure)
    })
}

/// Destroy an instance. Succeeds where it is gone; refuses what is not an instance of this plugin.
pub fn destroy(dir: &impl Directory, id: &str) -> Result<(), Error> {
    if !name::is_valid(id) {
        let message = format!("`{}` is not an id that this plugin gives", id.escape_debug());
        return Err(fault::error(ErrorCode::InvalidArgument, message));
    }
    let file = name::instance_file(id);
    let _lock = Lock::take(dir, id)?;
    let content = match dir.read_by_name(&file) {
        Ok(content) => content,
        Err(Failure::NotFound) => return Ok(()),
        Err(failure @ (Failure::TooBig | Failure::NotAFile)) => {
            return Err(not_ours(&file, "destroy", &NotAnInstance::Foreign(failure.to_string())));
        }
        Err(failure) => return Err(fault::failed(&format!("read `{file}`"), failure)),
    };
    Record::parse(id, &content).map_err(|found| not_ours(&file, "destroy", &found))?;
    match dir.remove(&file) {
        Ok(()) | Err(Failure::NotFound) => Ok(()),
        Err(failure) => Err(fault::failed(&format!("remove `{file}`"), failure)),
    }
}

fn write_temporary(dir: &impl Directory, name: &str, content: &[u8]) -> Result<String, Error> {
    let temporary = name::temporary_file(name, dir.unique());
    match dir.create(&temporary, content) {
        Ok(()) => Ok(temporary),
        Err(failure) => Err(fault::failed(&format!("write `{}`", name::instance_file(name)), failure)),
    }
}

/// The right to replace or remove one instance's file, for as long as it lives.
struct Lock<'d, D: Directory> {
    dir: &'d D,
    file: String,
}

impl<'d, D: Directory> Lock<'d, D> {
    fn take(dir: &'d D, name: &str) -> Result<Self, Error> {
        let lock = Self { dir, file: name::lock_file(name) };
        let failed = |failure| fault::failed(&format!("write `{}`", name::lock_file(name)), failure);
        let mut made = dir.create(&lock.file, b"");
        if made == Err(Failure::Exists) && break_stale(dir, name, &lock.file) {
            made = dir.create(&lock.file, b"");
        }
        match made {
            Ok(()) => Ok(lock),
            Err(failure) => {
                // Not ours to remove.
                std::mem::forget(lock);
                Err(if failure == Failure::Exists { busy(name) } else { failed(failure) })
            }
        }
    }
}

impl<D: Directory> Drop for Lock<'_, D> {
    fn drop(&mut self) {
        // What stays behind is broken when it is stale.
        let _ = self.dir.remove(&self.file);
    }
}

/// Take away a lock that a killed call left behind. It is renamed first, so that one call alone gets it; if that turns
/// out to be the fresh lock of a call that was quicker, it is put back.
fn break_stale(dir: &impl Directory, name: &str, lock: &str) -> bool {
    let is_stale = |file: &str| dir.age(file).is_ok_and(|age| age >= ABANDONED);
    if !is_stale(lock) {
        return false;
    }
    let aside = name::temporary_file(name, dir.unique());
    if dir.rename(lock, &aside).is_err() {
        return false;
    }
    let stale = is_stale(&aside);
    if !stale {
        let _ = dir.link(&aside, lock);
    }
    let _ = dir.remove(&aside);
    stale
}

fn taken(file: &str, by: &str) -> Error {
    fault::error(ErrorCode::AlreadyExists, format!("`{file}` in {} is taken {by}", fault::GUEST_DIR))
}

fn busy(name: &str) -> Error {
    fault::error(ErrorCode::Aborted, format!("another call works on the instance `{name}`"))
}

/// `permission-denied`, since the recovery is that code's: back off, and let the operator look at the file.
fn not_ours(file: &str, verb: &str, found: &NotAnInstance) -> Error {
    let what = match found {
        NotAnInstance::Torn => "it is half written or damaged".to_owned(),
        NotAnInstance::Foreign(why) => format!("it is not an instance of this plugin ({why})"),
    };
    let message =
        format!("refused to {verb} `{file}` in {}: {what}; remove it by hand if it is not needed", fault::GUEST_DIR);
    fault::error(ErrorCode::PermissionDenied, message)
}

#[cfg(test)]
mod tests;
