//! A flavor plugin that breaks every rule it is asked to break: for the tests of what the host accepts as an answer.
//!
//! Its properties are a JSON text that says which.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use bindings::exports::homeostat::plugin::flavor::{
    Allocation, Error, Guest, HealthReport, HealthStatus, Index, Instance, InstanceSpec, Json,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::types::ErrorCode;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "flavor-plugin" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Meta for Hostile {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: "hostile".into(),
            version: "0.1.0".into(),
            summary: "Breaks what it is asked to break".into(),
            properties_schema: r#"{"type":"string"}"#.into(),
            properties_example: r#""nothing""#.into(),
        }
    }
}

impl Guest for Hostile {
    fn validate(_properties: Json, allocation: Allocation) -> Result<(), Error> {
        match allocation {
            Allocation::Size(0) => Err(error(ErrorCode::InvalidArgument, "none is too few")),
            _ => Ok(()),
        }
    }

    fn prepare(
        properties: Json,
        mut spec: InstanceSpec,
        _allocation: Allocation,
        index: Index,
    ) -> Result<InstanceSpec, Error> {
        match properties.trim_matches('"') {
            "reject" => return Err(error(ErrorCode::InvalidArgument, "not like this")),
            "not-yet" => return Err(error(ErrorCode::Unavailable, "there is no join token yet")),
            "add-reserved" => spec.tags.push(("homeostat.slot".into(), "9".into())),
            "change-reserved" => spec.tags.iter_mut().for_each(|(_, value)| value.push('!')),
            "drop-reserved" => spec.tags.clear(),
            "change-logical-id" => spec.logical_id = Some("another".into()),
            "write" => spec.init = format!("{:?}", std::fs::write("/granted/new", "mine").map_err(|e| e.kind())),
            "bad-json" => spec.properties = "{".into(),
            "same-tag" => spec.tags.extend(spec.tags.clone()),
            _ => {
                spec.init = format!("echo {} {}", index.group, index.sequence);
                spec.tags.push(("tier".into(), "web".into()));
            }
        }
        Ok(spec)
    }

    fn health(properties: Json, instances: Vec<Instance>) -> Result<Vec<HealthReport>, Error> {
        let count = match properties.trim_matches('"') {
            "one-less" => instances.len() - 1,
            "one-more" => instances.len() + 1,
            "health-trap" => core::arch::wasm32::unreachable(),
            _ => instances.len(),
        };
        Ok(vec![HealthReport { status: HealthStatus::Healthy, message: String::new() }; count])
    }

    fn drain(_properties: Json, _instance: Instance) -> Result<(), Error> {
        Ok(())
    }
}

fn error(code: ErrorCode, message: &str) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None }
}
