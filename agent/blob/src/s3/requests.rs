//! The requests that are sent to a bucket, each once, and what their answers say.

use std::borrow::Cow;

use azure_core::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::bucket::{Asked, HeaderList, S3Bucket};
use super::error::S3Failure;
use crate::http::answers::header;
use crate::http::listing::{Listed, Page, decoder, objects_of_page};
use crate::http::xml::{Element, written};

/// The SHA-256 of a part, and of an object that is sent whole.
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// What a write may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whatever has the name, or nothing.
    Anything,
    /// Nothing: the name is free.
    Nothing,
    /// This version, and no other.
    Version(String),
}

impl Condition {
    fn header(&self) -> Option<(Cow<'static, str>, String)> {
        match self {
            Condition::Anything => None,
            Condition::Nothing => Some((Cow::Borrowed("if-none-match"), "*".to_owned())),
            Condition::Version(version) => Some((Cow::Borrowed("if-match"), version.clone())),
        }
    }
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u32,
    /// Without quotation marks, which not every answer has.
    pub(super) etag: String,
    pub(super) size_bytes: u64,
    /// Where the store tells it.
    pub(super) digest: Option<Sha256Digest>,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenUpload {
    pub(super) key: String,
    pub(super) id: String,
}

/// What is copied: an object that did not change, or a range of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopySource<'source> {
    pub(super) key: &'source str,
    pub(super) etag: &'source str,
    /// First and last byte; `None` for the whole.
    pub(super) range: Option<(u64, u64)>,
}

pub(super) fn base64_of(digest: &Sha256Digest) -> String {
    STANDARD.encode(digest.0)
}

fn digest_of(text: Option<&str>) -> Option<Sha256Digest> {
    // That of a whole object that was put together has the number of its parts behind it, and is no digest of bytes.
    STANDARD.decode(text?).ok()?.try_into().ok().map(Sha256Digest)
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn missing(text: Option<&str>) -> Result<&str, S3Failure> {
    text.ok_or(S3Failure::NotUnderstood)
}

impl S3Bucket {
    /// Begins an upload; gives its id. What is said of the object has to be said now.
    pub(super) async fn create_upload(&self, key: &str, headers: HeaderList, with_digests: bool) -> Result<String, S3Failure> {
        let asked = Asked { headers, ..Asked::new(Method::Post, key, &[("uploads", "")]) };
        let asked = asked.with("x-amz-checksum-algorithm", with_digests.then(|| "SHA256".to_owned()));
        let answer = self.ask(asked).await?.document()?;
        missing(answer.text_of("UploadId")).map(str::to_owned)
    }

    /// Sends a part; gives its ETag. The store is told its SHA-256, and what is signed is the same.
    pub(super) async fn put_part(
        &self,
        upload: &OpenUpload,
        number: u32,
        body: Bytes,
        digest: Sha256Digest,
    ) -> Result<String, S3Failure> {
        let (number, checksum) = (number.to_string(), base64_of(&digest));
        let query = [("partNumber", &*number), ("uploadId", &*upload.id)];
        let asked = Asked { body, digest: Some(digest), ..Asked::new(Method::Put, &upload.key, &query) };
        let answer = self.ask(asked.with(CHECKSUM, Some(checksum))).await?;
        missing(header(&answer.headers, "etag")).map(unquoted)
    }

    /// Makes a part of an object, or of a range of it, at the store; gives the ETag.
    pub(super) async fn copy_part(&self, upload: &OpenUpload, number: u32, source: CopySource<'_>) -> Result<String, S3Failure> {
        let number = number.to_string();
        let query = [("partNumber", &*number), ("uploadId", &*upload.id)];
        let range = source.range.map(|(first, last)| format!("bytes={first}-{last}"));
        let asked = Asked::new(Method::Put, &upload.key, &query)
            .with("x-amz-copy-source", Some(self.place.copy_source(source.key)))
            .with("x-amz-copy-source-if-match", Some(source.etag.to_owned()))
            .with("x-amz-copy-source-range", range);
        let answer = self.ask(asked).await?.document()?;
        missing(answer.text_of("ETag")).map(unquoted)
    }

    /// A page of the parts of an upload, after the number given.
    pub(super) async fn list_parts(&self, upload: &OpenUpload, after: u32, most: u32) -> Result<(Vec<Part>, bool), S3Failure> {
        let (after, most) = (after.to_string(), most.to_string());
        let query = [("uploadId", &*upload.id), ("max-parts", &*most), ("part-number-marker", &*after)];
        let answer = self.ask(Asked::new(Method::Get, &upload.key, &query)).await?.document()?;
        let part = |part: &Element| {
            Some(Part {
                number: part.number_of("PartNumber")?.try_into().ok()?,
                etag: unquoted(part.text_of("ETag")?),
                size_bytes: part.number_of("Size")?,
                digest: digest_of(part.text_of("ChecksumSHA256")),
            })
        };
        let parts: Option<Vec<Part>> = answer.all("Part").map(part).collect();
        Ok((parts.ok_or(S3Failure::NotUnderstood)?, answer.is("IsTruncated")))
    }

    /// Makes an object of these parts; gives its ETag, where the answer has it.
    pub(super) async fn complete_upload(
        &self,
        upload: &OpenUpload,
        parts: &[Part],
        condition: &Condition,
    ) -> Result<Option<String>, S3Failure> {
        let mut body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
        for part in parts {
            body += &format!("<Part><PartNumber>{}</PartNumber>{}", part.number, written("ETag", &format!("\"{}\"", part.etag)));
            if let Some(digest) = &part.digest {
                body += &written("ChecksumSHA256", &base64_of(digest));
            }
            body += "</Part>";
        }
        body += "</CompleteMultipartUpload>";
        let query = [("uploadId", &*upload.id)];
        let mut asked = Asked { body: body.into(), ..Asked::new(Method::Post, &upload.key, &query) };
        asked.headers.push((Cow::Borrowed("content-type"), "application/xml".to_owned()));
        asked.headers.extend(condition.header());
        let answer = self.ask(asked).await?.document()?;
        Ok(answer.text_of("ETag").map(str::to_owned))
    }

    /// Ends an upload, and removes its parts. One that is gone is no failure.
    pub(super) async fn abort_upload(&self, upload: &OpenUpload) -> Result<(), S3Failure> {
        let query = [("uploadId", &*upload.id)];
        match self.ask(Asked::new(Method::Delete, &upload.key, &query)).await {
            Err(failure) if failure.code() == "NoSuchUpload" => Ok(()),
            other => other.map(drop),
        }
    }

    /// Stores an object whole; gives its ETag.
    pub(super) async fn put(
        &self,
        key: &str,
        body: Bytes,
        headers: HeaderList,
        condition: &Condition,
    ) -> Result<String, S3Failure> {
        let digest = Sha256Digest::of(&body);
        let mut asked = Asked { body, headers, digest: Some(digest), ..Asked::new(Method::Put, key, &[]) };
        asked.headers.extend(condition.header());
        let answer = self.ask(asked.with(CHECKSUM, Some(base64_of(&digest)))).await?;
        missing(header(&answer.headers, "etag")).map(str::to_owned)
    }

    /// An object that is small, with its ETag; `None` where there is none.
    pub(super) async fn get_small(&self, key: &str) -> Result<Option<Bytes>, S3Failure> {
        match self.ask(Asked::new(Method::Get, key, &[])).await {
            Err(failure) if failure.code() == "NoSuchKey" => Ok(None),
            other => Ok(Some(other?.body)),
        }
    }

    /// Removes an object. One that is gone is no failure.
    pub(super) async fn delete(&self, key: &str) -> Result<(), S3Failure> {
        match self.ask(Asked::new(Method::Delete, key, &[])).await {
            Err(failure) if failure.code() == "NoSuchKey" => Ok(()),
            other => other.map(drop),
        }
    }

    /// A page of the objects below a prefix.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        delimiter: &str,
        from: Option<&str>,
    ) -> Result<Page<Listed, String>, S3Failure> {
        let mut query = vec![("list-type", "2"), ("prefix", prefix), ("encoding-type", "url")];
        query.extend((!delimiter.is_empty()).then_some(("delimiter", delimiter)));
        query.extend(from.map(|token| ("continuation-token", token)));
        let answer = self.ask(Asked::new(Method::Get, "", &query)).await?.document()?;
        objects_of_page(&answer).ok_or(S3Failure::NotUnderstood)
    }

    /// A page of the open uploads below a prefix.
    pub(super) async fn list_uploads(
        &self,
        prefix: &str,
        from: Option<&(String, String)>,
    ) -> Result<Page<OpenUpload, (String, String)>, S3Failure> {
        let mut query = vec![("uploads", ""), ("prefix", prefix), ("encoding-type", "url")];
        if let Some((key, id)) = from {
            query.extend([("key-marker", &**key), ("upload-id-marker", &**id)]);
        }
        let answer = self.ask(Asked::new(Method::Get, "", &query)).await?.document()?;
        let decode = decoder(&answer);
        let upload =
            |item: &Element| Some(OpenUpload { key: decode(item.text_of("Key")?)?, id: item.text_of("UploadId")?.to_owned() });
        let items: Option<Vec<OpenUpload>> = answer.all("Upload").map(upload).collect();
        let next = answer.text_of("NextKeyMarker").filter(|_| answer.is("IsTruncated")).and_then(&decode);
        let next_id = answer.text_of("NextUploadIdMarker").unwrap_or_default().to_owned();
        Ok(Page { items: items.ok_or(S3Failure::NotUnderstood)?, prefixes: Vec::new(), next: next.map(|key| (key, next_id)) })
    }

    /// The names of the buckets of the account.
    pub(crate) async fn buckets(&self) -> Result<Vec<String>, S3Failure> {
        let asked = Asked { is_of_account: true, ..Asked::new(Method::Get, "", &[]) };
        let answer = self.ask(asked).await?.document()?;
        let buckets = answer.all("Buckets").flat_map(|buckets| buckets.all("Bucket"));
        Ok(buckets.filter_map(|bucket| bucket.text_of("Name").map(str::to_owned)).collect())
    }

    /// Makes the bucket. One that is this account's already is no failure.
    pub(crate) async fn create(&self) -> Result<(), S3Failure> {
        let region = &self.place.region;
        let body = match self.place.is_aws && region != "us-east-1" {
            true => format!("<CreateBucketConfiguration>{}</CreateBucketConfiguration>", written("LocationConstraint", region)),
            false => String::new(),
        };
        match self.ask(Asked { body: body.into(), ..Asked::new(Method::Put, "", &[]) }).await {
            Err(failure) if matches!(failure.code(), "BucketAlreadyOwnedByYou" | "BucketAlreadyExists") => Ok(()),
            other => other.map(drop),
        }
    }

    /// All open uploads below a prefix.
    pub(super) async fn all_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, S3Failure> {
        let mut all = Vec::new();
        let mut from = None;
        loop {
            let page = self.list_uploads(prefix, from.as_ref()).await?;
            // Servers differ in what they take for a prefix.
            all.extend(page.items.into_iter().filter(|upload| upload.key.starts_with(prefix)));
            require_end(all.len())?;
            match page.next.filter(|next| from.as_ref() != Some(next)) {
                Some(next) => from = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// All objects below a prefix.
    pub(super) async fn all_objects(&self, prefix: &str) -> Result<Vec<Listed>, S3Failure> {
        let mut all = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let page = self.list(prefix, "", from.as_deref()).await?;
            all.extend(page.items);
            require_end(all.len())?;
            match page.next.filter(|next| from.as_ref() != Some(next)) {
                Some(next) => from = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// All parts of an upload; `None` where there is no such upload.
    pub(super) async fn all_parts(&self, upload: &OpenUpload) -> Result<Option<Vec<Part>>, S3Failure> {
        let mut all: Vec<Part> = Vec::new();
        loop {
            let after = all.last().map_or(0, |part| part.number);
            match self.list_parts(upload, after, PARTS_OF_A_PAGE).await {
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
}

/// Most uploads or objects that are taken for those of one transfer: there are at most some ten thousand.
const LISTED_MAX: usize = 100_000;

fn require_end(listed: usize) -> Result<(), S3Failure> {
    if listed > LISTED_MAX { Err(S3Failure::NotUnderstood) } else { Ok(()) }
}

/// Most parts that a page of their list has (ListParts).
const PARTS_OF_A_PAGE: u32 = 1000;
