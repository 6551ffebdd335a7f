//! What fuzz targets try of the answers of S3.

use azure_core::http::headers::Headers;

use super::answers::{self, etag_of_copy};
use super::bucket::Answer;
use super::error::S3Failure;
use crate::error::BlobError;
use crate::http::xml::Element;

/// Number and size of each part of a page of their list; `None` where it is not one.
pub fn parts_of_page(xml: &[u8]) -> Option<Vec<(u32, u64)>> {
    let (parts, _) = answers::parts_of_page(&Element::parse(xml).ok()?)?;
    Some(parts.iter().map(|part| (part.number, part.size_bytes)).collect())
}

/// Key and id of an upload.
type Upload = (String, String);

/// The uploads of a page of their list, and where it continues; `None` where it is not one.
pub fn uploads_of_page(xml: &[u8]) -> Option<(Vec<Upload>, Option<Upload>)> {
    let page = answers::uploads_of_page(&Element::parse(xml).ok()?)?;
    Some((page.items, page.next))
}

/// The ETag that a success tells of a copy or a commit, unless its body is an error.
pub fn etag_of_result(body: &[u8]) -> Result<Option<String>, BlobError> {
    let answer = Answer { headers: Headers::new(), body: body.to_vec().into() };
    let answer = answer.checked().and_then(|answer| answer.document());
    answer.map(|result| etag_of_copy(&result)).map_err(|failure| failure.into_error("commit", "s3://bucket/key".to_owned()))
}

/// What an answer with this status comes to that is not a success.
pub fn error_of(status: u16, body: &[u8]) -> BlobError {
    S3Failure::of_answer(status, &Headers::new(), body).into_error("look at", "s3://bucket/key".to_owned())
}
