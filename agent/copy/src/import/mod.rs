//! How does a drive get into a blob? Each step consumes the one before.
//!
//! ```text
//! Examined ──▶ Prepared ──▶ Copied ──▶ TransferResult
//! ```
//!
//! | file | responsibility |
//! |---|---|
//! | [`operation`] | an import from its first check to its result, and a dry run of it |
//! | [`examine`] | may it begin, or be resumed, and from where? Nothing is changed |
//! | [`standing`] | what is at the target, held against what the journal says: pure |
//! | [`prepared`] | the upload begins, and what an earlier run left is looked at |
//! | [`pipeline`] | the stages, joined |
//! | [`copied`] | what the pipeline leaves |
//! | [`complete`] | the steps after the last chunk, or the receipt |
//! | [`read_back`] | reading the blob again before it is believed |
//! | [`manifest`] | storing the manifest beside the blob |
//! | [`completion`] | how far an import came, and what follows for result and receipt: pure |
//! | [`trust`] | what cannot be said for certain about its bytes |

mod complete;
mod completion;
mod copied;
mod examine;
mod manifest;
mod operation;
mod pipeline;
mod prepared;
mod read_back;
mod standing;
mod trust;

pub use operation::{import, plan_import};
