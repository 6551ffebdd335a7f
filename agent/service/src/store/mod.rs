//! How are jobs kept, so that what was answered is durable and what was deleted is gone?
//!
//! Jobs are in an embedded SQLite database: write-ahead log, full sync, secure delete. One writer at a time: every change
//! takes the write lock when it begins, so that a decision is always about the job as it stands.
//!
//! | file | responsibility |
//! |---|---|
//! | `database` | [`Store`]: opening, layout, transactions |
//! | `row` | a job as it is stored, and its name |
//! | `error` | why a request to the store was not done |
//! | `put` | putting a job |
//! | `read` | reading one job |
//! | `change` | a decision, its effects and its audit entry in one transaction |
//! | `write` | writing the row of a job |
//! | `remove` | removing a job without a trace |
//! | `left` | what a job leaves outside of the database |
//! | `list` | lists of jobs, a page at a time |
//! | `find` | jobs by drive, timer or state |
//! | `copies` | rows of the copies of drives |
//! | `drive_keys` | sealed BitLocker keys |
//! | `effects` | the outbox |
//! | `audit` | the audit log |
//! | `docking` | which job the drive in a bay was checked in to |
//! | `session` | sessions of the portal |
//! | `token` | API tokens |

mod audit;
mod change;
mod copies;
mod database;
mod docking;
mod drive_keys;
mod effects;
mod error;
mod find;
mod left;
mod list;
mod put;
mod read;
mod remove;
mod row;
mod session;
mod token;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use audit::AuditFilter;
pub(crate) use change::Change;
pub use database::{JOBS_PER_SUBSCRIPTION, Store};
pub(crate) use docking::{Claim, DockedAs, Docking, Unbound};
pub use error::StoreError;
pub(crate) use find::WaitingPlace;
pub(crate) use left::LeftBehind;
pub(crate) use list::{Order, Scope};
pub(crate) use put::Put;
pub(crate) use row::{JobKey, StoredEffect, StoredJob};
pub(crate) use session::{SESSION_LASTS, Session};
pub(crate) use token::TokenOrigin;
pub use token::{Actor, Role, new_secret};
