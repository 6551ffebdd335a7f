//! A whole file as an object: at once where it is small, and else in parts that are put together at once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::answers::Part;
use super::error::S3Failure;
use super::object::S3Blob;
use super::requests::Condition;
use crate::contract::{Blob, Replaces};
use crate::error::{BlobError, BlobErrorKind};

/// The largest piece that is sent at once, in bytes.
const FILE_PIECE_BYTES: u64 = 8 << 20;

/// Most pieces: a manifest of the largest drive has half as many.
const PIECES_MAX: u32 = 10_000;

/// Stores a file under the name of `blob`, where that is what `replaces` says.
pub(super) async fn put(blob: &S3Blob, file: &Arc<File>, transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
    let condition = match replaces {
        Replaces::Anything => Condition::Anything,
        Replaces::Nothing => Condition::Nothing,
        Replaces::Version(version) => Condition::Version(version.clone()),
    };
    if let Replaces::Version(version) = replaces
        && blob.look().await?.is_none_or(|found| found.version != *version)
    {
        // Not every server looks at the condition of a write.
        let message = "another program replaced or deleted it meanwhile: look at what is there, and repeat the command";
        return Err(BlobError::new(BlobErrorKind::AlreadyExists, "write", blob.address(), message));
    }
    let first = piece(blob, file, 0).await?;
    let stored = match (first.len() as u64) < FILE_PIECE_BYTES {
        true => blob.bucket.put(blob.key(), first, Vec::new(), &condition).await.map(drop),
        false => return put_in_parts(blob, file, first, transfer_id, &condition).await,
    };
    stored.map_err(|failure| failed(blob, failure, &condition))
}

/// A version that is not there any more, or a name that is taken, is one and the same to the caller.
fn failed(blob: &S3Blob, failure: S3Failure, condition: &Condition) -> BlobError {
    let error = blob.error("write", failure);
    let is_lost = matches!(error.kind, BlobErrorKind::Changed | BlobErrorKind::NotFound) && *condition != Condition::Anything;
    if is_lost { BlobError { kind: BlobErrorKind::AlreadyExists, ..error } } else { error }
}

/// The piece of a file that begins at `offset`; empty behind its end.
async fn piece(blob: &S3Blob, file: &Arc<File>, offset: u64) -> Result<Bytes, BlobError> {
    let file = file.clone();
    let read = move || {
        let length = file.metadata()?.len().saturating_sub(offset).min(FILE_PIECE_BYTES);
        let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut piece, offset).map(|()| Bytes::from(piece))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).and_then(|piece| piece);
    read.map_err(|error| BlobError::new(BlobErrorKind::Other, "read for", blob.address(), error.to_string()).caused_by(error))
}

async fn put_in_parts(
    blob: &S3Blob,
    file: &Arc<File>,
    first: Bytes,
    transfer_id: &str,
    condition: &Condition,
) -> Result<(), BlobError> {
    let (pieces, names) = (blob.staging_bucket(), blob.names(blob.key(), transfer_id));
    let begun = |failure| blob.error("write", failure);
    let upload = blob.bucket.create_upload(blob.key(), Vec::new(), true).await.map_err(begun)?;
    // From here on the upload is known to be this transfer's.
    pieces.put(&names.marker(), upload.id.clone().into(), Vec::new(), &Condition::Anything).await.map_err(begun)?;
    let sent = async {
        let (mut parts, mut body, mut offset) = (Vec::new(), first, 0);
        for number in 1..=PIECES_MAX {
            let (digest, size_bytes) = (Sha256Digest::of(&body), body.len() as u64);
            let etag = upload.put_part(number, body, digest).await.map_err(begun)?;
            parts.push(Part { number, etag, size_bytes, digest: Some(digest) });
            offset += size_bytes;
            body = piece(blob, file, offset).await?;
            if body.is_empty() {
                break;
            }
        }
        upload.complete(&parts, condition).await.map_err(|failure| failed(blob, failure, condition))
    };
    let sent = sent.await;
    if sent.is_err() {
        // The next try begins a new one.
        upload.abort().await.map_err(begun)?;
    }
    pieces.delete(&names.marker()).await.map_err(begun)?;
    sent.map(drop)
}
