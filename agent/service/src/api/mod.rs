//! What the service answers over HTTP.
//!
//! | path | file | for |
//! |---|---|---|
//! | `/subscriptions/…`, `/providers/…` | `jobs`, `places` | customers: the REST API of Microsoft.ImportExport, and receipts and events of ours |
//! | `/operator/v1/…` | `operator` | staff |
//! | `/portal/…` | `crate::portal` | people |
//! | `/healthz`, `/readyz`, `/metrics`, `/openapi.json` | `health`, `openapi` | machines |
//!
//! The published API has one handler: who asks (`access`), what is asked for (`route`, which knows paths as the real
//! service does, in any case), which version of the API, may they, and then what to do. Every answer that is no success
//! has the body of `protocol::arm::ErrorResponse`.

mod access;
mod answer;
mod events;
mod health;
mod jobs;
mod openapi;
mod operator;
mod places;
mod response;
mod route;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::station::Station;
use crate::store::{Actor, Store};
pub(crate) use access::StreamPlace;
pub use access::{Access, Peer};
pub(crate) use access::{may_try, who_bears};
use answer::ApiError;
pub use operator::{Dock, NewToken, OneDrive, Retry};
pub use places::Location;
pub(crate) use response::{percent_of, response as job_response};
use route::{Route, parse};

/// Versions of the API that are understood.
pub const API_VERSIONS: [&str; 3] = ["2016-11-01", "2020-08-01", "2021-01-01"];

/// Longest body of a request: a job of ten drives with long lists is a tenth of it.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A storage account that this station can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachableAccount {
    /// Its name: the last segment of `storageAccountId`.
    pub name: String,
    /// The subscriptions whose jobs may use it; all, where it is empty.
    pub subscriptions: Vec<String>,
}

impl ReachableAccount {
    pub(crate) fn may_be_used(&self, name: &str, subscription: &str) -> bool {
        let is_open =
            self.subscriptions.is_empty() || self.subscriptions.iter().any(|own| own.eq_ignore_ascii_case(subscription));
        self.name.eq_ignore_ascii_case(name) && is_open
    }
}

/// What the API needs.
pub struct Api {
    /// The jobs.
    pub store: Store,
    /// The bays.
    pub station: Station,
    /// Who may ask, and how often.
    pub access: Arc<Access>,
    /// The datacenters.
    pub locations: Vec<Location>,
    /// The storage accounts.
    pub accounts: Vec<ReachableAccount>,
    /// Where links lead to, such as `https://jobs.example.com`; to where the request went, where `None`.
    pub public_url: Option<String>,
    /// `http` or `https`: what is spoken here.
    pub scheme: &'static str,
    /// Falls when the service stops: streams end then.
    pub closing: CancellationToken,
    /// What is counted.
    pub metrics: PrometheusHandle,
}

/// The API as a service of HTTP.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .nest("/operator/v1", operator::router())
        .merge(crate::portal::router())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .fallback(handle)
        .method_not_allowed_fallback(async || {
            ApiError::new(405, "MethodNotAllowed", "this path takes other methods: see `/openapi.json`".to_owned())
        })
        .layer(from_fn(count))
        .with_state(api)
}

async fn count(request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::counter!("drive_agent_http_requests_total", "method" => method, "status" => status).increment(1);
    metrics::histogram!("drive_agent_http_request_seconds", "method" => method).record(started.elapsed().as_secs_f64());
    response
}

/// A request that was understood.
struct Call {
    actor: Actor,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// `https://host`, for links.
    base: String,
    path: String,
    method: Method,
}

impl Call {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The body of a form; the error is one sentence.
pub(crate) async fn body_of(body: Body) -> Result<Vec<u8>, String> {
    bytes_of(body).await.map_err(|error| error.message)
}

async fn bytes_of(body: Body) -> Result<Vec<u8>, ApiError> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await {
        Err(_) => Err(ApiError::new(408, "RequestTimeout", "the body did not come in time".to_owned())),
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(_)) => Err(ApiError::new(413, "RequestTooLarge", format!("the body is longer than {BODY_BYTES_MAX} bytes"))),
    }
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let (call, body) = access::call_of(&api, request).await?;
    let route = parse(&call.method, &call.path)?;
    require_version(call.parameter("api-version"))?;
    if let Some(subscription) = route.subscription().filter(|subscription| !call.actor.may_use(subscription)) {
        let message = format!("`{}` may not use the subscription `{subscription}`", call.actor.name);
        return Err(ApiError::new(403, "AuthorizationFailed", message));
    }
    match route {
        Route::Operations => places::operations(),
        Route::Locations => places::list(&api),
        Route::Location(name) => places::get(&api, &name),
        Route::List { subscription, resource_group } => jobs::list(&api, &call, Some(subscription), resource_group).await,
        Route::GetJob(key) => jobs::get(&api, &key).await,
        Route::PutJob(key) => jobs::put(&api, &call, body, &key).await,
        Route::UpdateJob(key) => jobs::update(&api, &call, body, &key).await,
        Route::DeleteJob(key) => jobs::delete(&api, &call, &key).await,
        Route::ListKeys(key) => jobs::keys(&api, &call, &key).await,
        Route::Receipts(key) => jobs::receipts_of(&api, &key).await,
        Route::Events(key) => {
            // A job that is not there is an error, and no stream.
            api.store.get(&key).await?;
            events::job(&api, call, key)
        }
    }
}

fn require_version(version: Option<&str>) -> Result<(), ApiError> {
    let known = API_VERSIONS.join("`, `");
    match version {
        None => {
            let message = format!("say `?api-version=` one of `{known}`");
            Err(ApiError::new(400, "MissingApiVersionParameter", message))
        }
        Some(version) if !API_VERSIONS.contains(&version) => {
            let message = format!("`{version}` is no version of this API: it is one of `{known}`");
            Err(ApiError::at(400, "InvalidApiVersionParameter", message, "api-version"))
        }
        Some(_) => Ok(()),
    }
}
