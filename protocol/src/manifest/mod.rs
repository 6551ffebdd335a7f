//! The one format of manifests and journals: JSON lines, each with a checksum of its own.
//!
//! ```text
//! {"type":"header","format":"drive-agent-manifest","version":1,…,"crc32c":"0a1b2c3d"}
//! {"type":"chunk","offset":0,"length":8388608,"sha256":"…","state":"sent","attempts":1,"crc32c":"…"}
//! {"type":"chunk","offset":8388608,"length":8388608,"zero":true,"state":"zero","attempts":0,"crc32c":"…"}
//! {"type":"end","chunks":2,…,"root_sha256":"…","crc32c":"…"}
//! ```
//!
//! A *journal* is a manifest being written: the header, then chunk records in the order in which
//! they landed. A `left` line says what the target was when a run stopped, a `commit` line that the blob is about to
//! appear, and a `committed` line that it did. It has no `end`. A
//! *manifest* has its records in drive order, without gaps, and the `end` line with counts and root.
//!
//! The checksum of a line is CRC-32C over everything before `,"crc32c"`. A single changed byte
//! anywhere is always noticed. A torn last line of a journal is what a crash leaves: it is dropped,
//! never an error. Damage before the last line is an error: what else is wrong cannot be known.
//!
//! A chunk with very many unreadable ranges has lines of type `unreadable` before its own, so that every line is bounded.
//! They count only together with it.
//!
//! Records are small and read one at a time: a manifest of a 22 TB drive has millions of them.

mod line;
mod line_error;
mod read;
mod record;
mod replay;
mod size;
mod unreadable;

#[cfg(test)]
mod tests;

pub use line::{Line, decode, encode};
pub use line_error::{EncodeError, LineError};
pub use read::{ManifestError, ManifestReader};
pub use record::{
    BegunBy, ChunkContent, ChunkRecord, ChunkState, CommitNote, DigestAlgorithm, FORMAT, Footer, Header, MadeAs, VERSION,
};
pub use replay::{JournalReplay, Replay, ReplayError};
pub use size::{PlaceCount, TooManyPlaces, bytes_max};
pub use unreadable::UnreadablePart;

/// What is appended to a blob's name to name its manifest.
pub const MANIFEST_SUFFIX: &str = ".manifest.jsonl";
