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
