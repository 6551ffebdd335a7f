//! A service that stands by: another one of the same database decides, and gets what this one is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use protocol::arm::ErrorResponse;
use service::http::{Front, is_forwarded, peer_of, sign};
use service::store::{LeaseSeen, ServiceLease, Store, Taken};
use service::vault::Vault;
use tokio::sync::watch;

use super::state_dir;
use crate::local_service::URL_FILE;
use crate::printer::Printer;
use crate::signals::Signals;

/// Time between two attempts to decide.
const TAKE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the service that decides may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is answered while the service that decides is gone.
const TAKES_OVER: &str = "the service that decides cannot be reached: another one takes over in a moment";

const JSON: &str = "application/json; charset=utf-8";

/// What belongs to a connection, and not to the request on it (RFC 9110, section 7.6.1).
const OF_CONNECTION: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
const OLD_OF_CONNECTION: [&str; 3] = ["keep-alive", "proxy-authorization", "proxy-connection"];

/// Where a service is, and what it is called in the lease.
pub(super) struct Candidate<'serve> {
    pub(super) holder: String,
    /// Where other services reach it.
    pub(super) replica_url: String,
    /// Where clients on this machine reach it.
    pub(super) url: &'serve str,
    pub(super) state_dir: &'serve Path,
}

/// Waits until this service decides, and sends on what it is asked meanwhile; `None` where a signal came before that.
pub(super) async fn until_ours(
    store: &Store,
    candidate: &Candidate<'_>,
    front: &Front,
    printer: &Printer,
) -> Result<Option<ServiceLease>, String> {
    let mut signals = Signals::take();
    let (mut other, mut seen): (Option<watch::Sender<String>>, _) = (None, LeaseSeen::default());
    loop {
        match ServiceLease::take(store, &candidate.holder, &candidate.replica_url, &mut seen).await {
            Ok(Taken::Ours(lease)) => return Ok(Some(lease)),
            Ok(Taken::Theirs { url }) => match &other {
                Some(other) => {
                    other.send_if_modified(|before| std::mem::replace(before, url.clone()) != url);
                }
                None => {
                    let place = if url.is_empty() { "another service" } else { &url };
                    printer.inform(&format!("standing by on {}: {place} decides, and gets what is asked here", candidate.url));
                    let (sender, receiver) = watch::channel(url);
                    front.switch(forwarding(store.vault().clone(), receiver)?);
                    state_dir::write_url(candidate.state_dir, candidate.url)?;
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
                    other = Some(sender);
                }
            },
            Err(error) if other.is_none() => return Err(format!("the database cannot be used: {error}")),
            Err(error) => tracing::warn!(%error, "the database does not answer: trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(TAKE_INTERVAL) => {}
            _ = signals.first() => {
                let _ = std::fs::remove_file(candidate.state_dir.join(URL_FILE));
                return Ok(None);
            }
        }
    }
}

/// Answers while it is not known yet which service decides.
pub(super) fn starting() -> Router {
    Router::new().fallback(async || unavailable("the service is starting"))
}

#[derive(Clone)]
struct Forwarding {
    client: reqwest::Client,
    vault: Arc<Vault>,
    other: watch::Receiver<String>,
}

fn forwarding(vault: Arc<Vault>, other: watch::Receiver<String>) -> Result<Router, String> {
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT);
    let client = client.build().map_err(|error| format!("requests cannot be sent on: {error}"))?;
    let alive = || async { ([(CONTENT_TYPE, JSON)], r#"{"status":"alive"}"#) };
    // As at the service that decides: a supervisor must not end the one that is about to take over.
    let router = Router::new().route("/livez", axum::routing::get(alive)).route("/healthz", axum::routing::get(alive));
    let router = router.fallback(forward);
    Ok(router.with_state(Forwarding { client, vault, other }))
}

async fn forward(State(mut forwarding): State<Forwarding>, request: Request) -> Response {
    let other = forwarding.other.borrow_and_update().clone();
    // One that stands by as well has sent it on: none decides just now.
    if is_forwarded(request.headers()) || other.is_empty() {
        return unavailable("no service decides now, or it does not say in `replica_url` where it is reached");
    }
    let peer = peer_of(&request);
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = without_connection(parts.headers);
    sign(&mut headers, &forwarding.vault, peer);
    let sent = forwarding.client.request(parts.method, format!("{}{path}", other.trim_end_matches('/'))).headers(headers);
    let sent = sent.body(reqwest::Body::wrap_stream(body.into_data_stream())).send();
    // Where another service decides meanwhile, the one that was asked may never answer.
    let sent = tokio::select! {
        sent = sent => sent,
        _ = forwarding.other.changed() => return unavailable(TAKES_OVER),
    };
    match sent {
        Ok(answer) => {
            let (status, headers) = (answer.status(), without_connection(answer.headers().clone()));
            let pieces = answer.bytes_stream().take_until(async move { forwarding.other.changed().await });
            (status, headers, Body::from_stream(pieces)).into_response()
        }
        Err(error) => {
            tracing::debug!(error = %error.without_url(), other, "a request could not be sent on");
            unavailable(TAKES_OVER)
        }
    }
}

fn without_connection(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    for name in OLD_OF_CONNECTION {
        headers.remove(name);
    }
    headers
}

fn unavailable(why: &str) -> Response {
    let body = serde_json::to_string(&ErrorResponse::new("ServiceUnavailable", why, None)).unwrap_or_default();
    let headers = [(CONTENT_TYPE, JSON), (RETRY_AFTER, "2")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}
