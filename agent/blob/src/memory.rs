//! A store in memory for tests, that behaves as block blobs do: content-named blocks that are not a blob
//! until they are committed. It can be slow and fail on demand, and it counts its requests.
#![cfg(any(test, feature = "testing"))]

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use protocol::digest::Sha256Digest;
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, RangeBody, Replaces, Upload, UploadCapabilities, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, ChunkLimits};

/// A blob that was committed, or stored whole.
struct Stored {
    bytes: Bytes,
    version: String,
    /// Of the upload that made it.
    transfer_id: Option<String>,
}

#[derive(Default)]
struct State {
    /// Blocks that no blob has yet, for each name.
    blocks: HashMap<String, HashMap<Sha256Digest, Bytes>>,
    blobs: HashMap<String, Stored>,
    versions: u64,
}

impl State {
    fn store(&mut self, name: &str, bytes: Bytes, transfer_id: Option<String>) -> String {
        self.versions += 1;
        let version = self.versions.to_string();
        self.blobs.insert(name.to_owned(), Stored { bytes, version: version.clone(), transfer_id });
        version
    }

    fn version(&self, name: &str) -> Option<&String> {
        self.blobs.get(name).map(|stored| &stored.version)
    }
}

/// How the store behaves, and what it counted.
#[derive(Default)]
pub struct Behaviour {
    /// How long each chunk takes, in milliseconds.
    pub put_milliseconds: AtomicU64,
    /// How many chunk requests fail before one succeeds; counts down.
    pub failures_left: AtomicU64,
    /// Whether those failures are final.
    pub failures_are_final: AtomicBool,
    /// Chunk requests begun.
    pub puts_begun: AtomicU64,
    /// Chunk requests that landed.
    pub puts_landed: AtomicU64,
}

/// One blob of a store in memory; clones share the store.
#[derive(Clone)]
pub struct MemoryBlob {
    name: String,
    state: Arc<Mutex<State>>,
    /// How the store behaves.
    pub behaviour: Arc<Behaviour>,
}

impl MemoryBlob {
    /// A blob of a new, empty store.
    pub fn new(name: &str) -> Self {
        MemoryBlob { name: name.to_owned(), state: Arc::default(), behaviour: Arc::default() }
    }

    /// The committed bytes, if the blob exists.
    pub fn content(&self) -> Option<Bytes> {
        self.state().blobs.get(&self.name).map(|stored| stored.bytes.clone())
    }

    /// The blocks that are held and not committed.
    pub fn blocks(&self) -> HashMap<Sha256Digest, Bytes> {
        self.state().blocks.get(&self.name).cloned().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_now(&self) -> BlocksHeld {
        let blocks = self.blocks().iter().map(|(digest, bytes)| (*digest, bytes.len() as u64)).collect::<HashMap<_, _>>();
        if blocks.is_empty() { BlocksHeld::Nothing } else { BlocksHeld::Blocks(blocks) }
    }

    fn error(&self, kind: BlobErrorKind, operation: &'static str, message: &str) -> BlobError {
        BlobError::new(kind, operation, self.address(), message)
    }

    fn failure(&self) -> Option<BlobError> {
        let take = |left: u64| left.checked_sub(1);
        self.behaviour.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        let is_final = self.behaviour.failures_are_final.load(Ordering::SeqCst);
        let kind = if is_final { BlobErrorKind::Denied } else { BlobErrorKind::ServerFault };
        Some(BlobError::new(kind, "send a chunk to", self.address(), "it was set to fail"))
    }
}

#[async_trait]
impl Blob for MemoryBlob {
    fn address(&self) -> String {
        format!("memory:{}", self.name)
    }

    fn limits(&self) -> ChunkLimits {
        ChunkLimits {
            chunks_max: 50_000,
            chunk_bytes_min: 1,
            chunk_bytes_max: 1 << 30,
            chunk_bytes_multiple: 1,
            blob_bytes_max: 1 << 40,
        }
    }

    fn checks_arrival(&self) -> bool {
        true
    }

    fn sibling(&self, suffix: &str) -> Arc<dyn Blob> {
        Arc::new(MemoryBlob { name: format!("{}{suffix}", self.name), ..self.clone() })
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        Ok(self.state().blobs.get(&self.name).map(|stored| BlobFacts {
            size_bytes: stored.bytes.len() as u64,
            version: stored.version.clone(),
            content_mark: None,
            transfer_id: stored.transfer_id.clone(),
            is_incomplete: false,
            is_sparse: false,
            is_vhd: false,
            stated: None,
            obstacles: Default::default(),
        }))
    }

    async fn read(&self, range: ByteRange, version: &str, _checked: bool) -> Result<RangeBody, BlobError> {
        let state = self.state();
        let stored = state.blobs.get(&self.name);
        let stored = stored.ok_or_else(|| self.error(BlobErrorKind::NotFound, "read", "it is not there"))?;
        if stored.version != version {
            return Err(self.error(BlobErrorKind::Changed, "read", "it is another version by now"));
        }
        let length = stored.bytes.len();
        let place = |offset: u64| usize::try_from(offset).map_or(length, |offset| offset.min(length));
        let piece = stored.bytes.slice(place(range.offset)..place(range.end()));
        Ok(RangeBody { pieces: futures::stream::iter([Ok(piece)]).boxed(), checksum: None })
    }

    fn chunk_scheme(&self) -> Option<&'static str> {
        Some(crate::block_id::SCHEME)
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let (replaced_version, is_ours) = {
            let state = self.state();
            let found = state.blobs.get(&self.name);
            let is_ours = found.is_none_or(|stored| stored.transfer_id.as_ref() == Some(&request.transfer_id));
            (found.map(|stored| stored.version.clone()), is_ours)
        };
        if !request.overwrite && !is_ours {
            return Err(self.error(BlobErrorKind::AlreadyExists, "begin", "it exists already"));
        }
        let (blob, transfer_id) = (self.clone(), request.transfer_id.clone());
        let upload = MemoryUpload { blob, transfer_id, replaced_version, committed: Mutex::default() };
        Ok((Arc::new(upload), self.held_now()))
    }

    async fn put_file(&self, file: Arc<File>, _transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
        let mut bytes = Vec::new();
        let read = file.try_clone().and_then(|mut file| file.rewind().and_then(|()| file.read_to_end(&mut bytes)));
        read.map_err(|error| BlobError::new(BlobErrorKind::Other, "write", self.address(), error.to_string()).caused_by(error))?;
        let mut state = self.state();
        let found = state.version(&self.name);
        let is_allowed = match replaces {
            Replaces::Anything => true,
            Replaces::Nothing => found.is_none(),
            Replaces::Version(version) => found == Some(version),
        };
        if !is_allowed {
            return Err(self.error(BlobErrorKind::AlreadyExists, "write", "another version, or none, is there"));
        }
        state.store(&self.name, bytes.into(), None);
        Ok(())
    }
}

struct MemoryUpload {
    blob: MemoryBlob,
    transfer_id: String,
    replaced_version: Option<String>,
    /// The version that the commit made.
    committed: Mutex<Option<String>>,
}

#[async_trait]
impl Upload for MemoryUpload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: true,
            tells_of_chunks: true,
            durable_when_acknowledged: true,
            replaces_only_what_it_found: true,
            preferred_concurrency: 4,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let behaviour = &self.blob.behaviour;
        behaviour.puts_begun.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(behaviour.put_milliseconds.load(Ordering::SeqCst))).await;
        if let Some(error) = self.blob.failure() {
            return Err(error);
        }
        behaviour.puts_landed.fetch_add(1, Ordering::SeqCst);
        let bytes = Bytes::copy_from_slice(&chunk.bytes);
        self.blob.state().blocks.entry(self.blob.name.clone()).or_default().insert(chunk.digest, bytes);
        Ok(())
    }

    async fn clear(&self, _range: ByteRange) -> Result<(), BlobError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        Ok(self.blob.held_now())
    }

    async fn commit(&self, chunks: &[(Sha256Digest, ByteRange)], _facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        let name = &self.blob.name;
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.blob.state();
        if let Some(version) = committed.as_ref().filter(|version| state.version(name) == Some(version)) {
            return Ok(version.clone());
        }
        if state.version(name) != self.replaced_version.as_ref() {
            return Err(self.blob.error(BlobErrorKind::AlreadyExists, "commit", "it was replaced meanwhile"));
        }
        let mut whole = Vec::new();
        for (digest, _) in chunks {
            let block = state.blocks.get(name).and_then(|blocks| blocks.get(digest));
            whole.extend_from_slice(block.ok_or_else(|| self.blob.error(BlobErrorKind::Other, "commit", "a block is missing"))?);
        }
        let version = state.store(name, whole.into(), Some(self.transfer_id.clone()));
        state.blocks.remove(name);
        *committed = Some(version.clone());
        Ok(version)
    }

    async fn residue(&self, landed_bytes: u64) -> Option<Residue> {
        Some(Residue { description: "blocks in memory".into(), path: None, bytes: landed_bytes, lives_days: None })
    }
}
