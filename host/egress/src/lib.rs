//! The HTTP that plugins may speak.
//!
//! A guest has no sockets. It hands the host a request, and [`Egress`] sends it, if its plugin wants it and the operator
//! grants it. In this order: the URL is brought into one spelling; wants and grants judge it; headers that are the host's
//! are refused; a turn is waited for; the name is resolved, once, and closed addresses are left out; a connection is made
//! to an address that was checked, or to where the grant's `Via` points; TLS proves who is there; secrets are read and
//! injected. Then the request is sent, and what comes back is counted as it is read.
//!
//! - **HTTP/1.1 alone** is spoken. Providers' interfaces all have it, and a connection that carries one exchange at a time
//!   lets no exchange harm another.
//! - **Redirects are not followed.** Where a guest follows one, that is a request, and judged.
//! - **A request is sent once**, except over a kept connection that turns out to have ended: there it is sent again if
//!   nothing of it was sent, or if it is idempotent and no byte of an answer has come.
//! - **Connections are a plugin's own**: no other plugin's requests ever use them.
//! - **Secrets** are in no error, no log line and no tape. A server that sends back what it was told shows them to the
//!   guest all the same: what is granted is trust in that server.

mod body;
mod bounds;
mod counts;
mod dial;
mod egress;
mod error;
mod guest;
mod headers;
mod notice;
mod pool;
mod secret;
mod send;
mod target;
mod through;
mod tls;
pub mod wire;

pub use body::Body;
pub use bounds::{Access, Bounds, Timeouts};
pub use counts::Counts;
pub use egress::Egress;
pub use error::{BadHeader, EgressError, Part, Stage};
pub use guest::GuestCode;
pub use notice::Denials;
pub use secret::{HostSecrets, Secret, SecretError, Secrets};
pub use target::BadUrl;
pub use tls::SetupError;
