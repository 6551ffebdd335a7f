//! What the fake holds, and the requests about it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, checksum_combine};
use tokio::sync::watch;

use super::answers::{answer, document, refuse};
use super::faults::Fault;
use super::request::{On, RequestParts};
use crate::support::content::Content;
use crate::support::xml_text::{between, encoded, escaped, unescaped};

/// Most sources of a composition.
const SOURCES_MAX: usize = 32;

/// Objects up to this length have the checksum of their bytes; that of longer ones is computed from those of their sources.
const SUMMED_BYTES_MAX: u64 = 64 << 20;

/// An object.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) generation: u64,
    /// Of its bytes.
    pub(super) crc32c: u32,
    pub(super) is_composed: bool,
    pub(super) headers: Vec<(String, String)>,
}

pub(super) struct Store {
    pub(super) objects: BTreeMap<String, Object>,
    /// What the names of buckets besides the first one begin with.
    pub(super) buckets: BTreeSet<String>,
    pub(super) faults: HashMap<On, VecDeque<Fault>>,
    pub(super) always: HashMap<On, Fault>,
    pub(super) seen: BTreeMap<On, u64>,
    pub(super) done: BTreeMap<On, u64>,
    pub(super) bytes_received: u64,
    pub(super) in_flight: u64,
    pub(super) held_now: u64,
    pub(super) releases: watch::Sender<()>,
    pub(super) put_delay: Duration,
    /// Most sources that a composition named.
    pub(super) sources_max: usize,
    /// Whether it looks at checksums.
    pub(super) checks: bool,
    /// Whether requests need a token; else none may have one.
    pub(super) wants_token: bool,
    /// Whether a retention policy forbids to replace and delete.
    pub(super) retains: bool,
    pub(super) requester_pays: bool,
    /// The class of every object.
    pub(super) class: &'static str,
    /// Most names on a page.
    pub(super) page: usize,
    /// Each request of this number in its kind meets a byte that was changed on the way; 0 for none.
    pub(super) corrupts_every: u64,
    numbers: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        Store {
            objects: BTreeMap::new(),
            buckets: BTreeSet::new(),
            faults: HashMap::new(),
            always: HashMap::new(),
            seen: BTreeMap::new(),
            done: BTreeMap::new(),
            bytes_received: 0,
            in_flight: 0,
            held_now: 0,
            releases: watch::Sender::new(()),
            put_delay: Duration::ZERO,
            sources_max: 0,
            checks: true,
            wants_token: true,
            retains: false,
            requester_pays: false,
            class: "STANDARD",
            page: 1000,
            corrupts_every: 0,
            numbers: 1_700_000_000_000_000,
        }
    }

    pub(super) fn has_bucket(&self, request: &RequestParts) -> bool {
        request.scope.is_empty() || self.buckets.contains(&request.scope)
    }

    pub(super) fn create_bucket(&mut self, request: &RequestParts) -> Response {
        if request.header("x-goog-project-id").is_none() {
            return refuse(400, "InvalidArgument");
        }
        match self.buckets.insert(request.scope.clone()) {
            true if !request.scope.is_empty() => answer(200, &[], Body::empty()),
            _ => refuse(409, "BucketAlreadyOwnedByYou"),
        }
    }

    pub(super) fn list_buckets(&self, request: &RequestParts) -> Response {
        if request.header("x-goog-project-id").is_none() {
            return refuse(400, "InvalidArgument");
        }
        let others = self.buckets.iter().map(|scope| scope.trim_matches(['@', '/']));
        let names = std::iter::once(super::BUCKET).chain(others.filter(|name| !name.is_empty()));
        let listed: String = names.map(|name| format!("<Bucket><Name>{name}</Name></Bucket>")).collect();
        document(format!("<L><Buckets>{listed}</Buckets></L>"))
    }

    /// A generation that was never given before.
    pub(super) fn new_generation(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Refuses a request whose condition does not hold, or which a retention policy forbids.
    fn refuse_write(&self, request: &RequestParts) -> Option<Response> {
        let found = self.objects.get(&request.name).map_or(0, |found| found.generation);
        let wanted = request.header("x-goog-if-generation-match");
        if wanted.is_some_and(|wanted| wanted != found.to_string()) {
            return Some(refuse(412, "PreconditionFailed"));
        }
        (self.retains && found != 0).then(|| refuse(403, "RetentionPolicyNotMet"))
    }

    pub(super) fn put(&mut self, request: &RequestParts) -> Response {
        let crc32c = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &request.body) as u32;
        let stated = request.header("x-goog-hash").and_then(|text| text.strip_prefix("crc32c="));
        if self.checks && stated.is_none_or(|stated| stated != written(crc32c)) {
            return refuse(400, "BadDigest");
        }
        if let Some(refusal) = self.refuse_write(request) {
            return refusal;
        }
        let content = Content::of(request.body.clone());
        self.keep(request, content, crc32c, false)
    }

    pub(super) fn compose(&mut self, request: &RequestParts) -> Response {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let names: Vec<String> = body
            .split("<Component>")
            .skip(1)
            .filter_map(|part| between(part, "Name"))
            .map(|name| format!("{}{}", request.scope, unescaped(name)))
            .collect();
        self.sources_max = self.sources_max.max(names.len());
        if names.is_empty() || names.len() > SOURCES_MAX {
            return refuse(400, "InvalidArgument");
        }
        let sources: Option<Vec<Object>> = names.iter().map(|name| self.objects.get(name).cloned()).collect();
        let Some(sources) = sources else { return refuse(404, "NoSuchKey") };
        if let Some(refusal) = self.refuse_write(request) {
            return refusal;
        }
        let combined = sources.iter().fold(0, |before, source| {
            checksum_combine(CrcAlgorithm::Crc32Iscsi, before, u64::from(source.crc32c), source.content.length())
        });
        let content = Content::row(sources.into_iter().map(|source| source.content).collect());
        let crc32c = if content.length() <= SUMMED_BYTES_MAX { crc32c_of(&content) } else { combined as u32 };
        self.keep(request, content, crc32c, true)
    }

    fn keep(&mut self, request: &RequestParts, content: Content, crc32c: u32, is_composed: bool) -> Response {
        let generation = self.new_generation();
        let object = Object { content, generation, crc32c, is_composed, headers: kept_headers(request) };
        let told = [("x-goog-generation", &*generation.to_string()), ("x-goog-hash", &*format!("crc32c={}", written(crc32c)))];
        let response = answer(200, &told, Body::empty());
        self.objects.insert(request.name.clone(), object);
        response
    }

    /// Changes a byte of an object, as if it had been composed so.
    pub(super) fn damage(&mut self, name: &str) {
        let Some(object) = self.objects.get_mut(name) else { return };
        let mut bytes = object.content.bytes(0, object.content.length()).to_vec();
        bytes[0] ^= 1;
        object.content = Content::of(bytes.into());
        object.crc32c = crc32c_of(&object.content);
    }

    pub(super) fn get(&self, request: &RequestParts, with_body: bool) -> Response {
        let Some(object) = self.objects.get(&request.name) else { return refuse(404, "NoSuchKey") };
        let generation = object.generation.to_string();
        if request.header("x-goog-if-generation-match").is_some_and(|wanted| wanted != generation) {
            return refuse(412, "PreconditionFailed");
        }
        let is_compressed = object.headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip");
        let takes_compressed = request.header("accept-encoding").is_some_and(|kinds| kinds.contains("gzip"));
        if is_compressed && !takes_compressed {
            // What it would decompress to has another length, and ranges of it are not to be had.
            return answer(200, &[("x-goog-generation", &generation)], Body::from("decompressed on the way"));
        }
        let length = object.content.length();
        let (status, start, end) = match request.range() {
            Some((start, _)) if start >= length => return refuse(416, "InvalidRange"),
            Some((start, end)) => (206, start, end.min(length)),
            None => (200, 0, length),
        };
        let (told, content_range) = ((end - start).to_string(), format!("bytes {start}-{}/{length}", end.saturating_sub(1)));
        let (stored, crc32c) = (length.to_string(), format!("crc32c={}", written(object.crc32c)));
        let md5 = (!object.is_composed)
            .then(|| format!("md5={}", BASE64_STANDARD.encode(blob::checksum::md5(&object.content.bytes(0, length)))));
        let mut headers = vec![
            ("content-length", &*told),
            ("x-goog-generation", &generation),
            ("x-goog-storage-class", self.class),
            ("x-goog-stored-content-length", &stored),
            ("x-goog-stored-content-encoding", if is_compressed { "gzip" } else { "identity" }),
            ("x-goog-hash", &crc32c),
        ];
        headers.extend(md5.as_deref().map(|md5| ("x-goog-hash", md5)));
        headers.extend((status == 206).then_some(("content-range", &*content_range)));
        headers.extend(object.headers.iter().map(|(name, value)| (&**name, &**value)));
        let body = if with_body { Body::from(object.content.bytes(start, end)) } else { Body::empty() };
        answer(status, &headers, body)
    }

    pub(super) fn delete(&mut self, request: &RequestParts) -> Response {
        if !self.objects.contains_key(&request.name) {
            return refuse(404, "NoSuchKey");
        }
        if let Some(refusal) = self.refuse_write(request) {
            return refusal;
        }
        self.objects.remove(&request.name);
        answer(204, &[], Body::empty())
    }

    pub(super) fn list(&self, request: &RequestParts) -> Response {
        let (scope, delimiter) = (&*request.scope, request.parameter("delimiter"));
        let prefix = &*format!("{scope}{}", request.parameter("prefix"));
        let from = request.parameter("continuation-token");
        let mut body = "<ListBucketResult><EncodingType>url</EncodingType>".to_owned();
        let (mut prefixes, mut count, mut last) = (Vec::new(), 0, "");
        let mut is_truncated = false;
        for (name, object) in self.objects.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix)) {
            if !from.is_empty() && name[scope.len()..] <= *from {
                continue;
            }
            if count == self.page {
                is_truncated = true;
                break;
            }
            last = &name[scope.len()..];
            let folder = name[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
            if let Some(end) = folder {
                let folder = name[scope.len()..prefix.len() + end + delimiter.len()].to_owned();
                if !prefixes.contains(&folder) {
                    prefixes.push(folder);
                }
                continue;
            }
            count += 1;
            body += &format!(
                "<Contents><Key>{}</Key><Generation>{}</Generation><Size>{}</Size></Contents>",
                encoded(&name[scope.len()..]),
                object.generation,
                object.content.length()
            );
        }
        for folder in prefixes {
            body += &format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encoded(&folder));
        }
        if is_truncated {
            body += &format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(last));
        }
        document(format!("{body}<IsTruncated>{is_truncated}</IsTruncated></ListBucketResult>"))
    }
}

/// A checksum as it is told.
fn written(crc32c: u32) -> String {
    BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

pub(super) fn crc32c_of(content: &Content) -> u32 {
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    content.each(0, content.length(), &mut |piece| digest.update(piece));
    digest.finalize() as u32
}

/// What an object keeps of the headers of the request that made it.
fn kept_headers(request: &RequestParts) -> Vec<(String, String)> {
    let own = request.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-goog-meta-") || *name == "content-type");
    own.map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())).collect()
}
