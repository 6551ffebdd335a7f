//! The REST API of Microsoft.ImportExport.
//!
//! One handler: who asks (`store::token`), what is asked for (`route`, which knows paths as the real service does,
//! in any case), which version of the API, may they, and then what to do (`jobs`, `places`). Every answer that is no
//! success has the body of `protocol::arm::ErrorResponse`.

mod answer;
mod jobs;
mod places;
mod route;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use time::OffsetDateTime;

use crate::store::{Actor, Store};
use answer::ApiError;
pub use places::Location;
use route::{Route, parse};

/// Versions of the API that are understood.
pub const API_VERSIONS: [&str; 3] = ["2016-11-01", "2020-08-01", "2021-01-01"];

/// Longest body of a request: a job of ten drives with long lists is a tenth of it.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What the API needs.
pub struct Api {
    /// The jobs.
    pub store: Store,
    /// The datacenters.
    pub locations: Vec<Location>,
    /// Names of storage accounts that this station can reach: the last segment of `storageAccountId`.
    pub accounts: Vec<String>,
    /// What time it is.
    pub clock: Box<dyn Fn() -> OffsetDateTime + Send + Sync>,
}

/// The API as a service of HTTP.
pub fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(handle).with_state(api)
}

/// A request that was understood.
struct Call {
    actor: Actor,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// `https://host`, for links.
    base: String,
    path: String,
}

impl Call {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

async fn bytes_of(body: Body) -> Result<Vec<u8>, ApiError> {
    match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(_) => Err(ApiError::new(413, "RequestTooLarge", format!("the body is longer than {BODY_BYTES_MAX} bytes"))),
    }
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    match answer_to(&api, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer_to(api: &Api, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let actor = authenticate(api, &parts.headers).await?;
    let route = parse(&parts.method, parts.uri.path())?;
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = parts.headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()).unwrap_or("http");
    let (base, path) = (format!("{scheme}://{host}"), parts.uri.path().to_owned());
    let call = Call { actor, query, headers: parts.headers, base, path };
    require_version(call.parameter("api-version"))?;
    if let Some(subscription) = route.subscription().filter(|subscription| !call.actor.may_use(subscription)) {
        let message = format!("`{}` may not use the subscription `{subscription}`", call.actor.name);
        return Err(ApiError::new(403, "AuthorizationFailed", message));
    }
    match route {
        Route::Operations => places::operations(),
        Route::Locations => places::list(api),
        Route::Location(name) => places::get(api, &name),
        Route::List { subscription, resource_group } => jobs::list(api, &call, subscription, resource_group).await,
        Route::GetJob(key) => jobs::get(api, &key).await,
        Route::PutJob(key) => jobs::put(api, &call, body, &key).await,
        Route::UpdateJob(key) => jobs::update(api, &call, body, &key).await,
        Route::DeleteJob(key) => jobs::delete(api, &call, &key).await,
        Route::ListKeys(key) => jobs::keys(api, &call, &key).await,
    }
}

async fn authenticate(api: &Api, headers: &HeaderMap) -> Result<Actor, ApiError> {
    let failed = |message: &str| ApiError::new(401, "AuthenticationFailed", message.to_owned());
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or_else(|| failed("send a token: `Authorization: Bearer TOKEN`"))?;
    let actor = api.store.actor_of(token.trim()).await?;
    actor.ok_or_else(|| failed("the token is unknown, or was taken back"))
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
