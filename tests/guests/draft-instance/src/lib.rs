//! An instance plugin of the draft of the next contract: each instance is a file in the directory granted as `/world`,
//! named after it, with its spec and its tags.
//!
//! It uses what the draft has beyond the version before it: it reads only the files of the names that it is asked for, says
//! whether an instance was there already, and gives details with an error. Of the interfaces to import it uses all but
//! `exec`.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write};

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Finding, Guest, InstanceSpec, Json, ListRequest, Page, Provisioned, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};
use bindings::homeostat::plugin::{config, log, secrets};
use serde_json::{Map, Value, json};

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.2-draft", world: "instance-plugin" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

const WORLD: &str = "/world";

struct Draft;

bindings::export!(Draft with_types_in bindings);

impl Meta for Draft {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            properties_schema: r#"{"type": "object"}"#.into(),
            properties_example: "{}".into(),
        }
    }
}

impl Guest for Draft {
    /// A `Token` among the properties has to be the one that the plugin is granted.
    fn validate(properties: Json) -> Result<(), Error> {
        let properties = parsed(&properties)?;
        let Some(token) = properties.get("Token") else { return Ok(()) };
        if token == &Value::from(secrets::get("token")?) {
            return Ok(());
        }
        Err(Error { path: Some("/Token".into()), ..error(ErrorCode::InvalidArgument, "this is not the token") })
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<Provisioned, Error> {
        let spec = json!({
            "Properties": parsed(&spec.properties)?,
            "Tags": object(spec.tags),
            "Init": spec.init,
            "LogicalId": spec.logical_id,
            "Attachments": spec.attachments.into_iter().map(|it| (it.id, it.kind.into())).collect::<Map<_, _>>(),
        });
        if let Some(found) = read(&name)? {
            return answer(name, &found, &spec);
        }
        if let Some(quota) = config::get("quota").and_then(|it| it.parse().ok())
            && names()?.len() >= quota
        {
            let message = format!("there are {quota} instances, and the setting \"quota\" allows no more");
            return Err(error(ErrorCode::ResourceExhausted, &message));
        }
        let text = json!({"Spec": spec, "Tags": spec["Tags"]}).to_string();
        // Several calls may make the same: the one that links first has made it.
        let half = format!("{WORLD}/.{name}.{:x}", unique());
        File::create(&half).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|it| failed(&it))?;
        let linked = fs::hard_link(&half, path(&name));
        fs::remove_file(&half).map_err(|it| failed(&it))?;
        match linked {
            Ok(()) => {
                log::log(log::Level::Info, &format!("made {name}"));
                Ok(Provisioned { id: name, already_existed: false })
            }
            Err(it) if it.kind() == ErrorKind::AlreadyExists => match read(&name)? {
                Some(found) => answer(name, &found, &spec),
                None => Err(error(ErrorCode::Aborted, "it was made and destroyed meanwhile")),
            },
            Err(it) => Err(failed(&it)),
        }
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        let Some(mut found) = read(&id)? else {
            return Err(error(ErrorCode::NotFound, "there is no such instance"));
        };
        if let Some(has) = found["Tags"].as_object_mut() {
            has.extend(object(tags));
        }
        let half = format!("{WORLD}/.{id}.{:x}", unique());
        fs::write(&half, found.to_string()).and_then(|()| fs::rename(&half, path(&id))).map_err(|it| failed(&it))
    }

    fn destroy(id: String, _: DestroyReason) -> Result<(), Error> {
        match fs::remove_file(path(&id)) {
            Err(it) if it.kind() != ErrorKind::NotFound => Err(failed(&it)),
            _ => Ok(()),
        }
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        let mut wanted = if request.names.is_empty() { names()? } else { request.names };
        wanted.sort();
        let after = |name: &String| request.cursor.as_ref().is_none_or(|cursor| name > cursor);
        let mut left = wanted.into_iter().filter(after);
        let mut page = Page { instances: Vec::new(), next: None, complete: true, findings: Vec::new() };
        for name in left.by_ref().take(request.limit as usize) {
            page.next = Some(name.clone());
            match read(&name) {
                Ok(Some(found)) if request.tags.iter().all(|(key, value)| found["Tags"][key] == *value.as_str()) => {
                    page.instances.push(instance(&name, &found, request.with_properties));
                }
                Ok(_) => {}
                Err(it) => {
                    page.complete = false;
                    page.findings.push(Finding { subject: name, message: it.message });
                }
            }
        }
        if left.next().is_none() {
            page.next = None;
        }
        Ok(page)
    }
}

/// The answer to a `provision` of what is there.
fn answer(name: String, found: &Value, spec: &Value) -> Result<Provisioned, Error> {
    if found["Spec"] == *spec {
        return Ok(Provisioned { id: name, already_existed: true });
    }
    let details = json!({"Found": found["Spec"]["Properties"], "Wanted": spec["Properties"]}).to_string();
    let message = "there is one of this name with another spec";
    Err(Error { details: Some(details), ..error(ErrorCode::AlreadyExists, message) })
}

fn instance(name: &str, found: &Value, with_properties: bool) -> Instance {
    let tags = found["Tags"].as_object().into_iter().flatten();
    Instance {
        id: name.into(),
        name: name.into(),
        logical_id: found["Spec"]["LogicalId"].as_str().map(Into::into),
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: None,
        addresses: Vec::new(),
        tags: tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into())).collect(),
        properties: with_properties.then(|| found["Spec"]["Properties"].to_string()),
    }
}

fn path(name: &str) -> String {
    format!("{WORLD}/{name}.json")
}

/// The names of all instances.
fn names() -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(WORLD).map_err(|it| failed(&it))?;
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(files.filter_map(|file| Some(file.strip_suffix(".json")?.to_owned())).collect())
}

fn read(name: &str) -> Result<Option<Value>, Error> {
    match fs::read_to_string(path(name)) {
        Ok(text) => parsed(&text).map(Some),
        Err(it) if it.kind() == ErrorKind::NotFound => Ok(None),
        Err(it) => Err(failed(&it)),
    }
}

fn parsed(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|it| error(ErrorCode::Internal, &format!("this is no JSON: {it}")))
}

fn object(tags: Tags) -> Map<String, Value> {
    tags.into_iter().map(|(key, value)| (key, value.into())).collect()
}

/// A number that no other call has: each guest has random keys of its own.
fn unique() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn failed(source: &std::io::Error) -> Error {
    error(ErrorCode::Internal, &source.to_string())
}

fn error(code: ErrorCode, message: &str) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None, details: None }
}
