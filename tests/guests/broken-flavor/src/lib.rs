//! A flavor plugin that keeps the contract, unless it is told to break it in one way: for the tests of the conformance
//! kit.
//!
//! The way is written in [`FAULT`], which the tests overwrite in the built file, so that `describe-plugin` stays pure. What
//! was drained is noted in `/broken`, and a file `greeting` there, if there is one, is a part of each init script.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use std::fs;
use std::hint::black_box;
use std::io::{self, ErrorKind};

use bindings::exports::homeostat::plugin::flavor::{
    Allocation, Error, Guest, HealthReport, HealthStatus, Index, Instance, InstanceSpec, Json,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::exports::homeostat::plugin::removal;
use bindings::homeostat::plugin::types::{ErrorCode, InstanceState};
use serde_json::{Map, Value};

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "flavor-plugin-with-removal" });
}

/// How it is broken: the word after `=`, up to the first dot.
static FAULT: [u8; 40] = *b"homeostat-broken=none...................";

#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false, "properties": {
    "Word": {"type": "string", "description": "what each instance says"},
    "Level": {"type": "string", "description": "low or high"}}}"#;

const ROOT: &str = "/broken";

/// Bytes of properties that are long.
const LONG: usize = 1 << 20;

/// Whether it is broken in this way.
fn broken(fault: &str) -> bool {
    let word = String::from_utf8_lossy(black_box(&FAULT)).into_owned();
    word.split(['=', '.']).nth(1) == Some(fault)
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None }
}

/// A number that is never the same.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

struct Broken;

bindings::export!(Broken with_types_in bindings);

impl Meta for Broken {
    fn describe_plugin() -> PluginDescription {
        let mut summary = String::from("Has instances say a word, well or badly");
        if broken("random-describe") {
            summary.push_str(&format!(" {}", random()));
        }
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: if broken("bad-version") { "one" } else { env!("CARGO_PKG_VERSION") }.into(),
            summary,
            properties_schema: if broken("schema-example") { r#"{"type": "string"}"# } else { SCHEMA }.into(),
            properties_example: r#"{"Word": "hello", "Level": "low"}"#.into(),
        }
    }
}

fn read(properties: &str) -> Result<Map<String, Value>, Error> {
    if properties.len() >= LONG && broken("loops") {
        let mut n = 0u64;
        loop {
            n = black_box(n.wrapping_add(1));
        }
    }
    if properties.len() >= LONG && broken("hogs-memory") {
        let mut all = Vec::new();
        loop {
            all.push(black_box(vec![1u8; LONG]));
        }
    }
    let wrong = |path: &str, message: &str| {
        let code = if broken("wrong-code") { ErrorCode::Internal } else { ErrorCode::InvalidArgument };
        Err(Error { path: Some(path.into()), ..error(code, message) })
    };
    let Ok(Value::Object(properties)) = serde_json::from_str(properties) else {
        return wrong("", "the properties are an object");
    };
    assert!(!(broken("trap-on-empty") && properties.is_empty()), "nobody sends an empty object");
    match properties.get("Level").map(|it| it.as_str()) {
        None | Some(Some("low" | "high")) => Ok(properties),
        Some(_) if broken("accepts-invalid") => Ok(properties),
        Some(_) => wrong("/Level", "Level is low or high"),
    }
}

fn failed(source: &io::Error) -> Error {
    let code = if broken("io-invalid") { ErrorCode::InvalidArgument } else { ErrorCode::Unavailable };
    error(code, source.to_string())
}

/// The directory is there.
fn granted() -> Result<(), Error> {
    match fs::metadata(ROOT) {
        Ok(_) => return Ok(()),
        Err(it) if matches!(it.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
        // What cannot be reached from any directory that is granted has no error of its own.
        Err(it) if it.raw_os_error().is_none() => {}
        Err(it) => return Err(failed(&it)),
    }
    assert!(!broken("denied-trap"), "there is always a directory");
    Err(error(ErrorCode::PermissionDenied, r#"grant a directory: {"Dirs": [{"Guest": "/broken", "Mode": "rw"}]}"#))
}

fn name_of(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(100).collect()
}

impl Guest for Broken {
    fn validate(properties: Json, _: Allocation) -> Result<(), Error> {
        read(&properties).map(drop)
    }

    fn prepare(properties: Json, mut spec: InstanceSpec, _: Allocation, _: Index) -> Result<InstanceSpec, Error> {
        granted()?;
        let properties = read(&properties)?;
        let greeting = match fs::read_to_string(format!("{ROOT}/greeting")) {
            Ok(text) => text,
            Err(it) if it.kind() == ErrorKind::NotFound => String::new(),
            Err(it) => return Err(failed(&it)),
        };
        let word = properties.get("Word").and_then(Value::as_str).unwrap_or("nothing");
        if broken("drops-init") {
            spec.init.clear();
        }
        spec.init.push_str(&format!("echo {greeting}{}\n", name_of(word)));
        if broken("random-prepare") {
            spec.init.push_str(&format!("echo {}\n", random()));
        }
        if broken("drops-unknown") {
            let old: Value = serde_json::from_str(&spec.properties).unwrap_or_default();
            spec.properties = serde_json::json!({"Size": old["Size"]}).to_string();
        }
        if broken("drops-tag") {
            spec.tags.retain(|(_, value)| !value.is_empty());
        }
        Ok(spec)
    }

    fn health(_: Json, instances: Vec<Instance>) -> Result<Vec<HealthReport>, Error> {
        let mut reports: Vec<_> = instances
            .iter()
            .map(|it| {
                let status = match it.state {
                    InstanceState::Running => HealthStatus::Healthy,
                    InstanceState::Stopped | InstanceState::Failed if broken("stopped-healthy") => {
                        HealthStatus::Healthy
                    }
                    InstanceState::Stopped | InstanceState::Failed => HealthStatus::Unhealthy,
                    InstanceState::Pending | InstanceState::Stopping => HealthStatus::Unknown,
                };
                HealthReport { status, message: String::new() }
            })
            .collect();
        if broken("health-count") && reports.len() > 1 {
            reports.pop();
        }
        Ok(reports)
    }

    fn drain(_: Json, instance: Instance) -> Result<(), Error> {
        granted()?;
        let note = format!("{ROOT}/{}.drained", name_of(&instance.id));
        let tombstone = format!("{note}.failed");
        if broken("tombstone") && fs::metadata(&tombstone).is_ok() {
            return Err(error(ErrorCode::Internal, "it failed before"));
        }
        let lock = format!("{note}.lock");
        if broken("keeps-lock")
            && let Err(it) = fs::File::options().write(true).create_new(true).open(&lock)
        {
            if it.kind() == ErrorKind::AlreadyExists {
                return Err(error(ErrorCode::Aborted, "another call drains it"));
            }
            unlock(&lock);
            return Err(failed(&it));
        }
        let written = if broken("drain-once") {
            fs::File::options().write(true).create_new(true).open(&note).map(drop)
        } else {
            fs::write(&note, "")
        };
        if broken("keeps-lock") {
            unlock(&lock);
        }
        if written.is_err() && broken("tombstone") {
            let _ = fs::write(&tombstone, "");
        }
        written.map_err(|it| failed(&it))
    }
}

/// Tries again: one operation may fail.
fn unlock(lock: &str) {
    for _ in 0..3 {
        if fs::remove_file(lock).is_ok() {
            return;
        }
    }
}

impl removal::Guest for Broken {
    fn order(_: Json, instances: Vec<Instance>) -> Result<Vec<String>, Error> {
        let mut ids: Vec<_> = instances.into_iter().map(|it| it.id).collect();
        ids.sort();
        if broken("order-twice") {
            ids.extend(ids.first().cloned());
        }
        Ok(ids)
    }
}
