//! Does the store check what it is sent? An object with a wrong CRC32C, which an honest server refuses. Emulators that take
//! every checksum for good are in use, and what they were sent is not proved by it.

use bytes::Bytes;

use super::crc32c::Crc32c;
use super::object::GcsBlob;
use super::requests::Condition;
use super::staging::Staging;
use crate::error::{BlobError, BlobErrorKind};

/// What is sent under the checksum of something else.
const BODY: &[u8] = b"what a store keeps that checks nothing";

/// Finds out, and notes it for the bucket.
pub(super) async fn probe(blob: &GcsBlob, staging: &Staging) -> Result<(), BlobError> {
    let (bucket, name) = (&blob.bucket, staging.probe());
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
