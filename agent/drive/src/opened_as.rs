//! Which file or device a path led to: paths can be made to lead elsewhere between a look and what follows from it.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// A file, or a device of the kernel, whatever is called how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenedAs {
    /// A file.
    File {
        /// The number of its file system.
        device: u64,
        /// Its number there.
        inode: u64,
    },
    /// A block device.
    Device {
        /// Its number (`st_rdev`).
        number: u64,
    },
}

impl OpenedAs {
    /// What a look by path, or at an open file, says.
    pub fn of(metadata: &Metadata) -> Self {
        match metadata.file_type().is_block_device() {
            true => OpenedAs::Device { number: metadata.rdev() },
            false => OpenedAs::File { device: metadata.dev(), inode: metadata.ino() },
        }
    }
}
