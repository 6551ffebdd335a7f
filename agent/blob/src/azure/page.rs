//! A page blob being written: made sparse at its full size, and only runs of data are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_core::http::headers::ETAG;
use azure_storage_blob::clients::{BlobClient, PageBlobClient};
use azure_storage_blob::models::{
    BlobClientSetMetadataOptions, BlobClientSetPropertiesOptions, PageBlobClientCreateOptions,
    PageBlobClientSetSequenceNumberOptions, PageBlobClientSetSequenceNumberResultHeaders, SequenceNumberActionType,
};
use bytes::Bytes;
use file::crash;
use protocol::digest::Sha256Digest;
use protocol::limits::{CHUNKS_MAX, MIB};
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::client::{AzureBlob, Found, PAGE_BYTES, require_length};
use super::described::{DEFAULT_CONTENT_TYPE, is_same_type};
use super::error::answer_of;
use super::fence::Fence;
use super::metadata;
use super::page_writer::PageWriter;
use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, Upload, UploadCapabilities, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, ChunkLimits};
use crate::vhd;

/// Why an upload ends whose blob has another number now.
const REPLACED: &str = "another transfer replaced the page blob while it was written: nothing more is written to it";

/// "Scalability targets": a page blob has at most 8 TiB. Chunks are cut to Put Page's size here.
pub(super) const LIMITS: ChunkLimits = ChunkLimits {
    chunks_max: CHUNKS_MAX,
    chunk_bytes_min: 1,
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
    /// Writes pages under the number that this run gave the blob.
    writer: PageWriter,
    /// The footer of a VHD is there, or none is wanted.
    has_footer: AtomicBool,
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
        let pages = client.page_blob_client();
        let upload = PageUpload {
            writer: PageWriter::numbered(blob.clone(), pages),
            pages: client.page_blob_client(),
            client,
            blob,
            fence: Fence::of(&request.transfer_id),
            request: request.clone(),
            has_footer: AtomicBool::new(false),
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
                upload.writer.expect_bytes();
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
        self.writer.set_number(self.fence.first());
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
        self.blob.page_blob_bytes(self.request.total_bytes)
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
        self.writer.set_number(number.unwrap_or_default());
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
    fn page_error(&self, error: BlobError) -> BlobError {
        // No page lies behind the end of the blob that this upload made: it is a shorter one by now.
        match answer_of(&error) {
            Some((416, _) | (_, "SequenceNumberConditionNotMet" | "ConditionNotMet" | "InvalidBlobType")) => {
                self.lost(error.operation, REPLACED)
            }
            Some((_, "BlobNotFound")) => {
                self.lost(error.operation, "it was deleted while it was written: nothing more is written to it")
            }
            _ => error,
        }
    }

    /// Marks the blob as whole. `None` where it changed between the look and the mark: a late request of this very run
    /// may do that, and one more look decides.
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
        if now.sequence_number != self.writer.number() && !self.is_sealed_by_us(now.sequence_number) {
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
            // An answer that names no version is as good as none: one more look decides.
            Ok(answer) => Ok(answer.headers().get_optional_str(&ETAG).map(str::to_owned)),
            Err(error) => unless_changed(self.blob.error("commit", error)),
        }
    }

    /// An earlier try of the commit gave the blob its next number, and the answer was lost.
    fn is_sealed_by_us(&self, number: Option<i64>) -> bool {
        number == self.writer.number().map(|number| number + 1)
    }
}

#[async_trait]
impl Upload for PageUpload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: false,
            tells_of_chunks: false,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: true,
            preferred_concurrency: 16,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        self.writer.put_chunk(chunk).await.map_err(|error| self.page_error(error))
    }

    async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        self.writer.clear(range).await.map_err(|error| self.page_error(error))
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
        if !self.has_footer.load(Ordering::Relaxed)
            && let Some(footer) = self.blob.footer(self.request.total_bytes, &self.request.transfer_id, SystemTime::now())
        {
            let written = self.writer.put(Bytes::copy_from_slice(&footer), self.length_bytes() - vhd::FOOTER_BYTES).await;
            written.map_err(|error| self.page_error(error))?;
        }
        // Behind the mark no page is written any more.
        self.has_footer.store(true, Ordering::Relaxed);
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
