//! Memory that the kernel can read a drive into directly.
//!
//! O_DIRECT wants address, offset and length aligned to the logical sector. 4096 covers every drive
//! on the market.
//!
//! Large buffers lie in huge pages where the kernel has some: a request to a disk then has a few long segments and not
//! thousands of short ones (8 MiB to a virtual disk went 1.4 times as fast), and touching a new buffer costs a fault for
//! each 2 MiB.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Alignment of every buffer, in bytes.
pub const ALIGNMENT_BYTES: usize = 4096;

/// Size of a huge page on the processors at hand. Where it is another, nothing is gained, and nothing lost.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A block of bytes aligned to [`ALIGNMENT_BYTES`], zeroed when made, whose length is fixed.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    length: usize,
    /// All that was mapped: the buffer, and what is before it until a huge page begins.
    mapping: *mut c_void,
    mapping_length: usize,
}

// SAFETY: the mapping belongs to this value alone, and may be used from any thread.
unsafe impl Send for AlignedBuffer {}

// SAFETY: through a shared reference it can only be read.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// Makes a buffer of `length` bytes, rounded up to whole alignment units.
    ///
    /// # Panics
    /// When `length` is 0 or more than the address space has: limits are checked long before.
    pub fn new(length: usize) -> Self {
        assert!(length > 0, "a buffer has at least one byte");
        let length = length.next_multiple_of(ALIGNMENT_BYTES);
        let is_huge = length >= HUGE_PAGE_BYTES;
        let mapping_length = if is_huge { length + HUGE_PAGE_BYTES } else { length };
        // SAFETY: a new private mapping at an address that the kernel chooses touches no memory of ours.
        let mapped =
            unsafe { mmap_anonymous(ptr::null_mut(), mapping_length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        let Ok(mapping) = mapped else { panic!("there is no memory for a buffer of {length} bytes") };
        let lead = if is_huge { mapping.addr().next_multiple_of(HUGE_PAGE_BYTES) - mapping.addr() } else { 0 };
        // SAFETY: `lead` is less than a huge page, by which the mapping is longer than the buffer.
        let start = unsafe { mapping.cast::<u8>().add(lead) };
        if is_huge {
            // SAFETY: the range lies in the mapping, and the advice changes no byte of it. Without huge pages it fails,
            // and the buffer is as good as any.
            let _ = unsafe { madvise(start.cast(), length, Advice::LinuxHugepage) };
        }
        match NonNull::new(start) {
            Some(start) => AlignedBuffer { start, length, mapping, mapping_length },
            None => panic!("the kernel maps nothing at address 0"),
        }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing points into it any more. It fails only for ranges that are no mapping.
        let _ = unsafe { munmap(self.mapping, self.mapping_length) };
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `length` bytes of a mapping that the kernel filled with zeros, that lives as
        // long as `self`, and whose bytes are only changed through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
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
            let mut buffer = AlignedBuffer::new(length);
            let alignment = if length < HUGE_PAGE_BYTES { ALIGNMENT_BYTES } else { HUGE_PAGE_BYTES };
            assert!(buffer.as_ptr().addr().is_multiple_of(alignment));
            assert_eq!(buffer.len(), length.next_multiple_of(ALIGNMENT_BYTES));
            assert!(crate::zero::is_zero(&buffer));
            let last = buffer.len() - 1;
            buffer[last] = 1;
            assert_eq!((buffer[0], buffer[last]), (0, 1));
        }
    }
}
