//! An object being written: its chunks are objects beside it, named by their content.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use file::crash;
use futures::{FutureExt, StreamExt};
use protocol::digest::Sha256Digest;
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::assembly::Assembly;
use super::leftovers;
use super::object::GcsBlob;
use super::probe::probe;
use super::tree::Piece;
use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, Upload, UploadCapabilities, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::BlobFacts;
use crate::gathered::gathered;

/// Chunks of an earlier run that are looked at, at once.
const LOOKS_AT_ONCE: usize = 32;

/// An object being written.
pub(super) struct GcsUpload {
    pub(super) blob: GcsBlob,
    pub(super) request: UploadRequest,
    pub(super) assembly: Assembly,
    /// The version that is replaced; `None` where there was no object.
    pub(super) replaced_version: Option<String>,
    /// What is known of the chunks at the store: what this process sent, or looked at.
    known: Mutex<HashMap<Sha256Digest, Piece>>,
    /// Bytes of chunks that this process sent and the store acknowledged.
    sent_bytes: AtomicU64,
    /// What is worth a warning after the commit.
    pub(super) told: Mutex<Vec<String>>,
    /// The store was asked to make the object appear.
    pub(super) was_sent: AtomicBool,
}

impl GcsUpload {
    /// Begins an upload, or takes up what an earlier run of this very transfer left.
    pub(super) async fn begin(blob: GcsBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        // Composing reads the chunks: without the right to look there is no import.
        let existing = blob.look().await?.map(|found| found.facts);
        blob.require_uploadable(existing.as_ref())?;
        let is_own = |facts: &BlobFacts| facts.transfer_id.as_ref() == Some(&request.transfer_id);
        if !request.overwrite && existing.as_ref().is_some_and(|facts| !is_own(facts)) {
            // It came after the caller looked: the commit, which replaces what is found here, must not replace it.
            let message = "it exists already: choose another name, or repeat the command with `--overwrite`";
            return Err(BlobError::new(BlobErrorKind::AlreadyExists, "begin", blob.address(), message));
        }
        if let Some(id) = &request.replaces {
            leftovers::discard(&blob, id).await?;
        }
        let upload = GcsUpload {
            assembly: Assembly::new(blob.clone(), &request.transfer_id),
            request: request.clone(),
            replaced_version: existing.map(|facts| facts.version),
            known: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
            told: Mutex::default(),
            was_sent: AtomicBool::new(false),
            blob,
        };
        probe(&upload.blob, &upload.assembly.staging).await?;
        let held = if request.resume { upload.held().await? } else { BlocksHeld::Nothing };
        crash::point("target-begun");
        Ok((Arc::new(upload), held))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Sha256Digest, Piece>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a chunk of this transfer may have that length.
    fn is_length_of_chunk(&self, bytes: u64) -> bool {
        let (total, chunk) = (self.request.total_bytes, self.request.chunk_bytes.max(1));
        bytes == chunk.min(total) || bytes == total % chunk
    }

    /// The chunks as pieces, in drive order. Those that an earlier run sent are looked at, for their checksums.
    pub(super) async fn pieces(&self, chunks: &[(Sha256Digest, ByteRange)]) -> Result<Vec<Piece>, BlobError> {
        let mut unknown: HashMap<Sha256Digest, u64> = HashMap::new();
        {
            let known = self.known();
            let missing = chunks.iter().filter(|(digest, _)| !known.contains_key(digest));
            unknown.extend(missing.map(|(digest, range)| (*digest, range.length)));
        }
        let looks = futures::stream::iter(unknown)
            .map(|(digest, bytes)| async move { Ok((digest, self.assembly.sent_before(digest, bytes).await?)) }.boxed());
        let (looked, failure) = gathered(looks.buffer_unordered(LOOKS_AT_ONCE)).await;
        let mut gone = 0;
        for (digest, piece) in looked {
            match piece {
                Some(piece) => drop(self.known().insert(digest, piece)),
                None => gone += 1,
            }
        }
        match failure {
            Some(error) => return Err(error),
            None if gone > 0 => return Err(self.assembly.gone(&gone.to_string())),
            None => {}
        }
        let known = self.known();
        let piece = |(digest, _): &(Sha256Digest, ByteRange)| known.get(digest).copied();
        chunks.iter().map(piece).collect::<Option<Vec<Piece>>>().ok_or_else(|| self.assembly.gone("some"))
    }
}

#[async_trait]
impl Upload for GcsUpload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: true,
            tells_of_chunks: true,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: true,
            preferred_concurrency: 16,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let piece = self.assembly.send(chunk.bytes.clone(), chunk.digest).await?;
        self.known().insert(chunk.digest, piece);
        self.sent_bytes.fetch_add(piece.bytes, Ordering::Relaxed);
        Ok(())
    }

    async fn clear(&self, _range: ByteRange) -> Result<(), BlobError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        let staging = &self.assembly.staging;
        let found = self.blob.bucket.all_objects(staging.prefix()).await;
        let found = found.map_err(|failure| self.blob.error("list the chunks of", failure))?;
        let chunks: HashMap<Sha256Digest, u64> = found
            .into_iter()
            .filter_map(|object| Some((staging.chunk_of(&object.key)?, object.size_bytes)))
            .filter(|(_, bytes)| self.is_length_of_chunk(*bytes))
            .collect();
        Ok(if chunks.is_empty() { BlocksHeld::Nothing } else { BlocksHeld::Blocks(chunks) })
    }

    async fn commit(&self, chunks: &[(Sha256Digest, ByteRange)], _facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        self.publish(chunks).await
    }

    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        match leftovers::left_by(&self.blob, &self.request.transfer_id).await {
            Ok(residue) => residue,
            // What this run sent is the least that there is.
            Err(_) => {
                let bytes = self.sent_bytes.load(Ordering::Relaxed);
                let below = self.assembly.staging.prefix();
                let description = format!(
                    "objects below `{below}`, of at least that many bytes: the store did not say how many (`drive-agent transfers` asks it again)"
                );
                (landed_bytes > 0).then_some(Residue { description, path: None, bytes, lives_days: None })
            }
        }
    }
}
