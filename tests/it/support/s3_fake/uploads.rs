//! The requests about multipart uploads.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::request::{RequestParts, scope_of};
use super::stated::Stated;
use super::store::{Object, Store, kept_headers};
use super::xml::{answer, between, document, encoded, escaped, refuse, unescaped};
use crate::support::content::Content;

/// Status and code of a refusal.
type Refusal = (u16, &'static str);

/// An upload that was begun.
pub(super) struct OpenUpload {
    pub(super) key: String,
    headers: Vec<(String, String)>,
    has_digests: bool,
    pub(super) parts: BTreeMap<u32, Part>,
}

/// A part of one.
#[derive(Clone)]
pub(super) struct Part {
    etag: String,
    pub(super) content: Content,
}

impl Store {
    pub(super) fn create_upload(&mut self, request: &RequestParts) -> Response {
        let id = format!("upload-{}", self.number());
        let has_digests = request.header("x-amz-checksum-algorithm") == Some("SHA256");
        let (key, headers) = (request.key.clone(), kept_headers(request));
        self.uploads.insert(id.clone(), OpenUpload { key, headers, has_digests, parts: BTreeMap::new() });
        document(format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
    }

    /// An upload of another program, with one part.
    pub(super) fn add_foreign(&mut self, id: &str, key: &str) {
        let part = Part { etag: self.new_etag(), content: Content::of("of another program".into()) };
        let upload =
            OpenUpload { key: key.to_owned(), headers: Vec::new(), has_digests: false, parts: BTreeMap::from([(1, part)]) };
        self.uploads.insert(id.to_owned(), upload);
    }

    fn upload(&mut self, request: &RequestParts) -> Result<&mut OpenUpload, Refusal> {
        let found = self.uploads.get_mut(request.parameter("uploadId")).filter(|upload| upload.key == request.key);
        found.ok_or((404, "NoSuchUpload"))
    }

    fn add_part(&mut self, request: &RequestParts, content: Content) -> Result<String, Refusal> {
        let etag = self.new_etag();
        let number: u32 = request.parameter("partNumber").parse().unwrap_or(0);
        if !(1..=10_000).contains(&number) {
            return Err((400, "InvalidArgument"));
        }
        self.upload(request)?.parts.insert(number, Part { etag: etag.clone(), content });
        Ok(etag)
    }

    pub(super) fn put_part(&mut self, request: &RequestParts) -> Response {
        if let Some(refusal) = request.check_body().filter(|_| self.checks) {
            return refusal;
        }
        match self.add_part(request, Content::of(request.body.clone())) {
            Ok(etag) => answer(200, &[("etag", &etag)], Body::empty()),
            Err((status, code)) => refuse(status, code),
        }
    }

    pub(super) fn copy_part(&mut self, request: &RequestParts) -> Response {
        let source = request.header("x-amz-copy-source").unwrap_or_default();
        let source = percent_encoding::percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let key = source.split_once('/').map_or(String::new(), |(bucket, key)| format!("{}{key}", scope_of(bucket)));
        let Some(object) = self.objects.get(&key) else { return refuse(404, "NoSuchKey") };
        if request.header("x-amz-copy-source-if-match").is_some_and(|wanted| wanted != object.etag) {
            return refuse(412, "PreconditionFailed");
        }
        let length = object.content.length();
        let content = match request.range("x-amz-copy-source-range") {
            Some((start, end)) if start < end && end <= length => object.content.range(start, end),
            Some(_) => return refuse(400, "InvalidArgument"),
            None => object.content.clone(),
        };
        if content.length() > 5 << 30 {
            return refuse(400, "InvalidRequest");
        }
        match self.add_part(request, content) {
            Ok(etag) => document(format!("<CopyPartResult><ETag>{}</ETag></CopyPartResult>", escaped(&etag))),
            Err((status, code)) => refuse(status, code),
        }
    }

    pub(super) fn list_parts(&mut self, request: &RequestParts) -> Response {
        let (page, tells_digests) = (self.page, self.tells_digests);
        let upload = match self.upload(request) {
            Ok(upload) => upload,
            Err((status, code)) => return refuse(status, code),
        };
        let after: u32 = request.parameter("part-number-marker").parse().unwrap_or(0);
        let most: usize = request.parameter("max-parts").parse().unwrap_or(page);
        let mut listed = upload.parts.range(after + 1..);
        let mut body = "<ListPartsResult>".to_owned();
        for (number, part) in listed.by_ref().take(most.min(page)) {
            let (etag, size) = (escaped(&part.etag), part.content.length());
            body += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{size}</Size>");
            if tells_digests && upload.has_digests {
                body += &format!("<ChecksumSHA256>{}</ChecksumSHA256>", STANDARD.encode(part.content.sha256()));
            }
            body += "</Part>";
        }
        let is_truncated = listed.next().is_some();
        document(format!("{body}<IsTruncated>{is_truncated}</IsTruncated></ListPartsResult>"))
    }

    pub(super) fn complete_upload(&mut self, request: &RequestParts) -> Response {
        let (least, checks) = (self.part_bytes_min, self.checks);
        let parts = match self.upload(request) {
            Ok(upload) => listed_parts(upload, &String::from_utf8_lossy(&request.body), least, checks),
            Err((status, code)) => return refuse(status, code),
        };
        let parts = match parts {
            Ok(parts) => parts,
            Err(code) => return refuse(400, code),
        };
        self.parts_max = self.parts_max.max(parts.len());
        if let Some(refusal) = self.refuse_condition(request) {
            return refusal;
        }
        let etag = self.new_etag();
        let Some(upload) = self.uploads.remove(request.parameter("uploadId")) else { return refuse(404, "NoSuchUpload") };
        let stated = Stated::of_parts(&parts, upload.has_digests);
        let object = Object { content: Content::row(parts), etag: etag.clone(), headers: upload.headers, stated };
        self.objects.insert(upload.key, object);
        document(format!("<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>", escaped(&etag)))
    }

    pub(super) fn abort_upload(&mut self, request: &RequestParts) -> Response {
        match self.upload(request).map(drop) {
            Ok(()) => {
                self.uploads.remove(request.parameter("uploadId"));
                answer(204, &[], Body::empty())
            }
            Err((status, code)) => refuse(status, code),
        }
    }

    pub(super) fn list_uploads(&self, request: &RequestParts) -> Response {
        let prefix = request.parameter("prefix");
        let from = (request.parameter("key-marker"), request.parameter("upload-id-marker"));
        let of_bucket =
            |(id, upload): (&'_ String, &'_ OpenUpload)| Some((upload.key.strip_prefix(&*request.scope)?.to_owned(), id.clone()));
        let all: Vec<(String, String)> = self.uploads.iter().filter_map(of_bucket).collect();
        let mut all: Vec<(&str, &str)> = all.iter().map(|(key, id)| (&**key, &**id)).collect();
        all.retain(|(key, _)| key.starts_with(prefix) && (!request.scope.is_empty() || !key.starts_with('@')));
        all.sort_unstable();
        let mut left = all.into_iter().filter(|one| *one > from);
        let mut body = "<ListMultipartUploadsResult><EncodingType>url</EncodingType>".to_owned();
        let mut last = from;
        for (key, id) in left.by_ref().take(self.page) {
            body += &format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", encoded(key));
            last = (key, id);
        }
        let is_truncated = left.next().is_some();
        if is_truncated {
            let (key, id) = (encoded(last.0), last.1);
            body += &format!("<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>");
        }
        document(format!("{body}<IsTruncated>{is_truncated}</IsTruncated></ListMultipartUploadsResult>"))
    }
}

/// The parts that a commit names, or the code of what is wrong with it.
fn listed_parts(upload: &OpenUpload, list: &str, least: u64, checks: bool) -> Result<Vec<Content>, &'static str> {
    let (mut parts, mut last) = (Vec::new(), 0);
    for entry in list.split("<Part>").skip(1) {
        let number: u32 = between(entry, "PartNumber").and_then(|text| text.parse().ok()).ok_or("MalformedXML")?;
        if number <= last {
            return Err("InvalidPartOrder");
        }
        last = number;
        let part = upload.parts.get(&number).ok_or("InvalidPart")?;
        if between(entry, "ETag").map(unescaped).is_none_or(|etag| etag.trim_matches('"') != part.etag.trim_matches('"')) {
            return Err("InvalidPart");
        }
        match between(entry, "ChecksumSHA256") {
            None if upload.has_digests && checks => return Err("InvalidRequest"),
            Some(stated) if checks && stated != STANDARD.encode(part.content.sha256()) => return Err("BadDigest"),
            _ => parts.push(part.content.clone()),
        }
    }
    let is_small = parts.iter().rev().skip(1).any(|part| part.length() < least);
    match parts.is_empty() {
        true => Err("MalformedXML"),
        false if is_small => Err("EntityTooSmall"),
        false => Ok(parts),
    }
}
