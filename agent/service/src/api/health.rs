//! For machines that watch the service.
//!
//! | metric | what |
//! |---|---|
//! | `drive_agent_http_requests_total{method,status}` | requests answered |
//! | `drive_agent_http_request_seconds{method}` | how long they took |
//! | `drive_agent_jobs{state}` | jobs in each state |
//! | `drive_agent_bays{state}` | bays in each state |
//! | `drive_agent_attention` | what waits for a person |
//! | `drive_agent_copies_total{direction,outcome}` | copies that ended |
//! | `drive_agent_bytes_total{direction}` | bytes that went over in them |
//! | `drive_agent_copy_seconds{direction}` | how long they took |
//! | `drive_agent_drain_seconds` | from a stop to the last chunk in flight |

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::answer::{ApiError, document};
use super::{Api, access};
use crate::store::Role;

pub(super) async fn alive() -> Result<Response, ApiError> {
    document(200, &serde_json::json!({ "status": "alive" }))
}

/// Ready is who reaches the jobs and is not about to stop.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    if api.closing.is_cancelled() {
        return Err(ApiError::new(503, "ServiceUnavailable", "the service is stopping".to_owned()));
    }
    api.store.count_by_state().await?;
    document(200, &serde_json::json!({ "status": "ready" }))
}

pub(super) async fn metrics(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let (call, _) = access::call_of(&api, request).await?;
    if call.actor.role != Role::Operator {
        return Err(ApiError::new(403, "AuthorizationFailed", "this is for operators".to_owned()));
    }
    let states = protocol::job::JobState::ALL.map(|state| (state.name().to_owned(), 0));
    let mut jobs: BTreeMap<String, i64> = states.into_iter().collect();
    jobs.extend(api.store.count_by_state().await?);
    for (state, count) in jobs {
        metrics::gauge!("drive_agent_jobs", "state" => state).set(count as f64);
    }
    let bays = api.station.bays().await?;
    use protocol::station::BayState::{Copying, Docked, Done, Draining, Empty, Held, Paused, Rescuing};
    for state in [Empty, Docked, Copying, Draining, Rescuing, Paused, Held, Done] {
        let count = bays.iter().filter(|bay| bay.state == state).count();
        metrics::gauge!("drive_agent_bays", "state" => state.name()).set(count as f64);
    }
    metrics::gauge!("drive_agent_attention").set(api.station.attention().await?.len() as f64);
    Ok(([("content-type", "text/plain; version=0.0.4")], api.metrics.render()).into_response())
}
