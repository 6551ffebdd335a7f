//! How does a blob get onto a drive? Each step consumes the one before.
//!
//! ```text
//! Examined ──▶ Prepared ──▶ Copied ──▶ TransferResult
//! ```
//!
//! | file | responsibility |
//! |---|---|
//! | [`operation`] | an export from its first check to its result, and a dry run of it |
//! | [`target`] | what a drive is opened for |
//! | [`examine`] | may it begin, or be resumed, and from where? Nothing is changed |
//! | [`resume`] | is it the same drive, the same blob, and is what was written still there? |
//! | [`prepared`] | the drive is taken, and what an earlier run wrote is looked at |
//! | [`pipeline`] | the stages, joined |
//! | [`copied`] | what the pipeline leaves |
//! | [`complete`] | the steps after the last chunk, or the receipt |
//! | [`origin`], [`format`] | the blob, what its manifest says, and whether it is the bytes of a disk |

mod complete;
mod copied;
mod examine;
mod format;
mod operation;
mod origin;
mod pipeline;
mod prepared;
mod resume;
mod target;

pub use operation::{export, plan_export};
pub use target::Target;
