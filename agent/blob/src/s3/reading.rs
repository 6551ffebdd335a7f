//! Reading a range of an object. An answer is handed on only if it says that it is the range that was asked for.

use azure_core::http::Method;
use azure_core::http::headers::Headers;
use futures::{StreamExt, TryStreamExt};
use protocol::units::ByteRange;

use super::bucket::{Asked, S3Bucket, unanswered};
use super::error::S3Failure;
use super::object::S3Blob;
use crate::contract::{Blob, RangeBody};
use crate::error::{BlobError, BlobErrorKind};
use crate::http::answers::header;
use crate::http::range::is_asked_range;

/// Begins to read a range of the version given.
pub(super) async fn read(blob: &S3Blob, range: ByteRange, version: &str) -> Result<RangeBody, BlobError> {
    if range.length == 0 {
        return read_nothing(blob, version).await;
    }
    let text = format!("bytes={}-{}", range.offset, range.end().saturating_sub(1));
    let asked = Asked::new(Method::Get, blob.key(), &[]).with("range", Some(text)).with("if-match", Some(version.to_owned()));
    let (headers, body) = blob.bucket.open(asked).await.map_err(|failure| blob.error("read", failure))?;
    let wrong = |message: String| BlobError::new(BlobErrorKind::Corrupted, "read", blob.address(), message);
    if header(&headers, "etag").is_some_and(|etag| etag != version) {
        return Err(wrong("the answer is of another version of the object than was asked for".to_owned()));
    }
    let length = header(&headers, "content-length").and_then(|text| text.parse().ok());
    is_asked_range(header(&headers, "content-range"), length, range, None).map_err(wrong)?;
    let blob = blob.clone();
    let pieces = body.map_err(move |error| blob.error("read", unanswered(&error)));
    Ok(RangeBody { pieces: pieces.boxed(), checksum: None })
}

/// A range without bytes, which no request can ask for.
async fn read_nothing(blob: &S3Blob, version: &str) -> Result<RangeBody, BlobError> {
    let failed = |kind, message: &str| Err(BlobError::new(kind, "read", blob.address(), message));
    match blob.look().await? {
        None => failed(BlobErrorKind::NotFound, "it is not there"),
        Some(facts) if facts.version != version => failed(BlobErrorKind::Changed, "another program changed it meanwhile"),
        Some(_) => Ok(RangeBody { pieces: futures::stream::empty().boxed(), checksum: None }),
    }
}

impl S3Bucket {
    /// The headers of an object; `None` where there is none.
    async fn headers_of(&self, key: &str) -> Result<Option<Headers>, S3Failure> {
        match self.ask(Asked::new(Method::Head, key, &[])).await {
            Ok(answer) => Ok(Some(answer.headers)),
            Err(S3Failure::Answer { status: 404, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The ETag of an object; `None` where there is none.
    pub(super) async fn etag_of(&self, key: &str) -> Result<Option<String>, S3Failure> {
        let headers = self.headers_of(key).await?;
        Ok(headers.and_then(|headers| header(&headers, "etag").map(str::to_owned)))
    }

    /// The length of an object in bytes; `None` where there is none.
    pub(super) async fn length_of(&self, key: &str) -> Result<Option<u64>, S3Failure> {
        let headers = self.headers_of(key).await?;
        Ok(headers.and_then(|headers| header(&headers, "content-length")?.parse().ok()))
    }

    /// Asks for the first byte of an object, whose answer has a body that a HEAD has not: the failure says why.
    pub(super) async fn explain(&self, key: &str) -> Result<(), S3Failure> {
        let asked = Asked::new(Method::Get, key, &[]).with("range", Some("bytes=0-0".to_owned()));
        self.open(asked).await.map(drop)
    }
}
