//! How much memory an input may take: a multiple of its own length, and what anything takes.

use crate::ALLOCATOR;

/// What any input may take, in bytes: buffers of fixed size.
const FIXED_BYTES: usize = 32 << 20;

/// What each byte of an input may take, in bytes: a `{}` of two bytes can stand for a struct of some hundred.
const BYTES_EACH: usize = 512;

/// Runs something that may take memory by the length of its input.
pub fn bounded(input_bytes: usize, work: impl FnOnce()) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    work();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let most = FIXED_BYTES + BYTES_EACH * input_bytes;
    assert!(taken <= most, "an input of {input_bytes} bytes took {taken} bytes of memory, and may take {most}");
}
