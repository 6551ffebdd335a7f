//! Requests, as the fake reads them.

use std::collections::HashMap;

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use base64::Engine;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::xml::refuse;
use super::{BUCKET, KEY_ID};
use crate::support::spoiled::parameters;

/// Which requests a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum On {
    CreateUpload,
    PutPart,
    CopyPart,
    ListParts,
    CompleteUpload,
    AbortUpload,
    Put,
    Get,
    Head,
    Delete,
    ListObjects,
    ListUploads,
    ListBuckets,
    CreateBucket,
}

/// A request that came whole, with a key that is known.
pub(super) struct RequestParts {
    /// What keys of its bucket begin with in the store.
    pub(super) scope: String,
    pub(super) key: String,
    pub(super) parameters: HashMap<String, String>,
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
}

impl RequestParts {
    pub(super) async fn take(request: Request) -> Result<(On, Self), Response> {
        let (head, body) = request.into_parts();
        let parameters = parameters(&head.uri);
        let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let scope = scope_of(bucket);
        let parts = RequestParts { key: format!("{scope}{key}"), scope, parameters, body: Bytes::new(), headers: head.headers };
        let credential = format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/");
        if !parts.header("authorization").is_some_and(|text| text.starts_with(&credential)) {
            return Err(refuse(403, "InvalidAccessKeyId"));
        }
        let has = |name: &str| parts.parameters.contains_key(name);
        let on = match (&head.method, bucket.is_empty(), key.is_empty()) {
            (&Method::GET, true, _) => On::ListBuckets,
            (&Method::PUT, false, true) => On::CreateBucket,
            (&Method::GET, false, true) if has("uploads") => On::ListUploads,
            (&Method::GET, false, true) => On::ListObjects,
            (&Method::POST, false, false) if has("uploads") => On::CreateUpload,
            (&Method::POST, false, false) if has("uploadId") => On::CompleteUpload,
            (&Method::PUT, false, false) if has("uploadId") && parts.header("x-amz-copy-source").is_some() => On::CopyPart,
            (&Method::PUT, false, false) if has("uploadId") => On::PutPart,
            (&Method::PUT, false, false) => On::Put,
            (&Method::GET, false, false) if has("uploadId") => On::ListParts,
            (&Method::GET, false, false) => On::Get,
            (&Method::HEAD, false, false) => On::Head,
            (&Method::DELETE, false, false) if has("uploadId") => On::AbortUpload,
            (&Method::DELETE, false, false) => On::Delete,
            _ => return Err(refuse(405, "MethodNotAllowed")),
        };
        // A client that went away in the middle of a body has sent nothing.
        let body = body.map_err(|_| refuse(400, "IncompleteBody"))?;
        Ok((on, RequestParts { body, ..parts }))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// What is wrong with the body, by what the request says of it.
    pub(super) fn check_body(&self) -> Option<Response> {
        let digest = Sha256::digest(&self.body);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let signed = self.header("x-amz-content-sha256").unwrap_or_default();
        if signed != hex && signed != "UNSIGNED-PAYLOAD" {
            return Some(refuse(400, "XAmzContentSHA256Mismatch"));
        }
        let stated = self.header("x-amz-checksum-sha256")?;
        let is_it = base64::engine::general_purpose::STANDARD.decode(stated).is_ok_and(|stated| stated == digest[..]);
        (!is_it).then(|| refuse(400, "BadDigest"))
    }

    /// First byte and the one behind the last, of a request for a range.
    pub(super) fn range(&self, header: &str) -> Option<(u64, u64)> {
        let (start, end) = self.header(header)?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, end.parse::<u64>().ok()?.saturating_add(1)))
    }
}

/// What the keys of a bucket begin with in the store.
pub(super) fn scope_of(bucket: &str) -> String {
    if bucket.is_empty() || bucket == BUCKET { String::new() } else { format!("@{bucket}/") }
}
