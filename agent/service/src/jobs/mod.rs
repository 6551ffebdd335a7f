//! What can be done with a job, and why is it refused?
//!
//! Each file is a use case: the service, an actor and a request go in; the job, or a typed refusal, comes out. The REST
//! API and the portal both call these and add nothing but their own form of answer. There is no HTTP here. Every use case
//! writes one transaction with its audit entry, and then wakes the scheduler.
//!
//! | file | responsibility |
//! |---|---|
//! | `service` | [`Jobs`]: store, scheduler, and the places that jobs may name |
//! | `places` | datacenters and storage accounts |
//! | `error` | why a use case was refused or failed |
//! | `put` | create a job, or replace one that is Creating |
//! | `update` | the fields of a PATCH, with shipping and cancelling |
//! | `export_blobs` | the blobs of an export, before its drives travel |
//! | `ship` | the customer's parcel, and the parcel back |
//! | `cancel` | record a cancel |
//! | `delete` | remove a job |
//! | `keys` | read BitLocker keys |
//! | `check_in` | check in a drive that arrived |
//! | `check_in_target` | the same for a drive of an export |
//! | `drives` | start, pause, resume, retry, give up, release, never received |
//! | `job_drive` | a drive of a job, as it is stored |
//! | `take_back` | undo a give-up, a check-in of the wrong drive, a never received |
//! | `docking` | dock and undock by hand |
//! | `response` | a job as customers see it |

mod cancel;
mod check_in;
mod check_in_target;
mod delete;
mod docking;
mod drives;
mod error;
mod export_blobs;
mod job_drive;
mod keys;
mod places;
mod put;
mod rate;
mod response;
mod service;
mod ship;
mod take_back;
mod update;

pub(crate) use error::JobError;
pub use places::{Location, ReachableAccount};
pub(crate) use put::require_names;
pub use service::Jobs;
