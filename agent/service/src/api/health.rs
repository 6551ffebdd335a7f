//! Liveness, readiness and metrics.
//!
//! | metric | what |
//! |---|---|
//! | `drive_agent_http_requests_total{method,status}` | requests answered |
//! | `drive_agent_http_request_seconds{method}` | time to an answer, but of calls of stations |
//! | `drive_agent_jobs{state}` | jobs in each state |
//! | `drive_agent_bays{state}` | bays in each state |
//! | `drive_agent_stations{state}` | stations that call, and that are away |
//! | `drive_agent_grants` | copies that stations may run |
//! | `drive_agent_attention` | bays and jobs that wait for a person |
//! | `drive_agent_copies_total{direction,outcome}` | copies that ended |
//! | `drive_agent_bytes_total{direction}` | bytes that they transferred |
//! | `drive_agent_copy_seconds{direction}` | how long they took |
//! | `drive_agent_drain_seconds` | time from a stop to the last chunk in flight |

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{ApiError, document};
use super::call::OperatorCall;
use crate::state::ServiceState;

/// How the service is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `alive` or `ready`.
    status: &'static str,
}

pub(super) async fn alive() -> Result<Response, ApiError> {
    document(200, &Health { status: "alive" })
}

/// Ready: the database answers and no shutdown is under way.
pub(super) async fn ready(State(state): State<Arc<ServiceState>>) -> Result<Response, ApiError> {
    if state.closing.is_cancelled() {
        return Err(ApiError::new(503, "ServiceUnavailable", "the service is stopping".to_owned()));
    }
    state.store.probe().await?;
    document(200, &Health { status: "ready" })
}

pub(super) async fn metrics(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    let states = protocol::job::JobState::ALL.map(|state| (state.name().to_owned(), 0));
    let mut jobs: BTreeMap<String, i64> = states.into_iter().collect();
    jobs.extend(state.store.count_by_state().await?);
    for (state, count) in jobs {
        metrics::gauge!("drive_agent_jobs", "state" => state).set(count as f64);
    }
    let bays = state.scheduler.bays().await?;
    use protocol::station::BayState::{Copying, Docked, Done, Draining, Empty, Held, Paused, Rescuing};
    for state in [Empty, Docked, Copying, Draining, Rescuing, Paused, Held, Done] {
        let count = bays.iter().filter(|bay| bay.state == state).count();
        metrics::gauge!("drive_agent_bays", "state" => state.name()).set(count as f64);
    }
    let stations = state.fleet.list();
    let away = stations.iter().filter(|station| station.away.is_some()).count();
    metrics::gauge!("drive_agent_stations", "state" => "away").set(away as f64);
    metrics::gauge!("drive_agent_stations", "state" => "calls").set((stations.len() - away) as f64);
    metrics::gauge!("drive_agent_grants").set(stations.iter().map(|station| station.copies).sum::<u64>() as f64);
    let waiting: i64 = state.scheduler.count_attention().await?.into_values().sum();
    metrics::gauge!("drive_agent_attention").set(waiting as f64);
    Ok(([("content-type", "text/plain; version=0.0.4")], state.metrics.render()).into_response())
}
