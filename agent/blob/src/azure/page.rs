//! A page blob being written: made sparse at its full size, and only runs of data are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use azure_core::http::headers::ETAG;
use azure_core::http::{Etag, StatusCode};
use azure_storage_blob::clients::{BlobClient, PageBlobClient};
use azure_storage_blob::models::{
    BlobClientSetMetadataOptions, BlobClientSetPropertiesOptions, HttpRange, PageBlobClientClearPagesOptions,
    PageBlobClientCreateOptions, PageBlobClientSetSequenceNumberOptions, PageBlobClientSetSequenceNumberResultHeaders,
    PageBlobClientUploadPagesOptions, SequenceNumberActionType,
};
use bytes::Bytes;
use file::crash;
use protocol::digest::Sha256Digest;
use protocol::limits::{CHUNKS_MAX, MIB};
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::client::{AzureBlob, Found, PAGE_BYTES, require_length};
use super::described::{DEFAULT_CONTENT_TYPE, is_same_type};
use super::error::code_of;
use super::fence::Fence;
use super::metadata;
use crate::contract::{
    Blob, BlobFacts, BlocksHeld, ChunkBody, ChunkLimits, CommitFacts, Upload, UploadCapabilities, UploadRequest,
};
use crate::error::{BlobError, BlobErrorKind};

/// Why an upload ends whose blob has another number now.
const REPLACED: &str = "another transfer replaced the page blob while it was written: nothing more is written to it";

/// The unit of a page blob, of bytes in memory.
const PAGE: usize = 512;

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

/// How often the blob is looked at when a late request came between the look and what follows from it.
const LOOKS_MAX: usize = 5;

pub(super) struct PageUpload {
    blob: AzureBlob,
    client: BlobClient,
    pages: PageBlobClient,
    request: UploadRequest,
    fence: Fence,
    /// The number that this run gave the blob.
    sequence_number: AtomicI64,
    /// The blob was not made by this run: zero runs have to be sent too, since pages may hold bytes.
    is_resumed: AtomicBool,
    /// The store said that the blob of this upload is there no more.
    is_lost: AtomicBool,
}

impl PageUpload {
    /// Makes the blob at its full size, all zeros, or resumes the one that the same transfer
    /// began. Until the commit it carries the mark `incomplete`.
    pub(super) async fn begin(blob: AzureBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let mut looks = 1;
        loop {
            match Self::begin_once(blob.clone(), request).await {
                // A late request of an earlier run may come between the look and what follows.
                Err(error) if error.kind == BlobErrorKind::Changed && looks < LOOKS_MAX => looks += 1,
                other => return other,
            }
        }
    }

    async fn begin_once(blob: AzureBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let existing = blob.look().await?;
        blob.require_uploadable(existing.as_ref().map(|found| &found.facts))?;
        let client = blob.client()?;
        let upload = PageUpload {
            pages: client.page_blob_client(),
            client,
            blob,
            fence: Fence::of(&request.transfer_id),
            request: request.clone(),
            sequence_number: AtomicI64::new(0),
            is_resumed: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
        };
        let is_of =
            |facts: &BlobFacts, id: Option<&String>| facts.is_incomplete && id.is_some() && facts.transfer_id.as_ref() == id;
        let is_ours = |facts: &BlobFacts| is_of(facts, Some(&request.transfer_id));
        let is_left_by_us = |facts: &BlobFacts| is_ours(facts) || is_of(facts, request.replaces.as_ref());
        let held = match existing {
            Some(found) if request.resume && is_ours(&found.facts) && upload.fence.is_ours(found.sequence_number) => {
                let version = upload.take_over(&found.facts.version).await?;
                upload.give_type(found.content_type.as_deref(), version).await?;
                upload.is_resumed.store(true, Ordering::Relaxed);
                BlocksHeld::Recorded { state: Some(found.facts.version) }
            }
            // Never made here: the answer to making it may be lost, and then the next try would take the
            // empty blob for what the journal is about.
            _ if request.resume => {
                let message = "the page blob that was begun is gone";
                return Err(BlobError::new(BlobErrorKind::NotFound, "resume", upload.blob.address(), message));
            }
            Some(found) if !request.overwrite && !is_left_by_us(&found.facts) => {
                let message = "it exists already, or was begun by another transfer: choose another name, or repeat the command with `--overwrite`";
                return Err(BlobError::new(BlobErrorKind::AlreadyExists, "create", upload.blob.address(), message));
            }
            existing => {
                // The transfer that is replaced may still be writing, and each of its requests makes another version.
                let is_busy = |facts: &BlobFacts| facts.is_incomplete && request.overwrite;
                let version = |facts: BlobFacts| if is_busy(&facts) { "*".to_owned() } else { facts.version };
                upload.create(existing.map(|found| version(found.facts))).await?;
                BlocksHeld::Nothing
            }
        };
        Ok((Arc::new(upload), held))
    }

    async fn create(&self, replaced_version: Option<String>) -> Result<(), BlobError> {
        let mut metadata = self.blob.metadata(&self.request);
        metadata.insert(metadata::STATE.to_owned(), metadata::INCOMPLETE.to_owned());
        let options = PageBlobClientCreateOptions {
            metadata: Some(metadata),
            blob_sequence_number: Some(self.fence.first()),
            blob_content_type: self.blob.properties.content_type.clone(),
            if_none_match: replaced_version.is_none().then(|| "*".into()),
            if_match: replaced_version.map(Etag::from),
            ..Default::default()
        };
        let created = self.pages.create(self.length_bytes(), Some(options)).await;
        if let Err(error) = created.map_err(|error| self.blob.error("create", error)) {
            let was_made = matches!(error.kind, BlobErrorKind::AlreadyExists | BlobErrorKind::Changed);
            if !was_made || !self.is_new_and_ours().await? {
                return Err(error);
            }
        }
        self.sequence_number.store(self.fence.first(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether the blob that is in the way was made by this very call, whose request came twice: no page was sent yet.
    async fn is_new_and_ours(&self) -> Result<bool, BlobError> {
        let found = self.blob.look().await?;
        Ok(found.is_some_and(|found| {
            found.facts.transfer_id.as_ref() == Some(&self.request.transfer_id)
                && found.facts.is_incomplete
                && found.sequence_number == Some(self.fence.first())
        }))
    }

    fn length_bytes(&self) -> u64 {
        self.request.total_bytes.next_multiple_of(PAGE_BYTES)
    }

    /// Gives the blob of that version the next number: from then on no page request that was sent before is taken. Returns
    /// the version that it has then.
    async fn take_over(&self, version: &str) -> Result<String, BlobError> {
        let options =
            PageBlobClientSetSequenceNumberOptions { if_match: Some(Etag::from(version.to_owned())), ..Default::default() };
        let failed = |error| self.blob.error("number", error);
        let answer = self.pages.set_sequence_number(SequenceNumberActionType::Increment, Some(options)).await.map_err(failed)?;
        let number = answer.blob_sequence_number().map_err(failed)?;
        if !self.fence.is_ours(number) {
            return Err(self.lost("number", REPLACED));
        }
        self.sequence_number.store(number.unwrap_or_default(), Ordering::Relaxed);
        let silent = || BlobError::new(BlobErrorKind::Corrupted, "number", self.blob.address(), "the answer names no version");
        answer.etag().map_err(failed)?.map(|etag| etag.to_string()).ok_or_else(silent)
    }

    /// Gives a blob that is resumed the content type of this run, where it has another one: who completes it decides.
    async fn give_type(&self, found: Option<&str>, version: String) -> Result<(), BlobError> {
        let wanted = self.blob.properties.content_type.as_deref();
        if is_same_type(found, wanted) {
            return Ok(());
        }
        let options = BlobClientSetPropertiesOptions {
            blob_content_type: Some(wanted.unwrap_or(DEFAULT_CONTENT_TYPE).to_owned()),
            if_match: Some(Etag::from(version)),
            ..Default::default()
        };
        self.client
            .set_properties(Some(options))
            .await
            .map(drop)
            .map_err(|error| self.blob.error("set the content type of", error))
    }

    /// The error of an upload whose blob is there no more. Final: nothing more is written.
    fn lost(&self, operation: &'static str, message: &str) -> BlobError {
        self.is_lost.store(true, Ordering::Relaxed);
        BlobError::new(BlobErrorKind::Changed, operation, self.blob.address(), message)
    }

    /// What a page request that failed means.
    fn page_error(&self, operation: &'static str, error: azure_core::Error) -> BlobError {
        let is_behind_end = error.http_status() == Some(StatusCode::RequestedRangeNotSatisfiable);
        match code_of(&error) {
            "SequenceNumberConditionNotMet" | "ConditionNotMet" | "InvalidBlobType" => self.lost(operation, REPLACED),
            // No page lies behind the end of the blob that this upload made: it is a shorter one by now.
            _ if is_behind_end => self.lost(operation, REPLACED),
            "BlobNotFound" => self.lost(operation, "it was deleted while it was written: nothing more is written to it"),
            _ => self.blob.error(operation, error),
        }
    }

    async fn put_run(&self, bytes: Bytes, offset: u64) -> Result<(), BlobError> {
        let put = |crc64, md5| {
            let options = PageBlobClientUploadPagesOptions {
                transactional_content_crc64: crc64,
                transactional_content_md5: md5,
                if_sequence_number_equal_to: Some(self.sequence_number.load(Ordering::Relaxed)),
                ..Default::default()
            };
            let (body, length) = (bytes.clone(), bytes.len() as u64);
            async move {
                let sent = self.pages.upload_pages(body.into(), length, HttpRange::new(offset, length), Some(options)).await;
                sent.map(drop).map_err(|error| self.page_error("send pages of", error))
            }
        };
        self.blob.account.checksums.send(&bytes, None, put).await
    }

    /// Marks the blob as whole. `None` where it changed between the look and the mark: a late request of this very run
    /// may do that, and one more look tells.
    async fn mark(&self, facts: &CommitFacts<'_>) -> Result<Option<String>, BlobError> {
        let now = self.blob.look().await?;
        let now = now.ok_or_else(|| self.lost("commit", "it was deleted while it was written"))?;
        if now.facts.transfer_id.as_ref() != Some(&self.request.transfer_id) {
            return Err(self.lost("commit", REPLACED));
        }
        require_length(now.length_bytes, self.length_bytes(), &self.blob.address())?;
        if !now.facts.is_incomplete {
            // An earlier try got through, and its answer was lost.
            return Ok(Some(now.facts.version));
        }
        if now.sequence_number != Some(self.sequence_number.load(Ordering::Relaxed)) && !self.is_sealed_by_us(now.sequence_number)
        {
            return Err(self.lost("commit", "another run of the same transfer took it over"));
        }
        let unless_changed = |error: BlobError| if error.kind == BlobErrorKind::Changed { Ok(None) } else { Err(error) };
        // Only this very version, with the pages that were acknowledged, becomes the blob, and no page request that is
        // still on its way changes it.
        let version = match self.take_over(&now.facts.version).await {
            Ok(version) => version,
            Err(error) => return unless_changed(error),
        };
        let metadata = self.blob.final_metadata(&self.request, facts);
        let options = BlobClientSetMetadataOptions { if_match: Some(Etag::from(version)), ..Default::default() };
        match self.client.set_metadata(&metadata, Some(options)).await {
            // An answer that names no version is as good as none: one more look tells.
            Ok(answer) => Ok(answer.headers().get_optional_str(&ETAG).map(str::to_owned)),
            Err(error) => unless_changed(self.blob.error("commit", error)),
        }
    }

    /// An earlier try of the commit gave the blob its next number, and the answer was lost.
    fn is_sealed_by_us(&self, number: Option<i64>) -> bool {
        number == Some(self.sequence_number.load(Ordering::Relaxed) + 1)
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
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: false,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: true,
            preferred_concurrency: 16,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let zero_run_bytes = if self.is_resumed.load(Ordering::Relaxed) { usize::MAX } else { ZERO_RUN_BYTES };
        for run in data_runs(&chunk.bytes, zero_run_bytes) {
            let offset = chunk.range.offset + run.start as u64;
            let mut bytes = chunk.bytes.slice(run);
            if !bytes.len().is_multiple_of(PAGE) {
                // Only the tail of an odd image: it is padded to a whole page.
                let mut padded = bytes.to_vec();
                padded.resize(bytes.len().next_multiple_of(PAGE), 0);
                bytes = padded.into();
            }
            self.put_run(bytes, offset).await?;
        }
        Ok(())
    }

    async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        let length = range.length.next_multiple_of(PAGE_BYTES);
        let options = PageBlobClientClearPagesOptions {
            if_sequence_number_equal_to: Some(self.sequence_number.load(Ordering::Relaxed)),
            ..Default::default()
        };
        let cleared = self.pages.clear_pages(HttpRange::new(range.offset, length), Some(options)).await;
        cleared.map(drop).map_err(|error| self.page_error("clear pages of", error))
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        let found = self.blob.look().await?;
        let is_ours = |found: &Found| {
            found.facts.transfer_id.as_ref() == Some(&self.request.transfer_id) && self.fence.is_ours(found.sequence_number)
        };
        Ok(if found.as_ref().is_some_and(is_ours) { BlocksHeld::Recorded { state: None } } else { BlocksHeld::Nothing })
    }

    async fn state(&self) -> Result<Option<String>, BlobError> {
        let found = self.blob.look().await?;
        let ours = found.filter(|found| found.facts.transfer_id.as_ref() == Some(&self.request.transfer_id));
        Ok(ours.map(|found| found.facts.version))
    }

    fn uncommitted(&self) -> Option<Arc<dyn Blob>> {
        Some(Arc::new(self.blob.clone()))
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        for _ in 0..LOOKS_MAX {
            if let Some(version) = self.mark(facts).await? {
                crash::point("target-published");
                return Ok(version);
            }
        }
        Err(BlobError::new(BlobErrorKind::Changed, "commit", self.blob.address(), "another program keeps writing to it"))
    }

    async fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        let description = "the page blob itself, marked `incomplete` in its metadata, kept for a resume".to_owned();
        let is_lost = self.is_lost.load(Ordering::Relaxed);
        (!is_lost).then_some(Residue { description, path: None, bytes: landed_bytes, lives_days: None })
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
