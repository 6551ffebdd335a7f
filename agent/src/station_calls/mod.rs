//! `drive-agent station`: how do the bays of this host work for a service elsewhere?
//!
//! The station calls the service ([`protocol::station::StationReport`]), tells how its bays and copies stand, and does what the
//! answer says. It has no list of jobs: what it needs of one is in the order for its copy.
//!
//! | file | responsibility |
//! |---|---|
//! | `run` | from the command line to the end |
//! | `calls` | one call after another |
//! | `copies` | the copies of this host, and the grants that they run under |
//! | `lease` | how long the grants last, and the stop before they end |
//! | `tasks` | what the service asks for once |

mod calls;
mod copies;
mod lease;
mod run;
mod tasks;

pub(crate) use run::run;
