//! A whole file as an object: at once where it is small, and else in pieces that are composed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::assembly::Assembly;
use super::crc32c::Crc32c;
use super::error::GcsFailure;
use super::leftovers;
use super::object::GcsBlob;
use super::requests::Condition;
use crate::contract::{Blob, Replaces};
use crate::error::{BlobError, BlobErrorKind};

/// The largest piece that is sent at once, in bytes.
const FILE_PIECE_BYTES: u64 = 8 << 20;

/// Stores a file under the name of `blob`, where that is what `replaces` says.
pub(super) async fn put(blob: &GcsBlob, file: &Arc<File>, transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
    let condition = match replaces {
        Replaces::Anything => Condition::Anything,
        Replaces::Nothing => Condition::Nothing,
        Replaces::Version(version) => Condition::Version(version.clone()),
    };
    let first = piece(blob, file, 0).await?;
    if (first.len() as u64) < FILE_PIECE_BYTES {
        let checksum = Crc32c::of(&first);
        let stored = blob.bucket.put(blob.name(), first, checksum, Vec::new(), &condition).await;
        return stored.map(drop).map_err(|failure| failed(blob, failure, &condition));
    }
    let assembly = Assembly::new(blob.clone(), transfer_id);
    let (mut pieces, mut body, mut offset) = (Vec::new(), first, 0);
    while !body.is_empty() {
        offset += body.len() as u64;
        let digest = Sha256Digest::of(&body);
        pieces.push(assembly.send(body, digest).await?);
        body = piece(blob, file, offset).await?;
    }
    let left = assembly.reduce(pieces.clone()).await?;
    let published = assembly.publish(&left, Vec::new(), &condition).await;
    published.map_err(|failure| failed(blob, failure, &condition))?;
    // What stays is removed with everything else that the transfer leaves.
    leftovers::clean(&assembly, &pieces).await.map_err(|(_, error)| error)
}

/// A version that is not there any more, or a name that is taken, is one and the same to the caller.
fn failed(blob: &GcsBlob, failure: GcsFailure, condition: &Condition) -> BlobError {
    let error = blob.error("write", failure);
    let is_lost = matches!(error.kind, BlobErrorKind::Changed | BlobErrorKind::NotFound) && *condition != Condition::Anything;
    if is_lost { BlobError { kind: BlobErrorKind::AlreadyExists, ..error } } else { error }
}

/// The piece of a file that begins at `offset`; empty behind its end.
async fn piece(blob: &GcsBlob, file: &Arc<File>, offset: u64) -> Result<Bytes, BlobError> {
    let file = file.clone();
    let read = move || {
        let length = file.metadata()?.len().saturating_sub(offset).min(FILE_PIECE_BYTES);
        let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut piece, offset).map(|()| Bytes::from(piece))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).and_then(|piece| piece);
    read.map_err(|error| BlobError::new(BlobErrorKind::Other, "read for", blob.address(), error.to_string()).caused_by(error))
}
