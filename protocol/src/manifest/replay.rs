//! Replaying a journal: what had landed when its writer stopped, however it stopped.

use std::io::{self, BufRead};

use super::line::{Line, decode};
use super::line_error::LineError;
use super::read::{ManifestError, RawLine, RawLines, check_header};
use super::record::{ChunkRecord, CommitNote, Header};
use super::unreadable::Joiner;
use crate::units::{ChunkGeometry, ChunkIndex};

/// Why a journal cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The bytes could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The header is damaged or of another program.
    #[error(transparent)]
    Header(#[from] ManifestError),
    /// A damaged line with whole ones behind it: no crash does that.
    #[error("line {number} is damaged, and lines follow it: {error}")]
    Damaged {
        /// Counted from one.
        number: u64,
        /// In which way.
        error: LineError,
    },
    /// A whole line that has no place in a journal, or a chunk that is none of this drive's.
    #[error("line {number} does not belong into this journal")]
    Foreign {
        /// Counted from one.
        number: u64,
    },
}

/// A journal being replayed.
pub struct JournalReplay<R> {
    lines: RawLines<R>,
    header: Box<Header>,
    geometry: ChunkGeometry,
    joiner: Joiner,
    /// Lines of a record whose end was not read yet.
    pending_bytes: u64,
    valid_bytes: u64,
}

/// What the next line of a journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// This chunk had landed.
    Landed(ChunkIndex, ChunkRecord),
    /// A run stopped, and this is what names the state of its target then.
    Left(String),
    /// All chunks had landed, and the blob may or may not have appeared.
    CommitBegun(CommitNote),
    /// The blob had appeared, in this version.
    Committed(String),
}

impl<R: BufRead> JournalReplay<R> {
    /// Reads the header. `None` when not even that was written whole: nothing had landed.
    pub fn new(source: R) -> Result<Option<Self>, ReplayError> {
        let mut lines = RawLines::new(source);
        let (length, line) = match lines.next()? {
            None | Some(RawLine::Torn) => return Ok(None),
            Some(RawLine::TooLong) => return Err(ManifestError::NotAManifest.into()),
            Some(RawLine::Whole(line)) => (line.len() as u64 + 1, decode(line)),
        };
        let line = match line {
            Ok(line) => line,
            Err(error) if lines.next()?.is_none() => {
                // A first line that is damaged and alone: torn if it could be ours, else foreign.
                return match error {
                    LineError::WrongChecksum => Ok(None),
                    _ => Err(ManifestError::NotAManifest.into()),
                };
            }
            Err(LineError::NoChecksum) => return Err(ManifestError::NotAManifest.into()),
            Err(error) => return Err(ReplayError::Damaged { number: 1, error }),
        };
        let (header, geometry) = check_header(line)?;
        Ok(Some(JournalReplay { lines, header, geometry, joiner: Joiner::default(), pending_bytes: 0, valid_bytes: length }))
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How the drive is cut.
    pub fn geometry(&self) -> ChunkGeometry {
        self.geometry
    }

    /// Length of the part that is whole: where the next record is to be written.
    pub fn valid_bytes(&self) -> u64 {
        self.valid_bytes
    }

    /// What the next line says, in the order of landing; a chunk may come twice. `None` at the end,
    /// a torn last line being no line.
    pub fn next_record(&mut self) -> Result<Option<Replay>, ReplayError> {
        loop {
            let (length, decoded) = match self.lines.next()? {
                None | Some(RawLine::Torn) => return Ok(None),
                Some(RawLine::TooLong) => (0, Err(LineError::TooLong)),
                Some(RawLine::Whole(line)) => (line.len() as u64 + 1, decode(line)),
            };
            let number = self.lines.number;
            self.pending_bytes += length;
            let damaged = |error| ReplayError::Damaged { number, error };
            let replay = match decoded {
                Ok(Line::Unreadable(part)) => {
                    self.joiner.add(part).map_err(damaged)?;
                    continue;
                }
                Ok(Line::Chunk(record)) => {
                    let record = self.joiner.finish(record).map_err(damaged)?;
                    match self.geometry.index_of(record.range) {
                        Some(index) => Replay::Landed(index, record),
                        None => return Err(ReplayError::Foreign { number }),
                    }
                }
                Ok(_) if self.joiner.is_pending() => return Err(ReplayError::Foreign { number }),
                Ok(Line::Left { target }) => Replay::Left(target),
                Ok(Line::Commit(note)) => Replay::CommitBegun(note),
                Ok(Line::Committed { version }) => Replay::Committed(version),
                Ok(Line::Header(_) | Line::End(_)) => return Err(ReplayError::Foreign { number }),
                // Blocks of the file may reach the disk out of order: a damaged line at the very end is
                // a torn one too.
                Err(error) => {
                    return match self.lines.next()? {
                        None => Ok(None),
                        Some(_) => Err(ReplayError::Damaged { number, error }),
                    };
                }
            };
            self.valid_bytes += std::mem::take(&mut self.pending_bytes);
            return Ok(Some(replay));
        }
    }
}
