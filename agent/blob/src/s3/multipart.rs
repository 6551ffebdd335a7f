//! Multipart uploads: an upload knows its bucket, so that parts of one in the bucket of the object, and of one where pieces are
//! put, cannot be confused.

use std::fmt;
use std::sync::Arc;

use azure_core::http::Method;
use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::answers::{Part, etag_of_copy, parts_of_page, unquoted, uploads_of_page};
use super::bucket::{Asked, HeaderList, S3Bucket};
use super::error::S3Failure;
use super::requests::{CHECKSUM, Condition, base64_of, missing, require_end};
use crate::http::answers::header;
use crate::http::xml::written;

/// Most parts that a page of their list has (ListParts).
const PARTS_OF_A_PAGE: u32 = 1000;

/// An upload that was begun and neither completed nor aborted.
#[derive(Clone)]
pub(super) struct OpenUpload {
    pub(super) bucket: Arc<S3Bucket>,
    pub(super) key: String,
    pub(super) id: String,
}

impl fmt::Debug for OpenUpload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenUpload").field("key", &self.key).field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is copied: an object that did not change, or a range of it.
#[derive(Clone, Copy)]
pub(super) struct CopySource<'source> {
    pub(super) bucket: &'source S3Bucket,
    pub(super) key: &'source str,
    pub(super) etag: &'source str,
    /// First and last byte; `None` for the whole.
    pub(super) range: Option<(u64, u64)>,
}

impl S3Bucket {
    /// Begins an upload. What is said of the object has to be said now.
    pub(super) async fn create_upload(
        self: &Arc<Self>,
        key: &str,
        headers: HeaderList,
        with_digests: bool,
    ) -> Result<OpenUpload, S3Failure> {
        let asked = Asked { headers, ..Asked::new(Method::Post, key, &[("uploads", "")]) };
        let asked = asked.with("x-amz-checksum-algorithm", with_digests.then(|| "SHA256".to_owned()));
        let answer = self.ask(asked).await?.document()?;
        Ok(self.open_upload(key, missing(answer.text_of("UploadId"))?))
    }

    /// An upload of this bucket, by its id.
    pub(super) fn open_upload(self: &Arc<Self>, key: &str, id: &str) -> OpenUpload {
        OpenUpload { bucket: self.clone(), key: key.to_owned(), id: id.to_owned() }
    }

    /// All open uploads below a prefix.
    pub(super) async fn all_uploads(self: &Arc<Self>, prefix: &str) -> Result<Vec<OpenUpload>, S3Failure> {
        let mut all = Vec::new();
        let mut from: Option<(String, String)> = None;
        loop {
            let mut query = vec![("uploads", ""), ("prefix", prefix), ("encoding-type", "url")];
            if let Some((key, id)) = &from {
                query.extend([("key-marker", &**key), ("upload-id-marker", &**id)]);
            }
            let answer = self.ask(Asked::new(Method::Get, "", &query)).await?.document()?;
            let page = uploads_of_page(&answer).ok_or(S3Failure::NotUnderstood)?;
            // Servers differ in what they take for a prefix.
            let found = page.items.into_iter().filter(|(key, _)| key.starts_with(prefix));
            all.extend(found.map(|(key, id)| self.open_upload(&key, &id)));
            require_end(all.len())?;
            match page.next.filter(|next| from.as_ref() != Some(next)) {
                Some(next) => from = Some(next),
                None => return Ok(all),
            }
        }
    }
}

impl OpenUpload {
    /// Sends a part; gives its ETag. The store is told its SHA-256, and what is signed is the same.
    pub(super) async fn put_part(&self, number: u32, body: Bytes, digest: Sha256Digest) -> Result<String, S3Failure> {
        let (number, checksum) = (number.to_string(), base64_of(&digest));
        let query = [("partNumber", &*number), ("uploadId", &*self.id)];
        let asked = Asked { body, digest: Some(digest), ..Asked::new(Method::Put, &self.key, &query) };
        let answer = self.bucket.ask(asked.with(CHECKSUM, Some(checksum))).await?;
        missing(header(&answer.headers, "etag")).map(unquoted)
    }

    /// Makes a part of an object, or of a range of it, at the store; gives the ETag.
    pub(super) async fn copy_part(&self, number: u32, source: CopySource<'_>) -> Result<String, S3Failure> {
        let number = number.to_string();
        let query = [("partNumber", &*number), ("uploadId", &*self.id)];
        let range = source.range.map(|(first, last)| format!("bytes={first}-{last}"));
        let asked = Asked::new(Method::Put, &self.key, &query)
            .with("x-amz-copy-source", Some(source.bucket.place.copy_source(source.key)))
            .with("x-amz-copy-source-if-match", Some(source.etag.to_owned()))
            .with("x-amz-copy-source-range", range);
        let answer = self.bucket.ask(asked).await?.document()?;
        etag_of_copy(&answer).ok_or(S3Failure::NotUnderstood)
    }

    /// A page of its parts, after the number given.
    async fn list_parts(&self, after: u32, most: u32) -> Result<(Vec<Part>, bool), S3Failure> {
        let (after, most) = (after.to_string(), most.to_string());
        let query = [("uploadId", &*self.id), ("max-parts", &*most), ("part-number-marker", &*after)];
        let answer = self.bucket.ask(Asked::new(Method::Get, &self.key, &query)).await?.document()?;
        parts_of_page(&answer).ok_or(S3Failure::NotUnderstood)
    }

    /// Whether it has any part.
    pub(super) async fn has_parts(&self) -> Result<bool, S3Failure> {
        Ok(!self.list_parts(0, 1).await?.0.is_empty())
    }

    /// All its parts; `None` where there is no such upload.
    pub(super) async fn all_parts(&self) -> Result<Option<Vec<Part>>, S3Failure> {
        let mut all: Vec<Part> = Vec::new();
        loop {
            let after = all.last().map_or(0, |part| part.number);
            match self.list_parts(after, PARTS_OF_A_PAGE).await {
                Err(failure) if failure.code() == "NoSuchUpload" => return Ok(None),
                Err(failure) => return Err(failure),
                Ok((parts, is_truncated)) => {
                    let is_more = parts.last().is_some_and(|part| part.number > after);
                    all.extend(parts);
                    if !is_truncated || !is_more {
                        return Ok(Some(all));
                    }
                }
            }
        }
    }

    /// Makes an object of these parts; gives its ETag, where the answer has it.
    pub(super) async fn complete(&self, parts: &[Part], condition: &Condition) -> Result<Option<String>, S3Failure> {
        let mut body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
        for part in parts {
            body += &format!("<Part><PartNumber>{}</PartNumber>{}", part.number, written("ETag", &format!("\"{}\"", part.etag)));
            if let Some(digest) = &part.digest {
                body += &written("ChecksumSHA256", &base64_of(digest));
            }
            body += "</Part>";
        }
        body += "</CompleteMultipartUpload>";
        let query = [("uploadId", &*self.id)];
        let mut asked = Asked { body: body.into(), ..Asked::new(Method::Post, &self.key, &query) };
        asked.headers.extend(condition.header());
        let answer = self.bucket.ask(asked.with("content-type", Some("application/xml".to_owned()))).await?.document()?;
        Ok(answer.text_of("ETag").map(str::to_owned))
    }

    /// Ends it, and removes its parts. One that is gone is not a failure.
    pub(super) async fn abort(&self) -> Result<(), S3Failure> {
        let query = [("uploadId", &*self.id)];
        match self.bucket.ask(Asked::new(Method::Delete, &self.key, &query)).await {
            Err(failure) if failure.code() == "NoSuchUpload" => Ok(()),
            other => other.map(drop),
        }
    }
}
