//! The SHA instructions of x86-64, several independent streams at a time.
//!
//! Each `sha256rnds2` waits for the one before it in its stream, about twice as
//! long as the unit needs until it can start another. One stream therefore leaves
//! half of the unit idle; several fill it.

#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

/// A block of SHA-256.
pub(super) type Block = [u8; 64];

/// The eight words between two blocks.
pub(super) type State = [u32; 8];

/// The round constants of SHA-256 (FIPS 180-4, 4.2.2), four rounds to a row.
const ROUND_CONSTANTS: [[u32; 4]; 16] = [
    [0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5],
    [0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5],
    [0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3],
    [0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174],
    [0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc],
    [0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da],
    [0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7],
    [0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967],
    [0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13],
    [0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85],
    [0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3],
    [0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070],
    [0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5],
    [0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3],
    [0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208],
    [0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2],
];

/// Proof that this processor has the instructions `compress` is built from:
/// `detect` is the only way to come by one.
#[derive(Clone, Copy)]
pub(super) struct Extension(());

impl Extension {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1");
        present.then_some(Self(()))
    }

    /// Takes each state through the blocks of its own stream, as many as the
    /// shortest stream has, and says how many that were.
    pub(super) fn compress<const N: usize>(self, states: &mut [State; N], streams: [&[Block]; N]) -> usize {
        // SAFETY: the callee asks only for the features "sha", "ssse3" and "sse4.1", and `self` exists only where
        // `detect` found all three.
        unsafe { compress(states, streams) }
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress<const N: usize>(states: &mut [State; N], streams: [&[Block]; N]) -> usize {
    let count = streams.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
    // The instructions want the eight words as two rows, in this order.
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = [_mm_setzero_si128(); N];
    for lane in 0..N {
        let [a, b, c, d, e, f, g, h] = states[lane];
        abef[lane] = row([f, e, b, a]);
        cdgh[lane] = row([h, g, d, c]);
    }

    for index in 0..count {
        let blocks = streams.map(|blocks| &blocks[index]);
        let abef_before = abef;
        let cdgh_before = cdgh;
        // The last sixteen words of each message schedule, as a ring of four rows.
        let mut words = [[_mm_setzero_si128(); 4]; N];
        for lane in 0..N {
            words[lane] = load(blocks[lane]);
        }
        sixteen_rounds::<0, N>(&mut abef, &mut cdgh, &mut words);
        sixteen_rounds::<1, N>(&mut abef, &mut cdgh, &mut words);
        sixteen_rounds::<2, N>(&mut abef, &mut cdgh, &mut words);
        sixteen_rounds::<3, N>(&mut abef, &mut cdgh, &mut words);
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        }
    }

    for lane in 0..N {
        let [f, e, b, a] = unrow(abef[lane]);
        let [h, g, d, c] = unrow(cdgh[lane]);
        states[lane] = [a, b, c, d, e, f, g, h];
    }
    count
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sixteen_rounds<const QUARTER: usize, const N: usize>(
    abef: &mut [__m128i; N],
    cdgh: &mut [__m128i; N],
    words: &mut [[__m128i; 4]; N],
) {
    // QUARTER is a constant and the loop short, so that it is unrolled and the
    // ring needs no memory: as one loop over all groups, two lanes were a fifth slower.
    for group in 0..4 {
        let constants = row(ROUND_CONSTANTS[4 * QUARTER + group]);
        // Lane by lane inside each group of rounds, so that the chain of every
        // lane is in the processor's window at the same time.
        for lane in 0..N {
            let ring = &mut words[lane];
            if QUARTER > 0 {
                ring[group] = next_words(ring, group);
            }
            let sum = _mm_add_epi32(ring[group], constants);
            // Two rounds turn abef into the next cdgh, so the rows swap
            // roles once and are back in place after four.
            cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
            let upper = _mm_shuffle_epi32::<0b00_00_11_10>(sum);
            abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], upper);
        }
    }
}

/// The schedule's next four words, from the sixteen before them.
#[inline]
#[target_feature(enable = "sha,ssse3")]
fn next_words(ring: &[__m128i; 4], group: usize) -> __m128i {
    let oldest = ring[group % 4];
    let older = ring[(group + 1) % 4];
    let newer = ring[(group + 2) % 4];
    let newest = ring[(group + 3) % 4];
    // Seven words back: the end of `newer` and the start of `newest`.
    let seven_back = _mm_alignr_epi8::<4>(newest, newer);
    let partial = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, older), seven_back);
    _mm_sha256msg2_epu32(partial, newest)
}

/// The sixteen big-endian words of a block.
#[inline]
#[target_feature(enable = "ssse3")]
fn load(block: &Block) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut rows = [swap; 4];
    // Eight bytes at a time through safe code; the compiler makes one unaligned
    // load of each pair.
    let (halves, _) = block.as_chunks::<8>();
    for (target, half) in rows.iter_mut().zip(halves.as_chunks::<2>().0) {
        let [low, high] = half.map(i64::from_le_bytes);
        *target = _mm_shuffle_epi8(_mm_set_epi64x(high, low), swap);
    }
    rows
}

#[inline]
#[target_feature(enable = "sse2")]
fn row([first, second, third, fourth]: [u32; 4]) -> __m128i {
    _mm_set_epi32(fourth.cast_signed(), third.cast_signed(), second.cast_signed(), first.cast_signed())
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn unrow(row: __m128i) -> [u32; 4] {
    [_mm_extract_epi32::<0>(row), _mm_extract_epi32::<1>(row), _mm_extract_epi32::<2>(row), _mm_extract_epi32::<3>(row)]
        .map(i32::cast_unsigned)
}
