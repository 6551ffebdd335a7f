//! Where a bench works: a directory of its own, removed at its end, with the image that is copied.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use super::error::BenchError;

/// Bytes between two runs of zeros: of each 32 MiB of an image 8 are zeros.
const DATA_BYTES: u64 = 24 << 20;

/// Length of a run of zeros.
const ZERO_BYTES: u64 = 8 << 20;

/// How an image is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// A quarter of it is zeros that were written.
    QuarterZero,
    /// No zeros.
    Random,
}

/// The directory of a bench.
pub(super) struct WorkDir {
    folder: TempDir,
}

impl WorkDir {
    /// A new directory in `parent`, or in the one for temporary files.
    pub(super) fn new(parent: Option<&Path>) -> Result<Self, BenchError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let made = tempfile::Builder::new().prefix("drive-agent-bench-").tempdir_in(&parent);
        made.map(|folder| WorkDir { folder }).map_err(|error| BenchError::file(&parent, error))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes an image; gives its path and how much of it is not zeros.
    pub(super) fn image(&self, name: &str, size_bytes: u64, filling: Filling) -> Result<(PathBuf, u64), BenchError> {
        let path = self.path(name);
        let made = write_image(&path, size_bytes, filling);
        made.map(|data_bytes| (path.clone(), data_bytes)).map_err(|error| BenchError::file(&path, error))
    }
}

fn write_image(path: &Path, size_bytes: u64, filling: Filling) -> std::io::Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut state, mut written, mut data_bytes) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    let mut block = vec![0_u8; 64 << 10];
    while written < size_bytes {
        let is_data = filling == Filling::Random || written % (DATA_BYTES + ZERO_BYTES) < DATA_BYTES;
        let length = (block.len() as u64).min(size_bytes - written);
        if is_data {
            for word in block.chunks_exact_mut(8) {
                // Marsaglia's xorshift: no block is like another, and none can be compressed.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            data_bytes += length;
        } else {
            block.fill(0);
        }
        file.write_all(&block[..length as usize])?;
        written += length;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(data_bytes)
}

/// Brings a file into the page cache, or out of it.
pub(super) fn set_cache(path: &Path, is_warm: bool) -> Result<(), BenchError> {
    let set = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        if is_warm {
            std::io::copy(&mut file, &mut std::io::sink())?;
            return Ok(());
        }
        // Pages that are not on the disk yet would stay.
        file.sync_all()?;
        Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
    };
    set().map_err(|error| BenchError::file(path, error))
}

/// Removes what a run made; what is not there is removed already.
pub(super) fn remove(path: &Path) -> Result<(), BenchError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BenchError::file(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_an_image_is_zeros() {
        let work = WorkDir::new(None).unwrap();
        let (path, data_bytes) = work.image("a.img", 64 << 20, Filling::QuarterZero).unwrap();
        assert_eq!(data_bytes, 48 << 20);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 64 << 20);
        assert!(drive::zero::is_zero(&bytes[24 << 20..32 << 20]) && !drive::zero::is_zero(&bytes[..4096]));
        set_cache(&path, false).unwrap();
        set_cache(&path, true).unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
