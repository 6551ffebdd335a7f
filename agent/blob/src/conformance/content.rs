//! What is stored, and how it is sent and read back.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex};

use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, RecordedChunks, Upload, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::BlobFacts;

tokio::task_local! {
    /// Size of the chunks of the store that is tried.
    pub(super) static CHUNK_BYTES: usize;
}

/// Size of the chunks of the store that is tried.
pub(super) fn chunk_bytes() -> usize {
    CHUNK_BYTES.get()
}

/// Transfers, as their ids are: numbers of 128 bits.
pub(super) const FIRST: &str = "0123456789abcdef0123456789abcdef";
pub(super) const SECOND: &str = "fedcba9876543210fedcba9876543210";
pub(super) const THIRD: &str = "00112233445566778899aabbccddeeff";

/// Bytes that differ in each chunk, and between two seeds.
pub(super) fn bytes_of(length: usize, seed: u8) -> Bytes {
    let mut state = u64::from(seed) << 32 | 0x9e37_79b9;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // No byte is zero, so that no chunk passes for a hole.
        bytes.extend_from_slice(&((state ^ state >> 29) | 0x0101_0101_0101_0101).to_be_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// One chunk for each letter: `z` is zeros, every other one bytes of its own.
pub(super) fn bytes_like(pattern: &str) -> Bytes {
    let chunk = |letter: u8| if letter == b'z' { Bytes::from(vec![0; chunk_bytes()]) } else { bytes_of(chunk_bytes(), letter) };
    pattern.bytes().flat_map(chunk).collect()
}

/// The chunks of these bytes, in their order.
pub(super) fn chunks_of(bytes: &Bytes) -> Vec<ChunkBody> {
    let geometry = ChunkGeometry::new(bytes.len() as u64, chunk_bytes() as u64).unwrap();
    let chunk = |range: ByteRange| {
        let bytes = bytes.slice(place(range.offset)..place(range.end()));
        ChunkBody { range, digest: Sha256Digest::of(&bytes), bytes, md5: None }
    };
    geometry.chunks().map(|(_, range)| chunk(range)).collect()
}

pub(super) fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// A new upload of these bytes.
pub(super) fn request(transfer_id: &str, bytes: &Bytes) -> UploadRequest {
    UploadRequest {
        transfer_id: transfer_id.to_owned(),
        total_bytes: bytes.len() as u64,
        chunk_bytes: chunk_bytes() as u64,
        overwrite: false,
        resume: false,
        replaces: None,
    }
}

pub(super) fn overwriting(request: UploadRequest) -> UploadRequest {
    UploadRequest { overwrite: true, ..request }
}

pub(super) fn resuming(request: UploadRequest) -> UploadRequest {
    UploadRequest { resume: true, ..request }
}

/// Sends chunks as the copy engine does: each content once where chunks are named by it, and else no zeros.
pub(super) async fn send(upload: &dyn Upload, chunks: &[ChunkBody]) -> Result<(), BlobError> {
    let content_named = upload.capabilities().content_named;
    for (index, chunk) in chunks.iter().enumerate() {
        let is_known = chunks[..index].iter().any(|before| before.digest == chunk.digest);
        if if content_named { !is_known } else { !is_zero(&chunk.bytes) } {
            upload.put_chunk(chunk).await?;
        }
    }
    upload.sync().await
}

/// What the copy engine would have recorded of these chunks.
struct Records<'chunks>(&'chunks [ChunkBody]);

impl RecordedChunks for Records<'_> {
    fn content(&self, index: ChunkIndex) -> io::Result<Option<ChunkContent>> {
        let chunk = self.0.get(place(index.0));
        let content =
            |chunk: &ChunkBody| if is_zero(&chunk.bytes) { ChunkContent::Zero } else { ChunkContent::Data(chunk.digest) };
        Ok(chunk.map(content))
    }
}

/// What the store says that it does not hold of these chunks.
pub(super) async fn lost(upload: &dyn Upload, chunks: &[ChunkBody]) -> Vec<ByteRange> {
    upload.lost(&Records(chunks)).await.unwrap()
}

/// Commits these chunks.
pub(super) async fn commit(upload: &dyn Upload, chunks: &[ChunkBody]) -> Result<String, BlobError> {
    let list: Vec<_> = chunks.iter().map(|chunk| (chunk.digest, chunk.range)).collect();
    let facts = CommitFacts {
        records: &Records(chunks),
        root: &Sha256Digest::of(b"root"),
        unreadable: &[ByteRange::new(0, 512), ByteRange::new(1024, 512)],
    };
    upload.commit(&list, &facts).await
}

/// A whole upload.
pub(super) async fn store(blob: &dyn Blob, request: &UploadRequest, bytes: &Bytes) -> Result<String, BlobError> {
    let (upload, _) = blob.begin_upload(request).await?;
    let chunks = chunks_of(bytes);
    send(&*upload, &chunks).await?;
    commit(&*upload, &chunks).await
}

/// A new upload, with these of its chunks sent.
pub(super) async fn begun(blob: &dyn Blob, request: &UploadRequest, chunks: &[ChunkBody]) -> Arc<dyn Upload> {
    let (upload, held) = blob.begin_upload(request).await.unwrap();
    assert_eq!(held, BlocksHeld::Nothing, "{} is new", blob.address());
    send(&*upload, chunks).await.unwrap();
    upload
}

/// What is known of a blob that is there.
pub(super) async fn facts(blob: &dyn Blob) -> BlobFacts {
    blob.head().await.unwrap().unwrap_or_else(|| panic!("{} is there", blob.address()))
}

/// The bytes of a range, as they come.
pub(super) async fn read(blob: &dyn Blob, range: ByteRange, version: &str) -> Result<Vec<u8>, BlobError> {
    let pieces: Vec<Bytes> = blob.read(range, version, false).await?.pieces.try_collect().await?;
    Ok(pieces.concat())
}

/// The whole blob, as it is now.
pub(super) async fn whole(blob: &dyn Blob) -> Vec<u8> {
    let facts = facts(blob).await;
    read(blob, ByteRange::new(0, facts.size_bytes), &facts.version).await.unwrap()
}

/// The blob is there, complete, and holds these bytes and no others.
pub(super) async fn assert_holds(blob: &dyn Blob, bytes: &Bytes) {
    let facts = facts(blob).await;
    assert!(!facts.is_incomplete, "{}", blob.address());
    assert_eq!(facts.size_bytes, bytes.len() as u64, "{}", blob.address());
    assert!(whole(blob).await == *bytes, "{} holds other bytes", blob.address());
}

/// A failure of this kind, and no success.
pub(super) fn assert_kind<T>(result: Result<T, BlobError>, kinds: &[BlobErrorKind], what: &str) {
    match result {
        Ok(_) => panic!("{what}: it succeeded, where one of {kinds:?} was due"),
        Err(error) => assert!(kinds.contains(&error.kind), "{what}: {:?} ({error}), where one of {kinds:?} was due", error.kind),
    }
}
