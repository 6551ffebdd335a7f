//! The parts of an upload: those that were sent, and zeros, which are copied at the store.

use std::collections::HashMap;

use futures::{FutureExt, StreamExt};
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::units::ByteRange;

use super::answers::Part;
use super::multipart::{CopySource, OpenUpload};
use super::piece::{Parts, PieceState};
use super::requests::Condition;
use super::upload::S3Upload;
use crate::contract::{Blob, RecordedChunks};
use crate::error::{BlobError, BlobErrorKind};
use crate::gathered::gathered;

/// Copies at the store that are asked for at once.
pub(super) const COPIES_AT_ONCE: usize = 8;

/// What a chunk is, by the record of it.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) number: u32,
    pub(super) range: ByteRange,
    pub(super) content: ChunkContent,
}

impl S3Upload {
    /// What each chunk of a piece is. All of them were recorded.
    pub(super) fn chunks_of(&self, piece: u64, records: &dyn RecordedChunks) -> Result<Vec<Chunk>, BlobError> {
        let failed = |message: String| BlobError::new(BlobErrorKind::Other, "commit", self.blob.address(), message);
        let chunk = |(number, index, range)| match records.content(index) {
            Ok(Some(content)) => Ok(Chunk { number, range, content }),
            Ok(None) => Err(failed("a chunk of it was not recorded".to_owned())),
            Err(error) => Err(failed(error.to_string()).caused_by(error)),
        };
        self.layout.chunks_of(piece).map(chunk).collect()
    }

    /// The parts of an upload for these chunks. Zeros are put where they belong; where an object of the piece is there, what
    /// the upload lacks is taken from it.
    pub(super) async fn fill(
        &self,
        upload: &OpenUpload,
        object: &str,
        state: &mut PieceState,
        chunks: &[Chunk],
    ) -> Result<Vec<Part>, BlobError> {
        let found = upload.all_parts().await.map_err(|failure| self.failed(failure))?;
        let found = found.ok_or_else(|| self.gone(chunks.len()))?;
        let found = Parts::new(found);
        let zero_digests = ZeroDigests::of(chunks);
        let whole = object_range(chunks);
        let (mut parts, mut to_copy, mut missing) = (HashMap::new(), Vec::new(), 0);
        for chunk in chunks {
            let (digest, is_zero) = match chunk.content {
                ChunkContent::Data(digest) => (digest, false),
                ChunkContent::Zero => (zero_digests.get(chunk.range.length), true),
            };
            let of_this_process = if is_zero { state.zeroed.get(&chunk.number) } else { state.sent.get(&chunk.number) };
            let there = found.holding(chunk.number, chunk.range.length, &digest, of_this_process);
            // Where digests are not told, an older chunk may be where zeros belong.
            let there = there.filter(|part| !is_zero || part.digest.is_some() || of_this_process.is_some());
            match there {
                Some(part) => drop(parts.insert(chunk.number, Part { digest: Some(digest), ..part.clone() })),
                None if is_zero || state.object_bytes == Some(whole) => to_copy.push((*chunk, digest, is_zero)),
                None => missing += 1,
            }
        }
        if missing > 0 {
            return Err(self.gone(missing));
        }
        let object_etag = if to_copy.iter().any(|(.., is_zero)| !is_zero) { self.etag_of(object).await? } else { String::new() };
        let first = chunks.first().map_or(0, |chunk| chunk.range.offset);
        let copies = futures::stream::iter(to_copy).map(|(chunk, digest, is_zero)| {
            let object_etag = &object_etag;
            async move {
                let etag = if is_zero {
                    self.put_zeros(upload, chunk, digest).await?
                } else {
                    let range = Some((chunk.range.offset - first, chunk.range.end() - first - 1));
                    let source = CopySource { bucket: self.blob.staging_bucket(), key: object, etag: object_etag, range };
                    let copied = upload.copy_part(chunk.number, source).await;
                    copied.map_err(|failure| self.failed(failure))?
                };
                Ok((chunk, digest, is_zero, etag))
            }
            .boxed()
        });
        let (copied, failure) = gathered(copies.buffer_unordered(COPIES_AT_ONCE)).await;
        for (chunk, digest, is_zero, etag) in copied {
            if is_zero {
                state.zeroed.insert(chunk.number, etag.clone());
            }
            let part = Part { number: chunk.number, etag, size_bytes: chunk.range.length, digest: Some(digest) };
            parts.insert(chunk.number, part);
        }
        match failure {
            Some(error) => Err(error),
            None => {
                let mut parts: Vec<Part> = parts.into_values().collect();
                parts.sort_by_key(|part| part.number);
                Ok(parts)
            }
        }
    }

    pub(super) fn gone(&self, count: usize) -> BlobError {
        let message = format!(
            "the store does not hold {count} of the chunks that were sent, any more or as they were sent: repeat the command, and they are sent again"
        );
        BlobError::new(BlobErrorKind::Other, "commit", self.blob.address(), message)
    }

    pub(super) async fn etag_of(&self, key: &str) -> Result<String, BlobError> {
        let found = self.blob.staging_bucket().etag_of(key).await.map_err(|failure| self.failed(failure))?;
        found.ok_or_else(|| self.gone(1))
    }

    /// Puts zeros into a part: a copy of the chunk of zeros, or the bytes where the chunk is a short one.
    async fn put_zeros(&self, upload: &OpenUpload, chunk: Chunk, digest: Sha256Digest) -> Result<String, BlobError> {
        let bucket = self.blob.staging_bucket();
        if chunk.range.length < self.layout.chunk_bytes() {
            let sent = upload.put_part(chunk.number, zeros(chunk.range.length), digest).await;
            return sent.map_err(|failure| self.failed(failure));
        }
        let key = self.staging.zero_chunk();
        let made = self.zero_chunk.get_or_try_init(|| async {
            let put = bucket.put(&key, zeros(self.layout.chunk_bytes()), Vec::new(), &Condition::Anything).await;
            put.map_err(|failure| self.failed(failure))
        });
        let source = CopySource { bucket, key: &key, etag: made.await?, range: None };
        upload.copy_part(chunk.number, source).await.map_err(|failure| self.failed(failure))
    }
}

/// The length of the object that these chunks are.
pub(super) fn object_range(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(|chunk| chunk.range.length).sum()
}

fn zeros(length: u64) -> bytes::Bytes {
    vec![0; usize::try_from(length).unwrap_or(usize::MAX)].into()
}

/// Digests of zeros: the whole chunks share one.
struct ZeroDigests(HashMap<u64, Sha256Digest>);

impl ZeroDigests {
    fn of(chunks: &[Chunk]) -> Self {
        let mut digests = HashMap::new();
        for chunk in chunks.iter().filter(|chunk| chunk.content == ChunkContent::Zero) {
            digests.entry(chunk.range.length).or_insert_with(|| Sha256Digest::of_zeros(chunk.range.length));
        }
        ZeroDigests(digests)
    }

    fn get(&self, length: u64) -> Sha256Digest {
        self.0.get(&length).copied().unwrap_or_else(|| Sha256Digest::of_zeros(length))
    }
}
