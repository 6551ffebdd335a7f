//! How are jobs kept, so that what was answered is durable and what was deleted is gone?
//!
//! Jobs are in an embedded SQLite database (write-ahead log, full sync, secure delete), or in a PostgreSQL database that several
//! services share. A decision is always about the job as it stands: a change of SQLite takes the write lock when it begins; one of
//! PostgreSQL locks the rows that it decides about, and what must not be there twice is a constraint.
//!
//! | file | responsibility |
//! |---|---|
//! | `database` | [`Store`]: opening |
//! | `dialect` | what database engines say differently |
//! | `layout` | the tables, and how they came to be |
//! | `address` | where a PostgreSQL database is |
//! | `transaction` | all of a change, or nothing |
//! | `term` | in which a service decides |
//! | `lease` | which of several services decides |
//! | `rate` | the rate that an operator ordered |
//! | `proof` | whether a change was committed |
//! | `answered` | a wait for the database that ends |
//! | `vault_check` | whether the key file is the one of the database |
//! | `retry` | trying a change again |
//! | `statement` | a statement that is put together from parts |
//! | `seal` | what is personal of a job at a server |
//! | `job_key` | the keys that jobs are sealed with |
//! | `seal_older` | jobs of versions that did not seal |
//! | `search` | what jobs are found by |
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
//! | `similar` | jobs that name a drive like one that is docked |
//! | `copies` | rows of the copies of drives |
//! | `drive_keys` | sealed BitLocker keys |
//! | `effects` | the outbox |
//! | `grants` | which copies stations may run |
//! | `audit` | the audit log |
//! | `docking` | which job the drive in a bay was checked in to |
//! | `lookup` | rows that are found by the digest of a secret |
//! | `session` | sessions of the portal |
//! | `token` | API tokens |

mod address;
mod answered;
mod audit;
mod change;
mod copies;
mod database;
mod dialect;
mod docking;
mod drive_keys;
mod effects;
mod error;
mod find;
mod grants;
mod job_key;
mod layout;
mod lease;
mod left;
mod list;
mod lookup;
mod notices;
mod precondition;
mod proof;
mod put;
mod rate;
mod read;
mod remove;
mod retry;
mod row;
mod seal;
mod seal_older;
mod search;
mod session;
mod similar;
mod statement;
mod term;
mod token;
mod transaction;
mod vault_check;
mod write;

#[cfg(test)]
mod tests;

pub use address::{ADDRESS_EXAMPLE, AddressError, DatabaseAddress};
pub(crate) use audit::AuditFilter;
pub(crate) use change::Change;
pub use database::{JOBS_PER_SUBSCRIPTION, Store};
pub(crate) use docking::{Claim, DockedAs, Docking, Unbound};
pub use error::StoreError;
pub(crate) use find::WaitingPlace;
pub(crate) use grants::{GrantHolder, GrantedBefore};
pub use lease::{LeaseSeen, LeaseWatch, ServiceLease, Taken};
pub(crate) use left::LeftBehind;
pub(crate) use list::{ListPlace, Order, Scope};
pub use notices::NoticeRule;
pub(crate) use precondition::{Precondition, Versions};
pub(crate) use put::Put;
pub(crate) use row::{GrantStep, JobKey, StoredEffect, StoredJob};
pub(crate) use session::{SESSION_LASTS, Session};
pub(crate) use similar::SimilarDrives;
pub(crate) use token::TokenOrigin;
pub use token::{Actor, Role, new_secret};
