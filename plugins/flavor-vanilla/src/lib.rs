//! InfraKit's vanilla flavor: `Init`, `Tags` and `Attachments` as the user declared them.
//!
//! It differs from InfraKit's in four things. A property that it does not know is an error, not ignored. `health` tells
//! what the instance's state says, where InfraKit's answered "healthy" for a stopped machine. `InitScriptTemplateURL` is
//! refused: a sandboxed plugin fetches nothing; the lines belong into `Init`. And `Attachments` may be keyed by logical id,
//! as those of InfraKit's swarm flavor are.
//!
//! [`properties`] and [`attachments`] read what was declared, [`mod@prepare`] and [`health`] apply it, `guest` is the thin
//! Wasm side.

pub mod attachments;
pub mod health;
pub mod prepare;
pub mod properties;
mod read;

#[cfg(target_arch = "wasm32")]
mod guest;

/// What `wit-bindgen` makes of the contract.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "flavor-plugin",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}
