//! Getting everything off a drive that fails: what is known of each byte, and what to read next.
//!
//! [`ReadMap`] knows a status for every byte of the drive, [`mapfile`] writes it as GNU ddrescue does, and
//! [`RescuePlan`] decides the next read from it. All of it is pure: reading, and where the bytes go, is
//! left to the copy engine.
//!
//! The order of reads is ddrescue's (GNU ddrescue manual, "Algorithm"), since no better
//! one is known: what reads well first, the edges of what does not next, its inside last.
//!
//! ```text
//! copying ──▶ trimming ──▶ scraping ──▶ retrying ──▶ finished
//!    │  large reads, skipping ahead of errors, from both sides; then whatever was skipped
//!    └─ `skip` ends here
//! ```

mod map;
pub mod mapfile;
mod of_result;
mod plan;

#[cfg(test)]
mod tests;

pub use map::{ReadMap, ReadStatus};
pub use of_result::map_of_result;
pub use plan::{ReadOutcome, RescuePhase, RescuePlan, RescueRules};
