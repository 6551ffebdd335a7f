//! The requests about objects and buckets, each sent once, and what their answers say.

use std::borrow::Cow;

use azure_core::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use protocol::digest::Sha256Digest;

use super::bucket::{Asked, HeaderList, S3Bucket};
use super::error::S3Failure;
use crate::http::answers::header;
use crate::http::listing::{Listed, Page, objects_of_page};
use crate::http::xml::written;

/// The SHA-256 of a part, and of an object that is sent whole.
pub(super) const CHECKSUM: &str = "x-amz-checksum-sha256";

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
    pub(super) fn header(&self) -> Option<(Cow<'static, str>, String)> {
        match self {
            Condition::Anything => None,
            Condition::Nothing => Some((Cow::Borrowed("if-none-match"), "*".to_owned())),
            Condition::Version(version) => Some((Cow::Borrowed("if-match"), version.clone())),
        }
    }
}

pub(super) fn base64_of(digest: &Sha256Digest) -> String {
    STANDARD.encode(digest.0)
}

pub(super) fn missing(text: Option<&str>) -> Result<&str, S3Failure> {
    text.ok_or(S3Failure::NotUnderstood)
}

impl S3Bucket {
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

    /// Removes an object. One that is gone is not a failure.
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
}

/// Most uploads or objects that are taken for those of one transfer: there are at most some ten thousand.
const LISTED_MAX: usize = 100_000;

pub(super) fn require_end(listed: usize) -> Result<(), S3Failure> {
    if listed > LISTED_MAX { Err(S3Failure::NotUnderstood) } else { Ok(()) }
}
