//! A page blob that exists and is written into: the disk of an upload, which may be neither made nor marked. It carries no
//! name of a transfer, so what is left of an earlier run is looked at before it is believed.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use protocol::digest::Sha256Digest;
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::client::{AzureBlob, Found, require_length};
use super::page_ranges;
use super::page_writer::PageWriter;
use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, Upload, UploadCapabilities, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::vhd;

/// The page blob being written into.
pub(super) struct ExistingPages {
    blob: AzureBlob,
    writer: PageWriter,
    request: UploadRequest,
}

/// Looks at the blob that is to be written into, which must be there, and of the right length.
pub(super) async fn require(blob: &AzureBlob, total_bytes: u64) -> Result<Found, BlobError> {
    let refused = |message: String| BlobError::new(BlobErrorKind::Refused, "write into", blob.address(), message);
    let found = blob
        .look()
        .await?
        .ok_or_else(|| refused("it is not there: make the disk first, or leave out `--into-existing`".to_owned()))?;
    blob.require_uploadable(Some(&found.facts))?;
    let needed = blob.page_blob_bytes(total_bytes);
    match found.length_bytes == needed {
        true => Ok(found),
        false => Err(refused(format!(
            "it has {} bytes, and what is to be written has {needed}: make the disk with that size (`az disk create --upload-type Upload --upload-size-bytes {needed}`)",
            found.length_bytes
        ))),
    }
}

/// What was ever written to the blob.
pub(super) async fn written(blob: &AzureBlob, version: &str) -> Result<Vec<ByteRange>, BlobError> {
    let mut all = Vec::new();
    let mut from = None;
    loop {
        let part = page_ranges::list(blob, version, from.as_deref()).await?;
        all.extend(part.ranges);
        match part.next {
            Some(next) => from = Some(next),
            None => return Ok(all),
        }
    }
}

/// The refusal of a blob that holds data.
pub(super) fn holds_data(blob: &AzureBlob) -> BlobError {
    let message = "it holds data: take an empty disk, or replace what it holds with `--overwrite`";
    BlobError::new(BlobErrorKind::AlreadyExists, "write into", blob.address(), message)
}

impl ExistingPages {
    pub(super) async fn begin(blob: AzureBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let found = require(&blob, request.total_bytes).await?;
        let writer = PageWriter::unnumbered(blob.clone(), blob.client()?.page_blob_client());
        let upload = ExistingPages { blob, writer, request: request.clone() };
        if request.resume {
            upload.writer.expect_bytes();
            return Ok((Arc::new(upload), BlocksHeld::Recorded { state: Some(found.facts.version) }));
        }
        let written = written(&upload.blob, &found.facts.version).await?;
        if !written.is_empty() && !request.overwrite {
            return Err(holds_data(&upload.blob));
        }
        for range in written {
            upload.writer.clear(range).await?;
        }
        Ok((Arc::new(upload), BlocksHeld::Nothing))
    }

    async fn look(&self, operation: &'static str) -> Result<Found, BlobError> {
        let gone =
            || BlobError::new(BlobErrorKind::Changed, operation, self.blob.address(), "it was deleted while it was written");
        self.blob.look().await?.ok_or_else(gone)
    }
}

#[async_trait]
impl Upload for ExistingPages {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: false,
            tells_of_chunks: false,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: false,
            preferred_concurrency: 16,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        self.writer.put_chunk(chunk).await
    }

    async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        self.writer.clear(range).await
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        self.look("look at").await.map(|found| BlocksHeld::Recorded { state: Some(found.facts.version) })
    }

    async fn state(&self) -> Result<Option<String>, BlobError> {
        self.look("look at").await.map(|found| Some(found.facts.version))
    }

    fn uncommitted(&self) -> Option<Arc<dyn Blob>> {
        Some(Arc::new(self.blob.clone()))
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], _facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        let length = self.blob.page_blob_bytes(self.request.total_bytes);
        if let Some(footer) = self.blob.footer(self.request.total_bytes, &self.request.transfer_id, SystemTime::now()) {
            self.writer.put(Bytes::copy_from_slice(&footer), length - vhd::FOOTER_BYTES).await?;
        }
        let found = self.look("commit").await?;
        require_length(found.length_bytes, length, &self.blob.address())?;
        Ok(found.facts.version)
    }

    async fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        let description = "what was written into the page blob, kept for a resume".to_owned();
        (landed_bytes > 0).then_some(Residue { description, path: None, bytes: landed_bytes, lives_days: None })
    }
}
