//! A message on its way through the hash: first its whole blocks where they lie, then the padded rest from a copy.

use protocol::digest::Sha256Digest;

use crate::hashing::extension::{Block, Extension, State};

/// What is hashed of each message before others may join: a fraction of a millisecond.
const STEP_BLOCKS: usize = 4096;

/// The initial hash value of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: State = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// One message.
pub(super) struct Lane<M> {
    message: M,
    state: State,
    /// Whole blocks that are hashed.
    whole_done: usize,
    /// The end of the message, with the padding and its length (FIPS 180-4, 5.1.1).
    padded: [Block; 2],
    /// How many of `padded` are done or, if one is enough, not needed.
    padded_done: usize,
}

/// Hashes as many blocks of each lane as the one nearest to a stop has, up to a step.
pub(super) fn advance<M: AsRef<[u8]>>(extension: Extension, lanes: &mut [Lane<M>]) {
    match lanes {
        [] => {}
        [a] => advance_together(extension, [a]),
        [a, b] => advance_together(extension, [a, b]),
        [a, b, c] => advance_together(extension, [a, b, c]),
        [a, b, c, d, ..] => advance_together(extension, [a, b, c, d]),
    }
}

fn advance_together<M: AsRef<[u8]>, const N: usize>(extension: Extension, mut lanes: [&mut Lane<M>; N]) {
    let mut states = lanes.each_ref().map(|lane| lane.state);
    let streams = lanes.each_ref().map(|lane| {
        let blocks = lane.blocks();
        &blocks[..blocks.len().min(STEP_BLOCKS)]
    });
    let count = extension.compress(&mut states, streams);
    for (lane, state) in lanes.iter_mut().zip(states) {
        lane.state = state;
        lane.skip(count);
    }
}

impl<M: AsRef<[u8]>> Lane<M> {
    pub(super) fn new(message: M) -> Self {
        let bytes = message.as_ref();
        let (_, rest) = bytes.as_chunks::<64>();
        let mut padded = [[0; 64]; 2];
        // The rest, a one bit in a byte of its own, and the eight bytes of the length share the last block if they
        // fit; it is always the second.
        let padded_done = usize::from(rest.len() + 1 + 8 <= 64);
        let start = padded_done * 64;
        let end = padded.as_flattened_mut();
        let bits = (bytes.len() as u64).wrapping_mul(8);
        end[start..][..rest.len()].copy_from_slice(rest);
        end[start + rest.len()] = 0x80;
        end[120..].copy_from_slice(&bits.to_be_bytes());
        Lane { message, state: INITIAL, whole_done: 0, padded, padded_done }
    }

    /// The whole blocks that are left.
    fn whole(&self) -> &[Block] {
        let (whole, _) = self.message.as_ref().as_chunks();
        whole.get(self.whole_done..).unwrap_or_default()
    }

    /// What lies in one piece next; empty once the message is done.
    fn blocks(&self) -> &[Block] {
        match self.whole() {
            [] => &self.padded[self.padded_done..],
            whole => whole,
        }
    }

    /// Leaves out the first `count` of `blocks`, which has at least as many.
    fn skip(&mut self, count: usize) {
        if self.whole().is_empty() {
            self.padded_done += count;
        } else {
            self.whole_done += count;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.blocks().is_empty()
    }

    /// The message, and the digest of one that is done.
    pub(super) fn finish(self) -> (M, Sha256Digest) {
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        (self.message, Sha256Digest(digest))
    }
}
