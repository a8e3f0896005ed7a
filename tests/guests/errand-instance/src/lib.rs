//! An instance plugin that goes on errands: it asks for what it is told to ask for, and says what it got. For the tests of
//! what plugins are granted.
//!
//! `list` goes on the errand in the tag `errand`, and answers with one instance whose `properties` are what it got;
//! `provision` goes on that in the property `Errand`, and answers with what it got as the message of an error. An errand
//! is a JSON object with one of these members:
//!
//! | errand | what it got |
//! |---|---|
//! | `{"Fetch": {"Url": "http://a/b", "Method": "GET", "Headers": {"accept": "*/*"}, "Follow": 0}}` | `{"Status": 200, "Headers": {...}, "Body": "..."}`, or `{"Refused": "..."}` with the error code; `Follow`: how many redirects it follows |
//! | `{"Config": ["region", "zone"]}` | `{"region": "eu-1", "zone": null}` |
//! | `{"Secrets": ["token"]}` | `{"token": "..."}`, or `{"token": {"Refused": "..."}}` |
//! | `{"Environment": true}` | `{"HOME": "..."}`: all variables |
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Guest, InstanceSpec, Json, ListRequest, Page, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};
use bindings::homeostat::plugin::{config, log, secrets};
use serde_json::{Map, Value, json};

mod fetch;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "instance-plugin" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

struct Errand;

bindings::export!(Errand with_types_in bindings);

impl Meta for Errand {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            properties_schema: r#"{"type": ["object", "null"], "properties": {"Errand": {"type": "object"}}}"#.into(),
            properties_example: r#"{"Errand": {"Config": ["region"]}}"#.into(),
        }
    }
}

impl Guest for Errand {
    fn validate(properties: Json) -> Result<(), Error> {
        parse(&properties).map(drop)
    }

    fn provision(_: String, spec: InstanceSpec) -> Result<String, Error> {
        let got = go(&parse(&spec.properties)?["Errand"])?;
        Err(error(ErrorCode::Internal, format!("all that there is: {got}")))
    }

    fn label(_: String, _: Tags) -> Result<(), Error> {
        Err(error(ErrorCode::Unimplemented, "no labels here"))
    }

    fn destroy(_: String, _: DestroyReason) -> Result<(), Error> {
        Ok(())
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        let errand = request.tags.iter().find(|(key, _)| key == "errand");
        let got = errand.map(|(_, text)| go(&parse(text)?)).transpose()?;
        let instances = got.into_iter().map(|got| Instance {
            id: "errand".into(),
            name: "errand".into(),
            logical_id: None,
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: None,
            addresses: vec![],
            tags: request.tags.clone(),
            properties: Some(got.to_string()),
        });
        Ok(Page { instances: instances.collect(), next: None, complete: true, findings: vec![] })
    }
}

fn go(errand: &Value) -> Result<Value, Error> {
    let names =
        |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let object = |members: Map<String, Value>| Value::Object(members);
    let got = match errand.as_object().and_then(|it| it.iter().next()).map(|(word, what)| (word.as_str(), what)) {
        Some(("Fetch", what)) => fetch::fetch(what),
        Some(("Config", what)) => {
            let names: Vec<String> = names(what);
            object(names.into_iter().map(|name| (name.clone(), json!(config::get(&name)))).collect())
        }
        Some(("Secrets", what)) => {
            let names: Vec<String> = names(what);
            let said = |name: &str| match secrets::get(name) {
                Ok(secret) => secret.into(),
                Err(error) => json!({"Refused": format!("{:?}: {}", error.code, error.message)}),
            };
            object(names.into_iter().map(|name| (name.clone(), said(&name))).collect())
        }
        Some(("Environment", _)) => object(std::env::vars().map(|(name, value)| (name, value.into())).collect()),
        _ => return Err(error(ErrorCode::InvalidArgument, format!("{errand} is no errand"))),
    };
    // What it says in all the ways in which a plugin can say something.
    log::log(log::Level::Info, &format!("got {got}"));
    eprintln!("got {got}");
    Ok(got)
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|e| error(ErrorCode::InvalidArgument, format!("this is not JSON: {e}")))
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None }
}
