//! The ioctl NVME_IOCTL_ADMIN_CMD for pages of a controller's log, as a safe function.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::AsFd;

use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// linux/nvme_ioctl.h.
const NVME_IOCTL_ADMIN_CMD: Opcode = opcode::read_write::<Command>(b'N', 0x41);

/// GET LOG PAGE, of all namespaces (NVM Express Base Specification 2.0, 5.16).
const GET_LOG_PAGE: u8 = 0x02;
const ALL_NAMESPACES: u32 = 0xffff_ffff;

const TIMEOUT_MILLISECONDS: u32 = 10_000;

/// `struct nvme_passthru_cmd` of linux/nvme_ioctl.h.
#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    words_2_and_3: [u32; 2],
    metadata: u64,
    data: u64,
    metadata_bytes: u32,
    data_bytes: u32,
    words_10_to_15: [u32; 6],
    timeout_milliseconds: u32,
    result: u32,
}

// The kernel reads and writes exactly this much.
const _: () = assert!(size_of::<Command>() == 72);

/// The command, and the status that the ioctl answers with.
struct Admin<'command>(&'command mut Command);

// SAFETY: NVME_IOCTL_ADMIN_CMD reads and writes one `struct nvme_passthru_cmd`, whose layout `Command` has, and `as_ptr` leads to
// one that is borrowed for as long as this exists.
unsafe impl Ioctl for Admin<'_> {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        NVME_IOCTL_ADMIN_CMD
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(status: IoctlOutput, _: *mut c_void) -> Result<i32> {
        Ok(status)
    }
}

/// A page of the controller's log: as long as `page`, whose length is a multiple of four.
pub(crate) fn log_page(device: impl AsFd, page_id: u8, page: &mut [u8]) -> Result<()> {
    let words = u32::try_from(page.len() / 4).ok().filter(|words| (1..=0x1_0000).contains(words) && page.len().is_multiple_of(4));
    let words = words.ok_or(Errno::INVAL)?;
    let mut command = Command {
        opcode: GET_LOG_PAGE,
        namespace: ALL_NAMESPACES,
        data: page.as_mut_ptr().expose_provenance() as u64,
        data_bytes: words * 4,
        words_10_to_15: [(words - 1) << 16 | u32::from(page_id), 0, 0, 0, 0, 0],
        timeout_milliseconds: TIMEOUT_MILLISECONDS,
        ..Command::default()
    };
    // SAFETY: what the kernel does with the command is said at `Admin`; it writes `data_bytes` bytes at `data`, which is a buffer of
    // just that length that outlives the call, and keeps no pointer after it.
    match unsafe { ioctl(device, Admin(&mut command)) }? {
        0 => Ok(()),
        // A status of the controller, which took the command and refused it.
        _ => Err(Errno::IO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lies_in_memory_as_the_kernels_does() {
        use std::mem::offset_of;
        let offsets = [offset_of!(Command, namespace), offset_of!(Command, data), offset_of!(Command, data_bytes)];
        assert_eq!(offsets, [4, 24, 36]);
        let offsets =
            [offset_of!(Command, words_10_to_15), offset_of!(Command, timeout_milliseconds), offset_of!(Command, result)];
        assert_eq!(offsets, [40, 64, 68]);
        // _IOWR('N', 0x41, struct nvme_admin_cmd), as a C program prints it.
        assert_eq!(NVME_IOCTL_ADMIN_CMD, 0xc048_4e41);
    }

    #[test]
    fn what_is_no_controller_has_no_log() {
        let file = tempfile::tempfile().unwrap();
        let mut page = [7; 512];
        assert!(log_page(&file, 2, &mut page).is_err());
        assert!(log_page(&file, 2, &mut page[..3]).is_err() && log_page(&file, 2, &mut []).is_err());
        assert_eq!(page, [7; 512]);
    }
}
