//! Move bytes between a drive and a blob: checked, journalled, cancellable.
//!
//! # Overview
//! Three operations: [`import`], [`export`], [`verify`]. Each is a pipeline of stages joined by bounded
//! channels; a stage is a file in `stage/`, and only the operation's own file knows their order.
//!
//! ```text
//! import   read ──▶ hash ──▶ send ──▶ record          threads │ threads │ tokio │ thread
//!          └▶ rescue ┘                                one thread, where the drive fails
//! export   fetch ──▶ check ──▶ write ──▶ record       tokio │ threads │ threads │ thread
//! ```
//!
//! A chunk's type says how far it is (`chunk.rs`): only what was hashed can be sent, only what landed
//! can be recorded. A fixed pool of aligned buffers (`pool.rs`) is the only memory that grows with
//! anything, and so the back-pressure: a chunk counts against it until it is recorded, and needs its buffer until it landed.
//!
//! # Cancellation
//! Only the first stage looks at the token, between chunks; every later stage drains until its channel
//! closes. So the contract is one sentence: what was read is hashed, sent and recorded; nothing new is
//! read. Waits (back-off, a free buffer, the rate limit) give up at a cancel, attempts do not. An abort
//! drops requests too, and asks the store what it holds.
//!
//! # Completion
//! When every chunk has landed the blob is committed, read back where that was asked for, its manifest
//! is stored beside it, and the journal is removed: in this order, each step repeatable.
//!
//! # Crash consistency
//! The target is synced, then the record is written, then the journal is synced, then progress is told.
//! Between sending and recording a chunk is noted as unknown. A restart replays the journal, asks the
//! store what it holds, and moves only what is missing; a kill repeats at most the memory budget.
//!
//! # How it fails
//! The first failure ends the transfer ([`CopyError`]); the rest drains as in a cancel, and the result
//! carries a receipt. Failures of requests are tried again inside one budget (`attempts.rs`).
//!
//! # A drive that fails
//! At the first unreadable place, or the first read that takes suspiciously long, the readers leave and one of
//! them goes on alone (`stage/rescue.rs`) in the order that `protocol::rescue` decides. Good bytes of chunks
//! that are not whole yet wait in a scratch file beside the journal (`rescue/`).
//!
//! # What is bounded
//! `limits.rs` names every limit. Per-chunk knowledge is in a file of fixed-size slots (`slots.rs`), so
//! millions of chunks cost no memory; holes of a file are zeros that nobody reads (`holes.rs`), so they cost little time.

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
pub use call::options::{OnUnreadable, PublicNames, RescueOptions, TransferOptions, Verify};
pub use call::shared_budget::SharedBudget;
pub use call::stop::{Stop, StopRequest};
pub use error::CopyError;
pub use export::{export, plan_export};
pub use flow::machine_memory::machine_memory_bytes;
pub use import::{import, plan_import};
pub use plan::least_memory_bytes;
pub use source::manifest::ManifestSource;
pub use transfer::account::account;
pub use transfer::unopened::cancelled_unopened;
pub use verify::{Sides, verify};
