//! Whether a file of some name and size can be made in a folder: asked before its first byte, not found out at its last.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{fstatfs, fstatvfs};
use rustix::process::{Resource, getrlimit};

use crate::replace::folder_of;

/// `MSDOS_SUPER_MAGIC` of linux/magic.h.
const FAT: u64 = 0x4d44;

/// Largest file of FAT, in bytes.
const FAT_FILE_BYTES_MAX: u64 = u32::MAX as u64;

/// `EXFAT_SUPER_MAGIC` of linux/magic.h: it has no holes, so making a long file takes as long as writing it.
const EXFAT: u64 = 0x2011_bab0;

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// The file system has a limit for names.
    #[error("its name has {length} bytes, and with what is appended to it at most {most} fit here: choose a shorter name")]
    NameTooLong {
        /// What it has.
        length: usize,
        /// What would fit.
        most: usize,
    },
    /// This process may not make files of that size.
    #[error("a file of {bytes} bytes is to be made, and the limit of this process is {limit} bytes: raise it (`ulimit -f`)")]
    ProcessLimit {
        /// What is to be made, in bytes.
        bytes: u64,
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// The file system cannot hold files of that size.
    #[error("a file of {bytes} bytes is to be made, and the file system cannot hold one: choose another file system")]
    FileSystemLimit {
        /// What is to be made, in bytes.
        bytes: u64,
    },
    /// What the kernel said.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Checks that a file of `total_bytes` can be made at `path`, whose name grows by up to `suffix_bytes` meanwhile. Gives how
/// many bytes the file system has free.
///
/// # Errors
/// Why it cannot be made.
pub fn require(path: &Path, suffix_bytes: usize, total_bytes: u64) -> Result<u64, CapacityError> {
    let folder = folder_of(path);
    let opened = File::open(folder)?;
    let file_system = fstatvfs(&opened).map_err(io::Error::from)?;
    let length = path.file_name().map_or(0, |name| name.as_encoded_bytes().len());
    let most = usize::try_from(file_system.f_namemax).unwrap_or(usize::MAX).saturating_sub(suffix_bytes);
    if length > most {
        return Err(CapacityError::NameTooLong { length, most });
    }
    if let Some(limit) = getrlimit(Resource::Fsize).current.filter(|limit| *limit < total_bytes) {
        return Err(CapacityError::ProcessLimit { bytes: total_bytes, limit });
    }
    match fstatfs(&opened).map_err(io::Error::from)?.f_type as u64 {
        FAT if total_bytes > FAT_FILE_BYTES_MAX => return Err(CapacityError::FileSystemLimit { bytes: total_bytes }),
        FAT | EXFAT => {}
        _ => match tempfile::tempfile_in(folder).and_then(|file| file.set_len(total_bytes)) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(CapacityError::FileSystemLimit { bytes: total_bytes });
            }
            other => other?,
        },
    }
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_that_cannot_be_are_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(240));
        assert!(matches!(require(&path, 16, 1), Err(CapacityError::NameTooLong { length: 240, most: 239 })));
        assert!(require(&path, 15, 1).unwrap() > 0);
        assert!(matches!(require(&path, 15, i64::MAX as u64), Err(CapacityError::FileSystemLimit { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
