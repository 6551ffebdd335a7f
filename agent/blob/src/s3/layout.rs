//! Which chunk is which part of which object: a pure function of the drive's size and the chunk's.
//!
//! A chunk is a part. Up to 10,000 of them are the parts of the final object. A larger drive is cut into segments of at most
//! 5 GiB, each an object of its own whose parts are the chunks; at the end each segment is copied, at the store, to be one
//! part of the final object.

use protocol::limits::{GIB, MIB};
use protocol::units::{ByteRange, ChunkIndex};

use crate::facts::ChunkLimits;

/// The sizes that a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Most parts of one object.
    pub parts_max: u64,
    /// Smallest part that is not the last of its object, in bytes.
    pub part_bytes_min: u64,
    /// Largest part, and largest source of the copy of a part, in bytes.
    pub part_bytes_max: u64,
    /// Largest chunk, in bytes: whole ones fill a segment nearly.
    pub chunk_bytes_max: u64,
}

impl Sizes {
    /// Of S3. The largest object is 48.8 TiB by the number of its parts; compatible servers may take less, and say so.
    const S3: Sizes = Sizes { parts_max: 10_000, part_bytes_min: 5 * MIB, part_bytes_max: 5 * GIB, chunk_bytes_max: 512 * MIB };

    /// The sizes of every server: those of S3. Tests may choose others, which make segments of small drives.
    pub(super) fn of_server() -> Self {
        #[cfg(any(test, feature = "testing"))]
        if let Some(sizes) = Self::of_tests() {
            return sizes;
        }
        Self::S3
    }

    /// `DRIVE_AGENT_S3_SIZES`: most parts, smallest part, largest part.
    #[cfg(any(test, feature = "testing"))]
    fn of_tests() -> Option<Self> {
        let text = std::env::var("DRIVE_AGENT_S3_SIZES").ok()?;
        let numbers: Vec<u64> = text.split(',').filter_map(|number| number.parse().ok()).collect();
        let [parts_max, part_bytes_min, part_bytes_max] = *numbers else { return None };
        Some(Sizes { parts_max, part_bytes_min, part_bytes_max, chunk_bytes_max: part_bytes_max })
    }

    /// What a drive may be that is copied in whole chunks.
    pub(super) fn limits(self) -> ChunkLimits {
        let Sizes { parts_max, part_bytes_min, part_bytes_max, chunk_bytes_max } = self;
        let segment_bytes_min = if chunk_bytes_max < part_bytes_max { part_bytes_max - chunk_bytes_max } else { part_bytes_max };
        ChunkLimits {
            chunks_max: parts_max * (part_bytes_max / part_bytes_min).min(parts_max),
            chunk_bytes_min: part_bytes_min,
            chunk_bytes_max,
            chunk_bytes_multiple: 1,
            blob_bytes_max: parts_max * segment_bytes_min,
        }
    }
}

/// How a drive lies in objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    total_bytes: u64,
    chunk_bytes: u64,
    /// Chunks of each piece but the last.
    piece_chunks: u64,
}

/// The place of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartPlace {
    pub(super) piece: u64,
    /// From 1.
    pub(super) number: u32,
}

impl Layout {
    /// For a drive of this size in chunks of that one.
    pub(super) fn new(total_bytes: u64, chunk_bytes: u64, sizes: Sizes) -> Self {
        let Sizes { parts_max, part_bytes_max, .. } = sizes;
        let chunk_bytes = chunk_bytes.max(1);
        let chunks = total_bytes.div_ceil(chunk_bytes);
        let piece_chunks = if chunks <= parts_max { parts_max } else { (part_bytes_max / chunk_bytes).clamp(1, parts_max) };
        Layout { total_bytes, chunk_bytes, piece_chunks }
    }

    /// Whether chunks are parts of the final object.
    pub(super) fn is_direct(self) -> bool {
        self.pieces() <= 1
    }

    /// How many objects chunks are parts of.
    pub(super) fn pieces(self) -> u64 {
        self.total_bytes.div_ceil(self.piece_bytes_max())
    }

    pub(super) fn chunk_bytes(self) -> u64 {
        self.chunk_bytes
    }

    fn piece_bytes_max(self) -> u64 {
        self.piece_chunks * self.chunk_bytes
    }

    /// The range of the drive that a piece has.
    pub(super) fn piece(self, piece: u64) -> ByteRange {
        let offset = piece * self.piece_bytes_max();
        ByteRange::new(offset, self.piece_bytes_max().min(self.total_bytes.saturating_sub(offset)))
    }

    /// Whether a piece is as long as a piece can be.
    pub(super) fn is_full(self, piece: u64) -> bool {
        self.piece(piece).length == self.piece_bytes_max()
    }

    /// Where the chunk at this offset lies.
    pub(super) fn place_of(self, offset: u64) -> PartPlace {
        let chunk = offset / self.chunk_bytes;
        // A piece has at most 10,000 of them.
        let number = u32::try_from(chunk % self.piece_chunks + 1).unwrap_or(u32::MAX);
        PartPlace { piece: chunk / self.piece_chunks, number }
    }

    /// The chunks of a piece: number of the part, number of the chunk, and its range.
    pub(super) fn chunks_of(self, piece: u64) -> impl Iterator<Item = (u32, ChunkIndex, ByteRange)> + Send {
        let range = self.piece(piece);
        let first = piece * self.piece_chunks;
        (1_u32..).zip(first..first + range.length.div_ceil(self.chunk_bytes)).map(move |(number, chunk)| {
            let offset = chunk * self.chunk_bytes;
            (number, ChunkIndex(chunk), ByteRange::new(offset, self.chunk_bytes.min(self.total_bytes - offset)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: Sizes = Sizes::S3;

    #[test]
    fn a_drive_within_the_parts_of_one_object_is_one_piece() {
        let layout = Layout::new(10_000 * 8 * MIB, 8 * MIB, S3);
        assert!(layout.is_direct());
        assert_eq!(layout.place_of(9_999 * 8 * MIB), PartPlace { piece: 0, number: 10_000 });
        assert!(Layout::new(0, 8 * MIB, S3).is_direct() && Layout::new(1, 8 * MIB, S3).is_direct());
        assert_eq!(Layout::new(1, 8 * MIB, S3).chunks_of(0).collect::<Vec<_>>(), [(1, ChunkIndex(0), ByteRange::new(0, 1))]);
        assert_eq!(Layout::new(0, 8 * MIB, S3).chunks_of(0).count(), 0);
    }

    #[test]
    fn a_large_drive_is_cut_into_segments() {
        let total = 22_000_000_000_000;
        let layout = Layout::new(total, 8 * MIB, S3);
        assert!(!layout.is_direct() && layout.pieces() <= S3.parts_max);
        assert_eq!((layout.chunks_of(0).count(), layout.pieces()), (640, total.div_ceil(5 * GIB)));
        assert_eq!(layout.place_of(5 * GIB - 1), PartPlace { piece: 0, number: 640 });
        assert_eq!(layout.place_of(5 * GIB), PartPlace { piece: 1, number: 1 });
        let last = layout.pieces() - 1;
        assert!(layout.is_full(last - 1) && !layout.is_full(last));
        let bytes: u64 =
            (0..layout.pieces()).map(|piece| layout.chunks_of(piece).map(|(.., range)| range.length).sum::<u64>()).sum();
        assert_eq!(bytes, total);
        for (number, index, range) in layout.chunks_of(last) {
            assert_eq!(layout.place_of(range.offset), PartPlace { piece: last, number });
            assert_eq!(index.0, range.offset / (8 * MIB));
        }
    }

    #[test]
    fn everything_within_the_limits_fits() {
        let limits = S3.limits();
        for chunk in [5 * MIB, 8 * MIB, 300 * MIB, 511 * MIB, 512 * MIB] {
            assert!(limits.chunks_max * chunk >= limits.blob_bytes_max, "{chunk}");
            let layout = Layout::new(limits.blob_bytes_max, chunk, S3);
            assert!(layout.pieces() <= S3.parts_max && layout.piece(0).length <= 5 * GIB, "{chunk}");
        }
    }
}
