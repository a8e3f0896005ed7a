//! An instance plugin that costs as little as one can, for measuring the host with many groups.
//!
//! A group is one file in the directory granted as `/world`, named after the group. Each instance is a line in it: name,
//! config hash and slot. Making one appends a line, which is atomic; destroying one is not measured and not offered.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Guest, InstanceSpec, Json, ListRequest, Page, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "instance-plugin" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

const TAGS: [&str; 3] = ["infrakit.group", "infrakit.config.hash", "homeostat.slot"];

struct Brief;

bindings::export!(Brief with_types_in bindings);

impl Meta for Brief {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            properties_schema: "{}".into(),
            properties_example: "null".into(),
        }
    }
}

impl Guest for Brief {
    fn validate(_: Json) -> Result<(), Error> {
        Ok(())
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        let [group, hash, slot] = TAGS.map(|key| tag(&spec.tags, key));
        let path = format!("/world/{group}");
        let known = |text: &str| text.lines().any(|it| it.split(' ').next() == Some(&name));
        if !read(&path)?.is_some_and(|text| known(&text)) {
            let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(|it| failed(&it))?;
            file.write_all(format!("{name} {hash} {slot}\n").as_bytes()).map_err(|it| failed(&it))?;
        }
        Ok(name)
    }

    fn label(_: String, _: Tags) -> Result<(), Error> {
        Err(error(ErrorCode::Unimplemented, "this plugin is for measuring"))
    }

    fn destroy(_: String, _: DestroyReason) -> Result<(), Error> {
        Err(error(ErrorCode::Unimplemented, "this plugin is for measuring"))
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        let group = tag(&request.tags, TAGS[0]);
        let text = read(&format!("/world/{group}"))?.unwrap_or_default();
        let instances = text.lines().filter_map(|line| instance(group, line)).collect();
        Ok(Page { instances, next: None, complete: true, findings: Vec::new() })
    }
}

fn instance(group: &str, line: &str) -> Option<Instance> {
    let mut words = line.split(' ');
    let (name, hash, slot) = (words.next()?, words.next()?, words.next()?);
    let tags = TAGS.iter().zip([group, hash, slot]).map(|(key, value)| ((*key).into(), value.into())).collect();
    Some(Instance {
        id: name.into(),
        name: name.into(),
        logical_id: None,
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: None,
        addresses: Vec::new(),
        tags,
        properties: None,
    })
}

fn tag<'a>(tags: &'a Tags, key: &str) -> &'a str {
    tags.iter().find(|(it, _)| it == key).map_or("", |(_, value)| value)
}

fn read(path: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(source: &std::io::Error) -> Error {
    error(ErrorCode::Internal, &source.to_string())
}

fn error(code: ErrorCode, message: &str) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None }
}
