//! One line: a JSON object whose last member is the checksum of everything before it.

use serde::{Deserialize, Serialize};

use super::record::{ChunkRecord, Footer, Header};
use crate::limits::MANIFEST_LINE_MAX_BYTES;

/// Any line of a manifest or journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Header(Box<Header>),
    /// One chunk.
    Chunk(ChunkRecord),
    /// All chunks landed and the blob is about to appear (journals only).
    Commit,
    /// The last line (manifests only).
    End(Footer),
}

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than any honest line.
    #[error("the line is longer than {MANIFEST_LINE_MAX_BYTES} bytes")]
    TooLong,
    /// The end of the line is not a checksum.
    #[error("the line has no checksum at its end")]
    NoChecksum,
    /// The checksum is of other bytes.
    #[error("the line's checksum does not fit its content")]
    WrongChecksum,
    /// The checksum fits, but this is no line that we know.
    #[error("the line is not understood: {0}")]
    NotUnderstood(String),
}

const CHECKSUM_PREFIX: &[u8] = b",\"crc32c\":\"";
const CHECKSUM_DIGITS: usize = 8;
const CHECKSUM_SUFFIX: &[u8] = b"\"}";
const TRAILER_BYTES: usize = CHECKSUM_PREFIX.len() + CHECKSUM_DIGITS + CHECKSUM_SUFFIX.len();

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    let mut digits = [0; CHECKSUM_DIGITS];
    // Eight digits for four bytes always fit.
    let _ = hex::encode_to_slice(crc.to_be_bytes(), &mut digits);
    digits
}

/// Writes `line` with its checksum and a newline at the end of `buffer`.
///
/// # Errors
/// None for the types of this crate; a failure of the serializer is passed on.
pub fn encode(line: &Line, buffer: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, line)?;
    buffer.pop();
    let digits = checksum(&buffer[start..]);
    buffer.extend_from_slice(CHECKSUM_PREFIX);
    buffer.extend_from_slice(&digits);
    buffer.extend_from_slice(CHECKSUM_SUFFIX);
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
