//! The Wasm side: the contract's functions.

use crate::bindings::exports::homeostat::plugin::flavor::{Allocation, Guest, HealthReport, Index};
use crate::bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use crate::bindings::homeostat::plugin::types::{Error, Instance, InstanceSpec, Json};
use crate::properties::{self, Properties};
use crate::{health, prepare};

struct Plugin;

impl Meta for Plugin {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            properties_schema: properties::SCHEMA.to_owned(),
            properties_example: properties::EXAMPLE.to_owned(),
        }
    }
}

impl Guest for Plugin {
    fn validate(properties: Json, allocation: Allocation) -> Result<(), Error> {
        Properties::read(&properties)?.check(&allocation)
    }

    fn prepare(properties: Json, spec: InstanceSpec, _: Allocation, _: Index) -> Result<InstanceSpec, Error> {
        Ok(prepare::prepare(Properties::read(&properties)?, spec))
    }

    fn health(_: Json, instances: Vec<Instance>) -> Result<Vec<HealthReport>, Error> {
        Ok(instances.iter().map(health::judge).collect())
    }

    fn drain(_: Json, _: Instance) -> Result<(), Error> {
        Ok(())
    }
}

#[allow(unsafe_code, unreachable_pub, reason = "generated: an export of a component is an exported symbol")]
mod exports {
    use super::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}
