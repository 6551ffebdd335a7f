//! Does the store check what it is sent? One part with a wrong SHA-256, which an honest server refuses. Gateways that take
//! every checksum for good are in use, and what they were sent is not proved by it.

use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::error::S3Failure;
use super::object::S3Blob;
use super::requests::OpenUpload;
use super::staging::Staging;
use crate::error::{BlobError, BlobErrorKind};

/// What is sent under the digest of something else.
const BODY: &[u8] = b"what a store keeps that checks nothing";

/// Finds out, and notes it for the bucket.
pub(super) async fn probe(blob: &S3Blob, staging: &Staging) -> Result<(), BlobError> {
    let failed = |failure| blob.error("begin", failure);
    let bucket = &blob.bucket;
    let key = staging.probe();
    let id = bucket.create_upload(&key, Vec::new(), true).await.map_err(failed)?;
    let upload = OpenUpload { key, id };
    let sent = bucket.put_part(&upload, 1, Bytes::from_static(BODY), Sha256Digest::of(b"something else")).await;
    let checks = match sent {
        Ok(_) => Some(false),
        Err(S3Failure::Answer { status: 400, .. }) => Some(true),
        Err(failure) if failure.kind() == BlobErrorKind::Corrupted => Some(true),
        Err(failure) => {
            // What was begun is removed with everything else of this transfer.
            return Err(failed(failure));
        }
    };
    bucket.abort_upload(&upload).await.map_err(failed)?;
    bucket.note_checks_arrival(checks == Some(true));
    Ok(())
}
