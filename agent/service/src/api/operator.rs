//! Operator API: `/operator/v1`. One table is router and document: each handler says what it takes and answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use protocol::arm::ErrorResponse;
use protocol::job::RetryOptions;
use protocol::operator::{CheckIn, Dock, Done, List, OneDrive, OperatorJob, Retry, ReturnPackage};
use protocol::station::{Attention, AuditEntry, Bay, DockedDrive};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ApiError, document};
use super::call::{self, OperatorCall};
use super::{events, list, tokens};
use crate::state::ServiceState;
use crate::store::{JobKey, StoredJob};

/// Entries of the audit log in one answer.
const AUDIT_ENTRIES_MAX: u32 = 1000;

/// The operator API, and its part of the document.
pub(super) fn api() -> (Router<Arc<ServiceState>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new().nest("/operator/v1", router().merge(tokens::router())).split_for_parts()
}

fn router() -> OpenApiRouter<Arc<ServiceState>> {
    OpenApiRouter::new()
        .routes(routes!(bays))
        .routes(routes!(dock))
        .routes(routes!(undock))
        .routes(routes!(attention))
        .routes(routes!(audit))
        .routes(routes!(watch))
        .routes(routes!(jobs))
        .routes(routes!(show))
        .routes(routes!(check_in))
        .routes(routes!(never_received))
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
        .routes(routes!(give_up))
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

#[utoipa::path(
    get, path = "/bays", operation_id = "Bays_List", summary = "The bays",
    responses((status = 200, description = "done", body = List<Bay>), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn bays(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &List { value: state.scheduler.bays().await? })
}

#[utoipa::path(
    post, path = "/bays/{bay}/dock", operation_id = "Bays_Dock", summary = "Dock a drive by hand",
    params(("bay" = String, Path)),
    request_body = Dock,
    responses((status = 200, description = "done", body = DockedDrive), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn dock(
    State(state): State<Arc<ServiceState>>,
    Path(bay): Path<String>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let Dock { path, drive_id } = call::json(body).await?;
    let docked = state.jobs.dock(&call.actor, &bay, &path, drive_id.as_deref()).await?;
    document(200, &docked)
}

#[utoipa::path(
    post, path = "/bays/{bay}/undock", operation_id = "Bays_Undock", summary = "Take a drive out by hand",
    params(("bay" = String, Path)),
    responses((status = 200, description = "done", body = Done), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn undock(
    State(state): State<Arc<ServiceState>>,
    Path(bay): Path<String>,
    OperatorCall(call): OperatorCall,
) -> Result<Response, ApiError> {
    state.jobs.undock(&call.actor, &bay).await?;
    document(200, &Done {})
}

#[utoipa::path(
    get, path = "/attention", operation_id = "Attention_List", summary = "What waits for a person",
    responses((status = 200, description = "done", body = List<Attention>), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn attention(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &List { value: state.scheduler.attention().await? })
}

#[utoipa::path(
    get, path = "/audit", operation_id = "Audit_List", summary = "Who did what",
    params(("job" = Option<String>, Query, description = "only of the job with this uid")),
    responses((status = 200, description = "done", body = List<AuditEntry>), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn audit(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    let uid = call.parameter("job");
    document(200, &List { value: state.store.audit_log(uid, AUDIT_ENTRIES_MAX).await? })
}

#[utoipa::path(
    get, path = "/events", operation_id = "Bays_Events", summary = "The bays whenever they change, as server-sent events",
    responses((status = 200, description = "done"), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn watch(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    events::bays(&state, call)
}

#[utoipa::path(
    get, path = "/jobs", operation_id = "OperatorJobs_List", summary = "Jobs of every subscription",
    params(("$top" = Option<String>, Query), ("$filter" = Option<String>, Query), ("$skiptoken" = Option<String>, Query)),
    responses((status = 200, description = "done", body = Object), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn jobs(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    list::list(&state, &call, None, None).await
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
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/checkIn", operation_id = "OperatorJobs_CheckIn", summary = "Check in a drive",
    params(JobPath),
    request_body = CheckIn,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn check_in(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: CheckIn = call::json(body).await?;
    operators_view(&state, state.jobs.check_in(&call.actor, &path.into(), &asked).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/neverReceived", operation_id = "OperatorJobs_NeverReceived", summary = "A drive did not come",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn never_received(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: OneDrive = call::json(body).await?;
    operators_view(&state, state.jobs.never_received(&call.actor, &path.into(), &asked.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/start", operation_id = "OperatorJobs_Start", summary = "Copy a docked drive now",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn start(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: OneDrive = call::json(body).await?;
    operators_view(&state, state.jobs.retry(&call.actor, &path.into(), &asked.drive_id, RetryOptions::default()).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/pause", operation_id = "OperatorJobs_Pause", summary = "Pause a drive",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn pause(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: OneDrive = call::json(body).await?;
    operators_view(&state, state.jobs.pause(&call.actor, &path.into(), &asked.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/resume", operation_id = "OperatorJobs_Resume", summary = "Resume a paused drive",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn resume(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: OneDrive = call::json(body).await?;
    operators_view(&state, state.jobs.resume(&call.actor, &path.into(), &asked.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/retry", operation_id = "OperatorJobs_Retry", summary = "Try a failed drive again",
    params(JobPath),
    request_body = Retry,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn retry(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: Retry = call::json(body).await?;
    operators_view(&state, state.jobs.retry(&call.actor, &path.into(), &asked.drive_id, asked.options()).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/giveUp", operation_id = "OperatorJobs_GiveUp", summary = "End a copy that waits",
    params(JobPath),
    request_body = OneDrive,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn give_up(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: OneDrive = call::json(body).await?;
    operators_view(&state, state.jobs.give_up(&call.actor, &path.into(), &asked.drive_id).await?)
}

#[utoipa::path(
    post, path = "/jobs/{subscriptionId}/{resourceGroupName}/{jobName}/shipBack", operation_id = "OperatorJobs_ShipBack", summary = "The drives went back",
    params(JobPath),
    request_body = ReturnPackage,
    responses((status = 200, description = "done", body = OperatorJob), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn ship_back(
    State(state): State<Arc<ServiceState>>,
    Path(path): Path<JobPath>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: ReturnPackage = call::json(body).await?;
    operators_view(&state, state.jobs.ship_back(&call.actor, &path.into(), &asked).await?)
}
