//! Block blobs: blocks, and the lists that make blobs of them.

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::request::RequestParts;
use super::store::Store;
use super::xml::{empty, refuse};

pub(super) fn put_block(store: &mut Store, request: &RequestParts) -> Response {
    if let Some(refusal) = store.wrong_checksum(request) {
        return refusal;
    }
    let id = BASE64.decode(&request.parameters["blockid"]).unwrap();
    let blob = store.blobs.entry(request.name.clone()).or_default();
    if blob.pages.is_some() {
        return refuse(409, "InvalidBlobType");
    }
    if blob.is_archived() {
        return refuse(409, "BlobArchived");
    }
    if blob.uncommitted.keys().any(|other| other.len() != id.len()) {
        return refuse(400, "InvalidBlobOrBlock");
    }
    blob.uncommitted.insert(id, request.body.clone());
    store.puts_landed += 1;
    empty(StatusCode::CREATED)
}

pub(super) fn put_block_list(store: &mut Store, request: &RequestParts) -> Response {
    if let Some(refusal) = store.wrong_checksum(request) {
        return refusal;
    }
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    let body = String::from_utf8_lossy(&request.body);
    let ids = body.split("<Latest>").skip(1).filter_map(|rest| rest.split_once("</Latest>"));
    let ids: Vec<Vec<u8>> = ids.map(|(id, _)| BASE64.decode(id).unwrap()).collect();
    let version = store.next_version();
    let blob = store.blobs.entry(request.name.clone()).or_default();
    if blob.pages.is_some() {
        return refuse(409, "InvalidBlobType");
    }
    let mut blocks = Vec::new();
    for id in ids {
        let committed = blob.committed_blocks.iter().find(|(other, _)| *other == id).map(|(_, bytes)| bytes.clone());
        match blob.uncommitted.get(&id).cloned().or(committed) {
            Some(bytes) => blocks.push((id, bytes)),
            None => return refuse(400, "InvalidBlockList"),
        }
    }
    blob.content = Some(blocks.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect());
    blob.committed_blocks = blocks;
    blob.uncommitted.clear();
    blob.version = version;
    blob.metadata = request.metadata();
    blob.tier = request.header("x-ms-access-tier").map(str::to_owned);
    blob.content_type = request.header("x-ms-blob-content-type").map(str::to_owned);
    empty(StatusCode::CREATED)
}
