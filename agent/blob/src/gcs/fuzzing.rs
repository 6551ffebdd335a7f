//! What fuzz targets try of the answers of Google Cloud Storage.

use azure_core::http::headers::Headers;

use super::crc32c::Crc32c;
use super::error::GcsFailure;
use crate::error::BlobError;

/// What an answer with this status comes to that is not a success: of a composition among others.
pub fn error_of(status: u16, body: &[u8]) -> BlobError {
    GcsFailure::of_answer(status, &Headers::new(), body, "storage.objects.get")
        .into_error("look at", "gs://bucket/name".to_owned())
}

/// The checksum that a header tells, as it would be written.
pub fn checksum_of(header: &str) -> Option<String> {
    Crc32c::of_header(header).map(Crc32c::header)
}
