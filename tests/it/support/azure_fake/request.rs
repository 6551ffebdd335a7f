//! Requests, as the fake reads them.

use std::collections::HashMap;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use bytes::Bytes;

use super::CONTAINER;
use super::xml::refuse;

/// Which requests a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    PutBlock,
    PutBlockList,
    GetBlockList,
    /// Put Blob: makes a page blob, or a small block blob.
    PutBlob,
    /// Put Page, to write or to clear.
    PutPage,
    GetPageRanges,
    SetMetadata,
    /// Set Blob Properties: here, the sequence number of a page blob.
    SetProperties,
    Get,
    Head,
    Delete,
    ListBlobs,
    ListContainers,
}

/// A request that came whole, of the right account and with the right signature.
pub(super) struct RequestParts {
    pub(super) name: String,
    pub(super) parameters: HashMap<String, String>,
    pub(super) body: Bytes,
    headers: HeaderMap,
    /// First byte and the one behind the last, of a request for a range.
    range: Option<(u64, Option<u64>)>,
}

impl RequestParts {
    pub(super) async fn take(request: Request) -> Result<(On, Self), Response> {
        let (head, body) = request.into_parts();
        let parameters = parameters(&head.uri);
        let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (account, container, name) =
            (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or("").to_owned());
        let body = axum::body::to_bytes(body, usize::MAX).await;
        if account != "account" {
            return Err(refuse(404, "ResourceNotFound"));
        }
        if parameters.get("sig").map(String::as_str) != Some("good") {
            return Err(refuse(403, "AuthenticationFailed"));
        }
        let (command, kind) = (parameters.get("comp").map(String::as_str), parameters.get("restype").map(String::as_str));
        if container != CONTAINER && !(container.is_empty() && command == Some("list")) {
            return Err(refuse(404, "ContainerNotFound"));
        }
        if head.method == Method::PUT && kind == Some("container") {
            return Err(refuse(409, "ContainerAlreadyExists"));
        }
        let on = match (&head.method, command) {
            (&Method::PUT, Some("block")) => On::PutBlock,
            (&Method::PUT, Some("blocklist")) => On::PutBlockList,
            (&Method::GET, Some("blocklist")) => On::GetBlockList,
            (&Method::PUT, None) => On::PutBlob,
            (&Method::PUT, Some("page")) => On::PutPage,
            (&Method::GET, Some("pagelist")) => On::GetPageRanges,
            (&Method::PUT, Some("metadata")) => On::SetMetadata,
            (&Method::PUT, Some("properties")) => On::SetProperties,
            (&Method::DELETE, None) => On::Delete,
            (&Method::HEAD, None) => On::Head,
            (&Method::GET, None) => On::Get,
            (&Method::GET, Some("list")) if kind == Some("container") => On::ListBlobs,
            (&Method::GET, Some("list")) => On::ListContainers,
            _ => return Err(refuse(400, "UnsupportedQueryParameter")),
        };
        // A client that went away in the middle of a body has sent nothing.
        let body = body.map_err(|_| refuse(400, "IncompleteBody"))?;
        let range = ["x-ms-range", "range"].iter().find_map(|name| parse_range(head.headers.get(*name)?.to_str().ok()?));
        Ok((on, RequestParts { name, parameters, body, headers: head.headers, range }))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn range(&self) -> Option<(u64, Option<u64>)> {
        self.range
    }

    /// What the request says of the blob.
    pub(super) fn metadata(&self) -> HashMap<String, String> {
        let own = self.headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("x-ms-meta-")?, value)));
        own.map(|(name, value)| (name.to_owned(), value.to_str().unwrap().to_owned())).collect()
    }

    /// Makes it a request for as many bytes elsewhere.
    pub(super) fn move_range(&mut self) {
        self.range = self.range.map(|(start, end)| match (start, end) {
            (0, Some(end)) => (end, Some(2 * end)),
            (start, Some(end)) => (start - (end - start).min(start), Some(start)),
            (start, None) => (start + 1, None),
        });
    }

    /// Drops the last block of a list, and the checksum with it.
    pub(super) fn lose_last_block(&mut self) {
        let list = String::from_utf8_lossy(&self.body).into_owned();
        let kept = list.rfind("<Latest>").unwrap_or(list.len());
        self.body = Bytes::from(list[..kept].to_owned());
        for name in ["x-ms-content-crc64", "content-md5"] {
            self.headers.remove(name);
        }
    }

    pub(super) fn forget_range(&mut self) {
        self.range = None;
    }
}

fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().ok()?, end.parse::<u64>().ok().map(|end| end + 1)))
}

fn parameters(uri: &Uri) -> HashMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').map_or((decode(pair), String::new()), |(name, value)| (decode(name), decode(value))))
        .collect()
}
