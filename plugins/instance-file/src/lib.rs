//! InfraKit's file plugin: an instance is one JSON file in the directory granted as `/instances`.
//!
//! The directory is the only memory. Four rules keep it true, whoever else works in it:
//! - an instance's file appears, changes and vanishes in one step, so that no reader sees half of one ([`store`]);
//! - its name is the instance's name, which makes `provision` idempotent without any bookkeeping ([`name`]);
//! - what cannot be read as an instance of ours is reported, never counted, and never deleted ([`mod@list`], [`record`]);
//! - a call that is killed leaves at most a file that is neither an instance nor in the way of one ([`name::is_helper_file`]).
//!
//! Everything is written against [`directory::Directory`] and tested natively; `guest` is the thin Wasm side.

pub mod directory;
pub mod fault;
pub mod list;
pub mod name;
pub mod properties;
pub mod record;
pub mod store;

#[cfg(target_arch = "wasm32")]
mod guest;

/// What `wit-bindgen` makes of the contract.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "instance-plugin",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}
