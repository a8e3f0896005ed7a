//! {{NAME}}: a flavor plugin for homeostat.
//!
//! As it was written for you, it gives each instance a host name: `GROUP-1.DOMAIN`, `GROUP-2.DOMAIN`, or its logical id.

use exports::homeostat::plugin::flavor::{Allocation, Guest, HealthReport, HealthStatus, Index, Instance, InstanceSpec};
use exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use homeostat::plugin::types::{Error, ErrorCode, InstanceState};
use serde_json::Value;

wit_bindgen::generate!({ path: "wit", world: "flavor-plugin", additional_derives: [PartialEq] });

#[cfg(target_arch = "wasm32")]
export!(Plugin);

/// What the plugin wants of the operator, as a custom section of the component.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

/// The host checks every spec against this before it calls `validate`.
const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["Domain"],
  "additionalProperties": false,
  "properties": {"Domain": {"type": "string", "description": "What follows the name of an instance"}}
}"#;

struct Plugin;

impl Meta for Plugin {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Gives each instance a host name".to_owned(),
            properties_schema: SCHEMA.to_owned(),
            properties_example: r#"{"Domain": "example.org"}"#.to_owned(),
        }
    }
}

impl Guest for Plugin {
    fn validate(properties: String, _: Allocation) -> Result<(), Error> {
        domain(&properties).map(drop)
    }

    /// The same arguments give the same answer: whatever is read here must not change between two calls.
    fn prepare(
        properties: String,
        mut spec: InstanceSpec,
        _: Allocation,
        index: Index,
    ) -> Result<InstanceSpec, Error> {
        let name = spec.logical_id.clone().unwrap_or_else(|| format!("{}-{}", index.group, index.sequence));
        let host = format!("{name}.{}", domain(&properties)?);
        // Nobody's shell should read more than a name here.
        if !is_host(&host) {
            let message = format!("`{}` is no host name; name the group in letters, digits, `-`", host.escape_debug());
            return Err(error(ErrorCode::InvalidArgument, message));
        }
        // This flavor's part is added to what other parts of the spec ask for, which stays.
        spec.init = format!("hostname {host}\n{}", spec.init);
        Ok(spec)
    }

    /// One report for each instance, in the order given. What cannot be told is `Unknown`, which changes nothing.
    fn health(_: String, instances: Vec<Instance>) -> Result<Vec<HealthReport>, Error> {
        Ok(instances.iter().map(judge).collect())
    }

    fn drain(_: String, _: Instance) -> Result<(), Error> {
        Ok(())
    }
}

fn judge(instance: &Instance) -> HealthReport {
    let (status, message) = match instance.state {
        InstanceState::Running => (HealthStatus::Healthy, String::new()),
        InstanceState::Pending => (HealthStatus::Unknown, "it is not usable yet".to_owned()),
        InstanceState::Stopping => (HealthStatus::Unknown, "it is on its way out".to_owned()),
        InstanceState::Stopped | InstanceState::Failed => (HealthStatus::Unhealthy, "it does not run".to_owned()),
    };
    HealthReport { status, message }
}

/// The domain, where the properties are as they should be: what the schema says, and what it cannot say.
fn domain(properties: &str) -> Result<String, Error> {
    let value: Value = serde_json::from_str(properties).map_err(|it| invalid("", &format!("not JSON: {it}")))?;
    let members = value.as_object().ok_or_else(|| invalid("", "the properties are an object with Domain"))?;
    if let Some(name) = members.keys().find(|it| *it != "Domain") {
        // A JSON Pointer (RFC 6901), which the host turns into file, line and column.
        let path = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        return Err(invalid(&path, "there is no such property; there is Domain"));
    }
    let domain = members.get("Domain").and_then(Value::as_str).filter(|it| is_host(it));
    domain.map(str::to_owned).ok_or_else(|| {
        invalid("/Domain", "Domain holds labels of letters, digits and `-`, with dots between them: \"example.org\"")
    })
}

/// Whether all labels of a host name are as RFC 1123 wants them.
fn is_host(name: &str) -> bool {
    let is_label = |it: &str| {
        (1..=63).contains(&it.len())
            && it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// An error of this code. Choose the code by what the caller should do next: wit/types.wit tells it.
fn error(code: ErrorCode, message: String) -> Error {
    Error { code, message, path: None, retry_after_ms: None }
}

fn invalid(path: &str, message: &str) -> Error {
    Error { path: Some(path.to_owned()), ..error(ErrorCode::InvalidArgument, message.to_owned()) }
}

#[cfg(test)]
mod tests;
