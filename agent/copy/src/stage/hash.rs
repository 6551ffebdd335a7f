//! [`ReadChunk`] → [`HashedChunk`]: zeros are found, everything else gets its SHA-256, and its MD5
//! where the store knows nothing better.

use std::sync::Arc;

use blob::Upload;
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use tokio::sync::mpsc;

use crate::chunk::{Body, HashedChunk, ReadChunk};
use crate::error::CopyError;
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::{HasBody, HashPool};
use crate::hashing::whole::{PieceSender, StreamPiece};

/// What all hashing threads of a transfer share.
pub(crate) struct HashStage {
    pub(crate) upload: Arc<dyn Upload>,
    pub(crate) zeros: ZeroDigests,
    pub(crate) hash_pool: HashPool<ReadChunk>,
    /// Where chunks go whose whole-drive hash is wanted too.
    pub(crate) stream: Option<PieceSender>,
}

impl HashStage {
    /// Hashes chunk after chunk until no more come, or the readers were abandoned.
    pub(crate) fn run(&self, output: &mpsc::Sender<HashedChunk>) -> Result<(), CopyError> {
        self.hash_pool.run(|chunk| self.begin(chunk), |chunk, digest| self.hand_on(chunk, digest, output))
    }

    fn begin(&self, chunk: &ReadChunk) -> Result<bool, CopyError> {
        if chunk.recorded.is_some() && !chunk.unreadable.is_empty() {
            // It was read before and cannot be now: what was recorded stays, and proves nothing more.
            return Ok(false);
        }
        if let Some(stream) = &self.stream {
            let piece = StreamPiece { place: chunk.place, body: chunk.body.clone() };
            stream.send(piece)?;
        }
        Ok(true)
    }

    /// Hands a chunk on, or compares it with what was recorded; false where no stage takes it any more.
    fn hand_on(
        &self,
        chunk: ReadChunk,
        digest: Option<Sha256Digest>,
        output: &mpsc::Sender<HashedChunk>,
    ) -> Result<bool, CopyError> {
        let ReadChunk { place, body, recorded, unreadable } = chunk;
        let hashed = match (body, digest) {
            (Body::Bytes(bytes), Some(digest)) => {
                let md5 = self.upload.wants_md5().then(|| self.hash_pool.timed(|| blob::checksum::md5(&bytes)));
                HashedChunk { place, bytes: Some(bytes), digest, md5, unreadable }
            }
            _ => HashedChunk { place, bytes: None, digest: self.zeros.of(place.range.length), md5: None, unreadable },
        };
        match recorded {
            Some(content) if content != hashed.content() => Err(changed(&hashed)),
            Some(_) => Ok(true),
            None => Ok(output.blocking_send(hashed).is_ok()),
        }
    }
}

impl HasBody for ReadChunk {
    fn body(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes) => Some(bytes),
            Body::Hole => None,
        }
    }
}

fn changed(chunk: &HashedChunk) -> CopyError {
    let place = chunk.place.range;
    let what = if matches!(chunk.content(), ChunkContent::Zero) { "zeros" } else { "other bytes" };
    CopyError::Refused(format!(
        "the drive has changed since its transfer was begun: {place} (offset+length in bytes) holds {what} now; nothing was lost: dock the right drive, or start over with `--restart`"
    ))
}
