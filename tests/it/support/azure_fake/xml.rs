//! Answers: errors as Azure words them, and lists.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::request::RequestParts;
use super::store::Store;

/// An identifier of one request, as Azure puts into every answer.
pub const REQUEST_ID: &str = "6c3c7a5e-101e-0034-2a5b-000000000000";

pub(super) fn refuse(status: u16, code: &str) -> Response {
    let message = format!("What the store says of {code}.\nRequestId:{REQUEST_ID}\nTime:2026-01-01T00:00:00.0000000Z");
    let body =
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let builder = Response::builder().status(status).header("x-ms-error-code", code).header("content-type", "application/xml");
    builder.header("x-ms-request-id", REQUEST_ID).body(Body::from(body)).unwrap()
}

pub(super) fn empty(status: StatusCode) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

pub(super) fn answer_xml(body: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>{body}");
    Response::builder().header("content-type", "application/xml").body(Body::from(body)).unwrap()
}

pub(super) fn get_block_list(store: &Store, name: &str) -> Response {
    let Some(blob) = store.blobs.get(name) else {
        return refuse(404, "BlobNotFound");
    };
    if blob.pages.is_some() {
        return refuse(409, "InvalidBlobType");
    }
    let block = |id: &[u8], bytes: usize| format!("<Block><Name>{}</Name><Size>{bytes}</Size></Block>", BASE64.encode(id));
    let committed: String = blob.committed_blocks.iter().map(|(id, bytes)| block(id, bytes.len())).collect();
    let uncommitted: String = blob.uncommitted.iter().map(|(id, bytes)| block(id, bytes.len())).collect();
    let mut answer = answer_xml(&format!(
        "<BlockList><CommittedBlocks>{committed}</CommittedBlocks><UncommittedBlocks>{uncommitted}</UncommittedBlocks></BlockList>"
    ));
    if let Some(etag) = store.etag(name) {
        answer.headers_mut().insert("etag", etag.parse().unwrap());
    }
    answer
}

/// Lists what was written to a page blob, a page of the list at a time; the marker is the offset of the first range that is
/// not in it.
pub(super) fn get_page_ranges(store: &Store, request: &RequestParts) -> Response {
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    let Some(pages) = store.blobs.get(&request.name).and_then(|blob| blob.pages.as_ref()) else {
        return refuse(404, "BlobNotFound");
    };
    let from: u64 = request.parameter("marker").and_then(|text| text.parse().ok()).unwrap_or(0);
    let ranges: Vec<(u64, u64)> = pages.written_ranges().filter(|(start, _)| *start >= from).collect();
    let next = ranges.get(store.list_page_blobs).map_or(String::new(), |(start, _)| start.to_string());
    let ranges: String = ranges
        .iter()
        .take(store.list_page_blobs)
        .map(|(start, end)| format!("<PageRange><Start>{start}</Start><End>{}</End></PageRange>", end - 1))
        .collect();
    answer_xml(&format!("<PageList>{ranges}<NextMarker>{next}</NextMarker></PageList>"))
}

pub(super) fn list_containers(request: &RequestParts) -> Response {
    let prefix = request.parameter("prefix").unwrap_or("");
    let found = if super::CONTAINER.starts_with(prefix) { super::CONTAINER } else { "" };
    let container = if found.is_empty() { String::new() } else { format!("<Container><Name>{found}</Name></Container>") };
    answer_xml(&format!("<EnumerationResults><Containers>{container}</Containers><NextMarker/></EnumerationResults>"))
}

/// Lists blobs in order of their names, a page at a time; the marker is the name of the first that is not in the page.
pub(super) fn list_blobs(store: &Store, request: &RequestParts) -> Response {
    let prefix = request.parameter("prefix").unwrap_or("");
    let marker = request.parameter("marker").unwrap_or("");
    let with_metadata = request.parameter("include").is_some_and(|items| items.contains("metadata"));
    let mut names: Vec<&String> =
        store.blobs.iter().filter(|(_, blob)| blob.committed().is_some()).map(|(name, _)| name).collect();
    names.retain(|name| name.starts_with(prefix) && name.as_str() >= marker);
    names.sort();
    let next = names.get(store.list_page_blobs).map_or(String::new(), |name| (*name).clone());
    let items: String = names.iter().take(store.list_page_blobs).map(|name| item(store, name, with_metadata)).collect();
    answer_xml(&format!("<EnumerationResults><Blobs>{items}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"))
}

fn item(store: &Store, name: &str, with_metadata: bool) -> String {
    let blob = &store.blobs[name];
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    let kind = if blob.pages.is_some() { "PageBlob" } else { "BlockBlob" };
    let length = blob.committed().map_or(0, |bytes| bytes.len());
    let metadata: String = blob.metadata.iter().map(|(key, value)| format!("<{key}>{value}</{key}>")).collect();
    let metadata = if with_metadata { format!("<Metadata>{metadata}</Metadata>") } else { String::new() };
    format!(
        "<Blob><Name>{name}</Name><Properties><Content-Length>{length}</Content-Length><BlobType>{kind}</BlobType></Properties>{metadata}</Blob>"
    )
}
