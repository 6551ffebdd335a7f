//! What the fake holds, and the checks that all requests share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::Fault;
use super::page::Pages;
use super::request::{On, RequestParts};
use super::xml::refuse;

#[derive(Default)]
pub(super) struct StoredBlob {
    /// What a reader gets; `None` where there are only uncommitted blocks.
    pub(super) content: Option<Bytes>,
    pub(super) committed_blocks: Vec<(Vec<u8>, Bytes)>,
    pub(super) uncommitted: BTreeMap<Vec<u8>, Bytes>,
    /// Of a page blob.
    pub(super) pages: Option<Pages>,
    pub(super) metadata: HashMap<String, String>,
    /// Of a block blob, where an upload said so.
    pub(super) tier: Option<String>,
    pub(super) content_type: Option<String>,
    /// Answered by HEAD and GET beside what the blob itself says: leases, tiers, holds.
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) version: u64,
}

impl StoredBlob {
    pub(super) fn committed(&self) -> Option<&Bytes> {
        self.content.as_ref()
    }

    pub(super) fn etag(&self) -> String {
        format!("\"{:#x}\"", self.version)
    }

    fn says(&self, header: &str, value: &str) -> bool {
        self.headers.contains(&(header, value))
    }

    /// Nothing of it can be read or written to.
    pub(super) fn is_archived(&self) -> bool {
        self.tier.as_deref() == Some("Archive") || self.says("x-ms-access-tier", "Archive")
    }
}

pub(super) struct Store {
    pub(super) blobs: HashMap<String, StoredBlob>,
    pub(super) faults: HashMap<On, VecDeque<Fault>>,
    pub(super) always: HashMap<On, Fault>,
    pub(super) put_delay: Duration,
    pub(super) knows_crc64: bool,
    pub(super) list_page_blobs: usize,
    pub(super) seen: HashMap<On, u64>,
    pub(super) done: HashMap<On, u64>,
    pub(super) puts_landed: u64,
    pub(super) bytes_received: u64,
    pub(super) checksums: HashMap<&'static str, u64>,
    pub(super) releases: tokio::sync::watch::Sender<()>,
    /// Requests that came whole and are not done yet.
    pub(super) in_flight: u64,
    /// Requests that wait for a release.
    pub(super) held_now: u64,
    versions: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        Store {
            blobs: HashMap::new(),
            faults: HashMap::new(),
            always: HashMap::new(),
            put_delay: Duration::ZERO,
            knows_crc64: true,
            list_page_blobs: 5000,
            seen: HashMap::new(),
            done: HashMap::new(),
            puts_landed: 0,
            bytes_received: 0,
            checksums: HashMap::new(),
            releases: tokio::sync::watch::Sender::new(()),
            in_flight: 0,
            held_now: 0,
            versions: 0,
        }
    }

    /// The version of a blob that a reader would get.
    pub(super) fn etag(&self, name: &str) -> Option<String> {
        self.blobs.get(name).filter(|blob| blob.content.is_some()).map(StoredBlob::etag)
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// The refusal of a body that is not what its checksum says; counts which kind of checksum came.
    pub(super) fn wrong_checksum(&mut self, request: &RequestParts) -> Option<Response> {
        if let Some(sum) = request.header("x-ms-content-crc64") {
            if !self.knows_crc64 {
                return Some(refuse(500, "FeatureNotSupported"));
            }
            *self.checksums.entry("crc64").or_default() += 1;
            if BASE64.decode(sum).unwrap() != blob::checksum::crc64(&request.body) {
                return Some(refuse(400, "Crc64Mismatch"));
            }
        } else if let Some(sum) = request.header("content-md5") {
            *self.checksums.entry("md5").or_default() += 1;
            if BASE64.decode(sum).unwrap() != blob::checksum::md5(&request.body) {
                return Some(refuse(400, "Md5Mismatch"));
            }
        }
        None
    }

    /// The refusal of a write whose conditions do not hold, or that the blob's lease or holds forbid.
    pub(super) fn unmet_condition(&self, request: &RequestParts) -> Option<Response> {
        let blob = self.blobs.get(&request.name).filter(|blob| blob.committed().is_some());
        if let Some(blob) = blob {
            if blob.says("x-ms-lease-state", "leased") {
                return Some(refuse(412, "LeaseIdMissing"));
            }
            if blob.says("x-ms-legal-hold", "true")
                || blob.headers.iter().any(|(name, _)| *name == "x-ms-immutability-policy-mode")
            {
                return Some(refuse(409, "BlobImmutableDueToPolicy"));
            }
        }
        if request.header("if-none-match") == Some("*") && blob.is_some() {
            return Some(refuse(409, "BlobAlreadyExists"));
        }
        let etag = blob.map(StoredBlob::etag);
        if let Some(wanted) = request.header("if-match")
            && !(etag.as_deref() == Some(wanted) || wanted == "*" && etag.is_some())
        {
            return Some(refuse(412, "ConditionNotMet"));
        }
        if let Some(other) = request.header("if-none-match")
            && etag.as_deref() == Some(other)
        {
            return Some(refuse(412, "ConditionNotMet"));
        }
        let number = blob.and_then(|blob| blob.pages.as_ref()).map_or(0, |pages| pages.sequence_number);
        let wanted = |name: &str| request.header(name).and_then(|text| text.parse::<i64>().ok());
        let is_met = wanted("x-ms-if-sequence-number-eq").is_none_or(|wanted| number == wanted)
            && wanted("x-ms-if-sequence-number-le").is_none_or(|wanted| number <= wanted)
            && wanted("x-ms-if-sequence-number-lt").is_none_or(|wanted| number < wanted);
        (!is_met).then(|| refuse(412, "SequenceNumberConditionNotMet"))
    }
}

pub(super) fn delete(store: &mut Store, request: &RequestParts) -> Response {
    if store.blobs.get(&request.name).is_none_or(|blob| blob.committed().is_none()) {
        return refuse(404, "BlobNotFound");
    }
    if let Some(refusal) = store.unmet_condition(request) {
        return refusal;
    }
    store.blobs.remove(&request.name);
    super::xml::empty(StatusCode::ACCEPTED)
}

/// HEAD and GET.
pub(super) fn describe(store: &Store, request: &RequestParts, with_body: bool) -> Response {
    let found = store.blobs.get(&request.name).and_then(|blob| Some((blob, blob.committed()?)));
    let Some((blob, bytes)) = found else {
        return refuse(404, "BlobNotFound");
    };
    let version = blob.etag();
    if request.header("if-match").is_some_and(|wanted| wanted != version) {
        return refuse(412, "ConditionNotMet");
    }
    if with_body && blob.is_archived() {
        return refuse(409, "BlobArchived");
    }
    let kind = if blob.pages.is_some() { "PageBlob" } else { "BlockBlob" };
    let mut builder = Response::builder().header("etag", version).header("x-ms-blob-type", kind);
    if let Some(pages) = &blob.pages {
        builder = builder.header("x-ms-blob-sequence-number", pages.sequence_number);
    }
    for (name, value) in [("x-ms-access-tier", &blob.tier), ("content-type", &blob.content_type)] {
        if let Some(value) = value {
            builder = builder.header(name, value);
        }
    }
    for (name, value) in &blob.headers {
        builder = builder.header(*name, *value);
    }
    for (name, value) in &blob.metadata {
        builder = builder.header(format!("x-ms-meta-{name}"), value);
    }
    if !with_body {
        return builder.header("content-length", bytes.len()).body(Body::empty()).unwrap();
    }
    let Some((start, end)) = request.range() else {
        return builder.body(Body::from(bytes.clone())).unwrap();
    };
    let (start, end) = (start as usize, end.map_or(bytes.len(), |end| (end as usize).min(bytes.len())));
    if start >= bytes.len() {
        return refuse(416, "InvalidRange");
    }
    let piece = bytes.slice(start..end);
    if request.header("x-ms-range-get-content-crc64").is_some() {
        if !store.knows_crc64 {
            return refuse(500, "FeatureNotSupported");
        }
        builder = builder.header("x-ms-content-crc64", BASE64.encode(blob::checksum::crc64(&piece)));
    } else if request.header("x-ms-range-get-content-md5").is_some() {
        builder = builder.header("content-md5", BASE64.encode(blob::checksum::md5(&piece)));
    }
    let content_range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    builder.status(StatusCode::PARTIAL_CONTENT).header("content-range", content_range).body(Body::from(piece)).unwrap()
}
