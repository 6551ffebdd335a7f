//! Memory that the kernel can read a drive into directly.
//!
//! O_DIRECT wants address, offset and length aligned to the logical sector. 4096 covers every drive
//! on the market.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer, in bytes.
pub const ALIGNMENT_BYTES: usize = 4096;

/// A block of bytes aligned to [`ALIGNMENT_BYTES`], zeroed when made, whose length is fixed.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    layout: Layout,
}

impl AlignedBuffer {
    /// Allocates `length` bytes, rounded up to whole alignment units.
    ///
    /// # Panics
    /// When `length` is 0 or more than the address space has: limits are checked long before.
    pub fn new(length: usize) -> Self {
        assert!(length > 0, "a buffer has at least one byte");
        let layout = Layout::from_size_align(length.next_multiple_of(ALIGNMENT_BYTES), ALIGNMENT_BYTES);
        let Ok(layout) = layout else { panic!("a buffer of {length} bytes does not fit the address space") };
        // SAFETY: the layout's size is not zero: `length` is at least 1 and was rounded up.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => AlignedBuffer { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `layout.size()` bytes that were initialised with zeros, live as
        // long as `self`, and are only changed through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this very layout, and is freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

// SAFETY: the buffer owns its memory alone; nothing about it is bound to a thread.
unsafe impl Send for AlignedBuffer {}
// SAFETY: through `&AlignedBuffer` the memory can only be read.
unsafe impl Sync for AlignedBuffer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero() {
        for length in [1, 512, 4096, 4097, 1 << 20] {
            let mut buffer = AlignedBuffer::new(length);
            assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES));
            assert_eq!(buffer.len(), length.next_multiple_of(ALIGNMENT_BYTES));
            assert!(crate::zero::is_zero(&buffer));
            buffer[length - 1] = 1;
            assert_eq!(buffer[length - 1], 1);
        }
    }
}
