//! Drives and blobs that cost nothing: what is left is the engine.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use blob::contract::{BlocksHeld, ChunkBody, CommitFacts, RangeBody, UploadCapabilities, UploadRequest};
use blob::facts::{BlobFacts, ChunkLimits};
use blob::{Blob, BlobError, BlobErrorKind, Replaces, Upload};
use drive::{Drive, DriveError, TargetContent};
use protocol::digest::Sha256Digest;
use protocol::identity::{DriveIdentity, DriveKind};
use protocol::receipt::Residue;
use protocol::units::ByteRange;

/// The name of a drive whose bytes are those that are in the buffer, and which takes every write.
pub(super) const NULL: &str = "null";

/// The name of a drive of zeros.
pub(super) const ZERO: &str = "zero";

/// A drive that is not there.
pub(super) struct NoDrive {
    identity: DriveIdentity,
    is_zero: bool,
}

/// Every page gets its offset, so that no chunk is like another and none is zeros.
const STAMPED_BYTES: usize = 4096;

impl NoDrive {
    pub(super) fn open(name: &str, size_bytes: u64) -> Arc<dyn Drive> {
        let identity = DriveIdentity {
            path: name.to_owned(),
            kind: DriveKind::Simulated,
            serial: None,
            model: None,
            size: size_bytes,
            sector_size: 512,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        };
        Arc::new(NoDrive { identity, is_zero: name == ZERO })
    }
}

impl Drive for NoDrive {
    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn preferred_readers(&self) -> usize {
        2
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        if self.is_zero {
            buffer.fill(0);
            return Ok(());
        }
        for (page, position) in buffer.chunks_mut(STAMPED_BYTES).zip((offset..).step_by(STAMPED_BYTES)) {
            let stamp = (position | 1).to_le_bytes();
            let length = page.len().min(stamp.len());
            page[..length].copy_from_slice(&stamp[..length]);
        }
        Ok(())
    }

    fn target_content(&self) -> TargetContent {
        TargetContent::KnownZero
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> Result<(), DriveError> {
        Ok(())
    }

    fn zero_range(&self, _range: ByteRange) -> Result<(), DriveError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), DriveError> {
        Ok(())
    }
}

/// A blob that takes everything and has nothing.
pub(super) struct NoBlob;

#[async_trait]
impl Blob for NoBlob {
    fn address(&self) -> String {
        NULL.to_owned()
    }

    fn limits(&self) -> ChunkLimits {
        ChunkLimits {
            chunks_max: u64::MAX,
            chunk_bytes_min: 1,
            chunk_bytes_max: 1 << 40,
            chunk_bytes_multiple: 1,
            blob_bytes_max: u64::MAX,
        }
    }

    fn checks_arrival(&self) -> bool {
        false
    }

    fn sibling(&self, _suffix: &str) -> Arc<dyn Blob> {
        Arc::new(NoBlob)
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        Ok(None)
    }

    async fn read(&self, _range: ByteRange, _version: &str, _checked: bool) -> Result<RangeBody, BlobError> {
        Err(BlobError::new(BlobErrorKind::NotFound, "read", self.address(), "nothing is in it"))
    }

    async fn begin_upload(&self, _request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        Ok((Arc::new(NoUpload), BlocksHeld::Nothing))
    }

    async fn put_file(&self, _file: Arc<File>, _transfer_id: &str, _replaces: &Replaces) -> Result<(), BlobError> {
        Ok(())
    }
}

struct NoUpload;

#[async_trait]
impl Upload for NoUpload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: false,
            tells_of_chunks: false,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: false,
            preferred_concurrency: 4,
        }
    }

    async fn put_chunk(&self, _chunk: &ChunkBody) -> Result<(), BlobError> {
        Ok(())
    }

    async fn clear(&self, _range: ByteRange) -> Result<(), BlobError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        Ok(BlocksHeld::Recorded { state: None })
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], _facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        Ok(String::new())
    }

    async fn residue(&self, _landed_bytes: u64) -> Option<Residue> {
        None
    }
}
