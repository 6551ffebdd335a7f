//! What is found out before the first byte: whether the store checks what it is sent, and whether pieces can be put, read and
//! removed where that was asked for.

use bytes::Bytes;

use super::crc32c::Crc32c;
use super::object::GcsBlob;
use super::requests::Condition;
use super::staging::Staging;
use crate::error::{BlobError, BlobErrorKind};

/// What is sent under the checksum of something else.
const BODY: &[u8] = b"what a store keeps that checks nothing";

/// Finds out whether the store refuses an object with a wrong CRC32C, and notes it for the bucket. Emulators that take every
/// checksum for good are in use, and what they were sent is not proved by it.
pub(super) async fn probe(blob: &GcsBlob, staging: &Staging) -> Result<(), BlobError> {
    let (bucket, name) = (&blob.bucket, staging.probe());
    require_removable(blob, &name).await?;
    let wrong = Crc32c::of(b"something else");
    let checks = match bucket.put(&name, Bytes::from_static(BODY), wrong, Vec::new(), &Condition::Nothing).await {
        Ok(_) => false,
        Err(failure) => match failure.kind() {
            BlobErrorKind::Corrupted => true,
            // It kept an earlier one.
            BlobErrorKind::Changed => false,
            _ if failure.status() == 400 && failure.code() != "UserProjectMissing" => true,
            _ => return Err(blob.error("begin", failure)),
        },
    };
    bucket.note_checks_arrival(checks);
    match checks {
        true => Ok(()),
        false => bucket.delete(&name, None).await.map_err(|failure| blob.error("begin", failure)),
    }
}

/// Refuses a folder for pieces where they could not be read, or not be removed, which is what it is for.
async fn require_removable(blob: &GcsBlob, name: &str) -> Result<(), BlobError> {
    if blob.staging.is_none() {
        return Ok(());
    }
    let (bucket, body) = (&blob.bucket, Bytes::from_static(BODY));
    match bucket.put(name, body, Crc32c::of(BODY), Vec::new(), &Condition::Nothing).await {
        // An earlier try put it there.
        Err(failure) if failure.kind() == BlobErrorKind::Changed => {}
        put => put.map(drop).map_err(|failure| blob.error("put a piece beside", failure))?,
    }
    bucket.stored(name).await.map_err(|failure| blob.error("look at a piece of", failure))?;
    bucket.delete(name, None).await.map_err(|failure| blob.error("remove a piece of", failure))
}
