//! An instance plugin that keeps the contract, unless it is told to break it in one way: for the tests of the conformance
//! kit.
//!
//! The way is written in [`FAULT`], which the tests overwrite in the built file, so that `describe-plugin` stays pure.
//! Instances are files in `/broken`: see [`store`] and [`list`].
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use std::hint::black_box;
use std::time::Duration;

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Guest, InstanceSpec, Json, ListRequest, Page, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::types::ErrorCode;
use serde_json::Value;

mod list;
mod record;
mod store;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "instance-plugin" });
}

/// How it is broken: the word after `=`, up to the first dot.
static FAULT: [u8; 40] = *b"homeostat-broken=none...................";

#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false, "properties": {
    "Size": {"type": "string", "description": "small or large"},
    "Note": {"type": "string", "maxLength": 2000000}}}"#;

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

fn spin() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

struct Broken;

bindings::export!(Broken with_types_in bindings);

impl Meta for Broken {
    fn describe_plugin() -> PluginDescription {
        if broken("describe-loops") {
            spin();
        }
        let mut summary = String::from("Instances as files, kept well or badly");
        if broken("random-describe") {
            summary.push_str(&format!(" {}", random()));
        }
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: if broken("bad-version") { "one" } else { env!("CARGO_PKG_VERSION") }.into(),
            summary,
            properties_schema: if broken("schema-example") { r#"{"type": "string"}"# } else { SCHEMA }.into(),
            properties_example: r#"{"Size": "small", "Note": "hello"}"#.into(),
        }
    }
}

impl Guest for Broken {
    fn validate(properties: Json) -> Result<(), Error> {
        if properties.len() >= LONG {
            if broken("loops") {
                spin();
            }
            if broken("hogs-memory") {
                let mut all = Vec::new();
                loop {
                    all.push(black_box(vec![1u8; LONG]));
                }
            }
        }
        let wrong = |path: &str, message: &str| {
            let code = if broken("wrong-code") { ErrorCode::Internal } else { ErrorCode::InvalidArgument };
            Err(Error { path: Some(path.into()), ..error(code, message) })
        };
        let Ok(Value::Object(properties)) = serde_json::from_str(&properties) else {
            return wrong("", "the properties are an object");
        };
        assert!(!(broken("trap-on-empty") && properties.is_empty()), "nobody sends an empty object");
        match properties.get("Size").map(|it| it.as_str()) {
            None | Some(Some("small" | "large")) => Ok(()),
            Some(_) if broken("accepts-invalid") => Ok(()),
            Some(_) => wrong("/Size", "Size is small or large"),
        }
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        granted()?;
        store::provision(&name, &spec)
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        granted()?;
        store::label(&id, &tags)
    }

    fn destroy(id: String, _: DestroyReason) -> Result<(), Error> {
        granted()?;
        store::destroy(&id)
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        if broken("denied-empty") && !store::is_granted()? {
            return Ok(Page { instances: vec![], next: None, complete: true, findings: vec![] });
        }
        granted()?;
        list::list(&request)
    }
}

/// The directory is there.
fn granted() -> Result<(), Error> {
    if store::is_granted()? {
        return Ok(());
    }
    assert!(!broken("denied-trap"), "there is always a directory");
    if broken("denied-hangs") {
        std::thread::sleep(Duration::from_secs(2));
    }
    Err(error(ErrorCode::PermissionDenied, r#"grant a directory: {"Dirs": [{"Guest": "/broken", "Mode": "rw"}]}"#))
}
