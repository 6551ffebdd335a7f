//! From a request to its handler. The published API has one handler, since its paths are understood in any case of
//! their letters, as at the real service.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::answer::ApiError;
use super::call::Call;
use super::routes::{Route, parse};
use super::{events, health, jobs, list, locations, openapi, operator};
use crate::state::ServiceState;
use crate::store::Scope;

/// All paths of the API.
pub(crate) fn router() -> Router<Arc<ServiceState>> {
    Router::new()
        .merge(operator::api().0)
        .route("/healthz", get(health::alive))
        .route("/livez", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .fallback(handle)
        .method_not_allowed_fallback(async || {
            ApiError::new(405, "MethodNotAllowed", "this path takes other methods: see `/openapi.json`".to_owned())
        })
}

/// A request of the published API: authenticated, its path and version understood, and its subscription allowed.
async fn handle(State(state): State<Arc<ServiceState>>, call: Call, body: Body) -> Result<Response, ApiError> {
    let route = parse(&call.method, &call.path)?;
    call.require_version()?;
    if let Some(subscription) = route.subscription().filter(|subscription| !call.actor.may_use(subscription)) {
        let message = format!("`{}` may not use the subscription `{subscription}`", call.actor.name);
        return Err(ApiError::new(403, "AuthorizationFailed", message));
    }
    match route {
        Route::Operations => locations::operations(),
        Route::Locations => locations::list(&state),
        Route::Location(name) => locations::get(&state, &name),
        Route::List { subscription, resource_group } => {
            list::list(&state, &call, Scope { subscriptions: Some(vec![subscription]), resource_group, search: None }).await
        }
        Route::GetJob(key) => jobs::get(&state, &call, &key).await,
        Route::PutJob(key) => jobs::put(&state, &call, body, &key).await,
        Route::UpdateJob(key) => jobs::update(&state, &call, body, &key).await,
        Route::DeleteJob(key) => jobs::delete(&state, &call, &key).await,
        Route::ListKeys(key) => jobs::keys(&state, &call, &key).await,
        Route::Receipts(key) => jobs::receipts(&state, &key).await,
        Route::Events(key) => {
            // A job that does not exist is an error, and not a stream.
            state.store.get(&key).await?;
            events::job(&state, call, key)
        }
    }
}
