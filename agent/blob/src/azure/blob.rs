//! What every store promises, for a blob of Azure.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::time::OffsetDateTime;
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::receipt::Residue;
use protocol::units::ByteRange;

use super::client::AzureBlob;
use super::denied;
use super::kind::BlobKind;
use super::obstacles::NAME_CHARACTERS_MAX;
use super::sas::{Right, Sas};
use super::{block, existing, leftovers, page, page_ranges, reading, whole_file};
use crate::block_id;
use crate::contract::{
    Access, Blob, BlocksHeld, Discarded, LeftBy, NamedChunks, RangeBody, Replaces, Upload, UploadPlan, UploadRequest,
    WrittenRanges,
};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, ChunkLimits};

#[async_trait]
impl Blob for AzureBlob {
    fn address(&self) -> String {
        self.address.url().to_string()
    }

    fn limits(&self) -> ChunkLimits {
        match self.kind {
            BlobKind::Block => block::LIMITS,
            BlobKind::Page => page::LIMITS,
        }
    }

    fn notices_silence(&self) -> bool {
        true
    }

    fn checks_arrival(&self) -> bool {
        true
    }

    fn sibling(&self, suffix: &str) -> Arc<dyn Blob> {
        let address = self.address.with_name(format!("{}{suffix}", self.address.name));
        let is_for_one = self.account.sas().is_some_and(Sas::is_for_one_blob);
        let is_beside = is_for_one.then(|| self.address());
        Arc::new(AzureBlob { is_beside, ..AzureBlob::new(self.account.clone(), address, BlobKind::Block) })
    }

    fn require_permitted(&self, access: Access) -> Result<(), BlobError> {
        let (needed, to): (&[Right], _) = match (access, self.kind) {
            (Access::Read, _) => (&[Right::Read], "read"),
            (Access::Write, BlobKind::Block) => (&[Right::Write], "write"),
            // A page blob is resumed and finished only in the state that it was seen in.
            (Access::Write, BlobKind::Page) => (&[Right::Read, Right::Write], "write"),
            (Access::WriteAndRead, _) => (&[Right::Read, Right::Write], "write and read"),
        };
        self.require_rights(needed, to)
    }

    fn require_uploadable(&self, existing: Option<&BlobFacts>) -> Result<(), BlobError> {
        let refuse = |message: String| Err(BlobError::new(BlobErrorKind::Refused, "write", self.address(), message));
        let longest = self.address.name.chars().count() + MANIFEST_SUFFIX.chars().count();
        if longest > NAME_CHARACTERS_MAX {
            let left = NAME_CHARACTERS_MAX - MANIFEST_SUFFIX.chars().count();
            return refuse(format!(
                "with `{MANIFEST_SUFFIX}` for its manifest its name would be longer than {NAME_CHARACTERS_MAX} characters: choose a name of at most {left}"
            ));
        }
        if let Some(what) = self.address.past.as_ref().map(|past| past.parameter) {
            return refuse(format!("the address names a {what} of the blob, which cannot be written: leave `{what}` out of it"));
        }
        existing.map_or(Ok(()), |facts| facts.require_replaceable(&self.address()))
    }

    fn is_past(&self) -> bool {
        self.address.past.is_some()
    }

    fn destroys_at_begin(&self) -> bool {
        self.kind == BlobKind::Page
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        Ok(self.look().await?.map(|found| found.facts))
    }

    async fn read(&self, range: ByteRange, version: &str, checked: bool) -> Result<RangeBody, BlobError> {
        reading::read(self, range, version, checked).await
    }

    async fn named_chunks(&self) -> Result<Option<NamedChunks>, BlobError> {
        match self.kind {
            BlobKind::Block => block::committed_chunks(self).await,
            BlobKind::Page => Ok(None),
        }
    }

    async fn written_ranges(&self, version: &str, from: Option<&str>) -> Result<WrittenRanges, BlobError> {
        page_ranges::list(self, version, from).await
    }

    fn chunk_scheme(&self) -> Option<&'static str> {
        (self.kind == BlobKind::Block).then_some(block_id::SCHEME)
    }

    async fn preflight(&self, plan: &UploadPlan) -> Result<Vec<String>, BlobError> {
        if self.kind == BlobKind::Page && self.form.is_existing {
            let found = existing::require(self, plan.total_bytes).await?;
            let is_new = plan.own_transfer_ids.is_empty() && !plan.overwrite;
            if is_new && !existing::written(self, &found.facts.version).await?.is_empty() {
                return Err(existing::holds_data(self));
            }
        }
        let sas = self.account.sas();
        Ok(sas.and_then(|sas| denied::ends_soon(sas, OffsetDateTime::now_utc())).into_iter().collect())
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        match self.kind {
            BlobKind::Block => block::BlockUpload::begin(self.clone(), request).await,
            BlobKind::Page if self.form.is_existing => existing::ExistingPages::begin(self.clone(), request).await,
            BlobKind::Page => page::PageUpload::begin(self.clone(), request).await,
        }
    }

    async fn left_by(&self, left: LeftBy<'_>) -> Result<Option<Residue>, BlobError> {
        leftovers::left_by(self, left).await
    }

    async fn discard(&self, left: LeftBy<'_>) -> Result<Discarded, BlobError> {
        leftovers::discard(self, left).await
    }

    async fn put_file(&self, file: Arc<File>, _transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
        whole_file::put(self, &file, replaces).await
    }
}
