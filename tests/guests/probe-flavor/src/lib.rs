//! A flavor plugin that does what files in the directory granted as `/probe` say: for tests of rollouts, healing and
//! removal. Read-only is enough. A file is looked at in each call, so a test changes its mind by writing files. To write
//! one at once, write it elsewhere and rename it.
//!
//! | file | what it does |
//! |---|---|
//! | `health/ID`, or else `health/default` | `healthy`, `unhealthy` or `unknown`, and after a space a message; healthy without |
//! | `slow` | `health` takes so many milliseconds first |
//! | `health-error` | `health` fails |
//! | `drain-ms` | `drain` takes so many milliseconds first |
//! | `drain-error` | `drain` fails, with `unavailable` where the text begins with no code |
//! | `prepare-error` | `prepare` fails |
//! | `order` | ids, one a line, the most dispensable first: what `removal` says, as far as they are asked about |
//! | `order-error` | `removal` fails |
//! | `log` | written, where the grant is `rw`: `drain ID`, a line for each `drain` that is asked for |
//!
//! An error's file holds the code in the contract's words (`resource-exhausted`) and after a space the message. Without a
//! code it is `internal`. Properties: `{"Init": "..."}` becomes the init of what is prepared; other members have no effect.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

use bindings::exports::homeostat::plugin::flavor::{
    Allocation, Error, Guest, HealthReport, HealthStatus, Index, Instance, InstanceSpec, Json,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::exports::homeostat::plugin::removal::Guest as Removal;
use bindings::homeostat::plugin::types::ErrorCode;
use serde_json::Value;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "flavor-plugin-with-removal" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

struct Probe;

bindings::export!(Probe with_types_in bindings);

impl Meta for Probe {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            properties_schema: r#"{"type": ["object", "null"], "properties": {"Init": {"type": "string"}}}"#.into(),
            properties_example: r#"{"Init": "echo hello"}"#.into(),
        }
    }
}

impl Guest for Probe {
    fn validate(properties: Json, _: Allocation) -> Result<(), Error> {
        init(&properties).map(drop)
    }

    fn prepare(properties: Json, mut spec: InstanceSpec, _: Allocation, _: Index) -> Result<InstanceSpec, Error> {
        fail("prepare-error", ErrorCode::Internal)?;
        if let Some(init) = init(&properties)? {
            spec.init = init;
        }
        Ok(spec)
    }

    fn health(_: Json, instances: Vec<Instance>) -> Result<Vec<HealthReport>, Error> {
        sleep("slow")?;
        fail("health-error", ErrorCode::Internal)?;
        let default = read("health/default")?;
        instances.iter().map(|instance| judge(&instance.id, default.as_deref())).collect()
    }

    fn drain(_: Json, instance: Instance) -> Result<(), Error> {
        log(&format!("drain {}", instance.id))?;
        sleep("drain-ms")?;
        fail("drain-error", ErrorCode::Unavailable)
    }
}

impl Removal for Probe {
    fn order(_: Json, instances: Vec<Instance>) -> Result<Vec<String>, Error> {
        fail("order-error", ErrorCode::Internal)?;
        let order = read("order")?.unwrap_or_default();
        let asked = |id: &&str| instances.iter().any(|instance| instance.id == *id);
        Ok(order.lines().map(str::trim).filter(asked).map(str::to_owned).collect())
    }
}

fn init(properties: &str) -> Result<Option<String>, Error> {
    let wrong =
        |path: &str, message: String| Error { path: Some(path.into()), ..error(ErrorCode::InvalidArgument, message) };
    let value: Value = serde_json::from_str(properties).map_err(|e| wrong("", format!("this is not JSON: {e}")))?;
    match value.get("Init") {
        None => Ok(None),
        Some(Value::String(init)) => Ok(Some(init.clone())),
        Some(_) => Err(wrong("/Init", "Init is a string".into())),
    }
}

fn judge(id: &str, default: Option<&str>) -> Result<HealthReport, Error> {
    let own = read(&format!("health/{id}"))?;
    let (status, message) = words(own.as_deref().or(default).unwrap_or("healthy"));
    let status = match status {
        "healthy" => HealthStatus::Healthy,
        "unhealthy" => HealthStatus::Unhealthy,
        "unknown" => HealthStatus::Unknown,
        other => return Err(error(ErrorCode::Internal, format!("/probe/health: {other:?} is no health"))),
    };
    Ok(HealthReport { status, message: message.into() })
}

/// The text of a file of `/probe`; none where there is no such file, or no such directory.
fn read(name: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(format!("/probe/{name}")) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(error(ErrorCode::Internal, format!("/probe/{name} cannot be read: {e}"))),
    }
}

/// Wait so many milliseconds as the file says.
fn sleep(name: &str) -> Result<(), Error> {
    let Some(text) = read(name)? else { return Ok(()) };
    let ms = text.parse().map_err(|_| error(ErrorCode::Internal, format!("/probe/{name}: {text:?} is no number")))?;
    thread::sleep(Duration::from_millis(ms));
    Ok(())
}

/// Fail where the file is there.
fn fail(name: &str, usual: ErrorCode) -> Result<(), Error> {
    let Some(text) = read(name)? else { return Ok(()) };
    let (word, rest) = words(&text);
    Err(match code(word) {
        Some(code) => error(code, rest),
        None => error(usual, text),
    })
}

/// The first word, and what follows it.
fn words(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
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

/// Add a line to the log, where it may be written.
fn log(line: &str) -> Result<(), Error> {
    let file = OpenOptions::new().append(true).create(true).open("/probe/log");
    match file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => Ok(()),
        Err(e) => Err(error(ErrorCode::Internal, format!("/probe/log cannot be written: {e}"))),
    }
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None }
}
