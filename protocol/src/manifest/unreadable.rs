//! Chunks with more unreadable ranges than one line holds: their record is several lines, each bounded.
//!
//! The ranges come first, the record with the last of them comes last. So a record that was torn anywhere is not there
//! at all, and a reader needs no more memory than for the ranges of one chunk.

use serde::{Deserialize, Serialize};

use super::line_error::LineError;
use super::record::ChunkRecord;
use crate::limits::{UNREADABLE_RANGES_MAX, UNREADABLE_RANGES_PER_LINE};
use crate::units::ByteRange;

/// A line of unreadable ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct UnreadablePart {
    /// Where the chunk lies that they are of.
    pub(super) chunk_offset: u64,
    /// How many ranges of the chunk follow behind this line, those of its record included: at least one.
    pub(super) following: u64,
    /// The ranges, ascending.
    pub(super) ranges: Vec<ByteRange>,
}

/// Splits the ranges of a record: the lines that go before it, and what stays in it.
pub(super) fn parts(record: &ChunkRecord) -> Result<(impl Iterator<Item = UnreadablePart>, &[ByteRange]), LineError> {
    let all = &record.unreadable;
    if all.len() > UNREADABLE_RANGES_MAX {
        return Err(LineError::TooManyRanges);
    }
    let pieces = all.chunks(UNREADABLE_RANGES_PER_LINE);
    let before = pieces.len().saturating_sub(1);
    let rest = pieces.clone().next_back().unwrap_or_default();
    let mut following = all.len();
    let chunk_offset = record.range.offset;
    let parts = pieces.take(before).map(move |piece| {
        following -= piece.len();
        UnreadablePart { chunk_offset, following: following as u64, ranges: piece.to_vec() }
    });
    Ok((parts, rest))
}

/// Puts the lines of a record together again.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    chunk_offset: u64,
    following: u64,
    ranges: Vec<ByteRange>,
}

impl Joiner {
    /// Whether a record has begun and not ended.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes a line of ranges.
    pub(super) fn add(&mut self, part: UnreadablePart) -> Result<(), LineError> {
        let UnreadablePart { chunk_offset, following, ranges } = part;
        let before = self.pending.as_ref().map_or(0, |pending| pending.ranges.len()) as u64;
        if before.saturating_add(ranges.len() as u64).saturating_add(following) > UNREADABLE_RANGES_MAX as u64 {
            return Err(LineError::TooManyRanges);
        }
        if following == 0 || ranges.is_empty() {
            return Err(LineError::NotContinued);
        }
        match &mut self.pending {
            Some(pending) => {
                if pending.chunk_offset != chunk_offset || pending.following != following + ranges.len() as u64 {
                    return Err(LineError::NotContinued);
                }
                pending.following = following;
                pending.ranges.extend(ranges);
            }
            None => self.pending = Some(Pending { chunk_offset, following, ranges }),
        }
        Ok(())
    }

    /// Takes the line of a chunk, and gives its whole record.
    pub(super) fn finish(&mut self, mut record: ChunkRecord) -> Result<ChunkRecord, LineError> {
        let Some(pending) = self.pending.take() else { return Ok(record) };
        if pending.chunk_offset != record.range.offset || pending.following != record.unreadable.len() as u64 {
            return Err(LineError::NotContinued);
        }
        let mut ranges = pending.ranges;
        ranges.append(&mut record.unreadable);
        record.unreadable = ranges;
        record.check_ranges().map_err(|error| LineError::NotUnderstood(error.to_owned()))?;
        Ok(record)
    }
}
