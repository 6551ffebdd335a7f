//! Reading a range of a blob. An answer is handed on only if it says that it is the range that was asked for: a proxy, a
//! cache or a broken server may give other bytes with an answer that looks good.

use std::num::NonZero;

use azure_core::http::Etag;
use azure_core::http::headers::HeaderName;
use azure_storage_blob::models::{BlobClientDownloadOptions, BlobClientDownloadResult, HttpRange};
use futures::{StreamExt, TryStreamExt};
use protocol::limits::MIB;
use protocol::units::ByteRange;

use super::client::AzureBlob;
use crate::checksum::TransferChecksum;
use crate::contract::{Blob, RangeBody};
use crate::error::{BlobError, BlobErrorKind};
use crate::http::range::is_asked_range;

const CONTENT_RANGE: HeaderName = HeaderName::from_static("content-range");

/// Begins to read a range of the version given, with the checksum that the server knows where `checked` asks for one.
pub(super) async fn read(blob: &AzureBlob, range: ByteRange, version: &str, checked: bool) -> Result<RangeBody, BlobError> {
    if range.length == 0 {
        return read_nothing(blob, version).await;
    }
    if !checked {
        return read_once(blob, range, version, false, false).await;
    }
    match blob.account.checksums.ask_crc64(read_once(blob, range, version, true, false)).await {
        Some(answer) => answer,
        None => read_once(blob, range, version, false, true).await,
    }
}

/// A range without bytes, which no request can ask for: of an empty blob it is the whole. The blob has to be there all the
/// same, and of that version.
async fn read_nothing(blob: &AzureBlob, version: &str) -> Result<RangeBody, BlobError> {
    let failed = |kind, message: &str| Err(BlobError::new(kind, "read", blob.address(), message));
    match blob.look().await? {
        None => failed(BlobErrorKind::NotFound, "it is not there"),
        Some(found) if found.facts.version != version => failed(BlobErrorKind::Changed, "another program changed it meanwhile"),
        Some(_) => Ok(RangeBody { pieces: futures::stream::empty().boxed(), checksum: None }),
    }
}

async fn read_once(blob: &AzureBlob, range: ByteRange, version: &str, crc64: bool, md5: bool) -> Result<RangeBody, BlobError> {
    let options = BlobClientDownloadOptions {
        range: Some(HttpRange::new(range.offset, range.length)),
        // One partition as long as the range is one plain GET, streamed as it comes.
        partition_size: NonZero::new(usize::try_from(range.length.max(MIB)).unwrap_or(usize::MAX)),
        parallel: NonZero::new(1),
        if_match: Some(Etag::from(version.to_owned())),
        range_get_content_crc64: crc64.then_some(true),
        range_get_content_md5: md5.then_some(true),
        ..Default::default()
    };
    let response = blob.client()?.download(Some(options)).await.map_err(|error| blob.error("read", error))?;
    require_asked_range(&response, range, version, blob.lengths.of(version))
        .map_err(|message| BlobError::new(BlobErrorKind::Corrupted, "read", blob.address(), message))?;
    let raw = |bytes: Option<Vec<u8>>| bytes.unwrap_or_default();
    let checksum = if crc64 {
        raw(response.properties.content_crc64).try_into().ok().map(TransferChecksum::Crc64)
    } else if md5 {
        raw(response.properties.content_md5).try_into().ok().map(TransferChecksum::Md5)
    } else {
        None
    };
    let (account, address) = (blob.account.clone(), blob.address());
    let pieces = response.body.map_err(move |error| account.error("read", &address, &error));
    Ok(RangeBody { pieces: pieces.boxed(), checksum })
}

fn require_asked_range(
    response: &BlobClientDownloadResult,
    asked: ByteRange,
    version: &str,
    length_bytes: Option<u64>,
) -> Result<(), String> {
    if response.properties.etag.as_ref().is_some_and(|etag| etag.as_ref() != version) {
        return Err("the answer is of another version of the blob than was asked for".to_owned());
    }
    let content_range = response.headers.get_optional_str(&CONTENT_RANGE);
    is_asked_range(content_range, response.properties.content_length, asked, length_bytes)
}
