//! What a simulated drive holds where nothing was written: computed from a seed, the same at every read.

use protocol::units::ByteRange;
use serde::Deserialize;

/// Kinds of computed content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ContentKind {
    /// Bytes that do not compress and do not repeat.
    #[default]
    Random,
    /// Nothing.
    Zeros,
    /// Lines of words: compresses as text does.
    Text,
    /// One block again and again.
    Repeated,
}

/// The content of a drive, as a function of place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) kind: ContentKind,
    pub(super) seed: u64,
    /// Which share of the runs is zero.
    pub(super) zero_share: f64,
    /// Zeros and data come in runs of this size.
    pub(super) run_bytes: u64,
    /// The block that [`ContentKind::Repeated`] repeats.
    pub(super) block_bytes: u64,
    /// Zero runs are reported as holes.
    pub(super) reports_holes: bool,
}

/// Eight letters each, so that a word of text is a word of memory.
const WORDS: [&[u8; 8]; 16] = [
    b"archive ",
    b"backup, ",
    b"cabinet ",
    b"device. ",
    b"engine, ",
    b"factory ",
    b"garden. ",
    b"harbour ",
    b"island. ",
    b"journal ",
    b"kitchen ",
    b"library ",
    b"machine ",
    b"number. ",
    b"office, ",
    b"paper.\n ",
];

impl Content {
    /// The first run of data at or after `offset` and before `end`, as far as it reaches.
    pub(super) fn next_data(&self, offset: u64, end: u64) -> Option<ByteRange> {
        let is_zero = |run: &u64| self.kind == ContentKind::Zeros || self.run_is_zero(*run);
        let last = end.div_ceil(self.run_bytes);
        let first = (offset / self.run_bytes..last).find(|run| !is_zero(run))?;
        let behind = (first..last).find(is_zero).unwrap_or(last);
        let start = (first * self.run_bytes).max(offset);
        Some(ByteRange::new(start, (behind * self.run_bytes).min(end) - start))
    }

    /// Fills `bytes` with what lies at `offset`.
    pub(super) fn fill(&self, bytes: &mut [u8], offset: u64) {
        let mut position = offset;
        let mut left = bytes;
        while !left.is_empty() {
            let run = position / self.run_bytes;
            let run_left = (run + 1) * self.run_bytes - position;
            let (piece, rest) = left.split_at_mut(run_left.min(left.len() as u64) as usize);
            if self.kind == ContentKind::Zeros || self.run_is_zero(run) {
                piece.fill(0);
            } else {
                self.fill_data(piece, position);
            }
            position += piece.len() as u64;
            left = rest;
        }
    }

    /// Whether a run is zero. The golden ratio spreads the zero runs evenly, so that even a small
    /// drive has very nearly the share that was asked for.
    pub(super) fn run_is_zero(&self, run: u64) -> bool {
        const GOLDEN_RATIO_BITS: u64 = 0x9e37_79b9_7f4a_7c15;
        let place = mix(self.seed).wrapping_add(run.wrapping_mul(GOLDEN_RATIO_BITS));
        (place >> 11) as f64 / (1u64 << 53) as f64 <= self.zero_share && self.zero_share > 0.0
    }

    fn word(&self, index: u64) -> [u8; 8] {
        match self.kind {
            ContentKind::Random | ContentKind::Zeros => mix(self.seed ^ mix(index)).to_le_bytes(),
            ContentKind::Text => *WORDS[(mix(self.seed ^ mix(index)) % 16) as usize],
            ContentKind::Repeated => mix(self.seed ^ mix(index % (self.block_bytes / 8))).to_le_bytes(),
        }
    }

    fn fill_data(&self, bytes: &mut [u8], offset: u64) {
        let skip = (offset % 8) as usize;
        let mut index = offset / 8;
        let (head, rest) = bytes.split_at_mut(if skip == 0 { 0 } else { bytes.len().min(8 - skip) });
        if !head.is_empty() {
            head.copy_from_slice(&self.word(index)[skip..skip + head.len()]);
            index += 1;
        }
        let (words, tail) = rest.as_chunks_mut::<8>();
        for target in words {
            *target = self.word(index);
            index += 1;
        }
        tail.copy_from_slice(&self.word(index)[..tail.len()]);
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
