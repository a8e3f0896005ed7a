//! `homeostat:plugin@0.2.0`, a draft: the generated bindings, and the only conversions between them and the model.

mod calls;
mod exec;
mod imports;
mod values;

mod instance_world {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../../wit/v0.2-draft",
        world: "instance-plugin",
        imports: {
            "homeostat:plugin/exec": async,
        },
        exports: { default: async },
    });
}

mod flavor_world {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../../wit/v0.2-draft",
        world: "flavor-plugin",
        exports: { default: async },
        with: {
            "homeostat:plugin/types@0.2.0": super::instance_world::homeostat::plugin::types,
            "homeostat:plugin/log@0.2.0": super::instance_world::homeostat::plugin::log,
            "homeostat:plugin/config@0.2.0": super::instance_world::homeostat::plugin::config,
            "homeostat:plugin/secrets@0.2.0": super::instance_world::homeostat::plugin::secrets,
            "homeostat:plugin/exec@0.2.0": super::instance_world::homeostat::plugin::exec,
        },
    });
}

/// The one export that `flavor-plugin-with-removal` has beyond `flavor-plugin`.
mod removal_world {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        inline: "package homeostat:runtime; world removal { export homeostat:plugin/removal@0.2.0; }",
        path: "../../wit/v0.2-draft",
        world: "homeostat:runtime/removal",
        exports: { default: async },
        with: { "homeostat:plugin/types@0.2.0": super::instance_world::homeostat::plugin::types },
    });
}

use flavor_world::exports::homeostat::plugin::flavor as wit_flavor;
use instance_world::exports::homeostat::plugin::instance as wit_instance;
use instance_world::homeostat::plugin::types as wit;

pub(crate) use flavor_world::{FlavorPlugin, FlavorPluginPre};
pub(crate) use imports::add_to_linker;
pub(crate) use instance_world::{InstancePlugin, InstancePluginPre};
pub(crate) use removal_world::{Removal, RemovalPre};
