//! Machines behind a small REST API, as many in-house clouds have one. The API is in README.md.
//!
//! [`machines`] says what is asked and what the answers mean; it makes no request itself but has them made by an
//! [`api::Api`], so that all of it is tested natively. [`mod@api`] has what a request and an answer are, `wasi` sends them,
//! `guest` is the thin Wasm side, [`properties`] reads what the user declared.

pub mod api;
pub mod machines;
pub mod properties;

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(target_arch = "wasm32")]
mod wasi;

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
