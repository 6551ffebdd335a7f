//! The result of a copy, with its receipt.

use protocol::outcome::Outcome;
use protocol::receipt::{ByteClass, Receipt};
use protocol::result::TransferResult;
use protocol::station::CopyOrder;
use protocol::stop::StopReason;
use protocol::units::ByteRange;
use serde_json::json;
use time::OffsetDateTime;

use crate::copying::Chunk;
use crate::site::CHUNK_BYTES;

/// What there is to tell.
pub struct Told<'copy> {
    pub chunks: &'copy [Chunk],
    pub outcome: Outcome,
    /// Why it stopped, when that was asked for, and when the last chunk in flight was accounted for.
    pub stop: Option<(StopReason, OffsetDateTime, OffsetDateTime)>,
    pub message: Option<String>,
    pub was_zero: &'copy [bool],
    /// The transfer that it is of, where there is one.
    pub transfer: Option<String>,
}

/// The result of a copy that ran, or is only accounted for.
pub fn told(order: &CopyOrder, told: &Told<'_>) -> TransferResult {
    let bytes = |is_of: &dyn Fn(usize, Chunk) -> bool| {
        let of = told.chunks.iter().enumerate().filter(|(index, chunk)| is_of(*index, **chunk)).count();
        of as u64 * CHUNK_BYTES
    };
    let is_zero = |index: usize| told.was_zero.get(index).copied().unwrap_or_default();
    let is_new = |chunk: Chunk| matches!(chunk, Chunk::LandedBefore | Chunk::LandedAfter);
    let mut result = failed(order, told.outcome, "");
    result.error = told.message.clone();
    result.transfer_id = told.transfer.clone();
    result.bytes_total = bytes(&|_, _| true);
    result.bytes_sent = bytes(&|index, chunk| is_new(chunk) && !is_zero(index));
    result.bytes_zero = bytes(&|index, chunk| is_new(chunk) && is_zero(index));
    result.bytes_reused = bytes(&|_, chunk| chunk == Chunk::Reused);
    result.bytes_unreadable = bytes(&|_, chunk| chunk == Chunk::Unreadable);
    result.chunks = told.chunks.len() as u64;
    result.unreadable = ranges(told.chunks).filter(|(_, chunk)| *chunk == Chunk::Unreadable).map(|(range, _)| range).collect();
    result.receipt = told.stop.map(|(reason, requested_at, drained_at)| {
        let mut receipt = Receipt::new(reason, requested_at, drained_at, "drive-agent jobs retry".to_owned());
        ranges(told.chunks).for_each(|(range, chunk)| receipt.add(class_of(chunk), range));
        receipt
    });
    result
}

fn class_of(chunk: Chunk) -> ByteClass {
    match chunk {
        Chunk::Reused | Chunk::LandedBefore => ByteClass::LandedBeforeRequest,
        Chunk::LandedAfter => ByteClass::LandedAfterRequest,
        Chunk::Unknown => ByteClass::OutcomeUnknown,
        Chunk::NotRead | Chunk::InFlight | Chunk::Unreadable => ByteClass::NeverSent,
    }
}

fn ranges(chunks: &[Chunk]) -> impl Iterator<Item = (ByteRange, Chunk)> {
    chunks.iter().enumerate().map(|(index, chunk)| (ByteRange::new(index as u64 * CHUNK_BYTES, CHUNK_BYTES), *chunk))
}

/// The result of a copy that was not begun.
pub fn failed(order: &CopyOrder, outcome: Outcome, message: &str) -> TransferResult {
    // Through JSON, so that a field which is added with a default needs no line here.
    let document = json!({
        "outcome": outcome, "direction": order.direction, "blob": format!("{}/{}", order.blob.container, order.blob.name),
        "bytes_total": 0, "bytes_sent": 0, "bytes_reused": 0, "bytes_zero": 0, "bytes_unreadable": 0,
        "chunk_size": CHUNK_BYTES, "chunks": 0, "evidence": "read", "elapsed_seconds": 0.0,
        "stages": { "read": 0.0, "hash": 0.0, "wait": 0.0, "send": 0.0, "write": 0.0, "sync": 0.0 },
        "limited_by": "nothing", "retries": 0, "unreadable": [], "error": message,
    });
    serde_json::from_value(document).expect("a result")
}
