//! How a drive is cut into chunks.

use super::range::ByteRange;
use super::size::ByteSize;
use crate::limits::{CHUNK_SIZE_MAX_BYTES, CHUNK_SIZE_MIN_BYTES, CHUNKS_MAX};

/// Which chunk, counted from the start of the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(pub u64);

/// How a drive is cut: chunks of one size, the last one as long as what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkGeometry {
    total_bytes: u64,
    chunk_size_bytes: u64,
}

/// Why a drive cannot be cut this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Smaller than a sector or larger than a block may be.
    #[error("a chunk size of {0} is out of bounds: it must be between 512 bytes and 4000 MiB")]
    OutOfBounds(ByteSize),
    /// Not a whole number of sectors.
    #[error("a chunk size of {chunk_size_bytes} bytes is not a multiple of the drive's sector size of {sector_size_bytes} bytes")]
    NotAligned {
        /// What was asked for.
        chunk_size_bytes: u64,
        /// What the drive has.
        sector_size_bytes: u64,
    },
    /// More chunks than a manifest may have.
    #[error("{total} in chunks of {chunk_size} are more than {max} chunks: choose a larger --chunk-size", total = ByteSize(*.total_bytes), chunk_size = ByteSize(*.chunk_size_bytes), max = CHUNKS_MAX)]
    TooManyChunks {
        /// Size of the drive.
        total_bytes: u64,
        /// What was asked for.
        chunk_size_bytes: u64,
    },
}

impl ChunkGeometry {
    /// Cuts `total_bytes` into chunks of `chunk_size_bytes`.
    pub fn new(total_bytes: u64, chunk_size_bytes: u64) -> Result<Self, GeometryError> {
        if !(CHUNK_SIZE_MIN_BYTES..=CHUNK_SIZE_MAX_BYTES).contains(&chunk_size_bytes) {
            return Err(GeometryError::OutOfBounds(ByteSize(chunk_size_bytes)));
        }
        if total_bytes.div_ceil(chunk_size_bytes) > CHUNKS_MAX {
            return Err(GeometryError::TooManyChunks { total_bytes, chunk_size_bytes });
        }
        Ok(ChunkGeometry { total_bytes, chunk_size_bytes })
    }

    /// The same, for a drive whose sectors have `sector_size_bytes`.
    pub fn for_drive(total_bytes: u64, chunk_size_bytes: u64, sector_size_bytes: u64) -> Result<Self, GeometryError> {
        if !chunk_size_bytes.is_multiple_of(sector_size_bytes) {
            return Err(GeometryError::NotAligned { chunk_size_bytes, sector_size_bytes });
        }
        Self::new(total_bytes, chunk_size_bytes)
    }

    /// Size of the whole, in bytes.
    pub fn total_bytes(self) -> u64 {
        self.total_bytes
    }

    /// Size of every chunk but the last, in bytes.
    pub fn chunk_size_bytes(self) -> u64 {
        self.chunk_size_bytes
    }

    /// How many chunks there are; none for an empty drive.
    pub fn chunk_count(self) -> u64 {
        self.total_bytes.div_ceil(self.chunk_size_bytes)
    }

    /// Where chunk `index` lies, or `None` past the last one.
    pub fn range(self, index: ChunkIndex) -> Option<ByteRange> {
        let offset = index.0.checked_mul(self.chunk_size_bytes)?;
        (offset < self.total_bytes).then(|| ByteRange::new(offset, self.chunk_size_bytes.min(self.total_bytes - offset)))
    }

    /// Which chunk is exactly `range`, or `None` where it is not one of the chunks.
    pub fn index_of(self, range: ByteRange) -> Option<ChunkIndex> {
        let index = ChunkIndex(range.offset / self.chunk_size_bytes);
        (self.range(index) == Some(range)).then_some(index)
    }

    /// All chunks in drive order.
    pub fn chunks(self) -> impl Iterator<Item = (ChunkIndex, ByteRange)> {
        (0..self.chunk_count()).filter_map(move |index| {
            let index = ChunkIndex(index);
            self.range(index).map(|range| (index, range))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_what_is_left() {
        let geometry = ChunkGeometry::new(1000, 512).unwrap();
        let ranges: Vec<_> = geometry.chunks().map(|(_, range)| range).collect();
        assert_eq!(ranges, [ByteRange::new(0, 512), ByteRange::new(512, 488)]);
        assert_eq!(geometry.index_of(ByteRange::new(512, 488)), Some(ChunkIndex(1)));
        assert_eq!(geometry.index_of(ByteRange::new(512, 400)), None);
        assert_eq!(ChunkGeometry::new(0, 512).unwrap().chunk_count(), 0);
    }
}
