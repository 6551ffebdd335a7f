//! Page blobs, and Put Blob, which makes them and small block blobs.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;

use super::request::RequestParts;
use super::store::{Store, StoredBlob};
use super::xml::refuse;

/// The unit of a page blob.
const PAGE_BYTES: u64 = 512;
/// Most that one Put Page takes.
const PUT_PAGE_BYTES_MAX: u64 = 4 << 20;

/// What a page blob has beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) sequence_number: i64,
    written: BTreeSet<u64>,
}

impl Pages {
    /// Something was written to the page that has this offset in bytes.
    pub(super) fn note_write(&mut self, offset: u64) {
        self.written.insert(offset / PAGE_BYTES);
    }

    /// Runs of pages that were written and not cleared, as offsets in bytes.
    pub(super) fn written_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for page in self.written.iter().map(|page| page * PAGE_BYTES) {
            match ranges.last_mut() {
                Some(last) if last.1 == page => last.1 += PAGE_BYTES,
                _ => ranges.push((page, page + PAGE_BYTES)),
            }
        }
        ranges.into_iter()
    }
}

/// Makes a page blob of zeros, or a block blob of the body, with the metadata of the request.
pub(super) fn put_blob(store: &mut Store, request: &RequestParts) -> Response {
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    if let Some(refusal) = store.wrong_checksum(request) {
        return refusal;
    }
    let number = |name: &str| request.header(name).and_then(|text| text.parse::<i64>().ok());
    let is_page_blob = request.header("x-ms-blob-type") == Some("PageBlob");
    // The type of a blob that exists cannot be changed.
    if store.blobs.get(&request.name).is_some_and(|blob| blob.content.is_some() && blob.pages.is_some() != is_page_blob) {
        return refuse(409, "InvalidBlobType");
    }
    let (content, pages) = if is_page_blob {
        match number("x-ms-blob-content-length").and_then(|length| u64::try_from(length).ok()) {
            Some(length) if length.is_multiple_of(PAGE_BYTES) => {
                let pages = Pages { sequence_number: number("x-ms-blob-sequence-number").unwrap_or(0), ..Pages::default() };
                (Bytes::from(vec![0; length as usize]), Some(pages))
            }
            _ => return refuse(400, "InvalidHeaderValue"),
        }
    } else {
        (request.body.clone(), None)
    };
    let version = store.next_version();
    let content_type = request.header("x-ms-blob-content-type").map(str::to_owned);
    let metadata = request.metadata();
    let blob = StoredBlob { content: Some(content), pages, metadata, content_type, version, ..StoredBlob::default() };
    let answer = done(&blob, StatusCode::CREATED);
    store.blobs.insert(request.name.clone(), blob);
    answer
}

pub(super) fn put_page(store: &mut Store, request: &RequestParts) -> Response {
    let is_clear = request.header("x-ms-page-write") == Some("clear");
    let Some((start, end)) = request.range().and_then(|(start, end)| Some((start, end?))) else {
        return refuse(400, "MissingRequiredHeader");
    };
    let length = end.saturating_sub(start);
    let is_whole = start.is_multiple_of(PAGE_BYTES) && length.is_multiple_of(PAGE_BYTES) && length > 0;
    if !is_whole || !is_clear && (length > PUT_PAGE_BYTES_MAX || length != request.body.len() as u64) {
        return refuse(416, "InvalidPageRange");
    }
    if let Some(refusal) = store.wrong_checksum(request) {
        return refusal;
    }
    match store.blobs.get(&request.name) {
        None => return refuse(404, "BlobNotFound"),
        Some(blob) if blob.pages.is_none() => return refuse(409, "InvalidBlobType"),
        Some(_) => {}
    }
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    let version = store.next_version();
    let Some(blob) = store.blobs.get_mut(&request.name) else {
        return refuse(404, "BlobNotFound");
    };
    let (Some(content), Some(pages)) = (&mut blob.content, &mut blob.pages) else {
        return refuse(409, "InvalidBlobType");
    };
    if end > content.len() as u64 {
        return refuse(416, "InvalidPageRange");
    }
    // No copy where nothing else refers to the bytes.
    let mut bytes: Vec<u8> = std::mem::take(content).into();
    let place = &mut bytes[start as usize..end as usize];
    match is_clear {
        true => place.fill(0),
        false => place.copy_from_slice(&request.body),
    }
    *content = bytes.into();
    for page in start / PAGE_BYTES..end / PAGE_BYTES {
        match is_clear {
            true => pages.written.remove(&page),
            false => pages.written.insert(page),
        };
    }
    blob.version = version;
    done(blob, StatusCode::CREATED)
}

pub(super) fn set_metadata(store: &mut Store, request: &RequestParts) -> Response {
    if store.blobs.get(&request.name).is_none_or(|blob| blob.content.is_none()) {
        return refuse(404, "BlobNotFound");
    }
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    let version = store.next_version();
    let Some(blob) = store.blobs.get_mut(&request.name) else {
        return refuse(404, "BlobNotFound");
    };
    blob.metadata = request.metadata();
    blob.version = version;
    done(blob, StatusCode::OK)
}

/// Changes the sequence number of a page blob: `max`, `update` or `increment`.
pub(super) fn set_properties(store: &mut Store, request: &RequestParts) -> Response {
    match store.blobs.get(&request.name) {
        Some(blob) if blob.content.is_some() => {}
        _ => return refuse(404, "BlobNotFound"),
    }
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    let version = store.next_version();
    let Some(blob) = store.blobs.get_mut(&request.name) else {
        return refuse(404, "BlobNotFound");
    };
    let number = request.header("x-ms-blob-sequence-number").and_then(|text| text.parse::<i64>().ok());
    match (request.header("x-ms-sequence-number-action"), &mut blob.pages, number) {
        (None, _, _) => {}
        (Some("increment"), Some(pages), None) => pages.sequence_number += 1,
        (Some("update"), Some(pages), Some(number)) => pages.sequence_number = number,
        (Some("max"), Some(pages), Some(number)) => pages.sequence_number = pages.sequence_number.max(number),
        _ => return refuse(400, "InvalidHeaderValue"),
    }
    if let Some(kind) = request.header("x-ms-blob-content-type") {
        blob.content_type = Some(kind.to_owned());
    }
    blob.version = version;
    done(blob, StatusCode::OK)
}

/// An answer with what every write of a blob answers.
fn done(blob: &StoredBlob, status: StatusCode) -> Response {
    let mut builder = Response::builder().status(status).header("etag", blob.etag());
    if let Some(pages) = &blob.pages {
        builder = builder.header("x-ms-blob-sequence-number", pages.sequence_number);
    }
    builder.body(Body::empty()).unwrap()
}
