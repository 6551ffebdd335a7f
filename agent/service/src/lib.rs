//! What do customers and operators see of a station, and how do their jobs move?
//!
//! This crate is the control plane: it never sees a drive or a byte. It meets the data plane in one trait
//! ([`scheduler::worker::Worker`]), which the program implements: there a copy is started, stopped and asked how far it
//! is. The words of both sides, and every rule about jobs, are in `protocol`.
//!
//! | file or folder | responsibility |
//! |---|---|
//! | `router` | all paths of the service |
//! | `api` | for programs: parse a request, call a use case, answer |
//! | `portal` | for people: parse a form, call a use case, show a page |
//! | `tokens` | making tokens and taking them back |
//! | `state` | what every handler gets |
//! | [`jobs`] | use cases: what can be done with a job, and why it is refused |
//! | [`http`] | what the API and the portal share of HTTP: server, tokens and rate limits, bodies, events |
//! | [`stations`] | the bays of other hosts: their calls, and the grants of their copies |
//! | [`scheduler`] | who copies which drive when, and what follows from its end |
//! | [`notify`] | who is told when a job comes to a state |
//! | [`entra`] | tokens and sign-in of Entra ID |
//! | [`store`] | jobs in an embedded SQLite database, or at a PostgreSQL server |
//! | [`moment`] | a clock for what must have ended at a time |
//! | [`names`] | random names that no other has |
//! | [`vault`] | the key that seals the customers' keys |
//! | `fuzzing` | parsers that only the fuzz targets of the tests call from outside |
//!
//! Each imports only what stands below it; `api` and `portal` do not import each other, nor do `http` and `jobs`.
//!
//! # The life of a cancel
//! 1. A customer asks: a PATCH comes to `api/jobs.rs` (`update`), or the portal's form to `portal/actions.rs`
//!    (`carry_out`).
//! 2. Both end in `jobs/update.rs` (`Jobs::update`; `jobs/cancel.rs` builds the same request): the audit word is "asked
//!    for a cancel", the event `Cancel`.
//! 3. `store/change.rs` (`Store::change`) reads the job, lets [`protocol::job::decide`] decide, and writes the job, its
//!    effects and the audit entry in one transaction. `cancel_requested` is never taken back from here on. The request is
//!    answered; the scheduler is woken.
//! 4. `scheduler/run.rs` begins a round, and `scheduler/effects.rs` carries the effects out, `StopCopy` before all
//!    others. `scheduler/copies.rs` (`stop_copy`) asks the copy that runs to stop; where none runs because the service
//!    was cut off, it starts one that only accounts for what the journal says.
//! 5. The station: the copy, behind [`scheduler::worker::RunningCopy`], starts no new chunk, lets chunks in flight land,
//!    and sends its result with a receipt of every byte range.
//! 6. `scheduler/copies.rs` (`end_copy`) writes the result into the job, with the event `CopyEnded`. When the last drive
//!    has ended, the decision moves the job on to Packaging.
//! 7. The receipt: `scheduler/effects.rs` (`publish_receipts`) writes it to the customer's account, and
//!    `jobs/response.rs` (`Jobs::receipts`) serves it; what it holds is in `scheduler/receipts.rs`.
//!
//! Every other PATCH takes steps 1 to 3, without the effects.
//!
//! # What is durable
//! What was answered: the database syncs before it says yes. Effects wait in a table until they were carried out, and
//! may be carried out twice.
//!
//! # What is forgotten
//! A job that is removed leaves no byte of the customer's in the database or its log: deleted content is
//! overwritten, and the log is emptied. At a server, which overwrites nothing, it is sealed with a key of the job's own, and that
//! key is removed. Its documents and what its unfinished copies left are removed from the customer's
//! account as well; until that was done their names are kept, sealed.
//!
//! # How it fails
//! A database that fails is a 503 to the client, and to the scheduler a step that is tried again. A copy that fails
//! waits, with its reason, for its store to come back, its drive to be docked again, or an operator.

mod api;
pub mod entra;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod jobs;
pub mod moment;
pub mod names;
pub mod notify;
mod portal;
mod router;
pub mod scheduler;
mod state;
pub mod stations;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tokens;
pub mod vault;

pub use router::router;
pub use state::ServiceState;

use metrics_exporter_prometheus::PrometheusRecorder;

/// Counts everything with `recorder` from now on.
///
/// # Errors
/// When a recorder is installed already.
pub fn install_metrics(recorder: PrometheusRecorder) -> Result<(), String> {
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())
}
