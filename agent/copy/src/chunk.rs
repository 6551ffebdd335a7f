//! How far a chunk is, as a type: only what was sent can be recorded, only what was hashed can be sent.
//!
//! ```text
//! import:  ReadChunk ── hash ──▶ HashedChunk ── send ──▶ LandedChunk ── record ──▶ journal
//! export:  FetchedChunk ── hash ──▶ CheckedChunk ── write ──▶ LandedChunk ── record ──▶ journal
//! ```

use std::time::Instant;

use protocol::digest::Sha256Digest;
use protocol::manifest::{ChunkContent, ChunkRecord, ChunkState};
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex};
use tokio::sync::OwnedSemaphorePermit;

use crate::flow::pool::{FilledBuffer, PooledBytes, Share};

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: ChunkIndex,
    pub(crate) range: ByteRange,
}

impl Place {
    /// The chunk that a byte is in; behind the end of the last one there are no bytes.
    pub(crate) fn at(geometry: ChunkGeometry, offset: u64) -> Self {
        let index = ChunkIndex(offset / geometry.chunk_size_bytes());
        let range = geometry.range(index).unwrap_or(ByteRange::new(geometry.total_bytes(), 0));
        Place { index, range }
    }
}

/// Bytes of a chunk, or the knowledge that they are zeros.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Bytes(PooledBytes),
    Hole,
}

/// A chunk that was read from a drive, whole.
#[derive(Debug)]
pub(crate) struct ReadChunk {
    pub(crate) place: Place,
    pub(crate) body: Body,
    /// What an earlier run recorded: this one is read only to be compared, and goes no further.
    pub(crate) recorded: Option<ChunkContent>,
    pub(crate) unreadable: Vec<ByteRange>,
}

/// A chunk whose digest is known.
#[derive(Debug)]
pub(crate) struct HashedChunk {
    pub(crate) place: Place,
    /// The bytes; none where they are zeros.
    pub(crate) bytes: Option<PooledBytes>,
    pub(crate) digest: Sha256Digest,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) unreadable: Vec<ByteRange>,
}

impl HashedChunk {
    pub(crate) fn content(&self) -> ChunkContent {
        if self.bytes.is_some() { ChunkContent::Data(self.digest) } else { ChunkContent::Zero }
    }
}

/// A chunk that came from a store, whole, its transport checked where that was possible.
#[derive(Debug)]
pub(crate) struct FetchedChunk {
    pub(crate) place: Place,
    /// The bytes; none where they are known to be zeros.
    pub(crate) buffer: Option<FilledBuffer>,
    pub(crate) attempts: u32,
    /// Bounds how many chunks without a body there are between two stages.
    pub(crate) slot: OwnedSemaphorePermit,
}

/// A chunk whose digest is the manifest's, or was computed where there is no manifest.
#[derive(Debug)]
pub(crate) struct CheckedChunk {
    pub(crate) place: Place,
    pub(crate) bytes: Option<PooledBytes>,
    pub(crate) content: ChunkContent,
    pub(crate) attempts: u32,
    pub(crate) slot: OwnedSemaphorePermit,
}

/// A chunk that its target acknowledged. Durable when the acknowledgement says so, or after a sync.
#[derive(Debug)]
pub(crate) struct LandedChunk {
    pub(crate) record: ChunkRecord,
    pub(crate) index: ChunkIndex,
    pub(crate) acknowledged_at: Instant,
    /// Kept until the record is durable, so that what would be repeated after a crash is bounded by
    /// the memory budget. The memory itself is in use again.
    pub(crate) _held: Held,
}

/// What a landed chunk holds back until it is recorded.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) _share: Option<Share>,
    pub(crate) _slot: Option<OwnedSemaphorePermit>,
}

impl LandedChunk {
    /// A chunk that landed now.
    pub(crate) fn now(
        place: Place,
        content: ChunkContent,
        state: ChunkState,
        attempts: u32,
        unreadable: Vec<ByteRange>,
        held: Held,
    ) -> Self {
        let record = ChunkRecord { range: place.range, content, state, attempts, unreadable, from_image: Vec::new() };
        LandedChunk { record, index: place.index, acknowledged_at: Instant::now(), _held: held }
    }
}
