//! Azure block and page blobs, on the official SDK.
//!
//! The SDK's own retries are off and the transport is ours: attempts are counted, timed and cancelled
//! by the copy engine alone. Checksums: CRC-64 first; a server that does not know it (an emulator) is
//! given Content-MD5 from then on.

mod account;
mod block;
mod credentials;
mod error;
mod page;
mod shared_key;

use std::collections::HashMap;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use azure_core::http::{Etag, RequestContent};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientGetPropertiesResultHeaders, BlobType, BlockBlobClientStageBlockOptions, BlockLookupList,
    HttpRange,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use protocol::limits::MIB;
use protocol::units::ByteRange;

pub use account::AzureAccount;
pub use credentials::{CredentialError, Environment};

use crate::address::AzureAddress;
use crate::checksum::{TransferChecksum, crc64, md5};
use crate::contract::{Blob, BlobFacts, ChunkLimits, CommitFacts, Held, RangeBody, Upload, UploadRequest};
use crate::error::{BlobError, BlobErrorKind};
pub(crate) use error::from_sdk;

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
}

impl AzureBlob {
    /// The blob at `address`, reached through `account`. `kind` matters only to an upload.
    pub fn new(account: Arc<AzureAccount>, address: AzureAddress, kind: BlobKind) -> Self {
        AzureBlob { account, address, kind }
    }

    fn client(&self) -> Result<BlobClient, BlobError> {
        self.account.client(self.address.url_with_sas()).map_err(|error| self.error("reach", error))
    }

    fn error(&self, operation: &'static str, error: azure_core::Error) -> BlobError {
        from_sdk(operation, self.address.url().as_str(), &error)
    }
}

/// Puts the right checksum on a body: CRC-64 until the server refused it, MD5 from then on.
#[derive(Debug, Default)]
struct ChecksumChoice {
    crc64_is_unknown: AtomicBool,
}

impl ChecksumChoice {
    fn wants_md5(&self) -> bool {
        self.crc64_is_unknown.load(Ordering::Relaxed)
    }

    /// Sends a body by `send(crc64, md5)`, falling from CRC-64 to MD5 where the server does not know
    /// the first. Both are given as raw bytes; at most one of them is.
    async fn send<F, T>(
        &self,
        bytes: &Bytes,
        known_md5: Option<[u8; 16]>,
        send: impl Fn(Option<Vec<u8>>, Option<Vec<u8>>) -> F,
    ) -> Result<T, BlobError>
    where
        F: Future<Output = Result<T, BlobError>>,
    {
        if !self.wants_md5() {
            match send(Some(crc64(bytes).to_vec()), None).await {
                Err(error) if error.kind == BlobErrorKind::Unsupported => {
                    self.crc64_is_unknown.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        let sum = match known_md5 {
            Some(sum) => sum,
            None => {
                let bytes = bytes.clone();
                let hashed = tokio::task::spawn_blocking(move || md5(&bytes)).await;
                hashed.map_err(|error| BlobError::new(BlobErrorKind::Other, "hash a body for", "the store", error.to_string()))?
            }
        };
        send(None, Some(sum.to_vec())).await
    }
}

/// The largest manifest piece that is staged at once.
const FILE_PIECE_BYTES: usize = 8 << 20;

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
        Arc::new(AzureBlob { account: self.account.clone(), address, kind: BlobKind::Block })
    }

    async fn head(&self) -> Result<Option<BlobFacts>, BlobError> {
        let properties = match self.client()?.get_properties(None).await {
            Ok(properties) => properties,
            Err(error) => {
                let error = self.error("look at", error);
                return if error.kind == BlobErrorKind::NotFound { self.nothing_there(error).await } else { Err(error) };
            }
        };
        let odd = |error: azure_core::Error| self.error("understand the properties of", error);
        let metadata = properties.metadata().map_err(odd)?;
        let length = properties.content_length().map_err(odd)?.unwrap_or(0);
        let version = properties.etag().map_err(odd)?.map(|etag| etag.to_string()).unwrap_or_default();
        let is_page_blob = properties.blob_type().map_err(odd)? == Some(BlobType::PageBlob);
        let unpadded = metadata.get(metadata::BYTES).and_then(|text| text.parse().ok());
        Ok(Some(BlobFacts {
            size_bytes: unpadded
                .filter(|bytes| is_page_blob && *bytes <= length && length - *bytes < page::PAGE_BYTES)
                .unwrap_or(length),
            version,
            transfer_id: metadata.get(metadata::TRANSFER).cloned(),
            is_incomplete: metadata.get(metadata::STATE).is_some_and(|state| state == metadata::INCOMPLETE),
            is_being_replaced: false,
        }))
    }

    async fn read(&self, range: ByteRange, version: &str, checked: bool) -> Result<RangeBody, BlobError> {
        let wants_md5 = self.account.checksums.wants_md5();
        match self.read_once(range, version, checked && !wants_md5, checked && wants_md5).await {
            Err(error) if checked && !wants_md5 && error.kind == BlobErrorKind::Unsupported => {
                self.account.checksums.crc64_is_unknown.store(true, Ordering::Relaxed);
                self.read_once(range, version, false, true).await
            }
            other => other,
        }
    }

    async fn begin_upload(&self, request: &UploadRequest) -> Result<(Arc<dyn Upload>, Held), BlobError> {
        match self.kind {
            BlobKind::Block => block::BlockUpload::begin(self.clone(), request).await,
            BlobKind::Page => page::PageUpload::begin(self.clone(), request).await,
        }
    }

    async fn put_file(&self, path: &Path) -> Result<(), BlobError> {
        let failed = |error: std::io::Error| BlobError::new(BlobErrorKind::Other, "read for", self.address(), error.to_string());
        let client = self.client()?.block_blob_client();
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let mut ids = Vec::new();
        loop {
            let mut piece = Vec::with_capacity(FILE_PIECE_BYTES);
            let length = std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, FILE_PIECE_BYTES as u64), &mut piece);
            if length.map_err(failed)? == 0 {
                break;
            }
            let piece = Bytes::from(piece);
            let id = crate::block_id::block_id(&protocol::digest::Sha256Digest::of(&piece));
            let stage = |crc64, md5| {
                let options = BlockBlobClientStageBlockOptions {
                    transactional_content_crc64: crc64,
                    transactional_content_md5: md5,
                    ..Default::default()
                };
                let (client, id, piece) = (&client, &id, piece.clone());
                async move {
                    let length = piece.len() as u64;
                    let sent = client.stage_block(id, length, piece.into(), Some(options)).await;
                    sent.map(|_| ()).map_err(|error| self.error("write", error))
                }
            };
            self.account.checksums.send(&piece, None, stage).await?;
            ids.push(id);
        }
        let list = block_list(ids).map_err(|error| self.error("write", error))?;
        client.commit_block_list(list, None).await.map_err(|error| self.error("write", error))?;
        Ok(())
    }
}

fn block_list(ids: Vec<Vec<u8>>) -> azure_core::Result<RequestContent<BlockLookupList, azure_core::http::XmlFormat>> {
    BlockLookupList { latest: Some(ids), ..Default::default() }.try_into()
}

impl AzureBlob {
    /// A HEAD says 404 without saying what is missing; a missing container must not pass for a blob
    /// that can be created. The block list says which of the two it is.
    async fn nothing_there(&self, error: BlobError) -> Result<Option<BlobFacts>, BlobError> {
        use azure_storage_blob::models::BlockListType;
        let client = self.client()?.block_blob_client();
        match client.get_block_list(BlockListType::Committed, None).await {
            // Only uncommitted blocks: the blob is not there yet.
            Ok(_) => Ok(None),
            Err(answer) => {
                let answer = self.error("look at", answer);
                match answer.kind {
                    BlobErrorKind::NotFound => Ok(None),
                    BlobErrorKind::Other => Err(error),
                    _ => Err(answer),
                }
            }
        }
    }

    async fn read_once(&self, range: ByteRange, version: &str, crc64: bool, md5: bool) -> Result<RangeBody, BlobError> {
        let options = BlobClientDownloadOptions {
            range: Some(HttpRange::new(range.offset, range.length)),
            // One partition as long as the range is one plain GET, streamed as it comes.
            partition_size: NonZero::new(range.length.max(MIB) as usize),
            parallel: NonZero::new(1),
            if_match: Some(Etag::from(version.to_owned())),
            range_get_content_crc64: crc64.then_some(true),
            range_get_content_md5: md5.then_some(true),
            ..Default::default()
        };
        let response = self.client()?.download(Some(options)).await.map_err(|error| self.error("read", error))?;
        let raw = |bytes: Option<Vec<u8>>| bytes.unwrap_or_default();
        let checksum = if crc64 {
            raw(response.properties.content_crc64).try_into().ok().map(TransferChecksum::Crc64)
        } else if md5 {
            raw(response.properties.content_md5).try_into().ok().map(TransferChecksum::Md5)
        } else {
            None
        };
        let address = self.address();
        let pieces = response.body.map_err(move |error| from_sdk("read", &address, &error));
        Ok(RangeBody { pieces: pieces.boxed(), checksum })
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
