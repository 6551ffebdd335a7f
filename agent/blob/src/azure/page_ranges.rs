//! What of a page blob was ever written: the rest is zeros, and need not be read (Get Page Ranges).

use azure_core::http::Etag;
use azure_storage_blob::models::{PageBlobClientListPageRangesOptions, PageRange};
use futures::TryStreamExt;
use protocol::units::ByteRange;

use super::client::AzureBlob;
use crate::contract::{Blob, WrittenRanges};
use crate::error::{BlobError, BlobErrorKind};

/// How many ranges one answer has at most; the service's own bound.
const RANGES_MAX: i32 = 10_000;

/// One part of the list.
pub(super) async fn list(blob: &AzureBlob, version: &str, from: Option<&str>) -> Result<WrittenRanges, BlobError> {
    let failed = |error| blob.error("list the pages of", error);
    let options = PageBlobClientListPageRangesOptions {
        if_match: Some(Etag::from(version.to_owned())),
        marker: from.map(str::to_owned),
        maxresults: Some(RANGES_MAX),
        ..Default::default()
    };
    let mut pages = blob.client()?.page_blob_client().list_page_ranges(Some(options)).map_err(failed)?;
    let Some(page) = pages.try_next().await.map_err(failed)? else { return Ok(WrittenRanges::default()) };
    let page = page.into_model().map_err(failed)?;
    let next = page.next_marker.filter(|marker| !marker.is_empty());
    let odd = || BlobError::new(BlobErrorKind::Corrupted, "list the pages of", blob.address(), "its ranges are not a list");
    let ranges = ranges_of(&page.page_ranges).ok_or_else(odd)?;
    if next.is_some() && (ranges.is_empty() || next.as_deref() == from) {
        return Err(odd());
    }
    Ok(WrittenRanges { ranges, next })
}

/// The ranges, where they are in order and of some length.
fn ranges_of(pages: &[PageRange]) -> Option<Vec<ByteRange>> {
    let mut end = 0;
    pages
        .iter()
        .map(|page| {
            let (start, last) = (u64::try_from(page.start?).ok()?, u64::try_from(page.end?).ok()?);
            let length = last.checked_add(1)?.checked_sub(start).filter(|length| *length > 0 && start >= end)?;
            end = start + length;
            Some(ByteRange::new(start, length))
        })
        .collect()
}
