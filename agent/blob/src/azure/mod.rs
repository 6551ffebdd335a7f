//! Azure block and page blobs, on the official SDK.
//!
//! The SDK's own retries are off and the transport is ours: attempts are counted, timed and cancelled
//! by the copy engine alone. Checksums: CRC-64 first; a server that does not know it (an emulator) is
//! given Content-MD5 from then on.

mod account;
mod block;
mod bounded;
mod checksums;
mod credentials;
mod error;
mod fence;
mod obstacles;
mod page;
mod reading;
mod shared_key;
mod whole_file;

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::headers::HeaderName;
use azure_core::http::{Body, RequestContent, XmlFormat};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{BlobClientGetPropertiesResultHeaders, BlobType, BlockLookupList};
use bytes::Bytes;
use protocol::digest::Sha256Digest;
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::units::ByteRange;

pub use account::AzureAccount;
pub use bounded::AnswerTooLong;
pub use credentials::{CredentialError, Environment};
pub use error::AzureFailure;

use crate::address::AzureAddress;
use crate::block_id;
use crate::contract::{Blob, BlobFacts, BlocksHeld, ChunkLimits, CommitFacts, RangeBody, Replaces, Upload, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
pub(crate) use error::from_sdk;
pub(crate) use obstacles::is_folder;
use obstacles::{NAME_CHARACTERS_MAX, Properties};
use reading::KnownLength;

/// What a blob of a hierarchical account is: a file or a directory.
const RESOURCE_TYPE: HeaderName = HeaderName::from_static("x-ms-resource-type");

/// Which kind of blob an import makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// A block blob: appears at once with its block list.
    Block,
    /// A page blob: sparse, random access; carries a mark until it is whole.
    Page,
}

/// Metadata of every blob that we make. Azure wants the names of C# identifiers; only lower-case
/// letters, since emulators sort others in another order when they check signatures.
mod metadata {
    /// Name of the transfer.
    pub(super) const TRANSFER: &str = "driveagenttransfer";
    /// The root over all chunk digests.
    pub(super) const ROOT: &str = "driveagentroot";
    /// Size of the drive in bytes: a page blob is padded to whole pages.
    pub(super) const BYTES: &str = "driveagentbytes";
    /// `incomplete` while a page blob is being written.
    pub(super) const STATE: &str = "driveagentstate";
    /// Value of [`STATE`].
    pub(super) const INCOMPLETE: &str = "incomplete";
    /// What could not be read, as `offset+length` joined by commas.
    pub(super) const UNREADABLE: &str = "unreadableranges";
    /// Azure takes 8 KiB of metadata in all; the manifest has every range.
    pub(super) const UNREADABLE_TEXT_BYTES_MAX: usize = 4 << 10;
}

/// One blob of an account.
#[derive(Clone)]
pub struct AzureBlob {
    account: Arc<AzureAccount>,
    address: AzureAddress,
    kind: BlobKind,
    /// Shared by its copies.
    lengths: Arc<KnownLength>,
}

impl AzureBlob {
    /// The blob at `address`, reached through `account`. `kind` matters only to an upload.
    pub fn new(account: Arc<AzureAccount>, address: AzureAddress, kind: BlobKind) -> Self {
        AzureBlob { account, address, kind, lengths: Arc::default() }
    }

    fn client(&self) -> Result<BlobClient, BlobError> {
        self.account.client(self.address.url_with_sas()).map_err(|error| self.error("reach", error))
    }

    fn error(&self, operation: &'static str, error: azure_core::Error) -> BlobError {
        from_sdk(operation, self.address.url().as_str(), &error)
    }
}

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

    fn checks_arrival(&self) -> bool {
        true
    }

    fn sibling(&self, suffix: &str) -> Arc<dyn Blob> {
        let address = self.address.with_name(format!("{}{suffix}", self.address.name));
        Arc::new(AzureBlob::new(self.account.clone(), address, BlobKind::Block))
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
        if let Some(what) = self.past_state() {
            return refuse(format!("the address names a {what} of the blob, which cannot be written: leave `{what}` out of it"));
        }
        existing.map_or(Ok(()), |facts| facts.require_replaceable(&self.address()))
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

    async fn named_chunks(&self) -> Result<Option<Vec<Sha256Digest>>, BlobError> {
        match self.kind {
            BlobKind::Block => block::committed_chunks(self).await,
            BlobKind::Page => Ok(None),
        }
    }

    fn chunk_scheme(&self) -> Option<&'static str> {
        (self.kind == BlobKind::Block).then_some(block_id::SCHEME)
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), BlobError> {
        match self.kind {
            BlobKind::Block => block::BlockUpload::begin(self.clone(), request).await,
            BlobKind::Page => page::PageUpload::begin(self.clone(), request).await,
        }
    }

    async fn put_file(&self, file: Arc<File>, _transfer_id: &str, replaces: &Replaces) -> Result<(), BlobError> {
        whole_file::put(self, &file, replaces).await
    }
}

/// The bytes that are sent for a list of blocks.
fn body_of(list: &RequestContent<BlockLookupList, XmlFormat>) -> Bytes {
    match list.body() {
        Body::Bytes(bytes) => bytes.clone(),
        // A list that was written from memory is never a stream.
        _ => Bytes::new(),
    }
}

/// Whether a blob that was just committed is as long as it has to be.
fn require_length(found_bytes: u64, wanted_bytes: u64, address: &str) -> Result<(), BlobError> {
    if found_bytes == wanted_bytes {
        return Ok(());
    }
    // Final: blocks that were left out of what was committed are gone from the store.
    let message = format!(
        "the store holds {found_bytes} bytes of it after the commit, and not the {wanted_bytes} that were sent: repeat the command with `--restart --overwrite`"
    );
    Err(BlobError::new(BlobErrorKind::Other, "commit", address, message))
}

fn block_list(ids: Vec<Vec<u8>>) -> azure_core::Result<RequestContent<BlockLookupList, XmlFormat>> {
    BlockLookupList { latest: Some(ids), ..Default::default() }.try_into()
}

/// What a HEAD says.
struct Found {
    facts: BlobFacts,
    /// As the store counts it: a page blob's last page is padded.
    length_bytes: u64,
    /// Of a page blob.
    sequence_number: Option<i64>,
}

impl AzureBlob {
    /// Looks at the blob; `None` where there is none in an existing container.
    async fn look(&self) -> Result<Option<Found>, BlobError> {
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
        let resource_type = properties.headers().get_optional_str(&RESOURCE_TYPE);
        let is_folder = is_folder(length_bytes, metadata.iter(), resource_type);
        let known = Properties::of(properties.headers(), kind, is_folder);
        let facts = BlobFacts {
            size_bytes: unpadded
                .filter(|bytes| is_page_blob && *bytes <= length_bytes && length_bytes - *bytes < page::PAGE_BYTES)
                .unwrap_or(length_bytes),
            version,
            transfer_id: metadata.get(metadata::TRANSFER).cloned(),
            is_incomplete: metadata.get(metadata::STATE).is_some_and(|state| state == metadata::INCOMPLETE),
            content_mark: None,
            obstacles: known.obstacles(self.kind),
        };
        let sequence_number = properties.blob_sequence_number().map_err(odd)?;
        self.lengths.note(&facts.version, length_bytes);
        Ok(Some(Found { facts, length_bytes, sequence_number }))
    }

    /// The parameter of the address that names something else than the blob as it is now.
    fn past_state(&self) -> Option<&'static str> {
        let query = self.address.sas.as_deref().unwrap_or("");
        let names =
            |name: &str| query.split('&').any(|pair| pair.split('=').next().is_some_and(|key| key.eq_ignore_ascii_case(name)));
        ["snapshot", "versionid"].into_iter().find(|name| names(name))
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

    fn metadata(&self, request: &UploadRequest) -> HashMap<String, String> {
        HashMap::from([
            (metadata::TRANSFER.to_owned(), request.transfer_id.clone()),
            (metadata::BYTES.to_owned(), request.total_bytes.to_string()),
        ])
    }

    /// The metadata of a blob that is whole.
    fn final_metadata(&self, request: &UploadRequest, facts: &CommitFacts<'_>) -> HashMap<String, String> {
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
