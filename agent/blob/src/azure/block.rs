//! A block blob being written.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use azure_storage_blob::clients::BlockBlobClient;
use azure_storage_blob::models::{BlockBlobClientCommitBlockListOptions, BlockBlobClientStageBlockOptions, BlockListType};
use protocol::digest::Sha256Digest;
use protocol::limits::{CHUNK_SIZE_MAX_BYTES, MIB};
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::{AzureBlob, block_list};
use crate::block_id::{block_id, content_of};
use crate::contract::{Blob, ChunkBody, ChunkLimits, CommitFacts, Held, Upload, UploadRequest, UploadTraits};
use crate::error::{BlobError, BlobErrorKind};

/// "Scalability targets for Blob storage": 50,000 blocks of at most 4,000 MiB.
pub(super) const LIMITS: ChunkLimits = ChunkLimits {
    chunks_max: 50_000,
    chunk_bytes_max: CHUNK_SIZE_MAX_BYTES,
    chunk_bytes_multiple: 1,
    blob_bytes_max: 50_000 * 4000 * MIB,
};

/// Azure throws uncommitted blocks away a week after the last one came (Put Block).
const UNCOMMITTED_LIVE_DAYS: u32 = 7;

pub(super) struct BlockUpload {
    blob: AzureBlob,
    client: BlockBlobClient,
    request: UploadRequest,
}

impl BlockUpload {
    /// Asks what the store holds already: uncommitted blocks of an earlier run, and with them those
    /// of a blob that is about to be replaced.
    pub(super) async fn begin(blob: AzureBlob, request: &UploadRequest) -> Result<(Arc<dyn Upload>, Held), BlobError> {
        let client = blob.client()?.block_blob_client();
        let upload = BlockUpload { blob, client, request: request.clone() };
        let held = upload.list_blocks(BlockListType::All).await?;
        Ok((Arc::new(upload), held))
    }

    async fn list_blocks(&self, which: BlockListType) -> Result<Held, BlobError> {
        let listed = self.client.get_block_list(which, None).await.map_err(|error| self.blob.error("list the blocks of", error));
        let list = match listed {
            Err(error) if error.kind == BlobErrorKind::NotFound => return Ok(Held::Nothing),
            Err(error) => return Err(error),
            Ok(response) => response.into_model().map_err(|error| self.blob.error("list the blocks of", error))?,
        };
        let all = [list.committed_blocks, list.uncommitted_blocks].into_iter().flatten().flatten();
        let ours: HashMap<Sha256Digest, u64> =
            all.filter_map(|block| Some((content_of(&block.name?)?, u64::try_from(block.size?).ok()?))).collect();
        Ok(if ours.is_empty() { Held::Nothing } else { Held::Blocks(ours) })
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

    /// An answer to the commit may have been lost; the blob's metadata tell whether it is ours.
    async fn is_committed(&self) -> bool {
        let facts = self.blob.head().await;
        facts.is_ok_and(|facts| facts.is_some_and(|facts| facts.transfer_id.as_ref() == Some(&self.request.transfer_id)))
    }
}

#[async_trait]
impl Upload for BlockUpload {
    fn traits(&self) -> UploadTraits {
        UploadTraits { content_named: true, durable_when_acknowledged: true, concurrency: 16 }
    }

    fn wants_md5(&self) -> bool {
        self.blob.account.checksums.wants_md5()
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let send = |crc64, md5| self.stage(chunk, crc64, md5);
        self.blob.account.checksums.send(&chunk.bytes, chunk.md5, send).await
    }

    async fn clear(&self, _range: ByteRange) -> Result<(), BlobError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<Held, BlobError> {
        self.list_blocks(BlockListType::All).await
    }

    async fn commit(&self, chunks: &[(Sha256Digest, ByteRange)], facts: &CommitFacts<'_>) -> Result<(), BlobError> {
        let failed = |error| self.blob.error("commit", error);
        let list = block_list(chunks.iter().map(|(digest, _)| block_id(digest)).collect()).map_err(failed)?;
        let metadata = self.blob.final_metadata(&self.request, facts);
        let options = BlockBlobClientCommitBlockListOptions {
            metadata: Some(metadata),
            if_none_match: (!self.request.overwrite).then(|| "*".into()),
            ..Default::default()
        };
        match self.client.commit_block_list(list, Some(options)).await.map_err(failed) {
            Ok(_) => Ok(()),
            // The one thing that makes this fail for good and still be done is our own earlier try.
            Err(error) if !error.is_passing() && self.is_committed().await => Ok(()),
            Err(error) if error.kind == BlobErrorKind::Changed => Err(BlobError { kind: BlobErrorKind::AlreadyExists, ..error }),
            Err(error) => Err(error),
        }
    }

    fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        let description = "uncommitted blocks, which a resume goes on with".to_owned();
        (landed_bytes > 0).then_some(Residue { description, bytes: landed_bytes, lives_days: Some(UNCOMMITTED_LIVE_DAYS) })
    }
}
