//! A provider whose instances are files in the directory granted as `/world` (`rw`), and which misbehaves as other files
//! there say. Each is looked at in each call, so a test changes its mind by writing files.
//!
//! | file | what it says |
//! |---|---|
//! | `instances/NAME` | an instance, made by `provision`: the id is `id-NAME` |
//! | `gone/NAME` | one that was destroyed; it begins with the reason and a line break |
//! | `state/NAME` | the state of that instance, and after a space a message; `running` without |
//! | `validate`, `provision`, `label`, `destroy`, `list` | what that function does from now on, as below |
//!
//! What such a file holds, with `once ` before it for one call only (the file is taken away):
//!
//! | | |
//! |---|---|
//! | `fail CODE MESSAGE` | answers with this error, and does nothing |
//! | `trap` | crashes, and has done nothing |
//! | `do WORD` | does first what the word says, of [`deeds`](crate::deeds); `list` also what [`odd_page`](crate::odd_page) says |
//! | `slow MS` | takes so long before it begins |
//! | `lose` | does it, then crashes: the answer is lost |
//! | `lose CODE MESSAGE` | does it, then answers with this error all the same |
//! | `late MS` | does it, then takes so long before it answers |
//! | `incomplete N` | lists all but the newest N, and says `complete: false` |
//! | `hide N` | lists all but the newest N, and says that this is all |
//! | `stale MS` | does not list what is younger than this, and says that this is all |
//! | `empty` | lists nothing, and says that this is all |

use std::fs;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, InstanceSpec, ListRequest, Page, Tags,
};
use crate::bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};
use crate::deeds::misbehave;
use crate::{error, odd_page};

const ROOT: &str = "/world";

/// Whether there is such a directory.
pub(crate) fn is_granted() -> bool {
    fs::metadata(ROOT).is_ok_and(|metadata| metadata.is_dir())
}

/// Nothing but what is ordered.
pub(crate) fn validate() -> Result<(), Error> {
    Order::of("validate")?.before()
}

/// Make an instance; idempotent by its name.
pub(crate) fn provision(name: &str, spec: &InstanceSpec) -> Result<String, Error> {
    let order = Order::of("provision")?;
    order.before()?;
    let asked = record(spec);
    let path = file("instances", name);
    match read(&path)? {
        Some(found) if parse(&found)?["spec"] == asked => {}
        Some(_) => return Err(plain(ErrorCode::AlreadyExists, format!("{name} exists, with another spec"))),
        None => {
            let whole = json!({"spec": asked, "tags": asked["tags"], "made": now()}).to_string();
            let temporary = format!("{ROOT}/.{name}-{:x}", nonce());
            make_dirs()?;
            done("write", fs::write(&temporary, whole))?;
            // A link is made once, whoever else is at it.
            let linked = fs::hard_link(&temporary, &path);
            done("remove", fs::remove_file(&temporary))?;
            match linked {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return Err(plain(ErrorCode::Aborted, format!("another call makes {name}")));
                }
                linked => done("link", linked)?,
            }
        }
    }
    order.after()?;
    Ok(format!("id-{name}"))
}

/// Add tags to an instance.
pub(crate) fn label(id: &str, tags: &Tags) -> Result<(), Error> {
    let order = Order::of("label")?;
    order.before()?;
    let path = file("instances", name_of(id)?);
    let found = read(&path)?.ok_or_else(|| plain(ErrorCode::NotFound, format!("there is no {id}")))?;
    let mut record = parse(&found)?;
    for (key, value) in tags {
        record["tags"][key] = value.as_str().into();
    }
    let temporary = format!("{ROOT}/.{id}-{:x}", nonce());
    done("write", fs::write(&temporary, record.to_string()))?;
    done("rename", fs::rename(&temporary, &path))?;
    order.after()
}

/// Destroy an instance, and keep its file aside.
pub(crate) fn destroy(id: &str, reason: DestroyReason) -> Result<(), Error> {
    let order = Order::of("destroy")?;
    order.before()?;
    let name = name_of(id)?;
    let path = file("instances", name);
    if let Some(found) = read(&path)? {
        make_dirs()?;
        done("write", fs::write(file("gone", name), format!("{reason:?}\n{found}")))?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            removed => done("remove", removed)?,
        }
    }
    order.after()
}

/// One page of what is there, or of what is said to be.
pub(crate) fn list(request: &ListRequest) -> Result<Page, Error> {
    let order = Order::of("list")?;
    order.before()?;
    if order.word() == "do" {
        return odd_page(order.rest(), request);
    }
    let mut all = Vec::new();
    match fs::read_dir(format!("{ROOT}/instances")) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        entries => {
            for entry in done("list", entries)? {
                let name = done("list", entry)?.file_name().to_string_lossy().into_owned();
                // It may have gone since.
                if let Some(text) = read(&file("instances", &name))? {
                    all.push(instance(name, &text, request.with_properties)?);
                }
            }
        }
    }
    all.sort_by_key(|instance| instance.created_at_ms);
    let kept = match order.word() {
        "incomplete" | "hide" => all.len().saturating_sub(order.number()? as usize),
        "empty" => 0,
        "stale" => {
            let newest = now().saturating_sub(order.number()?);
            all.iter().filter(|instance| instance.created_at_ms.is_some_and(|made| made <= newest)).count()
        }
        _ => all.len(),
    };
    all.truncate(kept);
    all.retain(|instance| request.tags.iter().all(|tag| instance.tags.contains(tag)));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(cursor) = &request.cursor {
        all.retain(|instance| instance.name > *cursor);
    }
    let limit = request.limit as usize;
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|instance| instance.name.clone());
    order.after()?;
    Ok(Page { instances: all, next, complete: order.word() != "incomplete", findings: vec![] })
}

/// What a function is to do.
struct Order(String);

impl Order {
    fn of(function: &str) -> Result<Self, Error> {
        let path = format!("{ROOT}/{function}");
        let text = read(&path)?.unwrap_or_default();
        match text.strip_prefix("once ") {
            // Of two calls at the same time, one takes it.
            Some(order) => Ok(Self(fs::remove_file(path).map(|()| order.trim().to_owned()).unwrap_or_default())),
            None => Ok(Self(text)),
        }
    }

    fn word(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    fn rest(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, rest)| rest)
    }

    /// The number after the word; 0 without one.
    fn number(&self) -> Result<u64, Error> {
        match self.rest() {
            "" => Ok(0),
            rest => rest.parse().map_err(|_| plain(ErrorCode::Internal, format!("{:?}: no number", self.0))),
        }
    }

    fn wait(&self) -> Result<(), Error> {
        thread::sleep(Duration::from_millis(self.number()?));
        Ok(())
    }

    fn fail(&self) -> Result<(), Error> {
        let (word, message) = self.rest().split_once(' ').unwrap_or((self.rest(), "as the test says"));
        Err(plain(code(word).unwrap_or(ErrorCode::Internal), message))
    }

    fn before(&self) -> Result<(), Error> {
        match self.word() {
            "fail" => self.fail(),
            "trap" => core::arch::wasm32::unreachable(),
            "slow" => self.wait(),
            "do" => misbehave(self.rest()),
            "" | "lose" | "late" | "incomplete" | "hide" | "stale" | "empty" => Ok(()),
            _ => Err(plain(ErrorCode::Internal, format!("{:?}: no such order", self.0))),
        }
    }

    fn after(&self) -> Result<(), Error> {
        match self.word() {
            "lose" if self.rest().is_empty() => core::arch::wasm32::unreachable(),
            "lose" => self.fail(),
            "late" => self.wait(),
            _ => Ok(()),
        }
    }
}

fn code(word: &str) -> Option<ErrorCode> {
    Some(match word {
        "invalid-argument" => ErrorCode::InvalidArgument,
        "not-found" => ErrorCode::NotFound,
        "already-exists" => ErrorCode::AlreadyExists,
        "permission-denied" => ErrorCode::PermissionDenied,
        "resource-exhausted" => ErrorCode::ResourceExhausted,
        "unavailable" => ErrorCode::Unavailable,
        "aborted" => ErrorCode::Aborted,
        "unimplemented" => ErrorCode::Unimplemented,
        "internal" => ErrorCode::Internal,
        _ => return None,
    })
}

fn record(spec: &InstanceSpec) -> Value {
    let attachments: Vec<_> = spec.attachments.iter().map(|a| json!({"ID": a.id, "Type": a.kind})).collect();
    let tags: serde_json::Map<_, _> = spec.tags.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    json!({
        "properties": spec.properties,
        "tags": tags,
        "init": spec.init,
        "logicalId": spec.logical_id,
        "attachments": attachments,
    })
}

fn instance(name: String, text: &str, with_properties: bool) -> Result<Instance, Error> {
    let record = parse(text)?;
    let tags = record["tags"].as_object().into_iter().flatten();
    let said = read(&file("state", &name))?.unwrap_or_default();
    let (word, message) = said.split_once(' ').unwrap_or((&said, ""));
    let state = match word {
        "" | "running" => InstanceState::Running,
        "pending" => InstanceState::Pending,
        "stopping" => InstanceState::Stopping,
        "stopped" => InstanceState::Stopped,
        "failed" => InstanceState::Failed,
        other => return Err(plain(ErrorCode::Internal, format!("state/{name}: {other:?} is no state"))),
    };
    Ok(Instance {
        id: format!("id-{name}"),
        logical_id: record["spec"]["logicalId"].as_str().map(str::to_owned),
        state,
        message: message.to_owned(),
        created_at_ms: record["made"].as_u64(),
        addresses: vec![],
        tags: tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        properties: with_properties.then(|| record["spec"].to_string()),
        name,
    })
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|e| plain(ErrorCode::Internal, format!("a file is no JSON: {e}")))
}

fn file(dir: &str, name: &str) -> String {
    format!("{ROOT}/{dir}/{name}")
}

fn name_of(id: &str) -> Result<&str, Error> {
    id.strip_prefix("id-").ok_or_else(|| plain(ErrorCode::InvalidArgument, format!("{id:?} is no id of this plugin")))
}

fn make_dirs() -> Result<(), Error> {
    ["instances", "gone"].iter().try_for_each(|dir| done("make", fs::create_dir_all(format!("{ROOT}/{dir}"))))
}

fn read(path: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        text => done("read", text).map(|text| Some(text.trim().to_owned())),
    }
}

fn done<T>(what: &str, result: std::io::Result<T>) -> Result<T, Error> {
    result.map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied => plain(ErrorCode::PermissionDenied, format!("{ROOT}: cannot {what}: {e}")),
        _ => plain(ErrorCode::Internal, format!("{ROOT}: cannot {what}: {e}")),
    })
}

fn plain(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { path: None, retry_after_ms: None, ..error(code, message) }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A number that no other call has.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now())
}
