//! [`ReadChunk`] → [`HashedChunk`]: zeros are found, everything else gets its SHA-256, and its MD5
//! where the store knows nothing better.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use blob::Upload;
use crossbeam_channel::{Receiver, Sender, select};
use drive::zero::is_zero;
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use tokio::sync::mpsc;

use crate::chunk::{Body, HashedChunk, ReadChunk};
use crate::error::CopyError;
use crate::progress::Counters;
use crate::stage::stream::StreamPiece;
use crate::station::{StationBudget, hashing};

/// Digests of zero chunks: the whole ones share one, which is computed when it is first needed.
pub(crate) struct ZeroDigests {
    chunk_size_bytes: u64,
    whole: OnceLock<Sha256Digest>,
}

impl ZeroDigests {
    pub(crate) fn new(chunk_size_bytes: u64) -> Self {
        ZeroDigests { chunk_size_bytes, whole: OnceLock::new() }
    }

    pub(crate) fn of(&self, length: u64) -> Sha256Digest {
        if length == self.chunk_size_bytes {
            *self.whole.get_or_init(|| Sha256Digest::of_zeros(length))
        } else {
            Sha256Digest::of_zeros(length)
        }
    }
}

/// What all hashing threads of a transfer share.
pub(crate) struct HashStage {
    pub(crate) upload: Arc<dyn Upload>,
    pub(crate) zeros: ZeroDigests,
    pub(crate) counters: Arc<Counters>,
    pub(crate) station: Option<Arc<StationBudget>>,
    /// Where chunks go whose whole-drive hash is wanted too.
    pub(crate) stream: Option<Sender<StreamPiece>>,
}

impl HashStage {
    /// Hashes chunk after chunk until no more come, or the readers were given up on.
    pub(crate) fn run(
        &self,
        input: &Receiver<ReadChunk>,
        abandoned: &Receiver<Infallible>,
        output: &mpsc::Sender<HashedChunk>,
    ) -> Result<(), CopyError> {
        loop {
            let chunk = select! {
                recv(input) -> chunk => chunk.ok(),
                // A reader hangs and holds its end of the channel: what it handed on before still counts.
                recv(abandoned) -> _ => input.try_recv().ok(),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            let recorded = chunk.recorded;
            if recorded.is_some() && !chunk.unreadable.is_empty() {
                // It was read before and cannot be now: what was recorded stays, and proves nothing more.
                continue;
            }
            let hashed = self.hash(chunk)?;
            match recorded {
                Some(content) if content != hashed.content() => return Err(changed(&hashed)),
                Some(_) => {}
                None if output.blocking_send(hashed).is_err() => return Ok(()),
                None => {}
            }
        }
    }

    fn hash(&self, chunk: ReadChunk) -> Result<HashedChunk, CopyError> {
        let ReadChunk { place, body, unreadable, .. } = chunk;
        if let Some(stream) = &self.stream {
            let piece = StreamPiece { place, body: body.clone() };
            stream.send(piece).map_err(|_| CopyError::Internal("the whole-drive hash"))?;
        }
        let work = || match body {
            Body::Bytes(bytes) if !is_zero(&bytes) => {
                let digest = Sha256Digest::of(&bytes);
                let md5 = self.upload.wants_md5().then(|| blob::checksum::md5(&bytes));
                (Some(bytes), digest, md5)
            }
            _ => (None, self.zeros.of(place.range.length), None),
        };
        let (bytes, digest, md5) = hashing(self.station.as_deref(), || self.counters.hash_time.time(work));
        Ok(HashedChunk { place, bytes, digest, md5, unreadable })
    }
}

fn changed(chunk: &HashedChunk) -> CopyError {
    let place = chunk.place.range;
    let what = if matches!(chunk.content(), ChunkContent::Zero) { "zeros" } else { "other bytes" };
    CopyError::Refused(format!(
        "the drive has changed since its transfer was begun: {place} (offset+length in bytes) holds {what} now; nothing was lost: dock the right drive, or begin anew with `--restart`"
    ))
}
