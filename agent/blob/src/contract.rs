//! The traits that every store fulfils. They speak our operations (chunks, commit, what is held), not
//! create-read-update-delete: neither blocks nor pages nor transport checksums fit that.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::receipt::Residue;
use protocol::units::{ByteRange, ChunkIndex};

use crate::checksum::TransferChecksum;
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, ChunkLimits};
use crate::stated::StatedChecksum;

/// Bytes of a range, arriving.
pub struct RangeBody {
    /// The pieces in order. May end early or go on too long: the caller counts.
    pub pieces: BoxStream<'static, Result<Bytes, BlobError>>,
    /// The store's own checksum over the range, where it was asked for and given.
    pub checksum: Option<TransferChecksum>,
}

/// The chunks that a blob was put together from, by the names that the store keeps for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedChunks {
    /// The version of the blob that they are of, where the store said it.
    pub version: Option<String>,
    /// Each with its size in bytes, in order.
    pub chunks: Vec<(Sha256Digest, u64)>,
}

/// What is asked about an upload that was not finished.
#[derive(Debug, Clone, Copy)]
pub struct LeftBy<'transfer> {
    /// The transfer.
    pub transfer_id: &'transfer str,
    /// What it recorded as landed, in bytes.
    pub landed_bytes: u64,
    /// The chunks that it recorded, where chunks are named by their content: other blocks may be another transfer's.
    pub recorded: &'transfer HashSet<Sha256Digest>,
}

/// What became of what an upload left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discarded {
    /// Nothing is left, or was.
    Everything,
    /// It stays, for this reason.
    Stays(String),
}

/// A part of the list of what was ever written to a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenRanges {
    /// In ascending order; what lies between two of them, and before the first of the whole list, is zeros.
    pub ranges: Vec<ByteRange>,
    /// Where the list continues; `None` where zeros are all that follows.
    pub next: Option<String>,
}

/// A blob whose bytes lie on this machine: they are read into place by plain calls, without a copy on the way.
pub trait LocalBlob: Send + Sync {
    /// Fills `buffer` with the bytes at `offset` of the version given, whole. Blocks.
    fn read_at(&self, buffer: &mut [u8], offset: u64, version: &str) -> Result<(), BlobError>;

    /// The first run of bytes of the version given, at or after `offset`, that may be something else than zeros; `None`
    /// where zeros are all that follows. Blocks.
    fn next_data(&self, offset: u64, version: &str) -> Result<Option<ByteRange>, BlobError>;
}

/// What an upload is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRequest {
    /// Name of the transfer; goes into the blob's metadata.
    pub transfer_id: String,
    /// Size of the drive, in bytes.
    pub total_bytes: u64,
    /// Size of each chunk but the last, in bytes: where a chunk is a place, it says which one.
    pub chunk_bytes: u64,
    /// Whether a blob that exists may be replaced.
    pub overwrite: bool,
    /// Whether a journal of this very transfer exists, so that what it left is resumed.
    pub resume: bool,
    /// A transfer whose unfinished blob is removed, or replaced without `overwrite`: our own, started over.
    pub replaces: Option<String>,
}

/// What is going to be done with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its bytes are read.
    Read,
    /// It is written, and looked at where that is permitted.
    Write,
    /// It is written, and read again.
    WriteAndRead,
}

/// What a whole file may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaces {
    /// Whatever has its name, or nothing.
    Anything,
    /// Nothing: the name is free.
    Nothing,
    /// This version of the blob that has its name, and no other.
    Version(String),
}

/// What is known of an upload before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPlan {
    /// Size of the drive, in bytes.
    pub total_bytes: u64,
    /// The most bytes that may have to be stored, in bytes: without the holes that are known.
    pub data_bytes_max: u64,
    /// Whether a blob that exists may be replaced.
    pub overwrite: bool,
    /// The transfers whose leftovers are ours: the one that is resumed, or started over.
    pub own_transfer_ids: Vec<String>,
}

/// What the store holds of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlocksHeld {
    /// Nothing: it begins now.
    Nothing,
    /// The incomplete blob of the same transfer: everything that its journal recorded, unless something else wrote to it.
    Recorded {
        /// What names its state, where the store knows: where the journal noted the same, nothing did.
        state: Option<String>,
    },
    /// These blocks, by their content, each with its size in bytes.
    Blocks(HashMap<Sha256Digest, u64>),
}

/// Whether a store holds a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// It does.
    Held,
    /// It does not.
    Absent,
    /// It cannot tell: something is in the place of the chunk, and may be older.
    Unknown,
}

/// How an upload takes its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadCapabilities {
    /// Chunks are named by content: one body serves every chunk with that digest, and zero chunks
    /// need one too.
    pub content_named: bool,
    /// A chunk lands whole or not at all, and the store tells whether it did: [`Upload::holds`].
    pub tells_of_chunks: bool,
    /// An acknowledged chunk is durable; else it is after [`Upload::sync`].
    pub durable_when_acknowledged: bool,
    /// The commit replaces only the blob that was there when the upload began, and fails where another one is there by then.
    /// Else, with [`UploadRequest::overwrite`], it replaces any.
    pub replaces_only_what_it_found: bool,
    /// How many requests at once serve it well: what is used where the user chose none.
    pub preferred_concurrency: usize,
}

/// What the copy engine recorded of the chunks of an upload, asked for one at a time: a drive has millions.
pub trait RecordedChunks: Send + Sync {
    /// What landed of the chunk of this number; `None` where nothing did.
    ///
    /// # Errors
    /// When the record cannot be read.
    fn content(&self, index: ChunkIndex) -> io::Result<Option<ChunkContent>>;
}

/// What a blob says about itself, where its store has a place for that.
#[derive(Clone, Copy)]
pub struct CommitFacts<'facts> {
    /// What each chunk is, for stores that put a blob together from places.
    pub records: &'facts dyn RecordedChunks,
    /// SHA-256 over the chunk digests in drive order.
    pub root: &'facts Sha256Digest,
    /// What the drive could not read, in drive order.
    pub unreadable: &'facts [ByteRange],
}

/// One chunk to be stored.
#[derive(Debug, Clone)]
pub struct ChunkBody {
    /// Where it lies on the drive.
    pub range: ByteRange,
    /// Its SHA-256.
    pub digest: Sha256Digest,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its MD5, where [`Upload::wants_md5`] said so when it was hashed.
    pub md5: Option<[u8; 16]>,
}

/// One blob of a store, present or not.
#[async_trait]
pub trait Blob: Send + Sync {
    /// Its address without secrets; the same whatever credentials reach it.
    fn address(&self) -> String;

    /// What the store can take.
    fn limits(&self) -> ChunkLimits;

    /// Whether the store checks a checksum of each body on arrival.
    fn checks_arrival(&self) -> bool;

    /// Whether each request ends by itself when nothing moves for too long. Others are given a time to end in.
    fn notices_silence(&self) -> bool {
        false
    }

    /// Whether it is a blob as it was at some time, and not as it is now: what lies beside it may be of a later one.
    fn is_past(&self) -> bool {
        false
    }

    /// The blob beside this one whose name has `suffix` appended.
    fn sibling(&self, suffix: &str) -> Arc<dyn Blob>;

    /// Refuses an upload under this name before anything is sent: for the name, or for what is there.
    ///
    /// # Errors
    /// With the reason and the way out.
    fn require_uploadable(&self, existing: Option<&BlobFacts>) -> Result<(), BlobError> {
        existing.map_or(Ok(()), |facts| facts.require_replaceable(&self.address()))
    }

    /// Refuses, before anything is sent, what the credentials say themselves that they do not permit. Those that say
    /// nothing are taken to permit everything.
    ///
    /// # Errors
    /// [`BlobErrorKind::NotPermitted`], with everything that is missing.
    fn require_permitted(&self, _access: Access) -> Result<(), BlobError> {
        Ok(())
    }

    /// Whether an upload that replaces a blob destroys it when it begins, and not when it is committed.
    fn destroys_at_begin(&self) -> bool {
        false
    }

    /// What is known of it; `None` where there is no such blob in an existing container.
    ///
    /// # Errors
    /// [`BlobErrorKind::NotPermitted`] where it may not be looked at: it may be written all the same.
    async fn head(&self) -> Result<Option<BlobFacts>, BlobError>;

    /// Begins to read a range of the version given. With `checked` the store is asked for a checksum
    /// of the range, which it gives for at most [`CHECKED_RANGE_BYTES_MAX`] bytes. A range may be empty; one that ends
    /// behind the blob fails for good, or ends early.
    ///
    /// # Errors
    /// [`BlobErrorKind::Changed`] where another version is there; that or [`BlobErrorKind::NotFound`] where none is.
    async fn read(&self, range: ByteRange, version: &str, checked: bool) -> Result<RangeBody, BlobError>;

    /// The checksum of the whole that the store states of what was looked at: asked for where nothing else says what its bytes
    /// are.
    async fn stated(&self, facts: &BlobFacts) -> Result<Option<StatedChecksum>, BlobError> {
        Ok(facts.stated)
    }

    /// The digests of the chunks that it was put together from, in order, where the store keeps names that contain them: a
    /// proof of its bytes for which they need not be read. `None` where it does not, or they were named by another program.
    async fn named_chunks(&self) -> Result<Option<NamedChunks>, BlobError> {
        Ok(None)
    }

    /// What of the version given was ever written, a part of the list at a time: from its beginning, or from where the part
    /// before says that it continues. For blobs that are [sparse](BlobFacts::is_sparse).
    ///
    /// # Errors
    /// [`BlobErrorKind::Changed`] where another version is there.
    async fn written_ranges(&self, _version: &str, _from: Option<&str>) -> Result<WrittenRanges, BlobError> {
        Err(BlobError::new(BlobErrorKind::Unsupported, "list what is written of", self.address(), "the store cannot tell"))
    }

    /// The same blob to be read by plain calls, where its bytes lie on this machine.
    fn local(&self) -> Option<Arc<dyn LocalBlob>> {
        None
    }

    /// Checks everything that can be known before the first byte, and changes nothing. Gives what is worth a warning.
    ///
    /// # Errors
    /// What would make the upload fail later: names that are too long, a file system or an account that cannot take it.
    async fn preflight(&self, _plan: &UploadPlan) -> Result<Vec<String>, BlobError> {
        Ok(Vec::new())
    }

    /// The scheme that names its chunks, where the store names them by their content. `None` where a chunk is the place
    /// that it is written to.
    fn chunk_scheme(&self) -> Option<&'static str> {
        None
    }

    /// Where uploads put what is not the blob yet, where that is not beside it. Without secrets.
    fn staging(&self) -> Option<String> {
        None
    }

    /// The same blob, whose uploads put what is not the blob yet into this place, or beside it.
    ///
    /// # Errors
    /// [`BlobErrorKind::Refused`] where that cannot be: no such place, or one of another store.
    fn with_staging(&self, _place: Option<&str>) -> Result<Arc<dyn Blob>, BlobError> {
        Err(BlobError::new(BlobErrorKind::Refused, "write", self.address(), NO_STAGING))
    }

    /// Begins an upload, or resumes one: only the work of this very transfer. Where what the journal is about is gone
    /// and the store cannot distinguish a new beginning from it, the answer is [`BlobErrorKind::NotFound`].
    ///
    /// # Errors
    /// [`BlobErrorKind::AlreadyExists`] where there is a blob, or the work of another transfer, that this upload would
    /// destroy without leave. A store that notices that no sooner says so at the commit.
    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError>;

    /// What an upload left here that was not finished; `None` where that is nothing. Nothing is changed.
    async fn left_by(&self, _left: LeftBy<'_>) -> Result<Option<Residue>, BlobError> {
        Ok(None)
    }

    /// Removes what an upload left here that was not finished: nothing of another transfer, and never a blob that is whole. A
    /// second time changes nothing.
    async fn discard(&self, _left: LeftBy<'_>) -> Result<Discarded, BlobError> {
        Ok(Discarded::Everything)
    }

    /// Stores a whole local file under this name, atomically, from its beginning. `transfer_id` names what an
    /// interrupted call leaves behind.
    ///
    /// # Errors
    /// [`BlobErrorKind::AlreadyExists`] where there is a blob of this name that is to stay, or none
    /// where one was to be replaced.
    async fn put_file(&self, file: Arc<File>, transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError>;
}

/// What stores say that have no pieces which could be elsewhere.
const NO_STAGING: &str = "`--staging` (or DRIVE_AGENT_STAGING) is for imports to s3:// and gs://, whose pieces are objects until they are put together: leave it out";

/// The largest range for which a store gives a checksum (Azure: 4 MiB).
pub const CHECKED_RANGE_BYTES_MAX: u64 = 4 << 20;

/// A blob being written. Operations may run at once, but for [`commit`](Self::commit).
#[async_trait]
pub trait Upload: Send + Sync {
    /// How it takes its chunks.
    fn capabilities(&self) -> UploadCapabilities;

    /// Whether an MD5 of each chunk is needed. May change while the upload runs, when the store turns
    /// out not to know CRC-64.
    fn wants_md5(&self) -> bool {
        false
    }

    /// Stores one chunk. Whole when it returns; when it fails or is dropped, it may have landed.
    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError>;

    /// Makes a range zero where an earlier run of the same upload may have left bytes. Not needed for
    /// uploads that begin with [`BlocksHeld::Nothing`], nor for content-named ones.
    async fn clear(&self, range: ByteRange) -> Result<(), BlobError>;

    /// Returns when every acknowledged chunk is durable.
    async fn sync(&self) -> Result<(), BlobError>;

    /// Asks the store what it holds now.
    async fn held(&self) -> Result<BlocksHeld, BlobError>;

    /// Which of these chunks the store holds now, in their order: they were sent, and what became of them was not answered.
    async fn holds(&self, chunks: &[(Sha256Digest, ByteRange)]) -> Result<Vec<Holding>, BlobError> {
        let held = self.held().await?;
        let holding = |(digest, range): &(Sha256Digest, ByteRange)| match &held {
            BlocksHeld::Blocks(blocks) if blocks.get(digest) == Some(&range.length) => Holding::Held,
            BlocksHeld::Blocks(_) | BlocksHeld::Nothing => Holding::Absent,
            BlocksHeld::Recorded { .. } => Holding::Unknown,
        };
        Ok(chunks.iter().map(holding).collect())
    }

    /// Of the chunks that were recorded as landed, the ranges that the store does not hold, or not as they were recorded: for
    /// stores whose chunks are places that can be listed. Others hold what [`held`](Self::held) says.
    async fn lost(&self, _records: &dyn RecordedChunks) -> Result<Vec<ByteRange>, BlobError> {
        Ok(Vec::new())
    }

    /// What names the target as it is now, durably, where the store knows: to be asked when nothing is being written.
    async fn state(&self) -> Result<Option<String>, BlobError> {
        Ok(None)
    }

    /// What of the target stays the same when it appears under its name, where the store has no place for the transfer's
    /// id: to be asked when nothing is being written.
    async fn content_mark(&self) -> Result<Option<String>, BlobError> {
        Ok(None)
    }

    /// The blob as it is before its commit, where its bytes can be read then.
    fn uncommitted(&self) -> Option<Arc<dyn Blob>> {
        None
    }

    /// Makes the blob appear, whole, with these chunks in drive order, and gives its version. A second time after the
    /// first succeeded changes nothing.
    ///
    /// # Errors
    /// Where another blob came under the name that this upload may not replace, it stays:
    /// [`BlobErrorKind::AlreadyExists`], or [`BlobErrorKind::Changed`] of a store that writes in place, which has lost the
    /// upload then.
    async fn commit(&self, chunks: &[(Sha256Digest, ByteRange)], facts: &CommitFacts<'_>) -> Result<String, BlobError>;

    /// What is worth a warning after the commit, once each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What stays at the store while the upload is not committed. `landed_bytes` is what was acknowledged, in bytes.
    async fn residue(&self, landed_bytes: u64) -> Option<Residue>;
}
