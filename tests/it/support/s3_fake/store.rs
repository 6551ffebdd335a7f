//! What the fake holds, and the requests about whole objects.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use tokio::sync::watch;

use super::faults::Fault;
use super::request::{On, RequestParts};
use super::stated::Stated;
use super::uploads::OpenUpload;
use super::xml::{answer, document, encoded, refuse, refuse_with};
use crate::support::content::Content;

/// An object.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) etag: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) stated: Stated,
}

pub(super) struct Store {
    pub(super) objects: BTreeMap<String, Object>,
    /// What the keys of buckets besides the first one begin with.
    pub(super) buckets: BTreeSet<String>,
    /// By their ids: two of one key live side by side.
    pub(super) uploads: BTreeMap<String, OpenUpload>,
    pub(super) faults: HashMap<On, VecDeque<Fault>>,
    pub(super) always: HashMap<On, Fault>,
    pub(super) seen: BTreeMap<On, u64>,
    pub(super) done: BTreeMap<On, u64>,
    pub(super) bytes_received: u64,
    pub(super) in_flight: u64,
    pub(super) held_now: u64,
    pub(super) releases: watch::Sender<()>,
    pub(super) put_delay: Duration,
    /// Most parts that a commit named.
    pub(super) parts_max: usize,
    /// Whether it looks at checksums.
    pub(super) checks: bool,
    /// Whether lists of parts have digests.
    pub(super) tells_digests: bool,
    /// Smallest part but the last, in bytes.
    pub(super) part_bytes_min: u64,
    /// Most names on a page.
    pub(super) page: usize,
    /// Each request of this number in its kind meets a byte that was changed on the way; 0 for none.
    pub(super) corrupts_every: u64,
    /// Whether objects of the first bucket are locked: none is deleted.
    pub(super) locks: bool,
    /// Whether it knows the condition of a commit.
    pub(super) knows_if_match: bool,
    numbers: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        Store {
            objects: BTreeMap::new(),
            buckets: BTreeSet::new(),
            uploads: BTreeMap::new(),
            faults: HashMap::new(),
            always: HashMap::new(),
            seen: BTreeMap::new(),
            done: BTreeMap::new(),
            bytes_received: 0,
            in_flight: 0,
            held_now: 0,
            releases: watch::Sender::new(()),
            put_delay: Duration::ZERO,
            parts_max: 0,
            checks: true,
            tells_digests: true,
            part_bytes_min: 5 << 20,
            page: 1000,
            corrupts_every: 0,
            locks: false,
            knows_if_match: true,
            numbers: 0,
        }
    }

    pub(super) fn has_bucket(&self, request: &RequestParts) -> bool {
        request.scope.is_empty() || self.buckets.contains(&request.scope)
    }

    pub(super) fn create_bucket(&mut self, request: &RequestParts) -> Response {
        match self.buckets.insert(request.scope.clone()) {
            true if !request.scope.is_empty() => answer(200, &[], Body::empty()),
            _ => refuse(409, "BucketAlreadyOwnedByYou"),
        }
    }

    pub(super) fn list_buckets(&self) -> Response {
        let others = self.buckets.iter().map(|scope| scope.trim_matches(['@', '/']));
        let names = std::iter::once(super::BUCKET).chain(others.filter(|name| !name.is_empty()));
        let listed: String = names.map(|name| format!("<Bucket><Name>{name}</Name></Bucket>")).collect();
        document(format!("<L><Buckets>{listed}</Buckets></L>"))
    }

    /// A number that was never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn new_etag(&mut self) -> String {
        // Nothing that could be computed from the bytes.
        format!("\"etag-{}\"", self.number())
    }

    /// Refuses a write whose condition does not hold.
    pub(super) fn refuse_condition(&self, request: &RequestParts) -> Option<Response> {
        let found = self.objects.get(&request.key);
        let is_taken = request.header("if-none-match").is_some() && found.is_some();
        if is_taken {
            return Some(refuse(412, "PreconditionFailed"));
        }
        let wanted = request.header("if-match").filter(|_| self.knows_if_match)?;
        match found {
            None => Some(refuse(404, "NoSuchKey")),
            Some(found) => (found.etag != wanted).then(|| refuse(412, "PreconditionFailed")),
        }
    }

    pub(super) fn put(&mut self, request: &RequestParts) -> Response {
        if let Some(refusal) = request.check_body().filter(|_| self.checks) {
            return refusal;
        }
        if let Some(refusal) = self.refuse_condition(request) {
            return refusal;
        }
        let etag = self.new_etag();
        let object = Object {
            content: Content::of(request.body.clone()),
            etag: etag.clone(),
            headers: kept_headers(request),
            stated: Stated::Nothing,
        };
        self.objects.insert(request.key.clone(), object);
        answer(200, &[("etag", &etag)], Body::empty())
    }

    pub(super) fn get(&self, request: &RequestParts, with_body: bool) -> Response {
        let Some(object) = self.objects.get(&request.key) else { return refuse(404, "NoSuchKey") };
        if request.header("if-match").is_some_and(|wanted| wanted != object.etag) {
            return refuse(412, "PreconditionFailed");
        }
        let length = object.content.length();
        let asks = request.header("x-amz-checksum-mode") == Some("ENABLED") && !with_body;
        if let (true, Ok(number), Stated::OfParts(_, lengths)) =
            (asks, request.parameter("partNumber").parse::<usize>(), &object.stated)
        {
            let Some(length) = number.checked_sub(1).and_then(|index| lengths.get(index)) else {
                return refuse(416, "InvalidPartNumber");
            };
            return answer(206, &[("etag", &*object.etag), ("content-length", &length.to_string())], Body::empty());
        }
        let stated = object.stated.header(&object.content).filter(|_| asks);
        let (status, start, end) = match request.range("range") {
            Some((start, _)) if start >= length => return refuse(416, "InvalidRange"),
            Some((start, end)) => (206, start, end.min(length)),
            None => (200, 0, length),
        };
        let (told, content_range) = ((end - start).to_string(), format!("bytes {start}-{}/{length}", end.saturating_sub(1)));
        let mut headers = vec![("etag", &*object.etag), ("content-length", &*told), ("content-type", "application/octet-stream")];
        headers.extend(stated.as_ref().map(|(name, value)| (*name, &**value)));
        headers.extend((status == 206).then_some(("content-range", &*content_range)));
        headers
            .extend(object.headers.iter().map(|(name, value)| (&**name, &**value)).filter(|(name, _)| *name != "content-type"));
        let body = if with_body { Body::from(object.content.bytes(start, end)) } else { Body::empty() };
        answer(status, &headers, body)
    }

    pub(super) fn delete(&mut self, request: &RequestParts) -> Response {
        if self.locks && request.scope.is_empty() {
            return refuse(403, "AccessDenied");
        }
        self.objects.remove(&request.key);
        answer(204, &[], Body::empty())
    }

    pub(super) fn list(&self, request: &RequestParts) -> Response {
        let (scope, delimiter) = (&*request.scope, request.parameter("delimiter"));
        let prefix = &*format!("{scope}{}", request.parameter("prefix"));
        let from = request.parameter("continuation-token");
        let mut body = "<ListBucketResult><EncodingType>url</EncodingType>".to_owned();
        let (mut prefixes, mut count, mut last) = (Vec::new(), 0, "");
        let mut is_truncated = false;
        for (key, object) in self.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
            if !from.is_empty() && key[scope.len()..] <= *from {
                continue;
            }
            if count == self.page {
                is_truncated = true;
                break;
            }
            last = &key[scope.len()..];
            let folder = key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
            if let Some(end) = folder {
                let folder = key[scope.len()..prefix.len() + end + delimiter.len()].to_owned();
                if !prefixes.contains(&folder) {
                    prefixes.push(folder);
                }
                continue;
            }
            count += 1;
            body += &format!(
                "<Contents><Key>{}</Key><Size>{}</Size></Contents>",
                encoded(&key[scope.len()..]),
                object.content.length()
            );
        }
        for folder in prefixes {
            body += &format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encoded(&folder));
        }
        if is_truncated {
            body += &format!("<NextContinuationToken>{}</NextContinuationToken>", super::xml::escaped(last));
        }
        document(format!("{body}<IsTruncated>{is_truncated}</IsTruncated></ListBucketResult>"))
    }

    /// An answer that the bucket is elsewhere.
    pub(super) fn elsewhere(status: u16, region: &str) -> Response {
        let mut response = refuse_with(status, "PermanentRedirect", &format!("<Endpoint>s3.{region}.example</Endpoint>"));
        response.headers_mut().insert("x-amz-bucket-region", region.parse().unwrap());
        response
    }
}

/// What an object keeps of the headers of the request that made it.
pub(super) fn kept_headers(request: &RequestParts) -> Vec<(String, String)> {
    let own = request.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-") || *name == "content-type");
    own.map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())).collect()
}
