//! A server that takes uploads as Azure's blob service and S3 do, and throws the bodies away: what is left is the client.
//! It remembers sizes alone, so that clients that look afterwards are content. It checks no signature, and listens on
//! loopback only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use futures::StreamExt;
use service::http::server;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::BenchError;
use super::s3_sink::S3Sink;
use crate::cli::BenchTlsArguments;
use crate::printer::Printer;

/// The account of emulators.
pub(super) const ACCOUNT: &str = "devstoreaccount1";

/// What is remembered of a blob: sizes of blocks by their ids, and of the whole when it is committed.
#[derive(Default)]
struct Sizes {
    blocks: HashMap<String, u64>,
    committed: Option<u64>,
    /// What the blob says about itself: clients look whether it is theirs.
    metadata: Vec<(HeaderName, HeaderValue)>,
}

/// Longest list of blocks that is taken, in bytes: 50,000 of a hundred characters.
const LIST_BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
struct Sink {
    s3: S3Sink,
    blobs: Mutex<HashMap<String, Sizes>>,
}

/// Serves until the process is ended, and prints its address first.
pub(super) async fn run(listen: SocketAddr, tls: &BenchTlsArguments, printer: &Printer) -> Result<(), BenchError> {
    if !listen.ip().is_loopback() {
        return Err(BenchError::Usage(format!("`{listen}` is not a loopback address: what is thrown away comes from here")));
    }
    let failed = |error: std::io::Error| BenchError::Failed(format!("`{listen}` cannot be listened on: {error}"));
    let tls = tls.tls_certificate.as_deref().zip(tls.tls_key.as_deref());
    let tls = tls.map(|(certificate, key)| server::tls(certificate, key)).transpose();
    let tls = tls.map_err(|error| BenchError::Usage(error.to_string()))?;
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let url = format!("{}://{address}/{ACCOUNT}", if tls.is_some() { "https" } else { "http" });
    printer.line(&serde_json::json!({ "url": url }), || format!("{url}\n"));
    let router = Router::new().fallback(answer).with_state(Arc::new(Sink::default()));
    match tls {
        None => axum::serve(listener, router).await,
        Some(tls) => axum::serve(TlsListener { listener, tls }, router).await,
    }
    .map_err(failed)
}

/// Connections after their handshakes, which are made one after another.
struct TlsListener {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // A client that does not trust the certificate goes away.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn answer(State(sink): State<Arc<Sink>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path().trim_start_matches('/').split('/').next() != Some(ACCOUNT) {
        let bytes = discard(body).await;
        return sink.s3.answer(&parts, bytes);
    }
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let path = parts.uri.path().to_owned();
    let is_blob = path.trim_matches('/').split('/').count() > 2;
    let comp = query.get("comp").map(String::as_str);
    if (&parts.method, comp) == (&Method::PUT, Some("blocklist")) {
        let Ok(list) = axum::body::to_bytes(body, LIST_BYTES_MAX).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let metadata = parts.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        sink.with(&path, |sizes| sizes.commit(&String::from_utf8_lossy(&list), metadata));
        return with_common_headers(StatusCode::CREATED.into_response());
    }
    let bytes = discard(body).await;
    let answer = match (parts.method, comp, is_blob) {
        (Method::PUT, Some("block"), true) => {
            let id = query.get("blockid").cloned().unwrap_or_default();
            sink.with(&path, |sizes| sizes.blocks.insert(id, bytes));
            StatusCode::CREATED.into_response()
        }
        (Method::PUT, None, true) => {
            sink.with(&path, |sizes| sizes.committed = Some(bytes));
            StatusCode::CREATED.into_response()
        }
        (Method::PUT, _, _) => StatusCode::CREATED.into_response(),
        (Method::GET, Some("blocklist"), true) => {
            let list =
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><CommittedBlocks /><UncommittedBlocks /></BlockList>";
            ([("content-type", "application/xml")], list).into_response()
        }
        (Method::HEAD | Method::GET, None, true) => match sink.with(&path, |sizes| (sizes.committed, sizes.metadata.clone())) {
            (Some(size), metadata) => {
                let own = [("content-length", size.to_string()), ("x-ms-blob-type", "BlockBlob".to_owned())];
                let mut response = own.into_response();
                response.headers_mut().extend(metadata);
                response
            }
            (None, _) => (StatusCode::NOT_FOUND, [("x-ms-error-code", "BlobNotFound")]).into_response(),
        },
        _ => StatusCode::OK.into_response(),
    };
    with_common_headers(answer)
}

impl Sizes {
    /// The blob is what the list says, of blocks that came.
    fn commit(&mut self, list: &str, headers: impl Iterator<Item = (HeaderName, HeaderValue)>) {
        let ids = list.split("<Latest>").skip(1).filter_map(|rest| rest.split_once("</Latest>"));
        self.committed = Some(ids.filter_map(|(id, _)| self.blocks.get(id)).sum());
        self.metadata = headers.filter(|(name, _)| name.as_str().starts_with("x-ms-meta-")).collect();
        self.blocks.clear();
    }
}

/// Takes a body, and gives its size.
async fn discard(body: Body) -> u64 {
    let mut stream = body.into_data_stream();
    let mut bytes = 0;
    while let Some(Ok(piece)) = stream.next().await {
        bytes += piece.len() as u64;
    }
    bytes
}

fn with_common_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-ms-request-id", "00000000-0000-0000-0000-000000000000"),
        ("x-ms-version", "2022-11-02"),
        ("x-ms-request-server-encrypted", "true"),
        ("etag", "\"0x1\""),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("x-ms-creation-time", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Sink {
    fn with<T>(&self, path: &str, work: impl FnOnce(&mut Sizes) -> T) -> T {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        work(blobs.entry(path.to_owned()).or_default())
    }
}
