//! An instance plugin that breaks every rule it is asked to break: for the tests of the sandbox.
//!
//! Calls with properties do what their member `Do` says, and `provision` also what `OnProvision` says; `list` does what
//! the tag `do` says, or, in a group called `list-WORD`, what that word says. What `describe-plugin` does, and how this
//! version differs from others, is written in [`MODE`], which the tests overwrite in the built file. Where a directory is
//! granted as `/world`, it is also a provider that keeps its instances there: see [`world`].
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Guest, InstanceSpec, Json, ListRequest, Page, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};
use deeds::{misbehave, spin};

mod deeds;
mod world;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "instance-plugin" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

/// What `describe-plugin` does, or what else this version does: the word after `=`, up to the first dot. With `refuse`,
/// `validate` refuses everything; with `crash`, `provision` crashes.
static MODE: [u8; 40] = *b"homeostat-hostile=normal................";

fn mode() -> String {
    let mode = String::from_utf8_lossy(black_box(&MODE)).into_owned();
    mode.split(['=', '.']).nth(1).unwrap_or_default().to_owned()
}

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Meta for Hostile {
    fn describe_plugin() -> PluginDescription {
        let mode = mode();
        let schema = match mode.as_str() {
            "json" => "{",
            "schema" => r#"{"type":"strin"}"#,
            "example" => r#"{"type":"string"}"#,
            _ => r#"{"type":"object"}"#,
        };
        match mode.as_str() {
            "spin" => spin(),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "panic" => panic!("describing is hard"),
            "files" => assert!(fs::metadata("/granted").is_err(), "it was given a directory"),
            _ => {}
        }
        PluginDescription {
            name: if mode == "name" { "Not A Name" } else { "hostile" }.into(),
            version: if mode == "version" { "one" } else { "0.1.0" }.into(),
            summary: "Breaks what it is asked to break".into(),
            properties_schema: schema.into(),
            properties_example: r#"{"Do":"nothing"}"#.into(),
        }
    }
}

impl Guest for Hostile {
    fn validate(properties: Json) -> Result<(), Error> {
        if mode() == "refuse" {
            return Err(error(ErrorCode::InvalidArgument, "this version takes no properties at all"));
        }
        misbehave(&properties)?;
        if world::is_granted() { world::validate() } else { Ok(()) }
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        if mode() == "crash" {
            core::arch::wasm32::unreachable();
        }
        misbehave(&spec.properties)?;
        misbehave(&spec.properties.replace("\"OnProvision\"", "\"Do\""))?;
        if world::is_granted() {
            return world::provision(&name, &spec);
        }
        Ok(if spec.properties.contains("empty-id") { String::new() } else { format!("id-{name}") })
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        if world::is_granted() {
            return world::label(&id, &tags);
        }
        Err(error(ErrorCode::Unimplemented, "no labels here"))
    }

    fn destroy(id: String, reason: DestroyReason) -> Result<(), Error> {
        misbehave(&id)?;
        if world::is_granted() { world::destroy(&id, reason) } else { Ok(()) }
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        let tag = |name| request.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if let Some(word) = tag("infrakit.group").and_then(|id| id.strip_prefix("list-")) {
            misbehave(word)?;
        }
        match tag("do") {
            None if world::is_granted() => world::list(&request),
            what => odd_page(what.unwrap_or_default(), &request),
        }
    }
}

/// A page as this word wants it: empty for one that is none.
fn odd_page(what: &str, request: &ListRequest) -> Result<Page, Error> {
    let number: u32 = request.cursor.as_deref().and_then(|c| c.parse().ok()).unwrap_or(0);
    let next = Some((number + 1).to_string());
    let page = |instances, next| Page { instances, next, complete: true, findings: vec![] };
    Ok(match what {
        "three-pages" if number < 2 => page(vec![instance(number * 2), instance(number * 2 + 1)], next),
        "three-pages" => page(vec![instance(4)], None),
        "incomplete" => Page { complete: number > 0, ..page(vec![instance(number)], next.filter(|_| number == 0)) },
        "same-cursor" => page(vec![instance(number)], Some("1".into())),
        "empty-pages" => page(vec![], next),
        "same-id" => page(vec![instance(7)], next),
        "same-tag" => {
            let mut odd = instance(1);
            odd.tags = vec![("a".into(), "1".into()), ("a".into(), "2".into())];
            page(vec![odd], None)
        }
        "many-tags" => {
            let mut odd = instance(1);
            odd.tags = (0..500_000).map(|n| (n.to_string(), String::new())).collect();
            page(vec![odd], None)
        }
        "bad-json" => page(vec![Instance { properties: Some("{".into()), ..instance(1) }], None),
        "deep-json" => page(vec![Instance { properties: Some("[".repeat(4 << 20)), ..instance(1) }], None),
        "no-id" => page(vec![Instance { id: String::new(), ..instance(1) }], None),
        "write" => return Err(error(ErrorCode::Internal, deeds::write())),
        "flood" => page((0..request.limit).cycle().take(3_000_000).map(instance).collect(), None),
        "gigabytes" => page((0..1_000).map(|n| Instance { message: deeds::alias(), ..instance(n) }).collect(), None),
        _ => page(vec![], None),
    })
}

fn instance(number: u32) -> Instance {
    Instance {
        id: format!("id-{number}"),
        name: format!("name-{number}"),
        logical_id: None,
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: Some(u64::from(number)),
        addresses: vec![],
        tags: vec![("infrakit.group".into(), "g".into())],
        properties: Some("{\"N\":1}".into()),
    }
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), path: Some("/Do".into()), retry_after_ms: Some(1500) }
}
