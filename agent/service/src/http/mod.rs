//! What do the REST API and the portal share of HTTP?
//!
//! | file | responsibility |
//! |---|---|
//! | `server` | from a socket to the router: TLS, limits, a graceful end |
//! | `connections` | whose connections are open, and which one makes room |
//! | `access` | API clients: tokens and rate limits |
//! | `body` | reading a body, with limits of length and time |
//! | `events` | server-sent events, and how many one actor may hold open |
//! | `front` | what answers requests now |
//! | `forwarded` | requests that another service sends on |
//! | `metrics` | counting requests |

mod access;
pub(crate) mod body;
mod connections;
pub(crate) mod events;
mod forwarded;
mod front;
mod metrics;
pub mod server;

pub use access::Access;
pub(crate) use access::look_up;
pub(crate) use connections::Lookup;
pub(crate) use forwarded::understand;
pub use forwarded::{is_forwarded, peer_of, sign};
pub use front::Front;
pub(crate) use metrics::count;
