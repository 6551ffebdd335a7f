//! A file being written under a name that begins with its transfer's id; it is synced and renamed when it is whole. Zero
//! chunks stay holes; the crate `file` says how the others are written.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use file::locked::{Which, is_at, open_locked};
use file::replace::{IfExists, publish, sync_folder};
use file::{CopyFile, crash, partial};
use protocol::digest::Sha256Digest;
use protocol::receipt::Residue;
use protocol::units::ByteRange;
use rustix::fs::{Advice, fadvise};

use super::place::{DirectoryBlob, blocking, content_mark_of, error_at, lock_error, version_of};
use crate::contract::{Blob, BlocksHeld, ChunkBody, CommitFacts, Upload, UploadCapabilities, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};

/// A file being written under its partial name.
#[derive(Clone)]
pub(super) struct DirectoryUpload {
    file: Arc<CopyFile>,
    path: PathBuf,
    partial: PathBuf,
    overwrite: bool,
    total_bytes: u64,
    /// What the file was when its commit was noted: nothing may have written to it since.
    noted: Arc<Mutex<Option<String>>>,
}

impl DirectoryUpload {
    /// Makes the unfinished file of a transfer, or opens the one that it left.
    pub(super) fn begin(blob: &DirectoryBlob, request: &UploadRequest) -> Result<(Self, BlocksHeld), BlobError> {
        blob.require_directory()?;
        let own = partial::path_of(&blob.path, &request.transfer_id).map_err(|error| blob.error("begin", error))?;
        if let Some(id) = &request.replaces {
            partial::remove(&blob.path, id).map_err(|error| lock_error(&blob.path, "remove what is left of", error))?;
        }
        let which = if request.resume { Which::Existing } else { Which::New };
        let file = open_locked(&own, which).map_err(|error| lock_error(&own, "open", error))?;
        let failed = |error: io::Error| error_at(&own, "begin", error);
        let metadata = file.metadata().map_err(failed)?;
        // The file gets its length with the first chunk, which the journal's beginning precedes. So a file of that length
        // is one that records may be about; one that was just made is not.
        let held = match metadata.len() {
            length if request.resume && length == request.total_bytes && length > 0 => {
                BlocksHeld::Recorded { state: Some(version_of(&metadata)) }
            }
            _ => BlocksHeld::Nothing,
        };
        if held == BlocksHeld::Nothing {
            file.set_len(0).and_then(|()| sync_folder(&own)).map_err(failed)?;
        }
        crash::point("target-begun");
        let (path, total_bytes) = (blob.path.clone(), request.total_bytes);
        Ok((
            DirectoryUpload {
                file: Arc::new(CopyFile::new(file)),
                path,
                partial: own,
                overwrite: request.overwrite,
                total_bytes,
                noted: Arc::default(),
            },
            held,
        ))
    }

    /// Runs blocking work on the file.
    async fn with_file<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&DirectoryUpload) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let own = self.clone();
        let done = blocking(move || work(&own)).await.and_then(|result| result);
        done.map_err(|error| error_at(&self.partial, operation, error))
    }

    /// Fails where the file has lost its name: what is written then is on its way to nowhere.
    fn require_name(&self) -> io::Result<()> {
        match is_at(self.file.file(), &self.partial)? || is_at(self.file.file(), &self.path)? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "it was removed or replaced while it was written")),
        }
    }

    /// Fails where something else wrote to the file since its commit was noted.
    fn require_as_noted(&self) -> io::Result<()> {
        let mark = content_mark_of(&self.file.file().metadata()?);
        match self.noted.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(|noted| *noted == mark) {
            true => Ok(()),
            false => Err(io::Error::other("another program wrote to it: repeat the command to compare what it holds")),
        }
    }

    /// Gives the file the length of the whole, and makes all of it durable, its times too.
    fn settle(&self) -> io::Result<Metadata> {
        self.file.give_length(self.total_bytes)?;
        self.file.file().sync_all()?;
        self.require_name()?;
        self.file.file().metadata()
    }
}

#[async_trait]
impl Upload for DirectoryUpload {
    fn capabilities(&self) -> UploadCapabilities {
        UploadCapabilities {
            content_named: false,
            tells_of_chunks: false,
            durable_when_acknowledged: false,
            replaces_only_what_it_found: false,
            preferred_concurrency: 4,
        }
    }

    async fn put_chunk(&self, chunk: &ChunkBody) -> Result<(), BlobError> {
        let (bytes, offset) = (chunk.bytes.clone(), chunk.range.offset);
        // Writes that make a file longer go one at a time.
        let write = move |own: &Self| own.file.give_length(own.total_bytes).and_then(|()| own.file.write_all_at(&bytes, offset));
        self.with_file("write", write).await
    }

    async fn clear(&self, range: ByteRange) -> Result<(), BlobError> {
        self.with_file("clear a part of", move |own| own.file.zero(range.offset, range.length)).await
    }

    async fn sync(&self) -> Result<(), BlobError> {
        let sync = |own: &Self| {
            // The length of the whole, where the last bytes are zeros that were never written.
            own.file.give_length(own.total_bytes)?;
            own.file.file().sync_data()?;
            own.require_name()?;
            crash::point("target-synced");
            Ok(())
        };
        self.with_file("sync", sync).await
    }

    async fn held(&self) -> Result<BlocksHeld, BlobError> {
        let look = |own: &Self| Ok(own.require_name().map_or(BlocksHeld::Nothing, |()| BlocksHeld::Recorded { state: None }));
        self.with_file("examine", look).await
    }

    async fn state(&self) -> Result<Option<String>, BlobError> {
        // A file that was never written to has nothing to vouch for.
        let state = |own: &Self| match own.file.file().metadata()?.len() {
            0 => Ok(None),
            _ => own.settle().map(|metadata| Some(version_of(&metadata))),
        };
        self.with_file("sync", state).await
    }

    async fn content_mark(&self) -> Result<Option<String>, BlobError> {
        let mark = |own: &Self| {
            let mark = own.settle().map(|metadata| content_mark_of(&metadata))?;
            *own.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark.clone());
            Ok(Some(mark))
        };
        self.with_file("sync", mark).await
    }

    fn uncommitted(&self) -> Option<Arc<dyn Blob>> {
        Some(Arc::new(DirectoryBlob { path: self.partial.clone() }))
    }

    async fn commit(&self, _chunks: &[(Sha256Digest, ByteRange)], _facts: &CommitFacts<'_>) -> Result<String, BlobError> {
        let own = self.clone();
        let work = move || {
            own.file.give_length(own.total_bytes)?;
            own.require_as_noted()?;
            let if_exists = if own.overwrite { IfExists::Replace } else { IfExists::Fail };
            publish(own.file.file(), &own.partial, &own.path, if_exists)?;
            crash::point("target-published");
            // A reader that verifies it next reads the disk.
            let _ = fadvise(own.file.file(), 0, None, Advice::DontNeed);
            own.file.file().metadata().map(|metadata| version_of(&metadata))
        };
        let committed = blocking(work).await.and_then(|result| result);
        committed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let message = "another program made it meanwhile: choose another name, or replace it with `--overwrite`";
                BlobError::new(BlobErrorKind::AlreadyExists, "finish", self.path.display().to_string(), message)
            }
            _ => error_at(&self.path, "finish", error),
        })
    }

    async fn residue(&self, _landed_bytes: u64) -> Option<Residue> {
        let measure = |own: &Self| own.require_name().and_then(|()| own.file.file().metadata());
        let metadata = self.with_file("examine", measure).await.ok()?;
        if is_at(self.file.file(), &self.path).unwrap_or(false) {
            // It was renamed, and what came after that failed.
            let path = self.path.display().to_string();
            let description = format!("the file `{path}`, whole, and perhaps not synced to the disk: repeat the command");
            return Some(Residue { description, path: Some(path), bytes: metadata.blocks() * 512, lives_days: None });
        }
        let path = self.partial.display().to_string();
        let description = format!("the file `{path}`, kept for a resume");
        Some(Residue { description, path: Some(path), bytes: metadata.blocks() * 512, lives_days: None })
    }
}
