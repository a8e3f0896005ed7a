//! What plugins may speak, against servers on loopback.

mod bounds;
mod common;
mod connections;
mod requests;
mod tls;
mod wires;
