//! The job service: what customers and staff see.
//!
//! This crate is the control plane: it never sees a drive or a byte. It meets the data plane in one file of
//! the program, where a transfer is started, stopped and asked how far it is; the words of both, and every rule
//! about jobs, are in `protocol`.
//!
//! # What is here
//! | module | what it holds |
//! |---|---|
//! | [`api`] | the REST API of Microsoft.ImportExport |
//! | `portal` | the pages that staff and customers look at |
//! | [`station`] | bays, the scheduler, the copies that run |
//! | [`server`] | from a socket to the API: TLS, limits |
//! | [`entra`] | tokens of Entra ID |
//! | [`store`] | jobs in an embedded SQLite database: a decision and its effects in one transaction |
//! | [`vault`] | the key that seals the customers' keys |
//!
//! # What is durable
//! What was answered. A change is one transaction: the job is read, [`protocol::job::decide`] decides, and the job,
//! its effects and the audit entry are written; the database syncs before it says yes. Effects wait in a table
//! until they were done, and may be done twice.
//!
//! # What is forgotten
//! A job that is removed leaves no byte of the customer's in the database or its log: deleted content is
//! overwritten, and the log is emptied.
//!
//! # Who does what
//! The API changes jobs and wakes the station; the station looks at jobs and bays, round by round, and orders copies
//! of the data plane ([`scheduler::worker`]), which the program brings. A cancel goes the same way: it is recorded and
//! answered, and the next round, a moment later, stops what runs.
//!
//! # How it fails
//! A database that fails is a 503 to whoever asks, and a step that is tried again to the station. A copy that fails
//! waits, with its reason, for its store to come back, its drive to be docked again, or a person.

mod api;
pub mod entra;
pub mod http;
pub mod jobs;
mod portal;
mod router;
pub mod scheduler;
mod state;
pub mod store;
pub mod vault;

pub use router::router;
pub use state::ServiceState;

use metrics_exporter_prometheus::PrometheusRecorder;

/// From now on everything is counted by `recorder`.
///
/// # Errors
/// When something counts already.
pub fn install_metrics(recorder: PrometheusRecorder) -> Result<(), String> {
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())
}
