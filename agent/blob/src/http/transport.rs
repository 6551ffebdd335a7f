//! What carries requests to a store: HTTP/1.1 in the clear or over TLS, through a proxy where one leads there. No redirect,
//! no decompression and no retry; a request ends when nothing moves on its connection for too long, however long it takes
//! otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Method, Request};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::PROXY_AUTHORIZATION;
use hyper::http;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::answers::is_from_store;
use super::certificates::TransportError;
use super::connect_failure::{ConnectFailure, ProxyProblem};
use super::connection::{Connector, authority_of, port_of};
use super::network::Network;
use super::noted_stream::Activity;
use super::proxy::{Proxies, Proxy};

/// How long nothing may move on a connection where nothing else was chosen.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Connections that are kept for the next requests.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// How long one is kept: servers close theirs after a minute or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Nothing moved on a connection, in either direction, for this many seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing was heard of the server for {0} s")]
pub struct Silence(pub u64);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Sends requests over connections that it keeps.
#[derive(Debug)]
pub(super) struct HyperTransport {
    client: Client<HttpsConnector<Connector>, RequestBody>,
    silence_max: Duration,
    proxies: Arc<Proxies>,
}

impl HyperTransport {
    pub(super) fn new(network: &Network) -> Result<Self, TransportError> {
        let proxies = Arc::new(network.proxies.clone());
        let connector = HttpsConnector::from((Connector::new(proxies.clone()), network.issuers.client_config()?));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(HyperTransport { client, silence_max: network.silence_max, proxies })
    }

    /// The proxy that a request goes through.
    fn proxy_of(&self, request: &http::Request<RequestBody>) -> azure_core::Result<Option<(&Proxy, bool)>> {
        let (uri, is_https) = (request.uri(), request.uri().scheme_str() == Some("https"));
        let found = self.proxies.proxy_to(is_https, uri.host().unwrap_or_default(), port_of(uri));
        Ok(found.map_err(|error| connect_failed(error.into()))?.map(|proxy| (proxy, is_https)))
    }
}

#[async_trait]
impl HttpClient for HyperTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = to_http(request)?;
        let (host, target) = (request.uri().host().unwrap_or_default().to_owned(), authority_of(request.uri()));
        let proxy = self.proxy_of(&request)?;
        let of_proxy =
            |proxy: &Proxy, problem| ConnectFailure::Proxy { proxy: proxy.to_string(), target: target.clone(), problem };
        if let Some((Proxy { authorization: Some(authorization), .. }, false)) = proxy {
            // A proxy that sees the request; what goes through a tunnel is not shown to it.
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let connection = capture_connection(&mut request);
        let sent = unless_silent(&connection, self.silence_max, self.client.request(request)).await;
        let sent = sent.map_err(|silence| match proxy {
            // There is no connection yet: what is waited for is the proxy.
            Some((proxy, _)) if last_activity(&connection).is_none() => {
                connect_failed(of_proxy(proxy, ProxyProblem::Silent(silence.0)))
            }
            _ => silent(silence),
        })?;
        let response = sent.map_err(|error| match ConnectFailure::of(&error, &host) {
            Some(failure) => connect_failed(failure),
            None => {
                let kind = if error.is_connect() { ErrorKind::Connection } else { ErrorKind::Io };
                azure_core::Error::with_error(kind, error, "the request was not answered")
            }
        })?;
        let (parts, body) = response.into_parts();
        if let Some((proxy, false)) = proxy
            && is_of_proxy(&parts)
        {
            let (status, had_password) = (parts.status.as_u16(), proxy.authorization.is_some());
            return Err(connect_failed(of_proxy(proxy, ProxyProblem::Answered { status, had_password })));
        }
        let headers = headers_of(&parts.headers);
        Ok(AsyncRawResponse::new(parts.status.as_u16().into(), headers, pieces(body, self.silence_max)))
    }
}

/// The headers of an answer. One that comes more than once is a list (RFC 9110, 5.2): Google gives each of its checksums a
/// line.
fn headers_of(found: &http::HeaderMap) -> Headers {
    let mut all: HashMap<HeaderName, HeaderValue> = HashMap::new();
    for name in found.keys() {
        let values: Vec<&str> = found.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if !values.is_empty() {
            all.insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(values.join(", ")));
        }
    }
    Headers::from(all)
}

/// The pieces of an answer. What is waited for is the next of them, and not the reader.
fn pieces(body: Incoming, silence_max: Duration) -> azure_core::http::response::PinnedStream {
    let pieces = futures::stream::try_unfold(body, move |mut body| async move {
        loop {
            let frame = tokio::time::timeout(silence_max, body.frame()).await;
            let frame = frame.map_err(|_| silent(Silence(silence_max.as_secs())))?;
            let Some(frame) = frame else { return Ok(None) };
            let broken = |error| azure_core::Error::with_error(ErrorKind::Io, error, "the answer broke off");
            // What is no data are headers at the end.
            if let Ok(piece) = frame.map_err(broken)?.into_data() {
                return Ok(Some((piece, body)));
            }
        }
    });
    pieces.boxed()
}

/// Whether an answer that came through a proxy is the proxy's own: a failure without what every answer of a store has.
fn is_of_proxy(parts: &http::response::Parts) -> bool {
    !is_from_store(|name| parts.headers.contains_key(name)) && matches!(parts.status.as_u16(), 401 | 403 | 407 | 502..=504)
}

fn connect_failed(failure: ConnectFailure) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Other, failure)
}

fn silent(silence: Silence) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Other, silence)
}

/// Does the work unless its connection moves nothing for `silence_max`.
async fn unless_silent<T>(
    connection: &CaptureConnection,
    silence_max: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Silence> {
    let begun = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        let last = last_activity(connection).map_or(begun, |last| last.max(begun));
        let end = last + silence_max;
        if Instant::now() >= end {
            return Err(Silence(silence_max.as_secs()));
        }
        tokio::select! {
            done = &mut work => return Ok(done),
            () = sleep_until(end) => {}
        }
    }
}

/// When the connection of a request last moved a byte; `None` before there is one.
fn last_activity(connection: &CaptureConnection) -> Option<Instant> {
    let mut extras = http::Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extras);
    Some(extras.get::<Activity>()?.last())
}

fn to_http(request: &Request) -> azure_core::Result<http::Request<RequestBody>> {
    let method = match request.method() {
        Method::Delete => http::Method::DELETE,
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Patch => http::Method::PATCH,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        other => {
            let message = format!("requests of the kind {other} are not sent");
            return Err(azure_core::Error::with_message(ErrorKind::Other, message));
        }
    };
    let mut built = http::Request::builder().method(method).uri(request.url().as_str());
    for (name, value) in request.headers().iter() {
        built = built.header(name.as_str(), value.as_str());
    }
    let body: RequestBody = match request.body().clone() {
        Body::Bytes(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
        Body::SeekableStream(stream) => {
            let pieces = stream.map_err(BoxError::from).map_ok(Frame::data);
            StreamBody::new(pieces).boxed_unsync()
        }
    };
    // The URL may have a signature: only the kind of mistake is shown.
    built.body(body).map_err(|_| azure_core::Error::with_message(ErrorKind::Other, "the request cannot be written"))
}

/// The transport of an account.
pub(crate) fn transport(network: &Network) -> Result<Arc<dyn HttpClient>, TransportError> {
    Ok(Arc::new(HyperTransport::new(network)?))
}
