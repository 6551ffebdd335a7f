//! Digests of zeros.

use std::sync::OnceLock;

use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;

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

    /// Whether a chunk of `length` bytes is what a manifest says, which may name zeros by their digest too.
    pub(crate) fn agree(&self, stated: ChunkContent, found: ChunkContent, length: u64) -> bool {
        stated == found || found == ChunkContent::Zero && stated == ChunkContent::Data(self.of(length))
    }
}
