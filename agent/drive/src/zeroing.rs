//! Making a range of a device zero: the cheapest way that is certain.
//!
//! | step | what is certain about it |
//! |---|---|
//! | discard and prove | nothing by itself: all of the range is read again, and every byte must be zero |
//! | zero-out | the kernel promises zeros, by offload or by writing them; some sectors are read again |
//! | write zeros | what was written was written |
//!
//! A step that a device does not have, or that it lies about, is tried once and never again.

use std::sync::atomic::{AtomicU8, Ordering};

use protocol::units::ByteRange;

use crate::aligned::AlignedBuffer;
use crate::error::DriveError;
use crate::zero::is_zero;

/// What a device can do about zeros.
pub(crate) trait ZeroingDevice {
    /// Gives the range up; false where the device cannot.
    fn discard(&self, range: ByteRange) -> Result<bool, DriveError>;
    /// Has the kernel make it zero; false where it cannot.
    fn zero_out(&self, range: ByteRange) -> Result<bool, DriveError>;
    /// Writes zeros.
    fn write_zeros(&self, range: ByteRange) -> Result<(), DriveError>;
    /// Reads whole sectors.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError>;
    /// Logical sector size in bytes.
    fn sector_bytes(&self) -> u64;
}

/// The steps, the first one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    DiscardAndProve,
    ZeroOut,
    WriteZeros,
}

/// Reads while proving are this long.
const PROOF_BYTES: u64 = 1 << 20;

/// Which step is the one for this device.
#[derive(Debug, Default)]
pub(crate) struct ZeroingLadder {
    steps_down: AtomicU8,
}

impl ZeroingLadder {
    fn step(&self) -> Step {
        match self.steps_down.load(Ordering::Relaxed) {
            0 => Step::DiscardAndProve,
            1 => Step::ZeroOut,
            _ => Step::WriteZeros,
        }
    }

    /// Never takes `step` again.
    fn give_up(&self, step: Step, why: &'static str) {
        tracing::debug!(?step, why, "a way to make zeros is not for this device");
        self.steps_down.fetch_max(step as u8 + 1, Ordering::Relaxed);
    }

    /// Makes `range` zero.
    ///
    /// # Errors
    /// When the device fails. A step that it does not have is not a failure.
    pub(crate) fn zero(&self, device: &impl ZeroingDevice, range: ByteRange) -> Result<(), DriveError> {
        if range.length == 0 {
            return Ok(());
        }
        if self.step() == Step::DiscardAndProve {
            match device.discard(range)? {
                true if proves_zero(device, range, PROOF_BYTES)? => return Ok(()),
                true => self.give_up(Step::DiscardAndProve, "what was discarded did not read as zeros"),
                false => self.give_up(Step::DiscardAndProve, "it has no discard"),
            }
        }
        if self.step() == Step::ZeroOut {
            match device.zero_out(range)? {
                true if samples_are_zero(device, range)? => return Ok(()),
                true => self.give_up(Step::ZeroOut, "what was zeroed did not read as zeros"),
                false => self.give_up(Step::ZeroOut, "the kernel cannot zero it"),
            }
        }
        device.write_zeros(range)
    }
}

/// Whether every byte of a range reads as zero.
fn proves_zero(device: &impl ZeroingDevice, range: ByteRange, step_bytes: u64) -> Result<bool, DriveError> {
    let mut buffer = AlignedBuffer::new(step_bytes as usize)?;
    let mut offset = range.offset;
    while offset < range.end() {
        let piece = &mut buffer[..step_bytes.min(range.end() - offset) as usize];
        match device.read(piece, offset) {
            Err(error) if error.is_unreadable() => return Ok(false),
            other => other?,
        }
        if !is_zero(piece) {
            return Ok(false);
        }
        offset += piece.len() as u64;
    }
    Ok(true)
}

/// Whether the first, the middle and the last sector of a range read as zeros.
fn samples_are_zero(device: &impl ZeroingDevice, range: ByteRange) -> Result<bool, DriveError> {
    let sector = device.sector_bytes();
    let last = range.end().saturating_sub(sector).max(range.offset);
    let middle = range.offset + range.length / 2 / sector * sector;
    for offset in [range.offset, middle.min(last), last] {
        let sample = ByteRange::new(offset, sector.min(range.end() - offset));
        if !proves_zero(device, sample, sector)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A device in memory that can do some things, and lies about others.
    struct FakeDevice {
        bytes: Mutex<Vec<u8>>,
        discards: Option<fn(&mut [u8])>,
        zeroes: Option<fn(&mut [u8])>,
        calls: Mutex<Vec<&'static str>>,
    }

    impl FakeDevice {
        fn new(discards: Option<fn(&mut [u8])>, zeroes: Option<fn(&mut [u8])>) -> Self {
            FakeDevice { bytes: Mutex::new(vec![0xa5; 1 << 16]), discards, zeroes, calls: Mutex::default() }
        }

        fn apply(&self, name: &'static str, way: Option<fn(&mut [u8])>, range: ByteRange) -> Result<bool, DriveError> {
            self.calls.lock().unwrap().push(name);
            let Some(way) = way else { return Ok(false) };
            way(&mut self.bytes.lock().unwrap()[range.offset as usize..range.end() as usize]);
            Ok(true)
        }

        /// Zeroes two ranges and gives the calls that it took; nothing but zeros may be left in them.
        fn run(&self) -> Vec<&'static str> {
            let ladder = ZeroingLadder::default();
            for range in [ByteRange::new(4096, 8192), ByteRange::new(32_768, 512)] {
                ladder.zero(self, range).unwrap();
                let bytes = self.bytes.lock().unwrap();
                assert!(is_zero(&bytes[range.offset as usize..range.end() as usize]), "old bytes are left");
                assert_eq!((bytes[range.offset as usize - 1], bytes[range.end() as usize]), (0xa5, 0xa5), "too much was touched");
            }
            self.calls.lock().unwrap().clone()
        }
    }

    impl ZeroingDevice for FakeDevice {
        fn discard(&self, range: ByteRange) -> Result<bool, DriveError> {
            self.apply("discard", self.discards, range)
        }

        fn zero_out(&self, range: ByteRange) -> Result<bool, DriveError> {
            self.apply("zero-out", self.zeroes, range)
        }

        fn write_zeros(&self, range: ByteRange) -> Result<(), DriveError> {
            self.apply("write", Some(|bytes| bytes.fill(0)), range).map(|_| ())
        }

        fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
            buffer.copy_from_slice(&self.bytes.lock().unwrap()[offset as usize..offset as usize + buffer.len()]);
            Ok(())
        }

        fn sector_bytes(&self) -> u64 {
            512
        }
    }

    #[test]
    fn the_first_honest_step_is_taken_and_remembered() {
        let zeros: Option<fn(&mut [u8])> = Some(|bytes| bytes.fill(0));
        let lies: Option<fn(&mut [u8])> = Some(|_| ());
        // A discard that leaves one byte in the middle of nowhere.
        let nearly: Option<fn(&mut [u8])> = Some(|bytes| {
            bytes.fill(0);
            bytes[bytes.len() / 3] = 1;
        });
        assert_eq!(FakeDevice::new(zeros, zeros).run(), ["discard", "discard"]);
        assert_eq!(FakeDevice::new(None, zeros).run(), ["discard", "zero-out", "zero-out"]);
        assert_eq!(FakeDevice::new(nearly, zeros).run(), ["discard", "zero-out", "zero-out"]);
        assert_eq!(FakeDevice::new(lies, None).run(), ["discard", "zero-out", "write", "write"]);
        assert_eq!(FakeDevice::new(lies, lies).run(), ["discard", "zero-out", "write", "write"]);
    }
}
