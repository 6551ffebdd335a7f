//! Reading a manifest, one record at a time, with every promise of the format checked.

use std::io::{self, BufRead};

use super::line::{Line, decode};
use super::line_error::LineError;
use super::record::{ChunkContent, ChunkRecord, FORMAT, Footer, Header, VERSION};
use super::size::{PlaceCount, TooManyPlaces};
use super::unreadable::Joiner;
use crate::digest::RootHasher;
use crate::limits::MANIFEST_LINE_MAX_BYTES;
use crate::units::{ChunkGeometry, ChunkIndex, GeometryError};

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A damaged line.
    #[error("line {number} is damaged: {error}")]
    Line {
        /// Counted from one.
        number: u64,
        /// In which way.
        error: LineError,
    },
    /// It does not begin with a header of ours.
    #[error("it is not a drive-agent manifest")]
    NotAManifest,
    /// A newer format.
    #[error("it has format version {0}, and this program reads version {VERSION}: use a newer program")]
    UnknownVersion(u32),
    /// The header's sizes cannot be.
    #[error("its sizes are impossible: {0}")]
    Geometry(#[from] GeometryError),
    /// A gap, a repetition, or records in another order.
    #[error("line {number} is not the record of the next chunk in drive order")]
    OutOfOrder {
        /// Counted from one.
        number: u64,
    },
    /// No `end` line: a journal, or a cut file.
    #[error("it has no end: it is a journal, or the file was cut")]
    NoEnd,
    /// Counts or root do not fit the records.
    #[error("its {0} do not fit its records: the file was edited")]
    WrongEnd(&'static str),
    /// Something follows the `end` line.
    #[error("something follows its last line")]
    Trailing,
    /// More places than a reader keeps.
    #[error(transparent)]
    TooManyPlaces(#[from] TooManyPlaces),
    /// More bytes than its records can take.
    #[error("it has {bytes} bytes, and a manifest of as many chunks has at most {most}: it is damaged")]
    TooLong {
        /// What it has.
        bytes: u64,
        /// What it can have.
        most: u64,
    },
}

/// Reads lines of bounded length; distinguishes a torn last line from a whole one.
pub(super) struct RawLines<R> {
    source: R,
    buffer: Vec<u8>,
    pub(super) number: u64,
}

pub(super) enum RawLine<'buffer> {
    Whole(&'buffer [u8]),
    /// The last line, without its newline.
    Torn,
    TooLong,
}

impl<R: BufRead> RawLines<R> {
    pub(super) fn new(source: R) -> Self {
        RawLines { source, buffer: Vec::new(), number: 0 }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.buffer.clear();
        let limit = MANIFEST_LINE_MAX_BYTES as u64 + 1;
        let length = io::Read::take(&mut self.source, limit).read_until(b'\n', &mut self.buffer)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(match self.buffer.split_last() {
            Some((b'\n', line)) => RawLine::Whole(line),
            _ if length as u64 == limit => RawLine::TooLong,
            _ => RawLine::Torn,
        }))
    }
}

/// Checks that a line is a header of a format that this program reads.
pub(super) fn check_header(line: Line) -> Result<(Box<Header>, ChunkGeometry), ManifestError> {
    let Line::Header(header) = line else {
        return Err(ManifestError::NotAManifest);
    };
    if header.format != FORMAT {
        return Err(ManifestError::NotAManifest);
    }
    if header.version != VERSION {
        return Err(ManifestError::UnknownVersion(header.version));
    }
    let geometry = ChunkGeometry::new(header.total_bytes, header.chunk_size_bytes)?;
    Ok((header, geometry))
}

/// A manifest being read. Records come in drive order; the root is checked when the last one was read.
pub struct ManifestReader<R> {
    lines: RawLines<R>,
    header: Box<Header>,
    geometry: ChunkGeometry,
    next_index: ChunkIndex,
    joiner: Joiner,
    root: RootHasher,
    zero_chunk_digest: Option<crate::digest::Sha256Digest>,
    bytes_zero: u64,
    bytes_unreadable: u64,
    places: PlaceCount,
    footer: Option<Footer>,
}

impl<R: BufRead> ManifestReader<R> {
    /// Reads and checks the header.
    pub fn new(source: R) -> Result<Self, ManifestError> {
        let mut lines = RawLines::new(source);
        let first = match lines.next()? {
            Some(RawLine::Whole(line)) => decode(line).map_err(|error| match error {
                LineError::NoChecksum => ManifestError::NotAManifest,
                error => ManifestError::Line { number: 1, error },
            })?,
            _ => return Err(ManifestError::NotAManifest),
        };
        let (header, geometry) = check_header(first)?;
        Ok(ManifestReader {
            lines,
            header,
            geometry,
            next_index: ChunkIndex(0),
            joiner: Joiner::default(),
            root: RootHasher::default(),
            zero_chunk_digest: None,
            bytes_zero: 0,
            bytes_unreadable: 0,
            places: PlaceCount::default(),
            footer: None,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How the drive is cut.
    pub fn geometry(&self) -> ChunkGeometry {
        self.geometry
    }

    /// The end line, once [`next_chunk`](Self::next_chunk) has returned `None`.
    pub fn footer(&self) -> Option<&Footer> {
        self.footer.as_ref()
    }

    /// The next record in drive order; `None` when the end was reached and counts and root fit.
    pub fn next_chunk(&mut self) -> Result<Option<ChunkRecord>, ManifestError> {
        if self.footer.is_some() {
            return Ok(None);
        }
        loop {
            let line = match self.lines.next()? {
                Some(RawLine::Whole(line)) => decode(line),
                Some(RawLine::TooLong) => Err(LineError::TooLong),
                Some(RawLine::Torn) | None => return Err(ManifestError::NoEnd),
            };
            let number = self.lines.number;
            let damaged = |error| ManifestError::Line { number, error };
            match line.map_err(damaged)? {
                Line::Unreadable(part) => self.joiner.add(part).map_err(damaged)?,
                Line::Chunk(record) => {
                    let record = self.joiner.finish(record).map_err(damaged)?;
                    if self.geometry.range(self.next_index) != Some(record.range) {
                        return Err(ManifestError::OutOfOrder { number });
                    }
                    self.next_index.0 += 1;
                    self.places.add(&record)?;
                    self.count(&record);
                    return Ok(Some(record));
                }
                Line::End(footer) if !self.joiner.is_pending() => {
                    self.check_end(&footer)?;
                    self.footer = Some(footer);
                    return Ok(None);
                }
                Line::Header(_) | Line::Left { .. } | Line::Commit(_) | Line::Committed { .. } | Line::End(_) => {
                    return Err(ManifestError::OutOfOrder { number });
                }
            }
        }
    }

    fn count(&mut self, record: &ChunkRecord) {
        self.bytes_unreadable += record.unreadable.iter().map(|range| range.length).sum::<u64>();
        let digest = match record.content {
            ChunkContent::Data(digest) => digest,
            ChunkContent::Zero => {
                self.bytes_zero += record.range.length;
                if record.range.length == self.geometry.chunk_size_bytes() {
                    *self.zero_chunk_digest.get_or_insert_with(|| record.content.digest(record.range.length))
                } else {
                    record.content.digest(record.range.length)
                }
            }
        };
        self.root.add(&digest);
    }

    fn check_end(&mut self, footer: &Footer) -> Result<(), ManifestError> {
        if self.next_index.0 != self.geometry.chunk_count() || footer.chunks != self.next_index.0 {
            return Err(ManifestError::WrongEnd("chunk counts"));
        }
        if footer.bytes_total != self.header.total_bytes
            || footer.bytes_zero != self.bytes_zero
            || footer.bytes_unreadable != self.bytes_unreadable
        {
            return Err(ManifestError::WrongEnd("byte counts"));
        }
        if footer.root_sha256 != self.root.clone().finish() {
            return Err(ManifestError::WrongEnd("digests"));
        }
        match self.lines.next()? {
            None => Ok(()),
            Some(_) => Err(ManifestError::Trailing),
        }
    }
}
