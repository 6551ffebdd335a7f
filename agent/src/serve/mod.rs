//! How do job service, scheduler and bays become one process? `drive-agent serve`.
//!
//! | file | responsibility |
//! |---|---|
//! | [`operation`] | the service from its configuration to its end |
//! | [`check`] | `--check`: whether it would find what it needs |
//! | [`wiring`] | from the configuration to the parts that it describes |
//! | [`state_dir`] | the folder of its state: one service at a time |
//! | [`first_token`] | the operator's token of a new service |
//! | [`requirements`] | what a configuration must be for a start |
//! | [`readers`] | who else can read a file with a secret |
//! | [`standby`] | waiting while another service of the same database decides |
//! | [`shutdown`] | signals, and what drains |

mod check;
mod first_token;
mod operation;
mod readers;
mod requirements;
mod shutdown;
mod standby;
mod state_dir;
mod wiring;

pub(crate) use operation::run;
pub(crate) use state_dir::{identity, lock};
pub(crate) use wiring::{clock, read, worker_of};
