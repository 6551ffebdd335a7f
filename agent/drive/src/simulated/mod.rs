//! A drive that is computed: its content follows from a seed, its time from a model, its faults from a plan.
//! It costs neither disk nor memory, whatever its size.
//!
//! | module | what it holds |
//! |---|---|
//! | `profile` | what a `*.toml` says, checked |
//! | `content` | what lies where |
//! | `writes` | what was written over it |
//! | `timing`, `clock` | how long a physical drive would take, and what waits for that |
//! | `faults` | what is wrong with it |
//! | `drive`, `open` | the drive, and opening it |
//! | `files` | opening the files that it names |
//! | `rule` | which files it may name |
//! | `describe` | the figures of a profile, beside the published ones |

mod clock;
mod content;
mod describe;
mod drive;
mod faults;
mod files;
mod open;
mod profile;
mod rule;
mod text;
mod timing;
mod writes;

#[cfg(test)]
mod tests;

pub use clock::Pace;
pub use describe::{Description, Measured, describe};
pub use drive::SimulatedDrive;
pub use open::Purpose;
pub use profile::Profile;
pub use rule::{ProfileRule, limit_profiles};
pub use timing::Published;
