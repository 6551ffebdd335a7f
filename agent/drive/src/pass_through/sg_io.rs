//! The ioctl SG_IO for commands that read or stop a drive, as safe functions.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl};

use super::reading::{Ending, PassThrough, Refusal};

/// linux/scsi/sg.h.
const SG_IO: rustix::ioctl::Opcode = 0x2285;

/// SG_DXFER_FROM_DEV, and SG_DXFER_NONE: nothing ever goes to a device.
const FROM_DEVICE: i32 = -3;
const NOTHING: i32 = -1;

/// START STOP UNIT with everything zero stops the motor, after the drive wrote what it holds (SBC-4, 5.31); six bytes long.
const STOP_UNIT: [u8; 16] = [0x1b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const STOP_UNIT_BYTES: u8 = 6;

/// Bridges that sleep take seconds. When this has passed the kernel resets the bridge.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest sense data (SPC-5, 4.4).
const SENSE_BYTES: usize = 252;

/// `struct sg_io_hdr` of linux/scsi/sg.h.
#[repr(C)]
struct Header {
    interface_id: i32,
    direction: i32,
    command_bytes: u8,
    sense_bytes: u8,
    iovec_count: u16,
    data_bytes: u32,
    data: *mut c_void,
    command: *mut u8,
    sense: *mut u8,
    timeout_milliseconds: u32,
    flags: u32,
    pack_id: i32,
    user: *mut c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_bytes_written: u8,
    host_status: u16,
    driver_status: u16,
    bytes_missing: i32,
    duration_milliseconds: u32,
    info: u32,
}

// The kernel reads and writes exactly this much.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Header>() == 88);

/// A device node that commands are sent to. It is opened for each: nothing holds it in between.
pub(crate) struct SgIo {
    pub(crate) node: PathBuf,
}

impl PassThrough for SgIo {
    fn read(&self, command: &[u8; 16], length: usize) -> Result<Vec<u8>, Refusal> {
        let node = self.open()?;
        let (mut data, mut sense) = (vec![0; length], [0; SENSE_BYTES]);
        let sent = send(&node, (*command, command.len() as u8), (FROM_DEVICE, &mut data), &mut sense);
        let (ending, missing, sense_bytes) = sent.map_err(refusal)?;
        ending.judge(sense.get(..sense_bytes).unwrap_or_default())?;
        data.truncate(length.saturating_sub(missing));
        Ok(data)
    }
}

impl SgIo {
    /// Stops the drive's motor, or lets an SSD write down what it holds.
    pub(crate) fn stop_unit(&self) -> Result<(), Refusal> {
        let (node, mut sense) = (self.open()?, [0; SENSE_BYTES]);
        let sent = send(&node, (STOP_UNIT, STOP_UNIT_BYTES), (NOTHING, &mut []), &mut sense);
        let (ending, _, sense_bytes) = sent.map_err(refusal)?;
        ending.judge(sense.get(..sense_bytes).unwrap_or_default())
    }

    /// Read-only and not exclusive: a program that holds the drive is not disturbed. Without waiting for a medium.
    fn open(&self) -> Result<File, Refusal> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&self.node);
        opened.map_err(|error| refusal(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }
}

fn refusal(errno: Errno) -> Refusal {
    match errno {
        Errno::PERM | Errno::ACCESS => Refusal::Forbidden,
        Errno::TIMEDOUT => Refusal::Silent,
        _ => Refusal::Refused,
    }
}

/// How the command ended, how many bytes of its answer did not come, and how many bytes of sense data did.
fn send(
    device: impl AsFd,
    (mut command, command_bytes): ([u8; 16], u8),
    (direction, data): (i32, &mut [u8]),
    sense: &mut [u8; SENSE_BYTES],
) -> rustix::io::Result<(Ending, usize, usize)> {
    let mut header = Header {
        interface_id: i32::from(b'S'),
        direction,
        command_bytes: command_bytes.min(command.len() as u8),
        sense_bytes: SENSE_BYTES as u8,
        iovec_count: 0,
        data_bytes: u32::try_from(data.len()).map_err(|_| Errno::INVAL)?,
        data: data.as_mut_ptr().cast(),
        command: command.as_mut_ptr(),
        sense: sense.as_mut_ptr(),
        timeout_milliseconds: TIMEOUT.as_millis() as u32,
        flags: 0,
        pack_id: 0,
        user: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message_status: 0,
        sense_bytes_written: 0,
        host_status: 0,
        driver_status: 0,
        bytes_missing: 0,
        duration_milliseconds: 0,
        info: 0,
    };
    // SAFETY: SG_IO reads and writes one `struct sg_io_hdr`, whose layout `Header` has. Its three pointers lead to buffers
    // that outlive the call and are as long as the header says; the kernel writes no further. It returns only when the
    // command has ended, and keeps none of the pointers.
    unsafe { ioctl(device, Updater::<SG_IO, Header>::new(&mut header)) }?;
    let ending = Ending { status: header.status, host_status: header.host_status };
    Ok((ending, usize::try_from(header.bytes_missing).unwrap_or(0), usize::from(header.sense_bytes_written)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets that a C program prints of `struct sg_io_hdr` on a 64-bit machine.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_header_lies_in_memory_as_the_kernels_does() {
        use std::mem::offset_of;
        let offsets = [offset_of!(Header, data), offset_of!(Header, sense), offset_of!(Header, timeout_milliseconds)];
        assert_eq!(offsets, [16, 32, 40]);
        let offsets = [offset_of!(Header, user), offset_of!(Header, status), offset_of!(Header, sense_bytes_written)];
        assert_eq!(offsets, [56, 64, 67]);
        assert_eq!([offset_of!(Header, host_status), offset_of!(Header, bytes_missing)], [68, 72]);
    }

    #[test]
    fn what_takes_no_commands_refuses_them() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("node");
        let read = || SgIo { node: node.clone() }.read(&[0; 16], 512);
        assert_eq!(read(), Err(Refusal::Refused), "nothing there");
        std::fs::write(&node, [0; 512]).unwrap();
        assert_eq!(read(), Err(Refusal::Refused), "a file");
        assert_eq!(SgIo { node }.stop_unit(), Err(Refusal::Refused), "a file has no motor");
    }

    #[test]
    fn errors_of_the_kernel_are_told_apart() {
        assert_eq!([Errno::PERM, Errno::ACCESS].map(refusal), [Refusal::Forbidden; 2]);
        assert_eq!([Errno::TIMEDOUT, Errno::NOTTY].map(refusal), [Refusal::Silent, Refusal::Refused]);
    }
}
