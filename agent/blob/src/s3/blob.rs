//! What every store promises, for an object of S3.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::object::S3Blob;
use super::staging::{Staging, StagingPlace, named_by_staging};
use super::upload::S3Upload;
use super::{leftovers, reading, stated, whole_file};
use crate::contract::{Blob, BlocksHeld, Discarded, LeftBy, RangeBody, Replaces, Upload, UploadPlan, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, ChunkLimits};
use crate::properties::BlobProperties;
use crate::stated::StatedChecksum;

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

impl S3Blob {
    /// Removes what an unfinished transfer left; false where that was nothing.
    pub(crate) async fn discard_left_by(&self, transfer_id: &str) -> Result<bool, BlobError> {
        leftovers::discard(self, transfer_id).await
    }
}

#[async_trait]
impl Blob for S3Blob {
    fn address(&self) -> String {
        self.address.to_string()
    }

    fn limits(&self) -> ChunkLimits {
        self.sizes.limits()
    }

    fn notices_silence(&self) -> bool {
        true
    }

    fn checks_arrival(&self) -> bool {
        self.bucket.checks_arrival()
    }

    fn sibling(&self, suffix: &str) -> Arc<dyn Blob> {
        let address = self.address.with_key(format!("{}{suffix}", self.address.key));
        Arc::new(S3Blob { address, properties: BlobProperties::default(), ..self.clone() })
    }

    fn require_uploadable(&self, existing: Option<&BlobFacts>) -> Result<(), BlobError> {
        let refuse = |message: String| Err(BlobError::new(BlobErrorKind::Refused, "write", self.address(), message));
        let beside = self.staging_folder().len() + Staging::longest_suffix_bytes() + MANIFEST_SUFFIX.len();
        if self.key().len() + beside > KEY_BYTES_MAX {
            let left = KEY_BYTES_MAX.saturating_sub(beside);
            return refuse(format!(
                "with what is put beside it while it is sent its key would be longer than {KEY_BYTES_MAX} bytes: choose one of at most {left}"
            ));
        }
        if named_by_staging(self.key()) {
            return refuse("its key is one of those that unfinished transfers use (NAME.part/…): choose another".to_owned());
        }
        if let Some(tier) = self.properties.tier() {
            return refuse(format!(
                "`--tier {tier}` is for Azure: leave it out, and let a lifecycle rule of the bucket move objects to another class"
            ));
        }
        existing.map_or(Ok(()), |facts| facts.require_replaceable(&self.address()))
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        self.look().await
    }

    async fn read(&self, range: ByteRange, version: &str, _checked: bool) -> Result<RangeBody, BlobError> {
        // A checksum of a range is not to be had.
        reading::read(self, range, version).await
    }

    async fn stated(&self, facts: &BlobFacts) -> Result<Option<StatedChecksum>, BlobError> {
        stated::stated(self, facts).await
    }

    async fn preflight(&self, plan: &UploadPlan) -> Result<Vec<String>, BlobError> {
        leftovers::of_others(self, &plan.own_transfer_ids).await
    }

    fn staging(&self) -> Option<String> {
        self.staging.as_ref().map(|place| place.address.to_string())
    }

    fn with_staging(&self, place: Option<&str>) -> Result<Arc<dyn Blob>, BlobError> {
        let refused = |message: String| BlobError::new(BlobErrorKind::Refused, "write", self.address(), message);
        let staging = place.map(|text| StagingPlace::of(text, &self.bucket)).transpose().map_err(refused)?;
        Ok(Arc::new(S3Blob { staging, ..self.clone() }))
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        S3Upload::begin(self.clone(), request).await
    }

    async fn left_by(&self, left: LeftBy<'_>) -> Result<Option<Residue>, BlobError> {
        leftovers::left_by(self, left.transfer_id).await
    }

    async fn discard(&self, left: LeftBy<'_>) -> Result<Discarded, BlobError> {
        leftovers::discard(self, left.transfer_id).await.map(|_| Discarded::Everything)
    }

    async fn put_file(&self, file: Arc<File>, transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
        whole_file::put(self, &file, transfer_id, replaces).await
    }
}
