//! The Wasm side: the contract's functions over the granted directory.

use crate::bindings::exports::homeostat::plugin::instance::{DestroyReason, Guest, ListRequest, Page};
use crate::bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use crate::bindings::homeostat::plugin::types::{Error, InstanceSpec, Json, Tags};
use crate::directory::wasi::Granted;
use crate::{fault, list, properties, store};

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
    fn validate(properties: Json) -> Result<(), Error> {
        properties::check(&properties).map(drop)
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        store::provision(&granted()?, &name, &spec)
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        store::label(&granted()?, &id, &tags)
    }

    fn destroy(id: String, _: DestroyReason) -> Result<(), Error> {
        store::destroy(&granted()?, &id)
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        list::list(&granted()?, &request)
    }
}

fn granted() -> Result<Granted, Error> {
    Granted::open(fault::GUEST_DIR).ok_or_else(fault::no_grant)
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[allow(unsafe_code, reason = "a section of this name means nothing to the linker")]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

#[allow(unsafe_code, unreachable_pub, reason = "generated: an export of a component is an exported symbol")]
mod exports {
    use super::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}
