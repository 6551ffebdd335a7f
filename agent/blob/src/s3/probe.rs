//! What is found out before the first byte: whether the store checks what it is sent, and whether pieces can be put, read and
//! removed where that was asked for.

use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::error::S3Failure;
use super::object::S3Blob;
use super::requests::Condition;
use super::staging::Staging;
use crate::error::{BlobError, BlobErrorKind};

/// What is sent under the digest of something else.
const BODY: &[u8] = b"what a store keeps that checks nothing";

/// Finds out whether the store refuses a part with a wrong SHA-256, and notes it for the bucket. Gateways that take every
/// checksum for good are in use, and what they were sent is not proved by it.
pub(super) async fn probe(blob: &S3Blob, names: &Staging) -> Result<(), BlobError> {
    let failed = |failure| blob.staging_error("begin", failure);
    require_removable(blob, names).await?;
    let upload = blob.staging_bucket().create_upload(&names.probe(), Vec::new(), true).await.map_err(failed)?;
    let checks = match upload.put_part(1, Bytes::from_static(BODY), Sha256Digest::of(b"something else")).await {
        Ok(_) => Some(false),
        Err(S3Failure::Answer { status: 400, .. }) => Some(true),
        Err(failure) if failure.kind() == BlobErrorKind::Corrupted => Some(true),
        Err(failure) => {
            // What was begun is removed with everything else of this transfer.
            return Err(failed(failure));
        }
    };
    upload.abort().await.map_err(failed)?;
    blob.bucket.note_checks_arrival(checks == Some(true));
    Ok(())
}

/// Refuses a place for pieces where they could not be read, or not be removed, which is what it is for.
async fn require_removable(blob: &S3Blob, names: &Staging) -> Result<(), BlobError> {
    if blob.staging.is_none() {
        return Ok(());
    }
    let (bucket, key) = (blob.staging_bucket(), names.probe());
    let put = bucket.put(&key, Bytes::from_static(BODY), Vec::new(), &Condition::Anything).await;
    put.map_err(|failure| blob.staging_error("put a piece into", failure))?;
    bucket.get_small(&key).await.map_err(|failure| blob.staging_error("read a piece from", failure))?;
    bucket.delete(&key).await.map_err(|failure| blob.staging_error("remove a piece from", failure))
}
