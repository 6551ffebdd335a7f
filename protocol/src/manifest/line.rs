//! One line: a JSON object whose last member is the checksum of everything before it.

use serde::{Deserialize, Serialize};

use super::line_error::{EncodeError, LineError};
use super::record::{ChunkRecord, CommitNote, Footer, Header};
use super::unreadable::{UnreadablePart, parts};
use crate::limits::MANIFEST_LINE_MAX_BYTES;

/// Any line of a manifest or journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Header(Box<Header>),
    /// Unreadable ranges of the chunk whose record follows, where it has too many for one line. [`encode`] writes
    /// these lines by itself.
    Unreadable(UnreadablePart),
    /// One chunk.
    Chunk(ChunkRecord),
    /// The transfer stopped, and this is what its target was then (journals only): a target that is still the same
    /// holds what the records before say.
    Left {
        /// What names the state of the target.
        target: String,
    },
    /// All chunks landed and the blob is about to appear (journals only).
    Commit(CommitNote),
    /// The blob appeared (journals only).
    Committed {
        /// Which version of it.
        version: String,
    },
    /// The last line (manifests only).
    End(Footer),
}

const CHECKSUM_PREFIX: &[u8] = b",\"crc32c\":\"";
const CHECKSUM_DIGITS: usize = 8;
const CHECKSUM_SUFFIX: &[u8] = b"\"}";
const TRAILER_BYTES: usize = CHECKSUM_PREFIX.len() + CHECKSUM_DIGITS + CHECKSUM_SUFFIX.len();

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    // The library gives 32 bits as 64.
    let [.., a, b, c, d] = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes).to_be_bytes();
    let mut digits = [0; CHECKSUM_DIGITS];
    // Eight digits for four bytes always fit.
    let _ = hex::encode_to_slice([a, b, c, d], &mut digits);
    digits
}

/// Writes `line` with its checksum and a newline at the end of `buffer`; a chunk with many unreadable ranges as several
/// lines, its record last. What is written, [`decode`] reads.
///
/// # Errors
/// When [`decode`] would refuse it. Then nothing is written.
pub fn encode(line: &Line, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = buffer.len();
    let written = match line {
        Line::Chunk(record) => encode_chunk(record, buffer),
        line => encode_one(line, buffer),
    };
    if written.is_err() {
        buffer.truncate(start);
    }
    written
}

fn encode_chunk(record: &ChunkRecord, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (parts, rest) = parts(record).map_err(EncodeError::Unreadable)?;
    for part in parts {
        encode_one(&Line::Unreadable(part), buffer)?;
    }
    encode_one(&Line::Chunk(ChunkRecord { unreadable: rest.to_vec(), ..record.clone() }), buffer)
}

fn encode_one(line: &Line, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, line)?;
    buffer.pop();
    let digits = checksum(&buffer[start..]);
    buffer.extend_from_slice(CHECKSUM_PREFIX);
    buffer.extend_from_slice(&digits);
    buffer.extend_from_slice(CHECKSUM_SUFFIX);
    if buffer.len() - start > MANIFEST_LINE_MAX_BYTES {
        return Err(EncodeError::Unreadable(LineError::TooLong));
    }
    buffer.push(b'\n');
    Ok(())
}

/// Reads one line, given without its newline.
pub fn decode(line: &[u8]) -> Result<Line, LineError> {
    if line.len() > MANIFEST_LINE_MAX_BYTES {
        return Err(LineError::TooLong);
    }
    let body_length = line.len().checked_sub(TRAILER_BYTES).ok_or(LineError::NoChecksum)?;
    let (body, trailer) = line.split_at(body_length);
    let digits =
        trailer.strip_prefix(CHECKSUM_PREFIX).and_then(|rest| rest.strip_suffix(CHECKSUM_SUFFIX)).ok_or(LineError::NoChecksum)?;
    if digits != checksum(body) {
        return Err(LineError::WrongChecksum);
    }
    let mut json = Vec::with_capacity(body.len() + 1);
    json.extend_from_slice(body);
    json.push(b'}');
    serde_json::from_slice(&json).map_err(|error| LineError::NotUnderstood(error.to_string()))
}
