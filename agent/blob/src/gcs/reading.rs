//! Reading a range of an object. An answer is handed on only if it says that it is the range that was asked for.

use futures::{StreamExt, TryStreamExt};
use protocol::units::ByteRange;

use super::bucket::{GcsBucket, unanswered};
use super::object::{GcsBlob, is_compressed};
use crate::contract::{Blob, RangeBody};
use crate::error::{BlobError, BlobErrorKind};
use crate::http::answers::header;
use crate::http::range::is_asked_range;

/// Begins to read a range of the version given.
pub(super) async fn read(blob: &GcsBlob, range: ByteRange, version: &str) -> Result<RangeBody, BlobError> {
    if range.length == 0 {
        return read_nothing(blob, version).await;
    }
    let text = format!("bytes={}-{}", range.offset, range.end().saturating_sub(1));
    let asked = GcsBucket::range(blob.name(), text).with("x-goog-if-generation-match", Some(version.to_owned()));
    let (headers, body) = blob.bucket.open(asked).await.map_err(|failure| blob.error("read", failure))?;
    let wrong = |message: String| BlobError::new(BlobErrorKind::Corrupted, "read", blob.address(), message);
    if header(&headers, "x-goog-generation").is_some_and(|found| found != version) {
        return Err(wrong("the answer is of another generation of the object than was asked for".to_owned()));
    }
    if is_compressed(&headers) {
        // Its encoding is no part of the generation: it may be said of an object later.
        let message =
            "it is said to be compressed meanwhile (`Content-Encoding: gzip`): look at what it holds now, and repeat the command";
        return Err(BlobError::new(BlobErrorKind::Changed, "read", blob.address(), message));
    }
    let length = header(&headers, "content-length").and_then(|text| text.parse().ok());
    is_asked_range(header(&headers, "content-range"), length, range, None).map_err(wrong)?;
    let blob = blob.clone();
    let pieces = body.map_err(move |error| blob.error("read", unanswered(&error)));
    Ok(RangeBody { pieces: pieces.boxed(), checksum: None })
}

/// A range without bytes, which no request can ask for.
async fn read_nothing(blob: &GcsBlob, version: &str) -> Result<RangeBody, BlobError> {
    let failed = |kind, message: &str| Err(BlobError::new(kind, "read", blob.address(), message));
    match blob.head().await? {
        None => failed(BlobErrorKind::NotFound, "it is not there"),
        Some(facts) if facts.version != version => failed(BlobErrorKind::Changed, "another program changed it meanwhile"),
        Some(_) => Ok(RangeBody { pieces: futures::stream::empty().boxed(), checksum: None }),
    }
}
