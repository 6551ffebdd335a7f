//! Plain files that become a copy of a drive: an image that an export writes, a blob of a directory store that an
//! import writes. Both are long, written once in large pieces, synced often, and full of holes.
//!
//! # Architecture
//!
//! | module | what it holds |
//! |---|---|
//! | this one | [`CopyFile`] writes such a file, [`next_data`] finds the holes of one |
//! | [`capacity`] | whether a file of some name and size can be made at all |
//! | [`locked`] | opening a file for one process alone, and being sure that it is the one that its path names |
//! | [`partial`] | what a file is called until it is whole |
//! | [`private`] | folders that hold customers' data or secrets |
//! | [`replace`] | making a file appear under its name, whole or not at all |
//! | [`crash`] | places where tests kill the process |
//!
//! They know nothing of drives, stores, chunks or
//! names: `drive` and `blob` each wrap them, and turn their plain `io::Error` into an error of theirs.
//!
//! | rule | why |
//! |---|---|
//! | Aligned bytes go past the page cache (O_DIRECT) where the file system can | half of the kernel's work, no other program's cache is pushed out, and the sync before each journal record has little left to do |
//! | Room is made before the bytes come | a full disk says so before anything is written; it costs no time that could be measured |
//! | Zeros are holes | they cost neither room nor time |

pub mod capacity;
pub mod crash;
pub mod locked;
pub mod partial;
pub mod private;
pub mod replace;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// Address, offset and length of a write past the page cache are multiples of this: it covers every sector size.
const DIRECT_ALIGNMENT_BYTES: usize = 4096;

/// Pieces in which zeros are written where there can be no holes.
const ZEROS_BYTES: u64 = 1 << 20;

/// A file that is becoming the copy of a drive. May be written from many threads at once, in places that do not overlap.
pub struct CopyFile {
    file: File,
    /// The same file past the page cache; `None` where the file system cannot.
    direct: Option<File>,
    /// Whether the file system can make room beforehand.
    can_allocate: AtomicBool,
}

impl CopyFile {
    /// Takes a file that was opened to write.
    pub fn new(file: File) -> Self {
        // By its descriptor: the path may name another file by now.
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(own).ok();
        CopyFile { file, direct, can_allocate: AtomicBool::new(true) }
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes `bytes` at `offset`, whole: past the page cache what is aligned, the rest (odd tails) through it. Durable
    /// after a sync of the file.
    ///
    /// # Errors
    /// What the file system says. A part may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_aligned = |number: usize| number.is_multiple_of(DIRECT_ALIGNMENT_BYTES);
        let aligned = bytes.len() / DIRECT_ALIGNMENT_BYTES * DIRECT_ALIGNMENT_BYTES;
        let fits = aligned > 0 && is_aligned(bytes.as_ptr().addr()) && is_aligned(offset as usize);
        let Some(direct) = self.direct.as_ref().filter(|_| fits) else {
            return self.file.write_all_at(bytes, offset);
        };
        self.allocate(offset, aligned as u64)?;
        match direct.write_all_at(&bytes[..aligned], offset) {
            // Some file systems take the flag and refuse the write.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return self.file.write_all_at(bytes, offset),
            other => other?,
        }
        self.file.write_all_at(&bytes[aligned..], offset + aligned as u64)
    }

    /// Makes room for a range; its bytes do not change, and the file does not grow.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        if !self.can_allocate.load(Ordering::Relaxed) {
            return Ok(());
        }
        loop {
            match fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, length) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    self.can_allocate.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                answer => return answer.map_err(io::Error::from),
            }
        }
    }

    /// Makes a range read as zeros: a hole, where the file system knows them.
    ///
    /// # Errors
    /// What the file system says. A part may be zeros already.
    pub fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, length),
            answer => answer.map_err(io::Error::from),
        }
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES.min(length) as usize];
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let piece = ZEROS_BYTES.min(end - at);
            self.file.write_all_at(&zeros[..piece as usize], at)?;
            at += piece;
        }
        Ok(())
    }

    /// Gives the file a length. Bytes behind it are lost, and new ones are zeros.
    ///
    /// # Errors
    /// What the file system says.
    pub fn give_length(&self, length: u64) -> io::Result<()> {
        if self.file.metadata()?.len() == length { Ok(()) } else { self.file.set_len(length) }
    }
}

/// The first run of bytes at or after `offset` and before `end` that may be something else than zeros; `None` where
/// there are only holes, or nothing at all. A file system that knows no holes answers with all that is left. The file's
/// own position is moved.
///
/// # Errors
/// What the file system says.
pub fn next_data(file: &File, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
    if offset >= end {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        // Past the last data, or past the end.
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(offset..end)),
        Err(errno) => return Err(errno.into()),
    };
    let hole = seek(file, SeekFrom::Hole(start))?;
    Ok((start < end).then(|| start..hole.min(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> CopyFile {
        let path = folder.path().join("copy");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        CopyFile::new(file)
    }

    fn content(copy: &CopyFile) -> Vec<u8> {
        let mut bytes = vec![0; copy.file().metadata().unwrap().len() as usize];
        copy.file().read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// `length` bytes that begin at an address with this remainder.
    fn at_address(buffer: &mut Vec<u8>, remainder: usize, length: usize) -> &[u8] {
        buffer.resize(2 * DIRECT_ALIGNMENT_BYTES + length, 0);
        let lead = buffer.as_ptr().addr().next_multiple_of(DIRECT_ALIGNMENT_BYTES) - buffer.as_ptr().addr() + remainder;
        let bytes = &mut buffer[lead..lead + length];
        bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = (index % 251) as u8 + 1);
        bytes
    }

    #[test]
    fn every_alignment_of_address_offset_and_length_lands_whole() {
        let folder = tempfile::tempdir().unwrap();
        for remainder in [0, 8] {
            for offset in [0, 512, 4096, 12_288] {
                for length in [1, 4095, 4096, 4097, 20_000] {
                    let copy = file(&folder);
                    let mut buffer = Vec::new();
                    let bytes = at_address(&mut buffer, remainder, length);
                    copy.write_all_at(bytes, offset as u64).unwrap();
                    let expected = [vec![0; offset], bytes.to_vec()].concat();
                    assert!(content(&copy) == expected, "address {remainder}, offset {offset}, length {length}");
                }
            }
        }
    }

    #[test]
    fn room_that_was_made_neither_shows_nor_hides_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let copy = file(&folder);
        copy.write_all_at(&[7; 100], 4096).unwrap();
        copy.allocate(0, 1 << 20).unwrap();
        assert_eq!(content(&copy), [vec![0; 4096], vec![7; 100]].concat());
    }

    #[test]
    fn zeros_replace_what_was_there_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        for zero in [CopyFile::zero, CopyFile::write_zeros] {
            let copy = file(&folder);
            let length = 2 * ZEROS_BYTES as usize + 4096;
            copy.write_all_at(&vec![9; length], 0).unwrap();
            zero(&copy, 100, length as u64 - 200).unwrap();
            let expected = [vec![9; 100], vec![0; length - 200], vec![9; 100]].concat();
            assert!(content(&copy) == expected);
        }
    }

    #[test]
    fn a_length_is_given_and_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let copy = file(&folder);
        for length in [4096, 4096, 100] {
            copy.give_length(length).unwrap();
            assert_eq!(content(&copy), vec![0; length as usize]);
        }
    }

    #[test]
    fn data_is_found_between_holes() {
        const BLOCK: u64 = 64 << 10;
        let folder = tempfile::tempdir().unwrap();
        let copy = file(&folder);
        copy.give_length(8 * BLOCK).unwrap();
        for block in [1, 2, 5] {
            copy.write_all_at(&[7; BLOCK as usize], block * BLOCK).unwrap();
        }
        let next = |offset: u64, end: u64| next_data(copy.file(), offset, end).unwrap();
        assert_eq!(next(0, 8 * BLOCK), Some(BLOCK..3 * BLOCK));
        assert_eq!(next(BLOCK + 1, 8 * BLOCK), Some(BLOCK + 1..3 * BLOCK));
        assert_eq!(next(0, 2 * BLOCK), Some(BLOCK..2 * BLOCK));
        assert_eq!(next(3 * BLOCK, 5 * BLOCK), None);
        assert_eq!(next(3 * BLOCK, 8 * BLOCK), Some(5 * BLOCK..6 * BLOCK));
        assert_eq!((next(6 * BLOCK, 8 * BLOCK), next(9 * BLOCK, 10 * BLOCK), next(BLOCK, BLOCK)), (None, None, None));
    }
}
