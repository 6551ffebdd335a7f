//! The ioctls of block devices that we need, as safe functions.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use protocol::units::ByteRange;
use rustix::io::Result;
use rustix::ioctl::{Getter, Setter, ioctl, opcode};

const BLKGETSIZE64: rustix::ioctl::Opcode = opcode::read::<usize>(0x12, 114);
const BLKZEROOUT: rustix::ioctl::Opcode = opcode::none(0x12, 127);

/// Size of a block device in bytes (BLKGETSIZE64).
pub(crate) fn device_size_bytes(device: impl AsFd) -> Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 (linux/fs.h), whatever size_t its number was made with.
    unsafe { ioctl(device, Getter::<BLKGETSIZE64, u64>::new()) }
}

/// Logical sector size in bytes (BLKSSZGET).
pub(crate) fn logical_sector_size_bytes(device: impl AsFd) -> Result<u64> {
    rustix::fs::ioctl_blksszget(device).map(u64::from)
}

/// Makes the kernel zero a range of sectors, by offload or by writing (BLKZEROOUT). Its promise is
/// that the range reads as zeros afterwards.
pub(crate) fn zero_out(device: impl AsFd, range: ByteRange) -> Result<()> {
    // SAFETY: BLKZEROOUT reads two u64, offset and length (linux/fs.h), and no other memory.
    unsafe { ioctl(device, Setter::<BLKZEROOUT, [u64; 2]>::new([range.offset, range.length])) }
}

const LOOP_CTL_GET_FREE: rustix::ioctl::Opcode = 0x4c82;
const LOOP_CONFIGURE: rustix::ioctl::Opcode = 0x4c0a;
const LOOP_CLR_FD: rustix::ioctl::Opcode = 0x4c01;
const BLKDISCARD: rustix::ioctl::Opcode = opcode::none(0x12, 119);

/// LO_FLAGS_READ_ONLY: nothing is ever written to the image.
pub(crate) const LOOP_READ_ONLY: u32 = 1;
/// LO_FLAGS_AUTOCLEAR: detached when it is not open any more.
pub(crate) const LOOP_AUTOCLEAR: u32 = 4;
/// LO_FLAGS_PARTSCAN: the kernel looks for partitions.
pub(crate) const LOOP_PARTSCAN: u32 = 8;

/// `struct loop_config` of linux/loop.h, with `struct loop_info64` inside.
#[repr(C)]
pub(crate) struct LoopConfig {
    /// The image, open.
    pub(crate) file: u32,
    /// Logical sector size in bytes.
    pub(crate) block_size: u32,
    info_numbers: [u64; 5],
    info_words: [u32; 3],
    /// Flags such as [`LOOP_PARTSCAN`].
    pub(crate) flags: u32,
    info_names: [u64; 20],
    info_init: [u64; 2],
    reserved: [u64; 8],
}

// The kernel reads exactly this much.
const _: () = assert!(size_of::<LoopConfig>() == 304);

impl LoopConfig {
    pub(crate) fn new(file: u32, block_size: u32, flags: u32) -> Self {
        LoopConfig {
            file,
            block_size,
            info_numbers: [0; 5],
            info_words: [0; 3],
            flags,
            info_names: [0; 20],
            info_init: [0; 2],
            reserved: [0; 8],
        }
    }
}

/// An ioctl without argument whose answer is its return value.
struct Answer<const OPCODE: rustix::ioctl::Opcode>;

// SAFETY: no argument is read or written, so no pointer is ever followed.
unsafe impl<const OPCODE: rustix::ioctl::Opcode> rustix::ioctl::Ioctl for Answer<OPCODE> {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(answer: rustix::ioctl::IoctlOutput, _: *mut std::ffi::c_void) -> Result<i32> {
        Ok(answer)
    }
}

/// The number of a loop device that is free (LOOP_CTL_GET_FREE, on /dev/loop-control).
pub(crate) fn free_loop_number(control: impl AsFd) -> Result<i32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument.
    unsafe { ioctl(control, Answer::<LOOP_CTL_GET_FREE>) }
}

/// Attaches an image to a loop device (LOOP_CONFIGURE, Linux 5.8).
pub(crate) fn configure_loop(device: impl AsFd, config: LoopConfig) -> Result<()> {
    // SAFETY: LOOP_CONFIGURE reads one `struct loop_config`, whose layout `LoopConfig` has.
    unsafe { ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) }
}

/// Detaches the image of a loop device (LOOP_CLR_FD).
pub(crate) fn clear_loop(device: impl AsFd) -> Result<()> {
    // SAFETY: LOOP_CLR_FD takes no argument.
    unsafe { ioctl(device, Answer::<LOOP_CLR_FD>) }.map(|_| ())
}

/// Tells the drive that a range is not needed any more (BLKDISCARD). It promises nothing about what the
/// range reads as.
pub(crate) fn discard(device: impl AsFd, range: ByteRange) -> Result<()> {
    // SAFETY: BLKDISCARD reads two u64, offset and length (linux/fs.h), and no other memory.
    unsafe { ioctl(device, Setter::<BLKDISCARD, [u64; 2]>::new([range.offset, range.length])) }
}
