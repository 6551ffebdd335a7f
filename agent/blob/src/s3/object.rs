//! One object, present or not: how it is reached, and what a look at it says.

use std::borrow::Cow;
use std::sync::Arc;

use azure_core::http::Method;
use azure_core::http::headers::Headers;

use super::bucket::{Asked, HeaderList, S3Bucket};
use super::error::S3Failure;
use super::layout::Sizes;
use super::staging::{Staging, StagingPlace};
use crate::address::S3Address;
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, Obstacles};
use crate::http::answers::header;
use crate::properties::BlobProperties;

/// Where an object says which transfer made it.
const TRANSFER: &str = "x-amz-meta-driveagenttransfer";

/// Where it says how long the drive is.
const BYTES: &str = "x-amz-meta-driveagentbytes";

const ARCHIVED: &str = "it is in an archive class, where no bytes can be read: restore it (`aws s3api restore-object`), and repeat this when that is done";

/// One object of a bucket.
#[derive(Clone)]
pub struct S3Blob {
    pub(super) bucket: Arc<S3Bucket>,
    pub(super) address: S3Address,
    /// What an upload gives it beside its bytes.
    pub(super) properties: BlobProperties,
    pub(super) sizes: Sizes,
    /// Where pieces are put, where that is not beside it.
    pub(super) staging: Option<StagingPlace>,
}

impl S3Blob {
    /// The object at `address`, reached through its bucket.
    pub fn new(bucket: Arc<S3Bucket>, address: S3Address) -> Self {
        let endpoint = bucket.shown_endpoint();
        let address = S3Address { endpoint: address.endpoint.or(endpoint), ..address };
        S3Blob { bucket, address, properties: BlobProperties::default(), sizes: Sizes::of_server(), staging: None }
    }

    /// The same, to which an upload gives these.
    #[must_use]
    pub fn with_properties(self, properties: BlobProperties) -> Self {
        S3Blob { properties, ..self }
    }

    /// The same, whose pieces are put into this place, or beside it.
    #[must_use]
    pub(crate) fn with_place(self, staging: Option<StagingPlace>) -> Self {
        S3Blob { staging, ..self }
    }

    /// The same on a server that takes other sizes: tests make segments of small drives.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_sizes(self, sizes: Sizes) -> Self {
        S3Blob { sizes, ..self }
    }

    pub(super) fn key(&self) -> &str {
        &self.address.key
    }

    /// The bucket that pieces are put into.
    pub(super) fn staging_bucket(&self) -> &Arc<S3Bucket> {
        self.staging.as_ref().map_or(&self.bucket, |place| &place.bucket)
    }

    /// What the names of all pieces begin with: they are beside the object, where it is empty.
    pub(super) fn staging_folder(&self) -> String {
        self.staging.as_ref().map_or_else(String::new, |place| place.folder_of(&self.address.bucket))
    }

    /// The names of the pieces of one transfer of the object with this key.
    pub(super) fn names(&self, key: &str, transfer_id: &str) -> Staging {
        Staging::of(&self.staging_folder(), key, transfer_id)
    }

    /// A name of a piece, or what several begin with, as it is shown.
    pub(super) fn shown_piece(&self, key: &str) -> String {
        match &self.staging {
            Some(place) => place.address.with_key(key.to_owned()).to_string(),
            None => key.to_owned(),
        }
    }

    /// What a failed request means for this object.
    pub(super) fn error(&self, operation: &'static str, failure: S3Failure) -> BlobError {
        failure.into_error(operation, self.address.to_string())
    }

    /// What a failed request about pieces means, which may be in another bucket.
    pub(super) fn staging_error(&self, operation: &'static str, failure: S3Failure) -> BlobError {
        match &self.staging {
            Some(place) => failure.into_error(operation, place.address.to_string()),
            None => self.error(operation, failure),
        }
    }

    /// What is said of an object when it is begun.
    pub(super) fn described(&self, transfer_id: &str, total_bytes: u64) -> HeaderList {
        let own = [(TRANSFER, transfer_id.to_owned()), (BYTES, total_bytes.to_string())];
        let content_type = self.properties.content_type.clone().map(|kind| ("content-type", kind));
        let named = own.into_iter().chain(content_type).map(|(name, value)| (Cow::Borrowed(name), value));
        let users =
            self.properties.metadata.iter().map(|(name, value)| (Cow::Owned(format!("x-amz-meta-{name}")), value.clone()));
        named.chain(users).collect()
    }

    /// Looks at the object; `None` where there is none in an existing bucket.
    pub(super) async fn look(&self) -> Result<Option<BlobFacts>, BlobError> {
        match self.bucket.ask(Asked::new(Method::Head, self.key(), &[])).await {
            Ok(answer) => self.facts(&answer.headers).map(Some),
            // A HEAD has no body that says what is missing, or why it was denied.
            Err(S3Failure::Answer { status: 300..=499, .. }) => match self.bucket.explain(self.key()).await {
                Ok(()) => Err(BlobError::new(
                    BlobErrorKind::ServerFault,
                    "look at",
                    self.address.to_string(),
                    "the server answers in two ways",
                )),
                Err(failure) if failure.code() == "NoSuchKey" => Ok(None),
                Err(failure) => match self.error("look at", failure) {
                    error if error.kind == BlobErrorKind::NotFound => Ok(None),
                    error => Err(error),
                },
            },
            Err(failure) => Err(self.error("look at", failure)),
        }
    }

    fn facts(&self, headers: &Headers) -> Result<BlobFacts, BlobError> {
        let length = header(headers, "content-length").and_then(|text| text.parse().ok());
        let (Some(size_bytes), Some(etag)) = (length, header(headers, "etag")) else {
            let message = "the answer does not say how long it is, or which version";
            return Err(BlobError::new(BlobErrorKind::Corrupted, "look at", self.address.to_string(), message));
        };
        let class = header(headers, "x-amz-storage-class").unwrap_or_default();
        let is_archived = matches!(class, "GLACIER" | "DEEP_ARCHIVE") || header(headers, "x-amz-archive-status").is_some();
        let is_restored = header(headers, "x-amz-restore").is_some_and(|text| text.contains("ongoing-request=\"false\""));
        let to_reading = (is_archived && !is_restored).then(|| ARCHIVED.to_owned());
        Ok(BlobFacts {
            size_bytes,
            version: etag.to_owned(),
            content_mark: None,
            transfer_id: header(headers, TRANSFER).map(str::to_owned),
            is_incomplete: false,
            is_sparse: false,
            is_vhd: false,
            stated: None,
            obstacles: Obstacles { to_reading, ..Obstacles::default() },
        })
    }

    /// Removes the object. One that is gone is not a failure.
    pub(crate) async fn remove(&self) -> Result<(), BlobError> {
        self.bucket.delete(self.key()).await.map_err(|failure| self.error("remove", failure))
    }
}
