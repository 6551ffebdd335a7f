//! What is known of a blob that exists, and what a store can take.

use crate::error::{BlobError, BlobErrorKind};
use crate::stated::StatedChecksum;

/// What is known of a blob that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobFacts {
    /// Size of what was imported, in bytes (a page blob may be padded behind it).
    pub size_bytes: u64,
    /// Names this very content: changes whenever the blob is written.
    pub version: String,
    /// What of it was the same before it appeared under its name, where the store has no place for the transfer's id
    /// (directories): the note before a commit has it too.
    pub content_mark: Option<String>,
    /// Which transfer of ours made it, where the store can remember.
    pub transfer_id: Option<String>,
    /// Whether it is a page blob that an import has begun and not finished.
    pub is_incomplete: bool,
    /// Whether the store knows which of its bytes were ever written: [`Blob::written_ranges`].
    pub is_sparse: bool,
    /// Whether we made it a VHD: [`size_bytes`](Self::size_bytes) is that of the drive, and a footer lies behind.
    pub is_vhd: bool,
    /// The checksum of the whole that a look at it tells. One that its uploader left with it the store does not check.
    pub stated: Option<StatedChecksum>,
    /// What prevents using it.
    pub obstacles: Obstacles,
}

/// What prevents using a blob that exists: each a reason with the way out, `None` where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// Why its bytes cannot be read, or are not those of a blob: it marks a folder, it is archived.
    pub to_reading: Option<String>,
    /// Why no upload can replace it, with or without `overwrite`: another type, a lease, a legal hold.
    pub to_replacing: Option<String>,
    /// What an upload was asked to give it, and it does not have: a blob that is complete keeps what it has.
    pub to_describing: Option<String>,
}

impl BlobFacts {
    /// Refuses a blob that cannot be read, before anything is done for it.
    ///
    /// # Errors
    /// With the reason and the way out.
    pub fn require_readable(&self, address: &str) -> Result<(), BlobError> {
        refuse_for(self.obstacles.to_reading.as_ref(), "read", address)
    }

    /// Refuses a blob that no upload can replace, before anything is sent.
    ///
    /// # Errors
    /// With the reason and the way out.
    pub fn require_replaceable(&self, address: &str) -> Result<(), BlobError> {
        refuse_for(self.obstacles.to_replacing.as_ref(), "replace", address)
    }
}

fn refuse_for(obstacle: Option<&String>, operation: &'static str, address: &str) -> Result<(), BlobError> {
    obstacle.map_or(Ok(()), |reason| Err(BlobError::new(BlobErrorKind::Refused, operation, address, reason)))
}

/// What a store can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Most chunks of one blob.
    pub chunks_max: u64,
    /// Smallest chunk but the last, in bytes.
    pub chunk_bytes_min: u64,
    /// Largest chunk, in bytes.
    pub chunk_bytes_max: u64,
    /// Every chunk but the last is a multiple of this, in bytes.
    pub chunk_bytes_multiple: u64,
    /// Largest blob, in bytes.
    pub blob_bytes_max: u64,
}
