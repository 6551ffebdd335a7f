//! How does one service use the bays of many hosts?
//!
//! A station calls ([`protocol::station::StationReport`]), and gets what it is to do. To the scheduler its bays are bays like
//! those of the service itself, named `STATION/BAY`: [`Fleet`] is the data plane of all of them.
//!
//! A copy at a station runs under a grant, which is a row in the database: one at a time for a drive of a job, written with the
//! decision to begin and taken back with that of its end. The end of a copy whose grant is gone changes nothing.
//!
//! | file | responsibility |
//! |---|---|
//! | `fleet` | [`Fleet`]: the stations, and their calls |
//! | `times` | how long grants last |
//! | `call_error` | why a call is not answered with orders |
//! | `clocks` | when drives were docked, by the clock of the service |
//! | `station` | one station: what it told, and what it is to do |
//! | `remote_copy` | a copy at a station |
//! | `removed` | what stations keep of jobs that were removed |
//! | `task` | asking a station for something once |
//! | `worker` | the fleet as the scheduler's data plane |
//! | `simulation` | calls and grants, for tests that lead stations through virtual time |

mod call_error;
mod clocks;
mod fleet;
mod remote_copy;
mod removed;
#[cfg(feature = "simulation")]
mod simulation;
mod station;
mod task;
#[cfg(test)]
mod tests;
mod times;
mod worker;

pub use call_error::CallError;
pub use fleet::Fleet;
#[cfg(feature = "simulation")]
pub use simulation::SimulatedGrant;
pub use times::FleetTimes;
