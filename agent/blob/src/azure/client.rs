//! One blob of Azure: how it is reached, and what a look at it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use azure_core::http::headers::HeaderName;
use azure_core::http::{Body, RequestContent, XmlFormat};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{BlobClientGetPropertiesResultHeaders, BlobType, BlockLookupList};
use bytes::Bytes;
use protocol::units::ByteRange;

use super::account::AzureAccount;
use super::described::Described;
use super::kind::{BlobKind, PageForm};
use super::known_length::KnownLength;
use super::metadata;
use super::obstacles::{Properties, is_folder};
use super::sas::Right;
use crate::address::AzureAddress;
use crate::contract::{Blob, CommitFacts, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
use crate::facts::{BlobFacts, Obstacles};
use crate::properties::BlobProperties;
use crate::stated::StatedChecksum;
use crate::vhd;

/// What a blob of a hierarchical account is: a file or a directory.
const RESOURCE_TYPE: HeaderName = HeaderName::from_static("x-ms-resource-type");

/// The unit of a page blob (Put Page).
pub(super) const PAGE_BYTES: u64 = 512;

/// One blob of an account.
#[derive(Clone)]
pub struct AzureBlob {
    pub(super) account: Arc<AzureAccount>,
    pub(super) address: AzureAddress,
    pub(super) kind: BlobKind,
    pub(super) form: PageForm,
    /// What an upload gives it beside its bytes.
    pub(super) properties: BlobProperties,
    /// The blob that the SAS is for alone, where that is another one: nothing can be asked about this one.
    pub(super) is_beside: Option<String>,
    /// Shared by its copies.
    pub(super) lengths: Arc<KnownLength>,
}

impl AzureBlob {
    /// The blob at `address`, reached through `account`. `kind` matters only to an upload.
    pub fn new(account: Arc<AzureAccount>, address: AzureAddress, kind: BlobKind) -> Self {
        let properties = BlobProperties::default();
        AzureBlob { account, address, kind, form: PageForm::default(), properties, is_beside: None, lengths: Arc::default() }
    }

    /// The same, with more said of the page blob that an upload makes of it.
    #[must_use]
    pub fn with_form(self, form: PageForm) -> Self {
        AzureBlob { form, ..self }
    }

    /// The length of the page blob for a drive of this size, in bytes.
    pub(super) fn page_blob_bytes(&self, total_bytes: u64) -> u64 {
        match self.form.is_vhd {
            true => vhd::blob_bytes(total_bytes).unwrap_or(u64::MAX),
            false => total_bytes.next_multiple_of(PAGE_BYTES),
        }
    }

    /// What lies behind the bytes of a drive of this size.
    pub(super) fn footer(&self, total_bytes: u64, name: &str, now: SystemTime) -> Option<vhd::Footer> {
        let disk_bytes = || self.page_blob_bytes(total_bytes) - vhd::FOOTER_BYTES;
        self.form.is_vhd.then(|| vhd::footer(disk_bytes(), name, now))
    }

    /// The same blob, to which an upload gives these.
    #[must_use]
    pub fn with_properties(self, properties: BlobProperties) -> Self {
        AzureBlob { properties, ..self }
    }

    pub(super) fn client(&self) -> Result<BlobClient, BlobError> {
        self.require_within_sas()?;
        self.account.client(self.address.url()).map_err(|error| self.error("reach", error))
    }

    /// Refuses a blob beside the one that the SAS is for: a server would say no more than that the signature is wrong.
    fn require_within_sas(&self) -> Result<(), BlobError> {
        let Some(other) = &self.is_beside else { return Ok(()) };
        let message = format!("the SAS is for `{other}` alone: one of the container (sr=c) reaches both");
        Err(BlobError::new(BlobErrorKind::NotPermitted, "reach", self.address(), message))
    }

    /// Refuses what the SAS says that it does not permit.
    pub(super) fn require_rights(&self, needed: &[Right], to: &'static str) -> Result<(), BlobError> {
        self.require_within_sas()?;
        let refused = |message: String| Err(BlobError::new(BlobErrorKind::NotPermitted, to, self.address(), message));
        let Some(sas) = self.account.sas() else { return Ok(()) };
        if let Some(reason) = sas.unusable(self.address.endpoint.scheme()) {
            return refused(reason.to_owned());
        }
        if let Some(past) = sas.is_for_past().filter(|_| needed.contains(&Right::Write)) {
            return refused(format!(
                "the SAS is for {past}, which cannot be written: have one made of the blob (sr=b) or of its container (sr=c); nothing was begun"
            ));
        }
        let missing: Vec<String> = sas.missing(needed).iter().map(Right::to_string).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => refused(format!(
                "the SAS permits `{}` (sp), and {} missing: have one made that permits it; nothing was begun",
                sas.permissions().unwrap_or_default(),
                if let [one] = &*missing { format!("{one} is") } else { format!("{} are", missing.join(" and ")) }
            )),
        }
    }

    /// Removes the blob.
    pub(crate) async fn remove(&self) -> Result<(), BlobError> {
        self.client()?.delete(None).await.map(|_| ()).map_err(|error| self.error("remove", error))
    }

    pub(super) fn error(&self, operation: &'static str, error: azure_core::Error) -> BlobError {
        self.account.error(operation, self.address.url().as_str(), &error)
    }
}

/// What a HEAD says.
pub(super) struct Found {
    pub(super) facts: BlobFacts,
    /// As the store counts it: a page blob's last page is padded.
    pub(super) length_bytes: u64,
    /// Of a page blob.
    pub(super) sequence_number: Option<i64>,
    pub(super) content_type: Option<String>,
}

impl AzureBlob {
    /// Looks at the blob; `None` where there is none in an existing container.
    pub(super) async fn look(&self) -> Result<Option<Found>, BlobError> {
        let properties = match self.client()?.get_properties(None).await {
            Ok(properties) => properties,
            Err(error) => {
                let error = self.error("look at", error);
                return if error.kind == BlobErrorKind::NotFound { self.nothing_there().await } else { Err(error) };
            }
        };
        let odd = |error: azure_core::Error| self.error("understand the properties of", error);
        let metadata = properties.metadata().map_err(odd)?;
        let (length_bytes, etag) = (properties.content_length().map_err(odd)?, properties.etag().map_err(odd)?);
        let (Some(length_bytes), Some(etag)) = (length_bytes, etag) else {
            // A proxy's, say. A blob of 0 bytes would be another matter.
            let message = "the answer does not say how long it is, or which version";
            return Err(BlobError::new(BlobErrorKind::Corrupted, "look at", self.address(), message));
        };
        let version = etag.to_string();
        let kind = properties.blob_type().map_err(odd)?;
        let is_page_blob = kind == Some(BlobType::PageBlob);
        let unpadded = metadata.get(metadata::BYTES).and_then(|text| text.parse().ok());
        let is_vhd = metadata.get(metadata::FORMAT).is_some_and(|format| format == metadata::VHD);
        let may_be = |bytes: u64| match is_vhd {
            true => vhd::blob_bytes(bytes) == Some(length_bytes),
            false => bytes <= length_bytes && length_bytes - bytes < PAGE_BYTES,
        };
        let resource_type = properties.headers().get_optional_str(&RESOURCE_TYPE);
        let is_folder = is_folder(length_bytes, metadata.iter(), resource_type);
        let known = Properties::of(properties.headers(), kind, is_folder);
        let described = Described::of(properties.headers(), &metadata);
        let obstacles = Obstacles { to_describing: described.unlike(&self.properties), ..known.obstacles(self.kind) };
        let facts = BlobFacts {
            size_bytes: unpadded.filter(|bytes| is_page_blob && may_be(*bytes)).unwrap_or(length_bytes),
            version,
            transfer_id: metadata.get(metadata::TRANSFER).cloned(),
            // The disk of an upload carries no mark: until the import is done with it, it is not a blob that was finished.
            is_incomplete: self.form.is_existing
                || metadata.get(metadata::STATE).is_some_and(|state| state == metadata::INCOMPLETE),
            is_sparse: is_page_blob,
            is_vhd: is_page_blob && is_vhd,
            stated: properties.content_md5().ok().flatten().and_then(|sum| sum.try_into().ok()).map(StatedChecksum::Md5),
            content_mark: None,
            obstacles,
        };
        let sequence_number = properties.blob_sequence_number().map_err(odd)?;
        self.lengths.note(&facts.version, length_bytes);
        Ok(Some(Found { facts, length_bytes, sequence_number, content_type: described.content_type }))
    }

    /// A HEAD says 404 without saying what is missing; a missing container must not pass for a blob
    /// that can be created. The block list says which of the two it is.
    async fn nothing_there(&self) -> Result<Option<Found>, BlobError> {
        use azure_storage_blob::models::BlockListType;
        let client = self.client()?.block_blob_client();
        match client.get_block_list(BlockListType::Committed, None).await {
            // Only uncommitted blocks: the blob is not there yet.
            Ok(_) => Ok(None),
            Err(answer) => {
                let answer = self.error("look at", answer);
                if answer.kind == BlobErrorKind::NotFound { Ok(None) } else { Err(answer) }
            }
        }
    }

    pub(super) fn metadata(&self, request: &UploadRequest) -> HashMap<String, String> {
        let mut own = vec![
            (metadata::TRANSFER.to_owned(), request.transfer_id.clone()),
            (metadata::BYTES.to_owned(), request.total_bytes.to_string()),
        ];
        if self.form.is_vhd {
            own.push((metadata::FORMAT.to_owned(), metadata::VHD.to_owned()));
        }
        self.properties.metadata.iter().cloned().chain(own).collect()
    }

    /// The metadata of a blob that is whole.
    pub(super) fn final_metadata(&self, request: &UploadRequest, facts: &CommitFacts<'_>) -> HashMap<String, String> {
        let mut metadata = self.metadata(request);
        metadata.insert(metadata::ROOT.to_owned(), facts.root.to_string());
        if !facts.unreadable.is_empty() {
            metadata.insert(metadata::UNREADABLE.to_owned(), unreadable_text(facts.unreadable));
        }
        metadata
    }
}

/// Ranges as `offset+length` joined by commas, as many as fit, and then how many more there are.
fn unreadable_text(ranges: &[ByteRange]) -> String {
    let mut text = String::new();
    for (index, range) in ranges.iter().enumerate() {
        let one = format!("{}{}+{}", if index > 0 { "," } else { "" }, range.offset, range.length);
        if text.len() + one.len() > metadata::UNREADABLE_TEXT_BYTES_MAX {
            return text + &format!(",and {} more", ranges.len() - index);
        }
        text += &one;
    }
    text
}

/// The bytes that are sent for a list of blocks.
pub(super) fn body_of(list: &RequestContent<BlockLookupList, XmlFormat>) -> Bytes {
    match list.body() {
        Body::Bytes(bytes) => bytes.clone(),
        // A list that was written from memory is never a stream.
        _ => Bytes::new(),
    }
}

/// Whether a blob that was just committed is as long as it has to be.
pub(super) fn require_length(found_bytes: u64, wanted_bytes: u64, address: &str) -> Result<(), BlobError> {
    if found_bytes == wanted_bytes {
        return Ok(());
    }
    // Final: blocks that were left out of what was committed are gone from the store.
    let message = format!(
        "the store holds {found_bytes} bytes of it after the commit, and not the {wanted_bytes} that were sent: repeat the command with `--restart --overwrite`"
    );
    Err(BlobError::new(BlobErrorKind::Other, "commit", address, message))
}

pub(super) fn block_list(ids: Vec<Vec<u8>>) -> azure_core::Result<RequestContent<BlockLookupList, XmlFormat>> {
    BlockLookupList { latest: Some(ids), ..Default::default() }.try_into()
}
