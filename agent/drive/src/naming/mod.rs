//! Who a drive says it is, and whether that can be relied on: USB bridges answer with serial numbers of their own.
//!
//! | file | responsibility |
//! |---|---|
//! | `who` | the name of a device or a simulated drive, from all that was reported |
//! | `weak` | placeholders, and why a name is weak |
//! | `list` | constants of bridges: those that are built in, and those of an operator's file |
//! | `memory` | each bridge is asked once for each docking |
//! | `ask` | which bridge is asked what |
//! | `command` | a command, and the name that its answer gives |
//! | `ata`, `nvme` | the commands that identify a drive, and their answers |
//! | `vpd` | pages of vital product data, as the kernel keeps them |
//! | `fuzzing` | what fuzz targets try of names |

mod ask;
mod ata;
mod command;
pub(crate) mod fuzzing;
mod list;
mod memory;
mod nvme;
pub(crate) mod vpd;
mod weak;
mod who;

#[cfg(test)]
mod tests;

pub use list::use_list;
pub(crate) use who::{Naming, SimulatedBridge, is_asked, name};
