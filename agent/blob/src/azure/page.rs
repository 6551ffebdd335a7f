//! A page blob being written: made sparse at its full size, and only runs of data are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_storage_blob::clients::{BlobClient, PageBlobClient};
use azure_storage_blob::models::{
    BlobClientSetMetadataOptions, HttpRange, PageBlobClientCreateOptions, PageBlobClientUploadPagesOptions,
};
use bytes::Bytes;
use protocol::digest::Sha256Digest;
use protocol::limits::{CHUNKS_MAX, MIB};
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::{AzureBlob, metadata};
use crate::contract::{Blob, BlobFacts, ChunkBody, ChunkLimits, CommitFacts, Held, Upload, UploadRequest, UploadTraits};
use crate::error::{BlobError, BlobErrorKind};

/// The unit of a page blob (Put Page).
pub(super) const PAGE_BYTES: u64 = 512;

/// Most that one Put Page takes.
const PUT_PAGE_BYTES_MAX: usize = 4 << 20;

/// Zero runs shorter than this are sent with the data around them: a request costs more.
const ZERO_RUN_BYTES: usize = 64 << 10;

/// "Scalability targets": a page blob has at most 8 TiB. Chunks are cut to Put Page's size here.
pub(super) const LIMITS: ChunkLimits = ChunkLimits {
    chunks_max: CHUNKS_MAX,
    chunk_bytes_max: 1 << 30,
    chunk_bytes_multiple: PAGE_BYTES,
    blob_bytes_max: 8 * 1024 * 1024 * MIB,
};

pub(super) struct PageUpload {
    blob: AzureBlob,
    client: BlobClient,
    pages: PageBlobClient,
    request: UploadRequest,
    /// The blob was not made by this run: zero runs have to be sent too, since pages may hold bytes.
    is_resumed: AtomicBool,
}

impl PageUpload {
    /// Makes the blob at its full size, all zeros, or goes on with the one that the same transfer
    /// began. Until the commit it carries the mark `incomplete`.
    pub(super) async fn begin(blob: AzureBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, Held), BlobError> {
        let existing = blob.head().await?;
        let client = blob.client()?;
        let upload = PageUpload {
            pages: client.page_blob_client(),
            client,
            blob,
            request: request.clone(),
            is_resumed: AtomicBool::new(false),
        };
        let is_of =
            |facts: &BlobFacts, id: Option<&String>| facts.is_incomplete && id.is_some() && facts.transfer_id.as_ref() == id;
        let is_ours = |facts: &BlobFacts| is_of(facts, Some(&request.transfer_id));
        let is_left_by_us = |facts: &BlobFacts| is_ours(facts) || is_of(facts, request.replaces.as_ref());
        let held = match existing {
            Some(facts) if request.resume && is_ours(&facts) => {
                upload.is_resumed.store(true, Ordering::Relaxed);
                Held::Recorded
            }
            // Never made here: the answer to making it may be lost, and then the next try would take the
            // empty blob for what the journal is about.
            _ if request.resume => {
                let message = "the page blob that was begun is gone";
                return Err(BlobError::new(BlobErrorKind::NotFound, "go on with", upload.blob.address(), message));
            }
            Some(facts) if !request.overwrite && !is_left_by_us(&facts) => {
                let message = "it exists already, or was begun by another transfer: choose another name, or repeat the command with `--overwrite`";
                return Err(BlobError::new(BlobErrorKind::AlreadyExists, "create", upload.blob.address(), message));
            }
            existing => {
                upload.create(existing.map(|facts| facts.version)).await?;
                Held::Nothing
            }
        };
        Ok((Arc::new(upload), held))
    }

    async fn create(&self, replaced_version: Option<String>) -> Result<(), BlobError> {
        let mut metadata = self.blob.metadata(&self.request);
        metadata.insert(metadata::STATE.to_owned(), metadata::INCOMPLETE.to_owned());
        let options = PageBlobClientCreateOptions {
            metadata: Some(metadata),
            if_none_match: replaced_version.is_none().then(|| "*".into()),
            if_match: replaced_version.map(Etag::from),
            ..Default::default()
        };
        let size = self.request.total_bytes.next_multiple_of(PAGE_BYTES);
        let created = self.pages.create(size, Some(options)).await;
        created.map(|_| ()).map_err(|error| self.blob.error("create", error))
    }

    async fn put_run(&self, bytes: Bytes, offset: u64) -> Result<(), BlobError> {
        let put = |crc64, md5| {
            let options = PageBlobClientUploadPagesOptions {
                transactional_content_crc64: crc64,
                transactional_content_md5: md5,
                ..Default::default()
            };
            let (body, length) = (bytes.clone(), bytes.len() as u64);
            async move {
                let sent = self.pages.upload_pages(body.into(), length, HttpRange::new(offset, length), Some(options)).await;
                sent.map(|_| ()).map_err(|error| self.blob.error("send pages of", error))
            }
        };
        self.blob.account.checksums.send(&bytes, None, put).await
    }
}

/// The runs of a chunk that have to be sent, as ranges of its bytes: whole pages, no zero runs of
/// `zero_run_bytes` or more, none longer than Put Page takes.
fn data_runs(bytes: &[u8], zero_run_bytes: usize) -> Vec<std::ops::Range<usize>> {
    let is_zero = |block: &[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    let block_bytes = zero_run_bytes.min(PUT_PAGE_BYTES_MAX);
    for (index, block) in bytes.chunks(block_bytes).enumerate() {
        if zero_run_bytes == block_bytes && is_zero(block) {
            continue;
        }
        let start = index * block_bytes;
        let end = start + block.len();
        match runs.last_mut() {
            Some(last) if last.end == start && end - last.start <= PUT_PAGE_BYTES_MAX => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

#[async_trait]
impl Upload for PageUpload {
    fn traits(&self) -> UploadTraits {
        UploadTraits { content_named: false, durable_when_acknowledged: true, concurrency: 16 }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let zero_run_bytes = if self.is_resumed.load(Ordering::Relaxed) { usize::MAX } else { ZERO_RUN_BYTES };
        for run in data_runs(&chunk.bytes, zero_run_bytes) {
            let offset = chunk.range.offset + run.start as u64;
            let mut bytes = chunk.bytes.slice(run);
            if !(bytes.len() as u64).is_multiple_of(PAGE_BYTES) {
                // Only the tail of an odd image: it is padded to a whole page.
                let mut padded = bytes.to_vec();
                padded.resize(bytes.len().next_multiple_of(PAGE_BYTES as usize), 0);
                bytes = padded.into();
            }
            self.put_run(bytes, offset).await?;
        }
        Ok(())
    }

    async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        let length = range.length.next_multiple_of(PAGE_BYTES);
        let cleared = self.pages.clear_pages(HttpRange::new(range.offset, length), None).await;
        cleared.map(|_| ()).map_err(|error| self.blob.error("clear pages of", error))
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<Held, BlobError> {
        let facts = self.blob.head().await?;
        let ours = facts.is_some_and(|facts| facts.transfer_id.as_ref() == Some(&self.request.transfer_id));
        Ok(if ours { Held::Recorded } else { Held::Nothing })
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], facts: &CommitFacts<'_>) -> Result<(), BlobError> {
        let lost = |message: &str| BlobError::new(BlobErrorKind::Changed, "commit", self.blob.address(), message);
        let now = self.blob.head().await?.ok_or_else(|| lost("it was deleted while it was written"))?;
        if now.transfer_id.as_ref() != Some(&self.request.transfer_id) {
            return Err(lost("another transfer has replaced it while it was written"));
        }
        if !now.is_incomplete {
            // An earlier try got through, and its answer was lost.
            return Ok(());
        }
        let metadata = self.blob.final_metadata(&self.request, facts);
        // Only this very version, with the pages that were acknowledged, becomes the blob.
        let options = BlobClientSetMetadataOptions { if_match: Some(Etag::from(now.version)), ..Default::default() };
        let marked = self.client.set_metadata(&metadata, Some(options)).await;
        marked.map(|_| ()).map_err(|error| self.blob.error("commit", error))
    }

    fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        let description = "the page blob itself, marked `incomplete` in its metadata, which a resume goes on with".to_owned();
        Some(Residue { description, bytes: landed_bytes, lives_days: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_runs_are_left_out_and_long_runs_are_cut() {
        let mut bytes = vec![0; 9 << 20];
        assert!(data_runs(&bytes, ZERO_RUN_BYTES).is_empty());
        assert_eq!(data_runs(&bytes, usize::MAX).len(), 3);
        bytes[0] = 1;
        bytes[(1 << 20) + 5] = 1;
        bytes[(9 << 20) - 1] = 1;
        assert_eq!(data_runs(&bytes, ZERO_RUN_BYTES), [0..65_536, 1_048_576..1_114_112, (9 << 20) - 65_536..9 << 20]);
        let full = vec![1; (4 << 20) + 512];
        assert_eq!(data_runs(&full, ZERO_RUN_BYTES), [0..4 << 20, 4 << 20..(4 << 20) + 512]);
    }
}
