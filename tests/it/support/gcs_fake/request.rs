//! Requests, as the fake reads them.

use std::collections::HashMap;

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;

use super::BUCKET;
use super::answers::refuse;
use super::identity::Identity;
use crate::support::spoiled::parameters;

/// Which requests a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum On {
    /// An object below a `NAME.part/`.
    PutChunk,
    /// The one there that shows whether checksums are looked at.
    Probe,
    Put,
    /// A composition whose result lies below a `NAME.part/`.
    ComposePiece,
    Compose,
    Get,
    Head,
    Delete,
    List,
    ListBuckets,
    CreateBucket,
}

/// A request that came whole, from somebody who is known.
pub(super) struct RequestParts {
    /// What names of its bucket begin with in the store.
    pub(super) scope: String,
    pub(super) name: String,
    pub(super) parameters: HashMap<String, String>,
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
}

impl RequestParts {
    pub(super) async fn take(request: Request, identity: &Identity, wants_token: bool) -> Result<(On, Self), Response> {
        let (head, body) = request.into_parts();
        let parameters = parameters(&head.uri);
        let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
        let (bucket, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let scope = scope_of(bucket);
        let parts = RequestParts { name: format!("{scope}{name}"), scope, parameters, body: Bytes::new(), headers: head.headers };
        let token = parts.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
        match (wants_token, token) {
            (true, Some(token)) if identity.accepts(token) => {}
            (true, _) => return Err(refuse(401, "AuthenticationRequired")),
            (false, None) => {}
            (false, Some(_)) => return Err(refuse(400, "NobodyAskedForAToken")),
        }
        let is_composition = parts.parameters.contains_key("compose");
        let is_beside = name.contains(".part/");
        let on = match (&head.method, bucket.is_empty(), name.is_empty()) {
            (&Method::GET, true, _) => On::ListBuckets,
            (&Method::PUT, false, true) => On::CreateBucket,
            (&Method::GET, false, true) => On::List,
            (&Method::PUT, false, false) if is_composition => {
                if is_beside {
                    On::ComposePiece
                } else {
                    On::Compose
                }
            }
            (&Method::PUT, false, false) if name.ends_with("/probe") => On::Probe,
            (&Method::PUT, false, false) => {
                if is_beside {
                    On::PutChunk
                } else {
                    On::Put
                }
            }
            (&Method::GET, false, false) => On::Get,
            (&Method::HEAD, false, false) => On::Head,
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

    /// First byte and the one behind the last, of a request for a range.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        let (start, end) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, end.parse::<u64>().ok()?.saturating_add(1)))
    }
}

/// What the names of a bucket begin with in the store.
pub(super) fn scope_of(bucket: &str) -> String {
    if bucket.is_empty() || bucket == BUCKET { String::new() } else { format!("@{bucket}/") }
}
