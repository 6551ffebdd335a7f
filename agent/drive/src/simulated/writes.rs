//! What was written to a simulated drive: blocks laid over its content, in memory or in a sparse file.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use file::replace::folder_of;
use protocol::rescue::{ReadMap, ReadStatus};
use protocol::units::ByteRange;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::files::open_plain;
use super::rule::ProfileRule;

/// The unit of what is kept: the block of common file systems, whose holes show what was written.
const BLOCK_BYTES: u64 = 4096;

/// Content of a place that was not written to.
pub(super) type Below<'drive> = &'drive dyn Fn(&mut [u8], u64) -> io::Result<()>;

/// What was written.
pub(super) struct Written {
    kept: Mutex<Kept>,
}

enum Kept {
    Memory {
        blocks: BTreeMap<u64, Box<[u8]>>,
        /// Zeroed runs cost nothing, however long they are.
        zeroed: ReadMap,
    },
    File(File),
    /// A file that is made by the first write: looking at a drive changes nothing.
    NoFileYet {
        path: PathBuf,
        size: u64,
    },
}

impl Written {
    /// Nothing was written yet; it goes with the process.
    pub(super) fn in_memory(size: u64) -> Self {
        let kept = Kept::Memory { blocks: BTreeMap::new(), zeroed: ReadMap::new(size, ReadStatus::NonTried) };
        Written { kept: Mutex::new(kept) }
    }

    /// What earlier runs wrote, in a sparse file. Its holes were not written to.
    pub(super) fn in_file(path: &Path, size: u64) -> io::Result<Self> {
        let kept = match open_plain(path, OpenOptions::new().read(true).write(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder_of(path).is_dir() => {
                Kept::NoFileYet { path: path.to_owned(), size }
            }
            Err(error) => return Err(error),
            Ok(file) => match file.metadata()?.len() {
                0 => Kept::File(sized(file, size)?),
                length if length == size => Kept::File(file),
                _ => return Err(io::Error::other("it belongs to a drive of another size")),
            },
        };
        Ok(Written { kept: Mutex::new(kept) })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is there now: what was written, else what is below.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64, below: Below<'_>) -> io::Result<()> {
        below(bytes, offset)?;
        self.kept().lay_over(bytes, offset)
    }

    /// Writes, in whole blocks: the rest of a block becomes what it reads as.
    pub(super) fn write(&self, bytes: &[u8], offset: u64, size: u64, below: Below<'_>) -> io::Result<()> {
        let mut kept = self.kept();
        let mut done = 0;
        while done < bytes.len() {
            let position = offset + done as u64;
            let start = position / BLOCK_BYTES * BLOCK_BYTES;
            let block_bytes = BLOCK_BYTES.min(size - start) as usize;
            let from = (position - start) as usize;
            let length = (block_bytes - from).min(bytes.len() - done);
            let piece = &bytes[done..done + length];
            if length == block_bytes {
                kept.keep(start, piece)?;
            } else {
                let mut block = vec![0; block_bytes];
                below(&mut block, start)?;
                kept.lay_over(&mut block, start)?;
                block[from..from + length].copy_from_slice(piece);
                kept.keep(start, &block)?;
            }
            done += length;
        }
        Ok(())
    }

    /// Makes [`whole_blocks`] zero without keeping them one by one; false where it cannot.
    pub(super) fn zero_blocks(&self, range: ByteRange) -> bool {
        match &mut *self.kept() {
            Kept::Memory { blocks, zeroed } => {
                let inside: Vec<u64> = blocks.range(range.offset..range.end()).map(|(start, _)| *start).collect();
                for start in inside {
                    blocks.remove(&start);
                }
                zeroed.set(range, ReadStatus::Finished);
                true
            }
            Kept::File(_) | Kept::NoFileYet { .. } => false,
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match &*self.kept() {
            Kept::Memory { .. } | Kept::NoFileYet { .. } => Ok(()),
            Kept::File(file) => file.sync_data(),
        }
    }
}

/// Gives a file that is empty the size of its drive.
fn sized(file: File, size: u64) -> io::Result<File> {
    file.set_len(size)?;
    match size > 0 && seek(&file, SeekFrom::Data(0)).is_ok() {
        true => Err(io::Error::other("its file system cannot tell what was written: choose another place")),
        false => Ok(file),
    }
}

impl Kept {
    fn keep(&mut self, start: u64, block: &[u8]) -> io::Result<()> {
        match self {
            Kept::Memory { blocks, .. } => {
                blocks.insert(start, block.into());
                Ok(())
            }
            Kept::File(file) => file.write_all_at(block, start),
            Kept::NoFileYet { path, size } => {
                ProfileRule::of_process().require_place(folder_of(path))?;
                let file = open_plain(path, OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600))?;
                let file = sized(file, *size)?;
                file.write_all_at(block, start)?;
                *self = Kept::File(file);
                Ok(())
            }
        }
    }

    fn lay_over(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let range = ByteRange::new(offset, bytes.len() as u64);
        match self {
            Kept::Memory { blocks, zeroed } => {
                for (run, status) in zeroed.runs_in(range) {
                    if status == ReadStatus::Finished {
                        bytes[(run.offset - offset) as usize..(run.end() - offset) as usize].fill(0);
                    }
                }
                for (start, block) in blocks.range(offset.saturating_sub(BLOCK_BYTES - 1)..range.end()) {
                    lay_piece(bytes, offset, block, *start);
                }
                Ok(())
            }
            Kept::NoFileYet { .. } => Ok(()),
            Kept::File(file) => {
                let mut position = offset;
                while position < range.end() {
                    let start = match seek(file, SeekFrom::Data(position)) {
                        Ok(start) if start < range.end() => start,
                        Ok(_) | Err(Errno::NXIO) => break,
                        Err(errno) => return Err(errno.into()),
                    };
                    let end = seek(file, SeekFrom::Hole(start))?.min(range.end());
                    file.read_exact_at(&mut bytes[(start - offset) as usize..(end - offset) as usize], start)?;
                    position = end;
                }
                Ok(())
            }
        }
    }
}

/// The whole blocks inside a range; empty where there is none.
pub(super) fn whole_blocks(range: ByteRange) -> ByteRange {
    let start = range.offset.next_multiple_of(BLOCK_BYTES);
    let end = range.end() / BLOCK_BYTES * BLOCK_BYTES;
    ByteRange::new(start, end.saturating_sub(start))
}

/// Copies the part of `piece`, which lies at `start`, that falls into `bytes`, which lie at `offset`.
fn lay_piece(bytes: &mut [u8], offset: u64, piece: &[u8], start: u64) {
    let from = start.max(offset);
    let to = (start + piece.len() as u64).min(offset + bytes.len() as u64);
    if from < to {
        let source = &piece[(from - start) as usize..(to - start) as usize];
        bytes[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
    }
}

/// What a volatile cache loses at once.
const CACHE_LINE_BYTES: usize = 4096;

#[derive(Default)]
struct Held {
    /// The oldest first, each with its offset.
    writes: VecDeque<(u64, Box<[u8]>)>,
    bytes: u64,
}

/// The last writes of a drive whose cache lies: they read back well, and are lost with the drive.
pub(super) struct VolatileCache {
    bytes_max: u64,
    writes: Mutex<Held>,
}

impl VolatileCache {
    pub(super) fn new(bytes_max: u64) -> Self {
        VolatileCache { bytes_max, writes: Mutex::default() }
    }

    /// Takes a write, and gives those that do not fit any more: they reach the medium.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Vec<(u64, Box<[u8]>)> {
        let mut held = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, piece) in bytes.chunks(CACHE_LINE_BYTES).enumerate() {
            held.writes.push_back((offset + (index * CACHE_LINE_BYTES) as u64, piece.into()));
        }
        held.bytes += bytes.len() as u64;
        let mut out = Vec::new();
        while held.bytes > self.bytes_max
            && let Some(write) = held.writes.pop_front()
        {
            held.bytes -= write.1.len() as u64;
            out.push(write);
        }
        out
    }

    pub(super) fn lay_over(&self, bytes: &mut [u8], offset: u64) {
        let held = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        held.writes.iter().for_each(|(start, piece)| lay_piece(bytes, offset, piece, *start));
    }
}
