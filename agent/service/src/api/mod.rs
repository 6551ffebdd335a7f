//! How does a program use the service over HTTP?
//!
//! Handlers parse a request, call a use case of `jobs` (or read the store), and answer. Every answer that is not a
//! success has the body of `protocol::arm::ErrorResponse`.
//!
//! | file | responsibility |
//! |---|---|
//! | `router` | from a request to its handler |
//! | `routes` | paths of the published API, in any case of their letters |
//! | `call` | authentication, parameters, bodies |
//! | `answer` | documents and errors |
//! | `jobs` | one job: read, put, change, delete, keys, receipts |
//! | `list` | lists of jobs |
//! | `locations` | datacenters, and the operations of the API |
//! | `events` | server-sent events |
//! | `operator` | the operator API: bays, what waits, the audit log |
//! | `orders` | the operator API: orders about jobs |
//! | `tokens` | tokens, for operators |
//! | `stations` | calls of stations, and the list of them |
//! | `health` | liveness, readiness, metrics |
//! | `openapi` | the OpenAPI document |

mod answer;
mod call;
mod events;
mod health;
mod jobs;
mod list;
mod locations;
mod openapi;
mod operator;
mod orders;
mod router;
mod routes;
mod stations;
mod tokens;

#[cfg(test)]
mod tests;

pub(crate) use router::router;
