//! The station's data plane, and how `serve` puts everything together: the one place where jobs and drives meet.
//!
//! | file | what it knows |
//! |---|---|
//! | `config` | the configuration file |
//! | `docks` | bays, and what is in them |
//! | `worker` | what the control plane asks for, done with drives and stores |
//! | `copying` | one copy from its order to its result |
//! | `select` | which blobs an export asks for |
//! | `logs` | copy logs |

pub(crate) mod config;
mod copying;
pub(crate) mod docks;
mod logs;
mod look;
mod select;
pub(crate) mod worker;
