//! {{NAME}}: an instance plugin for homeostat.
//!
//! As it was written for you, an instance is a folder in the directory that the operator grants as `/instances`. That is
//! [`store`]: put your provider in its place. This file is what the host calls, and what the properties are.

mod store;

use std::path::Path;

use exports::homeostat::plugin::instance::{DestroyReason, Guest, ListRequest, Page};
use exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use homeostat::plugin::types::{Error, ErrorCode, InstanceSpec, Tags};
use serde_json::Value;

wit_bindgen::generate!({ path: "wit", world: "instance-plugin", additional_derives: [PartialEq] });

#[cfg(target_arch = "wasm32")]
export!(Plugin);

/// What the plugin wants of the operator, as a custom section of the component.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

/// What the plugin calls the directory of its instances.
const INSTANCES: &str = "/instances";

/// The host checks every spec against this before it calls `validate`.
const SCHEMA: &str = r#"{
  "type": ["object", "null"],
  "additionalProperties": false,
  "properties": {"Note": {"type": "string", "description": "A word about the instance"}}
}"#;

struct Plugin;

impl Meta for Plugin {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Instances as folders in a granted directory".to_owned(),
            properties_schema: SCHEMA.to_owned(),
            properties_example: r#"{"Note": "hello"}"#.to_owned(),
        }
    }
}

impl Guest for Plugin {
    fn validate(properties: String) -> Result<(), Error> {
        check(&properties).map(drop)
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        let properties = check(&spec.properties)?;
        store::provision(Path::new(INSTANCES), &name, &spec, properties)
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        store::label(Path::new(INSTANCES), &id, tags)
    }

    fn destroy(id: String, _: DestroyReason) -> Result<(), Error> {
        store::destroy(Path::new(INSTANCES), &id)
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        store::list(Path::new(INSTANCES), &request)
    }
}

/// The properties, where they are as they should be: what the schema says, and what it cannot say.
fn check(properties: &str) -> Result<Value, Error> {
    let value: Value = serde_json::from_str(properties).map_err(|it| invalid("", &format!("not JSON: {it}")))?;
    let members = match &value {
        Value::Null => return Ok(value),
        Value::Object(members) => members,
        _ => return Err(invalid("", "the properties are an object")),
    };
    for (name, member) in members {
        // A JSON Pointer (RFC 6901), which the host turns into file, line and column.
        let path = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        match name.as_str() {
            "Note" if member.as_str().is_none_or(|note| note.contains('\0')) => {
                return Err(invalid(&path, "Note is a text without NUL"));
            }
            "Note" => {}
            _ => return Err(invalid(&path, "there is no such property; there is Note")),
        }
    }
    Ok(value)
}

/// An error of this code. Choose the code by what the caller should do next: wit/types.wit tells it.
fn error(code: ErrorCode, message: String) -> Error {
    Error { code, message, path: None, retry_after_ms: None }
}

fn invalid(path: &str, message: &str) -> Error {
    Error { path: Some(path.to_owned()), ..error(ErrorCode::InvalidArgument, message.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_as_it_should_be() {
        let it = Plugin::describe_plugin();
        assert!(check(&it.properties_example).is_ok());
        assert!(serde_json::from_str::<Value>(&it.properties_schema).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (properties, path) in
            [("{", ""), ("[]", ""), (r#"{"Note": 1}"#, "/Note"), (r#"{"a/b~": 1}"#, "/a~1b~0"), ("", "")]
        {
            let error = check(properties).unwrap_err();
            assert_eq!((error.code, error.path.as_deref()), (ErrorCode::InvalidArgument, Some(path)), "{properties}");
        }
    }
}
