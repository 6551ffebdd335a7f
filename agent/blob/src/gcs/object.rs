//! One object, present or not: how it is reached, and what a look at it says.

use std::borrow::Cow;
use std::sync::Arc;

use azure_core::http::headers::Headers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::bucket::{GcsBucket, HeaderList};
use super::crc32c::Crc32c;
use super::error::GcsFailure;
use super::requests::{checksum_of, length_of};
use super::staging::Staging;
use super::tree::FAN_OUT_MAX;
use crate::address::GcsAddress;
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, Obstacles};
use crate::http::answers::header;
use crate::properties::BlobProperties;
use crate::stated::StatedChecksum;

/// Where an object says which transfer made it.
const TRANSFER: &str = "x-goog-meta-driveagenttransfer";

/// Where it says how long the drive is.
const BYTES: &str = "x-goog-meta-driveagentbytes";

const COMPRESSED: &str = "it is stored with `Content-Encoding: gzip`, so what it holds is compressed and not a drive: download it with `gcloud storage cp`, which decompresses it, or say that it is not compressed with `gcloud storage objects update --clear-content-encoding`";

/// One object of a bucket.
#[derive(Clone)]
pub struct GcsBlob {
    pub(super) bucket: Arc<GcsBucket>,
    pub(super) address: GcsAddress,
    /// What an upload gives it beside its bytes.
    pub(super) properties: BlobProperties,
    /// How many objects are composed at once.
    pub(super) fan_out: usize,
    /// The folder that pieces are put into, where that was named: with `/` at its end, or empty.
    pub(super) staging: Option<String>,
}

/// What a look at an object says.
pub(super) struct Found {
    pub(super) facts: BlobFacts,
    pub(super) checksum: Option<Crc32c>,
    /// Its storage class.
    pub(super) class: Option<String>,
}

impl GcsBlob {
    /// The object at `address`, reached through its bucket.
    pub fn new(bucket: Arc<GcsBucket>, address: GcsAddress) -> Self {
        let endpoint = bucket.shown_endpoint();
        let address = GcsAddress { endpoint: address.endpoint.or(endpoint), ..address };
        GcsBlob { bucket, address, properties: BlobProperties::default(), fan_out: fan_out(), staging: None }
    }

    /// The same, to which an upload gives these.
    #[must_use]
    pub fn with_properties(self, properties: BlobProperties) -> Self {
        GcsBlob { properties, ..self }
    }

    /// The same, whose pieces are put into this folder of its bucket, or beside it.
    #[must_use]
    pub(crate) fn with_folder(self, staging: Option<String>) -> Self {
        GcsBlob { staging, ..self }
    }

    /// The same, composed of so many objects at once: tests make several levels of few chunks.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_fan_out(self, fan_out: usize) -> Self {
        GcsBlob { fan_out, ..self }
    }

    pub(super) fn name(&self) -> &str {
        &self.address.name
    }

    /// What the names of all pieces begin with: they are beside the object, where it is empty.
    pub(super) fn staging_folder(&self) -> &str {
        self.staging.as_deref().unwrap_or_default()
    }

    /// The names of the pieces of one transfer of the object with this name.
    pub(super) fn names(&self, name: &str, transfer_id: &str) -> Staging {
        Staging::of(self.staging_folder(), name, transfer_id)
    }

    /// What a failed request means for this object.
    pub(super) fn error(&self, operation: &'static str, failure: GcsFailure) -> BlobError {
        failure.into_error(operation, self.address.to_string())
    }

    /// What is said of an object when it is made.
    pub(super) fn described(&self, transfer_id: &str, total_bytes: u64) -> HeaderList {
        let own = [(TRANSFER, transfer_id.to_owned()), (BYTES, total_bytes.to_string())];
        let content_type = self.properties.content_type.clone().map(|kind| ("content-type", kind));
        let named = own.into_iter().chain(content_type).map(|(name, value)| (Cow::Borrowed(name), value));
        let users =
            self.properties.metadata.iter().map(|(name, value)| (Cow::Owned(format!("x-goog-meta-{name}")), value.clone()));
        named.chain(users).collect()
    }

    /// Looks at the object; `None` where there is none in an existing bucket.
    pub(super) async fn look(&self) -> Result<Option<Found>, BlobError> {
        match self.bucket.headers_of(self.name()).await {
            Ok(Some(headers)) => self.found(&headers).map(Some),
            Err(failure) if !matches!(failure.status(), 300..=499) => Err(self.error("look at", failure)),
            // A HEAD has no body that says what is missing, or why it was denied.
            Ok(None) | Err(_) => match self.bucket.open(GcsBucket::range(self.name(), "bytes=0-0".to_owned())).await {
                Ok(_) => Err(self.corrupted("the server answers in two ways")),
                Err(failure) if failure.code() == "NoSuchKey" => Ok(None),
                Err(failure) => match self.error("look at", failure) {
                    error if error.kind == BlobErrorKind::NotFound => Ok(None),
                    error => Err(error),
                },
            },
        }
    }

    fn corrupted(&self, message: &str) -> BlobError {
        BlobError::new(BlobErrorKind::Corrupted, "look at", self.address.to_string(), message)
    }

    fn found(&self, headers: &Headers) -> Result<Found, BlobError> {
        let (Some(size_bytes), Some(version)) = (length_of(headers), header(headers, "x-goog-generation")) else {
            return Err(self.corrupted("the answer does not say how long it is, or which generation"));
        };
        let facts = BlobFacts {
            size_bytes,
            version: version.to_owned(),
            content_mark: None,
            transfer_id: header(headers, TRANSFER).map(str::to_owned),
            is_incomplete: false,
            is_sparse: false,
            is_vhd: false,
            stated: stated(headers),
            obstacles: Obstacles { to_reading: is_compressed(headers).then(|| COMPRESSED.to_owned()), ..Obstacles::default() },
        };
        let class = header(headers, "x-goog-storage-class").map(str::to_owned);
        Ok(Found { facts, checksum: checksum_of(headers), class })
    }

    /// Removes the object. One that is gone is not a failure.
    pub(crate) async fn remove(&self) -> Result<(), BlobError> {
        self.bucket.delete(self.name(), None).await.map_err(|failure| self.error("remove", failure))
    }
}

/// Whether a server would decompress an object on its way.
pub(super) fn is_compressed(headers: &Headers) -> bool {
    let is_gzip = |name| header(headers, name).is_some_and(|kind| kind.eq_ignore_ascii_case("gzip"));
    is_gzip("x-goog-stored-content-encoding") || is_gzip("content-encoding")
}

/// The MD5 of an object that was sent whole, or the CRC32C of one that was composed, which has no MD5.
fn stated(headers: &Headers) -> Option<StatedChecksum> {
    let md5 = || {
        let encoded = header(headers, "x-goog-hash")?.split(',').find_map(|one| one.trim().strip_prefix("md5="))?;
        STANDARD.decode(encoded).ok()?.try_into().ok().map(StatedChecksum::Md5)
    };
    md5().or_else(|| checksum_of(headers).map(Crc32c::stated))
}

/// How many objects are composed at once.
fn fan_out() -> usize {
    #[cfg(any(test, feature = "testing"))]
    if let Some(fan_out) = std::env::var("DRIVE_AGENT_GCS_FAN_OUT").ok().and_then(|text| text.parse().ok()) {
        return fan_out;
    }
    FAN_OUT_MAX
}
