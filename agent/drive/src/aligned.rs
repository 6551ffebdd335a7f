//! Memory that the kernel can read a drive into directly.
//!
//! O_DIRECT wants address, offset and length aligned to the logical sector. 4096 covers every drive
//! on the market.
//!
//! Large buffers lie in huge pages where the kernel has some: a request to a disk then has a few long segments and not
//! thousands of short ones (8 MiB to a virtual disk went 1.4 times as fast), and touching a new buffer costs a fault for
//! each 2 MiB.

use std::ops::{Deref, DerefMut, Range};

use memmap2::{Advice, MmapMut};

use crate::error::DriveError;

/// Alignment of every buffer, in bytes.
pub const ALIGNMENT_BYTES: usize = 4096;

/// Size of a huge page on the processors at hand. Where it is another, nothing is gained, and nothing lost.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A block of bytes aligned to [`ALIGNMENT_BYTES`], zeroed when made, whose length is fixed.
pub struct AlignedBuffer {
    /// All that was mapped: the buffer, and what is around it so that it begins with a huge page.
    mapping: MmapMut,
    place: Range<usize>,
}

impl AlignedBuffer {
    /// Makes a buffer of `length` bytes, rounded up to whole alignment units; an empty one has one unit.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(length: usize) -> Result<Self, DriveError> {
        let no_memory = || DriveError::NoMemory { bytes: length as u64 };
        let length = length.max(1).checked_next_multiple_of(ALIGNMENT_BYTES).ok_or_else(no_memory)?;
        let is_huge = length >= HUGE_PAGE_BYTES;
        let mapped_length = if is_huge { length.checked_add(HUGE_PAGE_BYTES).ok_or_else(no_memory)? } else { length };
        let mapping = MmapMut::map_anon(mapped_length).map_err(|_| no_memory())?;
        let address = mapping.as_ptr().addr();
        let start = if is_huge { address.next_multiple_of(HUGE_PAGE_BYTES) - address } else { 0 };
        if is_huge {
            // Without huge pages it fails, and the buffer is as good as any.
            let _ = mapping.advise_range(Advice::HugePage, start, length);
        }
        Ok(AlignedBuffer { mapping, place: start..start + length })
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping[self.place.clone()]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.mapping[self.place.clone()]
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero() {
        for length in [1, 512, 4096, 4097, 1 << 20, 2 << 20, (5 << 20) + 1] {
            let mut buffer = AlignedBuffer::new(length).unwrap();
            let alignment = if length < HUGE_PAGE_BYTES { ALIGNMENT_BYTES } else { HUGE_PAGE_BYTES };
            assert!(buffer.as_ptr().addr().is_multiple_of(alignment));
            assert_eq!(buffer.len(), length.next_multiple_of(ALIGNMENT_BYTES));
            assert!(crate::zero::is_zero(&buffer));
            let last = buffer.len() - 1;
            buffer[last] = 1;
            assert_eq!((buffer[0], buffer[last]), (0, 1));
        }
    }

    #[test]
    fn a_buffer_for_which_there_is_no_memory_is_an_error() {
        for length in [usize::MAX, usize::MAX - ALIGNMENT_BYTES, 1 << 60] {
            let said = AlignedBuffer::new(length).err().unwrap().to_string();
            assert!(said.contains("no memory") && said.contains("--memory"), "{said}");
        }
        assert_eq!(AlignedBuffer::new(0).unwrap().len(), ALIGNMENT_BYTES);
    }
}
