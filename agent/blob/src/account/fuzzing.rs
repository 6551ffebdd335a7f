//! What fuzz targets try of lists.

use azure_storage_blob::models::ListBlobsResponse;

use super::azure::blob_item;
use super::contract::BlobItem;

/// The blobs of a page of a list; `None` where it is not one.
pub fn blobs_of_page(xml: &[u8]) -> Option<Vec<BlobItem>> {
    let page: ListBlobsResponse = azure_core::xml::from_xml(xml).ok()?;
    Some(page.blob_items.into_iter().filter_map(|item| blob_item("container", item)).collect())
}
