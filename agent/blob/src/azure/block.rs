//! A block blob being written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use azure_core::http::headers::ETAG;
use azure_core::http::{Etag, RequestContent};
use azure_storage_blob::clients::BlockBlobClient;
use azure_storage_blob::models::{
    AccessTier, Block, BlockBlobClientCommitBlockListOptions, BlockBlobClientStageBlockOptions, BlockListType,
};
use bytes::Bytes;
use file::crash;
use protocol::digest::Sha256Digest;
use protocol::limits::{CHUNK_SIZE_MAX_BYTES, MIB};
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::client::{AzureBlob, Found, block_list, body_of, require_length};
use super::error::answer_of;
use crate::block_id::{block_id, content_of};
use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, NamedChunks, Upload, UploadCapabilities, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, ChunkLimits};
use crate::properties::Tier;

/// "Scalability targets for Blob storage": 50,000 blocks of at most 4,000 MiB.
pub(super) const LIMITS: ChunkLimits = ChunkLimits {
    chunks_max: 50_000,
    chunk_bytes_min: 1,
    chunk_bytes_max: CHUNK_SIZE_MAX_BYTES,
    chunk_bytes_multiple: 1,
    blob_bytes_max: 50_000 * 4000 * MIB,
};

/// Azure throws uncommitted blocks away a week after the last one came (Put Block).
pub(super) const UNCOMMITTED_LIVE_DAYS: u32 = 7;

pub(super) struct BlockUpload {
    blob: AzureBlob,
    client: BlockBlobClient,
    request: UploadRequest,
    /// The credentials do not permit to look: what is there is not known, and what landed is what was acknowledged.
    is_unseen: bool,
    /// The version that is replaced; `None` where there was no blob.
    replaced_version: Option<String>,
    /// Blocks of ours that the store holds and that no blob has yet, with their sizes in bytes: what its list said last,
    /// and what was acknowledged since.
    uncommitted: Mutex<HashMap<Sha256Digest, u64>>,
}

impl BlockUpload {
    /// Asks what the store holds already: uncommitted blocks of an earlier run, and with them those
    /// of a blob that is about to be replaced.
    pub(super) async fn begin(blob: AzureBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let client = blob.client()?.block_blob_client();
        let (existing, is_unseen) = match blob.look().await {
            Ok(found) => (found.map(|found| found.facts), false),
            Err(error) if error.kind == BlobErrorKind::NotPermitted => (None, true),
            Err(error) => return Err(error),
        };
        blob.require_uploadable(existing.as_ref())?;
        let is_own = |facts: &BlobFacts| facts.transfer_id.as_ref() == Some(&request.transfer_id);
        if !request.overwrite && existing.as_ref().is_some_and(|facts| !is_own(facts)) {
            // It came after the caller looked: the commit, which replaces what is found here, must not replace it.
            let message = "it exists already: choose another name, or repeat the command with `--overwrite`";
            return Err(BlobError::new(BlobErrorKind::AlreadyExists, "begin", blob.address(), message));
        }
        let upload = BlockUpload {
            blob,
            client,
            request: request.clone(),
            is_unseen,
            replaced_version: existing.map(|facts| facts.version),
            uncommitted: Mutex::default(),
        };
        let held = match (is_unseen, request.resume) {
            (false, _) => upload.list_blocks().await?,
            (true, true) => BlocksHeld::Recorded { state: None },
            (true, false) => BlocksHeld::Nothing,
        };
        Ok((Arc::new(upload), held))
    }

    async fn list_blocks(&self) -> Result<BlocksHeld, BlobError> {
        let failed = |error| self.blob.error("list the blocks of", error);
        let list = match self.client.get_block_list(BlockListType::All, None).await.map_err(failed) {
            Err(error) if error.kind == BlobErrorKind::NotFound => Default::default(),
            Err(error) => return Err(error),
            Ok(response) => response.into_model().map_err(failed)?,
        };
        let mut all = own_chunks(list.uncommitted_blocks);
        self.uncommitted().clone_from(&all);
        all.extend(own_chunks(list.committed_blocks));
        Ok(if all.is_empty() { BlocksHeld::Nothing } else { BlocksHeld::Blocks(all) })
    }

    fn uncommitted(&self) -> MutexGuard<'_, HashMap<Sha256Digest, u64>> {
        self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stage(&self, chunk: &ChunkBody, crc64: Option<Vec<u8>>, md5: Option<Vec<u8>>) -> Result<(), BlobError> {
        let options = BlockBlobClientStageBlockOptions {
            transactional_content_crc64: crc64,
            transactional_content_md5: md5,
            ..Default::default()
        };
        let (id, length) = (block_id(&chunk.digest), chunk.bytes.len() as u64);
        let sent = self.client.stage_block(&id, length, chunk.bytes.clone().into(), Some(options)).await;
        sent.map(|_| ()).map_err(|error| self.blob.error("send a block of", error))
    }

    /// Whether the commit replaces whatever is there: it was asked for, and what is there cannot be seen.
    fn replaces_anything(&self) -> bool {
        self.is_unseen && self.request.overwrite
    }

    /// Sends the list of the blocks; gives the version that the blob has then, where the answer says it.
    async fn send_list(&self, list: &Bytes, facts: &CommitFacts<'_>) -> Result<Option<String>, BlobError> {
        let (metadata, properties) = (self.blob.final_metadata(&self.request, facts), &self.blob.properties);
        let commit = |crc64, md5| {
            let options = BlockBlobClientCommitBlockListOptions {
                metadata: Some(metadata.clone()),
                tier: properties.tier.map(access_tier),
                blob_content_type: properties.content_type.clone(),
                // Only what was there when the upload began is replaced.
                if_none_match: (self.replaced_version.is_none() && !self.replaces_anything()).then(|| "*".into()),
                if_match: self.replaced_version.clone().map(Etag::from),
                transactional_content_crc64: crc64,
                transactional_content_md5: md5,
                ..Default::default()
            };
            let body = RequestContent::from(list.to_vec());
            async move {
                let sent = self.client.commit_block_list(body, Some(options)).await;
                let sent = sent.map_err(|error| self.blob.error("commit", error))?;
                Ok(sent.headers().get_optional_str(&ETAG).map(str::to_owned))
            }
        };
        self.blob.account.checksums.send(list, None, commit).await
    }

    /// How a commit ended of a blob that cannot be looked at.
    fn committed_unseen(&self, sent: Result<Option<String>, BlobError>) -> Result<String, BlobError> {
        // What the server said, without the advice for those who can look.
        let said = |error: &BlobError| error.source.as_ref().map_or_else(|| error.message.clone(), ToString::to_string);
        let changed = |error: BlobError, message: &str| BlobError { message: format!("{}; {message}", said(&error)), ..error };
        match sent {
            Ok(version) => {
                self.uncommitted().clear();
                Ok(version.unwrap_or_default())
            }
            Err(error) if matches!(error.kind, BlobErrorKind::Changed | BlobErrorKind::AlreadyExists) => {
                let error = BlobError { kind: BlobErrorKind::AlreadyExists, ..error };
                Err(changed(
                    error,
                    "there is a blob of this name, perhaps this very one of a request whose answer was lost: the credentials do not permit \
                     to look, so look with others, and choose another name or repeat the command with `--overwrite`",
                ))
            }
            Err(error) if answer_of(&error).is_some_and(|(_, code)| code == "InvalidBlockList") => {
                Err(changed(error, "what is left cannot be seen with these credentials, so add `--restart`"))
            }
            Err(error) => Err(error),
        }
    }
}

fn access_tier(tier: Tier) -> AccessTier {
    match tier {
        Tier::Hot => AccessTier::Hot,
        Tier::Cool => AccessTier::Cool,
        Tier::Cold => AccessTier::Cold,
        Tier::Archive => AccessTier::Archive,
    }
}

/// The chunks whose names blocks have, with their sizes; blocks of other programs are none.
pub(super) fn own_chunks(blocks: Option<Vec<Block>>) -> HashMap<Sha256Digest, u64> {
    let blocks = blocks.into_iter().flatten();
    blocks.filter_map(|block| Some((content_of(&block.name?)?, u64::try_from(block.size?).ok()?))).collect()
}

/// The chunks of a committed blob, by the names of its blocks.
pub(super) async fn committed_chunks(blob: &AzureBlob) -> Result<Option<NamedChunks>, BlobError> {
    let failed = |error| blob.error("list the blocks of", error);
    let list = blob.client()?.block_blob_client().get_block_list(BlockListType::Committed, None).await.map_err(failed)?;
    let version = list.headers().get_optional_str(&ETAG).map(str::to_owned);
    let blocks = list.into_model().map_err(failed)?.committed_blocks.unwrap_or_default();
    let chunk = |block: Block| Some((content_of(&block.name?)?, u64::try_from(block.size?).ok()?));
    let chunks: Option<Vec<_>> = blocks.into_iter().map(chunk).collect();
    Ok(chunks.map(|chunks| NamedChunks { version, chunks }))
}

#[async_trait]
impl Upload for BlockUpload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: true,
            tells_of_chunks: true,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: !self.replaces_anything(),
            preferred_concurrency: 16,
        }
    }

    fn wants_md5(&self) -> bool {
        self.blob.account.checksums.wants_md5()
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let send = |crc64, md5| self.stage(chunk, crc64, md5);
        self.blob.account.checksums.send(&chunk.bytes, chunk.md5, send).await?;
        self.uncommitted().insert(chunk.digest, chunk.bytes.len() as u64);
        Ok(())
    }

    async fn clear(&self, _range: ByteRange) -> Result<(), BlobError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        // Without the right to look this fails, and what was acknowledged counts.
        self.list_blocks().await
    }

    async fn commit(&self, chunks: &[(Sha256Digest, ByteRange)], facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        let list = block_list(chunks.iter().map(|(digest, _)| block_id(digest)).collect());
        let list = body_of(&list.map_err(|error| self.blob.error("commit", error))?);
        let sent = self.send_list(&list, facts).await;
        crash::point("target-published");
        if self.is_unseen {
            return self.committed_unseen(sent);
        }
        let found = match sent {
            Err(error) if error.is_transient() => return Err(error),
            _ => self.blob.look().await,
        };
        let is_ours = |found: &Found| found.facts.transfer_id.as_ref() == Some(&self.request.transfer_id);
        match (sent, found) {
            // The one thing that makes this fail for good and still be done is our own earlier try, whose answer was lost.
            (_, Ok(Some(found))) if is_ours(&found) => {
                let wanted_bytes = chunks.iter().map(|(_, range)| range.length).sum();
                require_length(found.length_bytes, wanted_bytes, &self.blob.address())?;
                self.uncommitted().clear();
                Ok(found.facts.version)
            }
            (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(_)) => {
                let message = "it was committed, and another program replaced or deleted it right after";
                Err(BlobError::new(BlobErrorKind::Changed, "commit", self.blob.address(), message))
            }
            (Err(error), _) if matches!(error.kind, BlobErrorKind::Changed | BlobErrorKind::AlreadyExists) => {
                Err(BlobError { kind: BlobErrorKind::AlreadyExists, ..error })
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn residue(&self, _landed_bytes: u64) -> Option<Residue> {
        // Not what landed: zeros and repeated chunks are in the store once, or not at all. Where the store cannot be asked,
        // what it was seen to hold and what it acknowledged since is the most that there can be.
        let was_asked = self.list_blocks().await.is_ok();
        let bytes: u64 = self.uncommitted().values().sum();
        let description = match was_asked {
            true => "uncommitted blocks, kept for a resume".to_owned(),
            false => format!("up to {bytes} bytes of uncommitted blocks, kept for a resume"),
        };
        (bytes > 0).then_some(Residue { description, path: None, bytes, lives_days: Some(UNCOMMITTED_LIVE_DAYS) })
    }
}
