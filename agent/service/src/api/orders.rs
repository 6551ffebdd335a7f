//! Orders of operators about a job and its drives.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Response};
use protocol::arm::ErrorResponse;
use protocol::operator::{CheckIn, NeverReceived, OneDrive, OperatorJob, Retry, ReturnPackage};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ApiError, document};
use super::call::{self, OperatorCall};
use crate::state::ServiceState;
use crate::store::{Actor, JobKey, StoredJob};

pub(super) fn router() -> OpenApiRouter<Arc<ServiceState>> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(check_in))
        .routes(routes!(never_received))
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
        .routes(routes!(give_up))
        .routes(routes!(undo_give_up))
        .routes(routes!(undo_check_in))
        .routes(routes!(undo_never_received))
        .routes(routes!(release))
        .routes(routes!(ship_back))
}

/// Where a job is.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
struct JobPath {
    subscription_id: String,
    resource_group_name: String,
    job_name: String,
}

impl From<JobPath> for JobKey {
    fn from(path: JobPath) -> Self {
        JobKey { subscription: path.subscription_id, resource_group: path.resource_group_name, name: path.job_name }
    }
}

/// An order about a job: who gives it, which job, and the body. Who is asked first.
struct Order<T> {
    actor: Actor,
    key: JobKey,
    body: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<ServiceState>> for Order<T> {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &Arc<ServiceState>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let call = OperatorCall::from_request_parts(&mut parts, state).await;
        let OperatorCall(call) = call.map_err(IntoResponse::into_response)?;
        let path = Path::<JobPath>::from_request_parts(&mut parts, state).await;
        let Path(path) = path.map_err(IntoResponse::into_response)?;
        let body = call::json(body).await.map_err(IntoResponse::into_response)?;
        Ok(Order { actor: call.actor, key: path.into(), body })
    }
}

fn operators_view(state: &ServiceState, job: StoredJob) -> Result<Response, ApiError> {
    let response = state.jobs.response(&job);
    document(200, &OperatorJob { uid: job.uid, job: response, copies: job.copies })
}

#[utoipa::path(
    get, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}", operation_id = "OperatorJobs_Get", summary = "A job with its copies",
    params(JobPath),
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn show(State(state): State<Arc<ServiceState>>, Path(path): Path<JobPath>, _: OperatorCall) -> Result<Response, ApiError> {
    operators_view(&state, state.store.get(&path.into()).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/checkIn", operation_id = "OperatorJobs_CheckIn",
    summary = "Check in a drive",
    params(JobPath),
    request_body = CheckIn,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn check_in(State(state): State<Arc<ServiceState>>, order: Order<CheckIn>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.check_in(&order.actor, &order.key, &order.body).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/neverReceived", operation_id = "OperatorJobs_NeverReceived",
    summary = "A drive did not come",
    params(JobPath),
    request_body = NeverReceived,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn never_received(State(state): State<Arc<ServiceState>>, order: Order<NeverReceived>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.never_received(&order.actor, &order.key, order.body.drive_id.as_deref()).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/start", operation_id = "OperatorJobs_Start",
    summary = "Copy a docked drive now",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn start(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.start(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/pause", operation_id = "OperatorJobs_Pause",
    summary = "Pause a drive",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn pause(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.pause(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/resume", operation_id = "OperatorJobs_Resume",
    summary = "Resume a paused drive",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn resume(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.resume(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/retry", operation_id = "OperatorJobs_Retry",
    summary = "Copy a drive again that failed, or ended without being complete",
    params(JobPath),
    request_body = Retry,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn retry(State(state): State<Arc<ServiceState>>, order: Order<Retry>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.retry(&order.actor, &order.key, &order.body.drive_id, order.body.options()).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/giveUp", operation_id = "OperatorJobs_GiveUp",
    summary = "End the copy of a drive before it is complete",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn give_up(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.give_up(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/undoGiveUp", operation_id = "OperatorJobs_UndoGiveUp",
    summary = "Take back that the copy of a drive was ended",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn undo_give_up(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.undo_give_up(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/undoCheckIn", operation_id = "OperatorJobs_UndoCheckIn",
    summary = "The drive that was checked in as this one was another one",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn undo_check_in(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.undo_check_in(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/undoNeverReceived", operation_id = "OperatorJobs_UndoNeverReceived",
    summary = "Take back that a drive does not come; for an export, that no more of them come",
    params(JobPath),
    request_body = NeverReceived,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn undo_never_received(State(state): State<Arc<ServiceState>>, order: Order<NeverReceived>) -> Result<Response, ApiError> {
    let drive_id = order.body.drive_id.as_deref();
    operators_view(&state, state.jobs.undo_never_received(&order.actor, &order.key, drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/release", operation_id = "OperatorJobs_Release",
    summary = "Free the blob of an export's drive for another drive",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn release(State(state): State<Arc<ServiceState>>, order: Order<OneDrive>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.release(&order.actor, &order.key, &order.body.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/shipBack", operation_id = "OperatorJobs_ShipBack",
    summary = "The drives went back",
    params(JobPath),
    request_body = ReturnPackage,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn ship_back(State(state): State<Arc<ServiceState>>, order: Order<ReturnPackage>) -> Result<Response, ApiError> {
    operators_view(&state, state.jobs.ship_back(&order.actor, &order.key, &order.body).await?)
}
