//! What every store promises, for a file in a directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use file::partial;
use file::replace::with_suffix;
use futures::StreamExt;
use protocol::limits::CHUNKS_MAX;
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::place::{DirectoryBlob, blocking, error_at, lock_error};
use super::upload::DirectoryUpload;
use crate::contract::{Blob, BlocksHeld, Discarded, LeftBy, LocalBlob, RangeBody, Replaces, Upload, UploadPlan, UploadRequest};
use crate::error::BlobError;
use crate::facts::{BlobFacts, ChunkLimits};

/// Pieces in which a range is read: small enough to stay in a processor's cache on the way.
const READ_PIECE_BYTES: u64 = 1 << 20;

impl LocalBlob for DirectoryBlob {
    fn read_at(&self, buffer: &mut [u8], offset: u64, version: &str) -> Result<(), BlobError> {
        self.open_version(version)?.read_exact_at(buffer, offset).map_err(|error| self.error("read", error))
    }

    fn next_data(&self, offset: u64, version: &str) -> Result<Option<ByteRange>, BlobError> {
        let file = self.open_version(version)?;
        let found = file.metadata().and_then(|metadata| file::next_data(&file, offset, metadata.len()));
        let data = found.map_err(|error| self.error("find the holes of", error))?;
        Ok(data.map(|data| ByteRange::new(data.start, data.end - data.start)))
    }
}

#[async_trait]
impl Blob for DirectoryBlob {
    fn address(&self) -> String {
        self.path.display().to_string()
    }

    fn limits(&self) -> ChunkLimits {
        ChunkLimits {
            chunks_max: CHUNKS_MAX,
            chunk_bytes_min: 1,
            chunk_bytes_max: 1 << 40,
            chunk_bytes_multiple: 512,
            blob_bytes_max: u64::MAX,
        }
    }

    fn checks_arrival(&self) -> bool {
        false
    }

    fn sibling(&self, suffix: &str) -> Arc<dyn Blob> {
        Arc::new(DirectoryBlob { path: with_suffix(&self.path, suffix) })
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        let own = self.clone();
        blocking(move || own.look()).await.map_err(|error| self.error("examine", error))?
    }

    async fn read(&self, range: ByteRange, version: &str, _checked: bool) -> Result<RangeBody, BlobError> {
        let (own, version) = (self.clone(), version.to_owned());
        let opened = blocking(move || own.open_version(&version)).await.map_err(|error| self.error("read", error))?;
        let (path, file) = (self.path.clone(), Arc::new(opened?));
        let pieces = futures::stream::unfold(range, move |left| {
            let (file, path) = (file.clone(), path.clone());
            async move {
                if left.length == 0 {
                    return None;
                }
                let length = left.length.min(READ_PIECE_BYTES);
                let read = blocking(move || {
                    let mut bytes = vec![0; length as usize];
                    file.read_exact_at(&mut bytes, left.offset).map(|()| Bytes::from(bytes))
                });
                let piece = read.await.and_then(|result| result).map_err(|error| error_at(&path, "read", error));
                let next = match &piece {
                    Ok(_) => ByteRange::new(left.offset + length, left.length - length),
                    Err(_) => ByteRange::new(left.end(), 0),
                };
                Some((piece, next))
            }
        });
        Ok(RangeBody { pieces: pieces.boxed(), checksum: None })
    }

    fn local(&self) -> Option<Arc<dyn LocalBlob>> {
        Some(Arc::new(self.clone()))
    }

    async fn preflight(&self, plan: &UploadPlan) -> Result<Vec<String>, BlobError> {
        let (own, plan) = (self.clone(), plan.clone());
        let checked = blocking(move || own.check_before_upload(&plan)).await;
        checked.map_err(|error| self.error("examine", error))?
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        let (own, request) = (self.clone(), request.clone());
        let begun = blocking(move || DirectoryUpload::begin(&own, &request)).await;
        let (upload, held) = begun.map_err(|error| self.error("begin", error))??;
        Ok((Arc::new(upload), held))
    }

    async fn left_by(&self, left: LeftBy<'_>) -> Result<Option<Residue>, BlobError> {
        let path =
            partial::path_of(&self.path, left.transfer_id).map_err(|error| self.error("look for what is left of", error))?;
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error_at(&path, "look at", error)),
        };
        let (path, bytes) = (path.display().to_string(), metadata.blocks() * 512);
        Ok(Some(Residue { description: format!("the file `{path}`"), path: Some(path), bytes, lives_days: None }))
    }

    async fn discard(&self, left: LeftBy<'_>) -> Result<Discarded, BlobError> {
        let removed = partial::remove(&self.path, left.transfer_id);
        removed.map_err(|error| lock_error(&self.path, "remove what is left of", error))?;
        Ok(Discarded::Everything)
    }

    async fn put_file(&self, source: Arc<File>, transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
        let (own, transfer_id, replaces) = (self.clone(), transfer_id.to_owned(), replaces.clone());
        let stored = blocking(move || own.store(&source, &transfer_id, &replaces)).await;
        stored.map_err(|error| self.error("write", error))?
    }
}
