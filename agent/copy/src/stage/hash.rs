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
use crate::hashing::SideBySide;
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
        let mut hasher = BodyHasher::default();
        loop {
            let chunk = match hasher.is_empty() {
                true => select! {
                    recv(input) -> chunk => chunk.ok(),
                    // A reader hangs and holds its end of the channel: what it handed on before still counts.
                    recv(abandoned) -> _ => input.try_recv().ok(),
                },
                // What is under way goes on meanwhile.
                false => hasher.has_room().then(|| input.try_recv().ok()).flatten(),
            };
            if let Some(chunk) = chunk {
                if chunk.recorded.is_some() && !chunk.unreadable.is_empty() {
                    // It was read before and cannot be now: what was recorded stays, and proves nothing more.
                    continue;
                }
                if let Some(stream) = &self.stream {
                    let piece = StreamPiece { place: chunk.place, body: chunk.body.clone() };
                    stream.send(piece).map_err(|_| CopyError::Internal("the whole-drive hash"))?;
                }
                if let Some(zeros) = self.timed(|| hasher.add(chunk))
                    && !self.hand_on(zeros, None, output)?
                {
                    return Ok(());
                }
            } else if hasher.is_empty() {
                return Ok(());
            }
            for (chunk, digest) in self.timed(|| hasher.step()) {
                if !self.hand_on(chunk, Some(digest), output)? {
                    return Ok(());
                }
            }
        }
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        hashing(self.station.as_deref(), || self.counters.hash_time.time(work))
    }

    /// Hands a chunk on, or compares it with what was recorded; false where nobody takes it any more.
    fn hand_on(
        &self,
        chunk: ReadChunk,
        digest: Option<Sha256Digest>,
        output: &mpsc::Sender<HashedChunk>,
    ) -> Result<bool, CopyError> {
        let ReadChunk { place, body, recorded, unreadable } = chunk;
        let hashed = match (body, digest) {
            (Body::Bytes(bytes), Some(digest)) => {
                let md5 = self.upload.wants_md5().then(|| self.timed(|| blob::checksum::md5(&bytes)));
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

/// A chunk on its way that has a body.
pub(crate) trait HasBody {
    fn body(&self) -> &Body;
}

impl HasBody for ReadChunk {
    fn body(&self) -> &Body {
        &self.body
    }
}

/// Hashes the bodies of chunks side by side on this thread; zeros are found and not hashed.
pub(crate) struct BodyHasher<C> {
    side_by_side: SideBySide<WithBody<C>>,
}

struct WithBody<C>(C);

impl<C: HasBody> AsRef<[u8]> for WithBody<C> {
    fn as_ref(&self) -> &[u8] {
        match self.0.body() {
            Body::Bytes(bytes) => bytes,
            Body::Hole => &[],
        }
    }
}

impl<C: HasBody> Default for BodyHasher<C> {
    fn default() -> Self {
        BodyHasher { side_by_side: SideBySide::default() }
    }
}

impl<C: HasBody> BodyHasher<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.side_by_side.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.side_by_side.has_room()
    }

    /// Takes a chunk, or gives it back where it is zeros.
    pub(crate) fn add(&mut self, chunk: C) -> Option<C> {
        if matches!(chunk.body(), Body::Bytes(bytes) if !is_zero(bytes)) {
            self.side_by_side.add(WithBody(chunk));
            return None;
        }
        Some(chunk)
    }

    /// Goes on a little; gives the chunks that are done.
    pub(crate) fn step(&mut self) -> Vec<(C, Sha256Digest)> {
        let mut done = Vec::new();
        self.side_by_side.step(|WithBody(chunk), digest| done.push((chunk, digest)));
        done
    }
}

fn changed(chunk: &HashedChunk) -> CopyError {
    let place = chunk.place.range;
    let what = if matches!(chunk.content(), ChunkContent::Zero) { "zeros" } else { "other bytes" };
    CopyError::Refused(format!(
        "the drive has changed since its transfer was begun: {place} (offset+length in bytes) holds {what} now; nothing was lost: dock the right drive, or begin anew with `--restart`"
    ))
}
