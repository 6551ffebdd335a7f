//! Move bytes between a drive and a blob: checked, journalled, cancellable.
//!
//! Three operations: [`import`], [`export`], [`verify`]. The first two are pipelines of stages joined by bounded channels;
//! a stage is a file in `stage/`, and only the operation's own `pipeline.rs` knows their order.
//!
//! ```text
//! import   read ──▶ hash ──▶ send ──▶ record          threads │ threads │ tokio │ thread
//!          └▶ rescue ┘                                one thread, where the drive fails
//! export   fetch ──▶ check ──▶ write ──▶ record       tokio │ threads │ threads │ thread
//! ```
//!
//! # Where to look
//! A folder imports only from the lines above its own (a test holds it).
//!
//! | folder or file | answers |
//! |---|---|
//! | `error`, `limits` | why a transfer failed; every limit, with the sums behind it |
//! | `call/` | what a caller gives a transfer, and holds of it |
//! | `flow/` | how a pipeline keeps moving, within its limits, and how it ends |
//! | `chunk` | how far a chunk is, as a type: only what was hashed can be sent, only what landed can be recorded |
//! | `hashing/` | how a chunk gets its SHA-256, at the speed of the processor |
//! | `record/` | what survives a crash, and what is known of every chunk |
//! | `plan`, `source/` | what is copied in which chunks; where bytes and manifests come from |
//! | `rescue/` | what is known of a drive that fails |
//! | `stage/` | what one thread or task does; **the life of a chunk is described there** |
//! | `verify/` | does a side hold what a manifest says? |
//! | `transfer/` | what imports and exports have in common |
//! | `import/`, `export/` | a transfer from its first check to its result |
//!
//! # Cancellation
//! Only the first stage looks at the token, between chunks; every later stage drains until its channel
//! closes. So the contract is one sentence: what was read is hashed, sent and recorded; nothing new is
//! read. Waits (back-off, a free buffer, the rate limit) end at a cancel, attempts do not. An abort
//! drops requests too, and asks the store what it holds.
//!
//! # Completion
//! When every chunk has landed the blob is read back where that was asked for (before the commit, where the store can),
//! committed, its manifest is stored beside it, and the journal is removed: in this order, each step repeatable.
//!
//! # Crash consistency
//! The target is synced, then the record is written, then the journal is synced, then progress is reported.
//! Between sending and recording a chunk is noted as unknown. A restart replays the journal, asks the
//! store what it holds, and moves only what is missing; a kill repeats at most the memory budget.
//!
//! # How it fails
//! The first failure ends the transfer ([`CopyError`]); the rest drains as in a cancel, and the result
//! carries a receipt. Failures of requests are tried again inside one budget (`flow/attempts.rs`).
//!
//! # A drive that fails
//! At the first unreadable place, or the first read that takes suspiciously long, the readers leave and one of
//! them continues alone (`stage/rescue.rs`) in the order that `protocol::rescue` decides. Good bytes of chunks
//! that are not whole yet wait in a scratch file beside the journal (`rescue/`).
//!
//! # What is bounded
//! `limits.rs` names every limit. Per-chunk knowledge is in a file of fixed-size slots (`record/slot_file.rs`), so
//! millions of chunks cost no memory; holes of a file are zeros that are not read (`source/holes.rs`), so they cost little time.

mod call;
mod chunk;
mod error;
mod export;
mod flow;
pub mod hashing;
mod import;
mod limits;
mod plan;
mod record;
mod rescue;
mod source;
mod stage;
mod transfer;
mod verify;

#[cfg(test)]
mod tests;

pub use call::counters::Counters;
pub use call::handle::TransferHandle;
pub use call::live_rate::LiveRate;
pub use call::options::{Footer, OnUnreadable, PublicNames, RescueOptions, TransferOptions, Verify};
pub use call::shared_budget::SharedBudget;
pub use call::stop::{Stop, StopRequest};
pub use error::{CopyError, Stage};
pub use export::{Target, export, plan_export};
pub use flow::machine_memory::machine_memory_bytes;
pub use import::{import, plan_import};
pub use plan::least_memory_bytes;
pub use record::journal::{journal_of_export, journal_of_import, only_journal};
pub use source::manifest::ManifestSource;
pub use transfer::account::account;
pub use transfer::unfinished::{Taken, Unfinished, UnfinishedTransfers, unfinished};
pub use transfer::unopened::{cancelled_unopened, left_behind};
pub use verify::{Sides, verify};
