//! The other half of the sink: a server that takes uploads as S3 does, and throws the bodies away. Sizes of parts and objects
//! are what it remembers; it checks no signature and no checksum.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

/// An upload or an object.
#[derive(Default)]
struct Sizes {
    /// Of parts, by their numbers, in bytes.
    parts: BTreeMap<u32, u64>,
    /// Of the whole, where it is complete, in bytes.
    committed: Option<u64>,
    /// What it says about itself: clients look whether it is theirs.
    metadata: Vec<(HeaderName, HeaderValue)>,
}

/// Every ETag: nothing depends on which one it is.
const ETAG: &str = "\"00000000000000000000000000000001\"";

#[derive(Default)]
pub(super) struct S3Sink {
    objects: Mutex<HashMap<String, Sizes>>,
}

impl S3Sink {
    fn objects(&self) -> MutexGuard<'_, HashMap<String, Sizes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request whose body had so many bytes.
    pub(super) fn answer(&self, parts: &Parts, bytes: u64) -> Response {
        let mut response = self.answer_to(parts, bytes);
        for (name, value) in [("x-amz-request-id", "0000000000000000"), ("etag", ETAG)] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn answer_to(&self, parts: &Parts, bytes: u64) -> Response {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let key = parts.uri.path().to_owned();
        let is_object = key.trim_matches('/').contains('/');
        let has = |name: &str| query.contains_key(name);
        match &parts.method {
            &Method::POST if has("uploads") => {
                let own = Sizes { metadata: metadata(&parts.headers), ..Sizes::default() };
                self.objects().insert(key, own);
                xml("<R><UploadId>upload</UploadId></R>".to_owned())
            }
            &Method::POST => {
                if let Some(object) = self.objects().get_mut(&key) {
                    object.committed = Some(object.parts.values().sum());
                }
                xml(format!("<R><ETag>{ETAG}</ETag></R>"))
            }
            &Method::PUT if has("partNumber") => {
                let number = query.get("partNumber").and_then(|text| text.parse().ok()).unwrap_or(0);
                let source = parts.headers.get("x-amz-copy-source").and_then(|source| source.to_str().ok());
                let mut objects = self.objects();
                let copied = source.map(|source| objects.get(source).and_then(|object| object.committed).unwrap_or(0));
                objects.entry(key).or_default().parts.insert(number, copied.unwrap_or(bytes));
                match source {
                    Some(_) => xml(format!("<R><ETag>{ETAG}</ETag></R>")),
                    None => StatusCode::OK.into_response(),
                }
            }
            &Method::PUT if is_object => {
                let own = Sizes { committed: Some(bytes), metadata: metadata(&parts.headers), ..Sizes::default() };
                self.objects().insert(key, own);
                StatusCode::OK.into_response()
            }
            &Method::GET if has("uploadId") => self.list_parts(&key, &query),
            &Method::GET if !is_object => xml("<R><IsTruncated>false</IsTruncated></R>".to_owned()),
            &Method::GET | &Method::HEAD => self.describe(&key),
            &Method::DELETE => StatusCode::NO_CONTENT.into_response(),
            _ => StatusCode::OK.into_response(),
        }
    }

    fn list_parts(&self, key: &str, query: &HashMap<String, String>) -> Response {
        let number = |name: &str, default| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (after, most) = (number("part-number-marker", 0_u32), number("max-parts", 1000_u32) as usize);
        let objects = self.objects();
        let mut left = objects.get(key).into_iter().flat_map(|object| object.parts.range(after + 1..));
        let part = |(number, bytes): (&u32, &u64)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{ETAG}</ETag><Size>{bytes}</Size></Part>")
        };
        let listed: String = left.by_ref().take(most).map(part).collect();
        xml(format!("<R>{listed}<IsTruncated>{}</IsTruncated></R>", left.next().is_some()))
    }

    fn describe(&self, key: &str) -> Response {
        let objects = self.objects();
        match objects.get(key).and_then(|object| Some((object.committed?, &object.metadata))) {
            Some((size, metadata)) => {
                let mut response = [("content-length", size.to_string())].into_response();
                response.headers_mut().extend(metadata.iter().cloned());
                response
            }
            None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        }
    }
}

fn metadata(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn xml(body: String) -> Response {
    ([("content-type", "application/xml")], body).into_response()
}
