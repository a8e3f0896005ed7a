//! The contract's functions in requests of the API.
//!
//! **Idempotent by name.** A machine is made under its name with `If-None-Match: *`, so the API lets one request of any
//! number make it. With it goes a digest of the spec, which tells later whether it was made from the same one.
//!
//! **Lost answers.** Where a request may have had its effect, the machine is looked up by its name: found as it should be,
//! all is well; else the answer is `internal`, and the host lists before it does anything else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{Answer, Api, Method, Request, Silence, error, escaped};
use crate::bindings::exports::homeostat::plugin::instance::{Finding, ListRequest, Page};
use crate::bindings::homeostat::plugin::types::{Error, ErrorCode, Instance, InstanceSpec, InstanceState};
use crate::properties;

/// The annotation in which the digest of the spec is kept. What lacks it was not made by this plugin.
const MADE_FROM: &str = "homeostat.spec";

/// The most machines that are asked for at once.
const MAX_PAGE: u32 = 500;

/// A machine, as the API tells of it.
#[derive(Deserialize)]
struct Machine {
    name: String,
    state: String,
    #[serde(default)]
    message: String,
    created_at_ms: Option<u64>,
    #[serde(default)]
    addresses: Vec<String>,
    hostname: Option<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    size: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A page of machines.
#[derive(Deserialize)]
struct Machines {
    machines: Vec<Machine>,
    next: Option<String>,
    /// Whether a part of the API's own backends did not answer.
    #[serde(default)]
    partial: bool,
}

/// Make the machine `name`, or find it made; answers with its id, which is its name.
pub fn provision(api: &impl Api, name: &str, spec: &InstanceSpec) -> Result<String, Error> {
    if !is_name(name) {
        let message = format!("`{}` cannot name a machine: 1 to 128 of A-Z a-z 0-9 . _ -", name.escape_debug());
        return Err(error(ErrorCode::InvalidArgument, message));
    }
    let declared = properties::read(&spec.properties)?;
    let digest = digest(spec)?;
    let tags: BTreeMap<_, _> = spec.tags.iter().map(|(key, value)| (key, value)).collect();
    let volumes: Vec<Value> = spec.attachments.iter().map(|it| json!({"id": it.id, "kind": it.kind})).collect();
    let body = json!({
        "image": declared.image,
        "size": declared.size,
        "init": spec.init,
        "hostname": spec.logical_id,
        "volumes": volumes,
        "tags": tags,
        "annotations": {MADE_FROM: digest},
    });
    let request = Request { method: Method::Put, path: path(name), if_none_match: Some("*"), body: Some(body) };
    let doing = format!("make `{name}`");
    let lost = match api.send(&request) {
        Ok(answer) if is_success(&answer) => return Ok(name.to_owned()),
        Ok(answer) if answer.status == 412 => {
            let gone = || error(ErrorCode::Aborted, format!("`{name}` was there, and was destroyed meanwhile"));
            return is_made_from(&look(api, name)?.ok_or_else(gone)?, &digest).map(|()| name.to_owned());
        }
        Ok(answer) if answer.is_lost() => answer.into_error(&doing),
        Ok(answer) => return Err(no_such_path(answer.into_error(&doing))),
        Err(silence @ Silence::Lost(_)) => silence.into_error(true),
        Err(silence) => return Err(silence.into_error(true)),
    };
    // Where the look fails too, what was lost is the better answer: it says that the effect is not known.
    match look(api, name) {
        Ok(Some(machine)) => is_made_from(&machine, &digest).map(|()| name.to_owned()),
        Ok(None) | Err(_) => Err(lost),
    }
}

/// Add tags to a machine, or overwrite those that are there.
pub fn label(api: &impl Api, id: &str, tags: Vec<(String, String)>) -> Result<(), Error> {
    if !is_name(id) {
        return Err(error(ErrorCode::NotFound, format!("there is no machine `{}`", id.escape_debug())));
    }
    let tags: BTreeMap<String, String> = tags.into_iter().collect();
    let request = Request {
        method: Method::Patch,
        path: format!("{}/tags", path(id)),
        if_none_match: None,
        body: Some(json!(tags)),
    };
    let answer = api.send(&request).map_err(|it| it.into_error(true))?;
    if is_success(&answer) { Ok(()) } else { Err(answer.into_error(&format!("tag `{id}`"))) }
}

/// Destroy a machine. Succeeds where it is gone; refuses what this plugin did not make.
pub fn destroy(api: &impl Api, id: &str) -> Result<(), Error> {
    if !is_name(id) {
        let message = format!("`{}` is not an id that this plugin gives", id.escape_debug());
        return Err(error(ErrorCode::InvalidArgument, message));
    }
    let Some(machine) = look(api, id)? else { return Ok(()) };
    if !machine.annotations.contains_key(MADE_FROM) {
        let message =
            format!("`{id}` was not made by this plugin, and is left alone; destroy it by hand if it should go");
        return Err(error(ErrorCode::PermissionDenied, message));
    }
    let request = Request { method: Method::Delete, path: path(id), if_none_match: None, body: None };
    let doing = format!("destroy `{id}`");
    let lost = match api.send(&request) {
        Ok(answer) if is_success(&answer) || answer.status == 404 => return Ok(()),
        Ok(answer) if answer.is_lost() => answer.into_error(&doing),
        Ok(answer) => return Err(answer.into_error(&doing)),
        Err(silence @ Silence::Lost(_)) => silence.into_error(true),
        Err(silence) => return Err(silence.into_error(true)),
    };
    match look(api, id) {
        Ok(None) => Ok(()),
        Ok(Some(machine)) if machine.state == "stopping" => Ok(()),
        Ok(Some(_)) | Err(_) => Err(lost),
    }
}

/// One page of the machines that this plugin made. The cursor is the API's.
pub fn list(api: &impl Api, request: &ListRequest) -> Result<Page, Error> {
    let limit = request.limit.min(MAX_PAGE);
    if limit == 0 {
        return Err(error(ErrorCode::InvalidArgument, "the limit of a page is 1 or more".to_owned()));
    }
    let mut path = format!("/v1/machines?limit={limit}");
    // What cannot be told in a query is compared here alone.
    for (key, value) in request.tags.iter().filter(|(key, _)| !key.contains('=')) {
        path.push_str(&format!("&tag={}", escaped(&format!("{key}={value}"))));
    }
    if let Some(cursor) = &request.cursor {
        path.push_str(&format!("&cursor={}", escaped(cursor)));
    }
    let answer = get(api, path)?;
    if !is_success(&answer) {
        return Err(no_such_path(answer.into_error("list machines")));
    }
    let Machines { machines, next, partial } = parse(&answer)?;
    let ours = machines.into_iter().filter(|it| it.annotations.contains_key(MADE_FROM));
    let wanted = ours.filter(|it| request.tags.iter().all(|(key, value)| it.tags.get(key) == Some(value)));
    let instances = wanted.map(|it| it.into_instance(request.with_properties)).collect();
    let finding = || Finding {
        subject: "the API".to_owned(),
        message: "a part of it did not answer, so this list does not know all machines".to_owned(),
    };
    Ok(Page { instances, next, complete: !partial, findings: partial.then(finding).into_iter().collect() })
}

impl Machine {
    fn into_instance(self, with_properties: bool) -> Instance {
        let (state, unknown) = match self.state.as_str() {
            "running" => (InstanceState::Running, None),
            "stopping" => (InstanceState::Stopping, None),
            "stopped" => (InstanceState::Stopped, None),
            "failed" => (InstanceState::Failed, None),
            "creating" => (InstanceState::Pending, None),
            other => (InstanceState::Pending, Some(format!("the API calls its state `{}`", other.escape_debug()))),
        };
        let properties = with_properties.then(|| json!({"Image": self.image, "Size": self.size}).to_string());
        Instance {
            id: self.name.clone(),
            name: self.name,
            logical_id: self.hostname,
            state,
            message: unknown.unwrap_or(self.message),
            created_at_ms: self.created_at_ms,
            addresses: self.addresses,
            tags: self.tags.into_iter().collect(),
            properties,
        }
    }
}

/// The machine of this name, if there is one.
fn look(api: &impl Api, name: &str) -> Result<Option<Machine>, Error> {
    let answer = get(api, path(name))?;
    match answer.status {
        404 => Ok(None),
        _ if is_success(&answer) => parse(&answer).map(Some),
        _ => Err(answer.into_error(&format!("look at `{name}`"))),
    }
}

fn get(api: &impl Api, path: String) -> Result<Answer, Error> {
    let request = Request { method: Method::Get, path, if_none_match: None, body: None };
    api.send(&request).map_err(|it| it.into_error(false))
}

fn is_made_from(machine: &Machine, digest: &str) -> Result<(), Error> {
    match machine.annotations.get(MADE_FROM) {
        Some(made_from) if made_from == digest => Ok(()),
        Some(_) => Err(error(ErrorCode::AlreadyExists, format!("`{}` exists, made from another spec", machine.name))),
        None => Err(error(ErrorCode::AlreadyExists, format!("`{}` exists, made by somebody else", machine.name))),
    }
}

/// A digest of a spec as it was given to `provision`, where the order of tags and of members means nothing.
fn digest(spec: &InstanceSpec) -> Result<String, Error> {
    let properties: Value = serde_json::from_str(&spec.properties)
        .map_err(|it| error(ErrorCode::InvalidArgument, format!("the properties are not JSON: {it}")))?;
    let tags: BTreeMap<_, _> = spec.tags.iter().map(|(key, value)| (key, value)).collect();
    let attachments: Vec<_> = spec.attachments.iter().map(|it| (&it.kind, &it.id)).collect();
    let canonical = json!([properties, tags, spec.init, spec.logical_id, attachments]).to_string();
    Ok(Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn parse<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<T, Error> {
    serde_json::from_slice(&answer.body)
        .map_err(|it| error(ErrorCode::Internal, format!("the API answered with something else than it should: {it}")))
}

/// 404 where no machine was asked for is an API of another kind.
fn no_such_path(error: Error) -> Error {
    match error.code {
        ErrorCode::NotFound => {
            let message = format!("{}; is this the API that instance-rest is made for?", error.message);
            Error { code: ErrorCode::Internal, message, ..error }
        }
        _ => error,
    }
}

fn path(name: &str) -> String {
    format!("/v1/machines/{}", escaped(name))
}

fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// Whether `name` may name a machine, which is the contract's rule.
fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests;
