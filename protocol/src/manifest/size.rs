//! How long a manifest can be: known from its first line, so that no more of it is read; and how many ranges it can have.

use super::record::ChunkRecord;
use crate::limits::{
    CHUNK_SIZE_MIN_BYTES, FROM_IMAGE_RANGES_MAX, MANIFEST_LINE_MAX_BYTES, RANGES_OF_TRANSFER_MAX, UNREADABLE_RANGES_PER_LINE,
};
use crate::units::ChunkGeometry;

/// A record without its ranges: 300 characters, and room for what later versions add.
const RECORD_BYTES: u64 = 1 << 10;

/// One range: `{"offset":…,"length":…},` with two numbers of up to 20 digits.
const RANGE_BYTES: u64 = 64;

/// The most bytes that a manifest with these chunks has: its first and last line, and for each chunk the longest record,
/// in which every other sector of the smallest kind is unreadable.
pub fn bytes_max(geometry: ChunkGeometry) -> u64 {
    // Those from an image may begin at any byte.
    let from_image = (geometry.chunk_size_bytes() / 2 + 1).min(FROM_IMAGE_RANGES_MAX as u64);
    let ranges = geometry.chunk_size_bytes() / (2 * CHUNK_SIZE_MIN_BYTES) + 1 + from_image;
    let lines = 1 + ranges / UNREADABLE_RANGES_PER_LINE as u64;
    let record = lines * RECORD_BYTES + ranges * RANGE_BYTES;
    2 * MANIFEST_LINE_MAX_BYTES as u64 + geometry.chunk_count().saturating_mul(record)
}

/// There are more than [`RANGES_OF_TRANSFER_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {RANGES_OF_TRANSFER_MAX} places that could not be read, or that came from an image")]
pub struct TooManyPlaces;

/// Counts the ranges of all records of a manifest: its writer and its reader have the same limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlaceCount(u64);

impl PlaceCount {
    /// Counts those of one record.
    ///
    /// # Errors
    /// When there are too many by now.
    pub fn add(&mut self, record: &ChunkRecord) -> Result<(), TooManyPlaces> {
        self.0 += (record.unreadable.len() + record.from_image.len()) as u64;
        if self.0 > RANGES_OF_TRANSFER_MAX { Err(TooManyPlaces) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256Digest;
    use crate::limits::MIB;
    use crate::manifest::{ChunkContent, ChunkRecord, ChunkState, Line, encode};
    use crate::units::{ByteRange, ChunkIndex};

    #[test]
    fn the_longest_honest_record_fits() {
        let geometry = ChunkGeometry::new(1 << 44, 64 * MIB).unwrap();
        let range = geometry.range(ChunkIndex(geometry.chunk_count() - 1)).unwrap();
        let sectors = range.length / 512;
        let bad = (0..sectors).step_by(2).map(|sector| ByteRange::new(range.offset + sector * 512, 512)).collect();
        let record = ChunkRecord {
            range,
            content: ChunkContent::Data(Sha256Digest::of(b"x")),
            state: ChunkState::Sent,
            attempts: u32::MAX,
            unreadable: bad,
            from_image: (0..FROM_IMAGE_RANGES_MAX as u64)
                .map(|sector| ByteRange::new(range.offset + (2 * sector + 1) * 512, 512))
                .collect(),
        };
        let mut line = Vec::new();
        encode(&Line::Chunk(record), &mut line).unwrap();
        let per_chunk = (bytes_max(geometry) - 2 * MANIFEST_LINE_MAX_BYTES as u64) / geometry.chunk_count();
        assert!(line.len() as u64 <= per_chunk, "{} > {per_chunk}", line.len());
        assert!(bytes_max(ChunkGeometry::new(32 * MIB, 8 * MIB).unwrap()) < 16 * MIB);
        // The smallest chunks: a kilobyte for each record, and one for each two bytes that came from an image.
        assert!(bytes_max(ChunkGeometry::new(MIB, 512).unwrap()) < 48 * MIB);
    }

    #[test]
    fn the_places_of_all_chunks_have_a_limit() {
        let content = ChunkContent::Data(Sha256Digest::of(b"x"));
        let ranges = vec![ByteRange::new(0, 1); 1 << 20];
        let range = ByteRange::new(0, MIB);
        let record =
            ChunkRecord { range, content, state: ChunkState::Sent, attempts: 1, unreadable: ranges, from_image: Vec::new() };
        let mut count = PlaceCount::default();
        assert_eq!((0..).take_while(|_| count.add(&record).is_ok()).count(), 16);
    }
}
