//! The records: header, chunk, end.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::digest::Sha256Digest;
use crate::fill::Fill;
use crate::identity::DriveIdentity;
use crate::result::{Direction, Evidence};
use crate::units::ByteRange;

/// Value of `format` in every header.
pub const FORMAT: &str = "drive-agent-manifest";

/// The version of the format that this program writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// How chunks are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DigestAlgorithm {
    /// SHA-256.
    #[serde(rename = "sha256")]
    Sha256,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`FORMAT`].
    pub format: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// A random name of this transfer; the committed blob carries it as metadata, so that a crash
    /// between commit and bookkeeping is recognised.
    pub transfer_id: String,
    /// Which way the bytes go.
    pub direction: Direction,
    /// The drive.
    pub drive: DriveIdentity,
    /// The blob's address without secrets.
    pub blob: String,
    /// Which version of the blob, as the store names it: the one that an export reads, or the one that an import made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob_version: Option<String>,
    /// Size of the whole, in bytes.
    pub total_bytes: u64,
    /// Size of every chunk but the last, in bytes.
    pub chunk_size_bytes: u64,
    /// How chunks are hashed.
    pub digest: DigestAlgorithm,
    /// What stands in the blob where the drive could not be read.
    #[serde(default, skip_serializing_if = "Fill::is_zeros")]
    pub unreadable_fill: Fill,
    /// The transfer of ours that this one started over: what it left is removed (journals only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The folder that a relative path of the drive begins in (journals only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_folder: Option<String>,
    /// What a repetition of an import has to ask for again (journals only).
    #[serde(default, skip_serializing_if = "MadeAs::is_default")]
    pub made_as: MadeAs,
    /// The command that began it, which resumes it too (journals only; those of earlier versions have none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by: Option<BegunBy>,
    /// Some chunks came from a drive of another serial number, that was compared in some places only (journals only).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source_is_sampled: bool,
    /// How blocks are named at the store, where they have names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_id_scheme: Option<String>,
    /// When the transfer began.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// The command that began a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunBy {
    /// The folder that it was run in: relative paths begin there.
    pub folder: String,
    /// The command, quoted for a shell and without secrets.
    pub command: String,
}

/// How the blob of an import is made, beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeAs {
    /// It has the footer of a VHD.
    #[serde(default)]
    pub is_vhd: bool,
    /// It was there, and is written into.
    #[serde(default)]
    pub into_existing: bool,
    /// One that exists may be replaced.
    #[serde(default)]
    pub overwrite: bool,
    /// Where its pieces are until it is made, where that is not beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<String>,
}

impl MadeAs {
    fn is_default(&self) -> bool {
        *self == MadeAs::default()
    }
}

impl Header {
    /// Where the drive is, from wherever that is asked; `None` where its path is relative, and it is not known to what.
    pub fn drive_path(&self) -> Option<PathBuf> {
        let path = Path::new(&self.drive.path);
        match &self.drive_folder {
            _ if path.is_absolute() => Some(path.to_owned()),
            Some(folder) => Some(Path::new(folder).join(path)),
            None => None,
        }
    }
}

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkContent {
    /// Bytes with this digest.
    Data(Sha256Digest),
    /// Nothing but zeros.
    Zero,
}

impl ChunkContent {
    /// The digest of a chunk of `length` bytes with this content.
    pub fn digest(&self, length: u64) -> Sha256Digest {
        match self {
            ChunkContent::Data(digest) => *digest,
            ChunkContent::Zero => Sha256Digest::of_zeros(length),
        }
    }
}

/// How a chunk came to be at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChunkState {
    /// Its body went over.
    Sent,
    /// The target held it already.
    Reused,
    /// Zeros that needed no sending.
    Zero,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ChunkRecordText", into = "ChunkRecordText")]
pub struct ChunkRecord {
    /// Where it lies on the drive.
    pub range: ByteRange,
    /// What it holds.
    pub content: ChunkContent,
    /// How it came to be there.
    pub state: ChunkState,
    /// How many requests it took.
    pub attempts: u32,
    /// Parts that could not be read and were filled with zeros.
    pub unreadable: Vec<ByteRange>,
    /// Parts that came from an image of the drive, and not from the drive. At most
    /// [`FROM_IMAGE_RANGES_MAX`](crate::limits::FROM_IMAGE_RANGES_MAX); they may cover more than came from there, never less.
    pub from_image: Vec<ByteRange>,
}

/// The chunk record as it is written.
#[derive(Serialize, Deserialize)]
struct ChunkRecordText {
    offset: u64,
    length: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    zero: bool,
    state: ChunkState,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<ByteRange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    from_image: Vec<ByteRange>,
}

impl From<ChunkRecord> for ChunkRecordText {
    fn from(record: ChunkRecord) -> Self {
        let (sha256, zero) = match record.content {
            ChunkContent::Data(digest) => (Some(digest), false),
            ChunkContent::Zero => (None, true),
        };
        ChunkRecordText {
            offset: record.range.offset,
            length: record.range.length,
            sha256,
            zero,
            state: record.state,
            attempts: record.attempts,
            unreadable: record.unreadable,
            from_image: record.from_image,
        }
    }
}

impl TryFrom<ChunkRecordText> for ChunkRecord {
    type Error = &'static str;

    fn try_from(text: ChunkRecordText) -> Result<Self, Self::Error> {
        let content = match (text.sha256, text.zero) {
            (Some(digest), false) => ChunkContent::Data(digest),
            (None, true) => ChunkContent::Zero,
            _ => return Err("a chunk has either `sha256` or `zero: true`"),
        };
        if text.length == 0 || text.offset.checked_add(text.length).is_none() {
            return Err("a chunk has at least one byte and ends below 2^64");
        }
        let record = ChunkRecord {
            range: ByteRange::new(text.offset, text.length),
            content,
            state: text.state,
            attempts: text.attempts,
            unreadable: text.unreadable,
            from_image: text.from_image,
        };
        record.check_ranges()?;
        Ok(record)
    }
}

impl ChunkRecord {
    /// Whether its ranges can be.
    pub(super) fn check_ranges(&self) -> Result<(), &'static str> {
        match are_parts_of(self.range, &self.unreadable) && are_parts_of(self.range, &self.from_image) {
            true => Ok(()),
            false => Err("the ranges of a chunk ascend, do not overlap, and lie in it"),
        }
    }
}

/// Whether ranges ascend, do not overlap, and lie in a chunk.
fn are_parts_of(chunk: ByteRange, parts: &[ByteRange]) -> bool {
    let mut next = chunk.offset;
    parts.iter().all(|part| {
        let is_next = part.offset >= next && part.length > 0;
        match part.offset.checked_add(part.length).filter(|end| is_next && *end <= chunk.end()) {
            Some(end) => {
                next = end;
                true
            }
            None => false,
        }
    })
}

/// What is noted right before a blob is made to appear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitNote {
    /// What of the target stays the same when it appears under its name, where the store has no place for the transfer's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The source was modified while it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source_changed: bool,
}

/// The last line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// How many chunks.
    pub chunks: u64,
    /// Size of the whole, in bytes.
    pub bytes_total: u64,
    /// Bytes of zero chunks.
    pub bytes_zero: u64,
    /// Bytes that could not be read.
    pub bytes_unreadable: u64,
    /// SHA-256 over the chunk digests in drive order.
    pub root_sha256: Sha256Digest,
    /// SHA-256 of the whole, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sha256: Option<Sha256Digest>,
    /// The weakest grade over all chunks.
    pub evidence: Evidence,
    /// When the transfer ended.
    #[serde(with = "time::serde::rfc3339")]
    pub completed_at: OffsetDateTime,
}
