//! Stations: their calls, and the list of them for operators.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use protocol::arm::ErrorResponse;
use protocol::operator::{List, StationState};
use protocol::station::StationReport;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ApiError, document};
use super::call::{Call, OperatorCall};
use crate::http::body;
use crate::state::ServiceState;
use crate::stations::CallError;
use crate::store::Role;

/// Longest report of a station: its copies that ended have lists of ranges.
const REPORT_BYTES_MAX: usize = 16 << 20;

/// What operators ask about stations.
pub(super) fn of_operators() -> OpenApiRouter<Arc<ServiceState>> {
    OpenApiRouter::new().routes(routes!(stations))
}

/// What stations call.
pub(super) fn of_stations() -> OpenApiRouter<Arc<ServiceState>> {
    OpenApiRouter::new().routes(routes!(call))
}

#[utoipa::path(
    get, path = "/stations", operation_id = "Stations_List", summary = "The stations of the service",
    responses((status = 200, description = "done", body = List<StationState>), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn stations(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &List { value: state.fleet.list() })
}

#[utoipa::path(
    post, path = "/stations/v1/{station}/call", operation_id = "Stations_Call",
    summary = "The call of a station: it tells how things stand, and gets how they should be (only `drive-agent station` calls it)",
    params(("station" = String, Path)),
    request_body = Object,
    responses((status = 200, description = "done", body = Object), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn call(
    State(state): State<Arc<ServiceState>>,
    Path(station): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, ApiError> {
    if call.actor.role != Role::Station || call.actor.name != station {
        let message = format!("this is for the station `{station}`: its token has its name, and the role `station`");
        return Err(ApiError::new(403, "AuthorizationFailed", message));
    }
    let body = body::read_at_most(body, REPORT_BYTES_MAX).await?;
    let report: StationReport = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the report of the station is not understood: {error}; install the same version on both");
        ApiError::new(400, "StationReport", message)
    })?;
    let orders = state.fleet.call(&station, report, &state.closing).await?;
    // A token that was revoked while the call waited gets no orders.
    if !call.is_still_valid(&state).await? {
        return Err(ApiError::new(401, "AuthenticationFailed", "the token was revoked".to_owned()));
    }
    document(200, &orders)
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let (status, code) = match &error {
            CallError::Replaced(_) => (409, "StationReplaced"),
            CallError::NameInUse(_) => (409, "StationNameInUse"),
            CallError::Version(_) => (400, "StationVersion"),
            CallError::Impossible(_) => (400, "StationReport"),
            CallError::OtherPlace { .. } => (400, "StationAccounts"),
            CallError::Superseded => (409, "CallSuperseded"),
            CallError::NotNow => (503, "ServiceUnavailable"),
        };
        ApiError::new(status, code, error.to_string())
    }
}
