//! A flavor plugin of the draft of the next contract. What it answers shows what it was given: `prepare` writes it into the
//! init script, `health` says unhealthy of what is not running, and the newest in alphabet goes first.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports writes it here")]

use bindings::exports::homeostat::plugin::flavor::{
    Allocation, Error, Guest, HealthReport, HealthStatus, Index, Instance, InstanceSpec, Json,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::exports::homeostat::plugin::removal::Guest as Removal;
use bindings::homeostat::plugin::types::{ErrorCode, InstanceState};

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.2-draft", world: "flavor-plugin-with-removal" });
}

struct Draft;

bindings::export!(Draft with_types_in bindings);

impl Meta for Draft {
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

impl Guest for Draft {
    fn validate(properties: Json, allocation: Allocation) -> Result<(), Error> {
        match allocation {
            Allocation::Size(0) => Err(Error {
                code: ErrorCode::InvalidArgument,
                message: "a group of none".into(),
                path: Some(String::new()),
                retry_after_ms: None,
                details: Some(properties),
            }),
            Allocation::Size(_) | Allocation::LogicalIds(_) => Ok(()),
        }
    }

    fn prepare(_: Json, spec: InstanceSpec, allocation: Allocation, index: Index) -> Result<InstanceSpec, Error> {
        let of = match allocation {
            Allocation::Size(size) => size.to_string(),
            Allocation::LogicalIds(ids) => ids.join(","),
        };
        let init = format!("{}{}-{} of {of}", spec.init, index.group, index.sequence);
        Ok(InstanceSpec { init, ..spec })
    }

    fn health(_: Json, instances: Vec<Instance>) -> Result<Vec<HealthReport>, Error> {
        let judge = |it: Instance| match it.state {
            InstanceState::Running => HealthReport { status: HealthStatus::Healthy, message: it.id },
            _ => HealthReport { status: HealthStatus::Unhealthy, message: it.id },
        };
        Ok(instances.into_iter().map(judge).collect())
    }

    fn drain(_: Json, _: Instance) -> Result<(), Error> {
        Ok(())
    }
}

impl Removal for Draft {
    fn order(_: Json, instances: Vec<Instance>) -> Result<Vec<String>, Error> {
        let mut ids: Vec<_> = instances.into_iter().map(|it| it.id).collect();
        ids.sort();
        ids.reverse();
        Ok(ids)
    }
}
