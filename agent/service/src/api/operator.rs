//! Operator API: `/operator/v1`. One table is router and document: each handler says what it takes and answers. Orders
//! about jobs are in `orders`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use protocol::arm::{ErrorResponse, JobList};
use protocol::operator::{AttentionList, AuditList, Dock, Done, List};
use protocol::station::{Bay, DockedDrive};
use protocol::station_rate::{SetRate, StationRate};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ApiError, document};
use super::call::{self, OperatorCall};
use super::{events, list, orders, stations, tokens};
use crate::state::ServiceState;
use crate::store::{AuditFilter, Scope};

/// Jobs of one page of what waits for a person, and most of them.
const ATTENTION_JOBS: u32 = 200;
const ATTENTION_JOBS_MAX: u32 = 1000;

/// Entries of the audit log in one answer.
const AUDIT_ENTRIES_MAX: u32 = 1000;

/// The operator API, and its part of the document.
pub(super) fn api() -> (Router<Arc<ServiceState>>, utoipa::openapi::OpenApi) {
    let operator = router().merge(orders::router()).merge(tokens::router()).merge(stations::of_operators());
    OpenApiRouter::new().nest("/operator/v1", operator).merge(stations::of_stations()).split_for_parts()
}

fn router() -> OpenApiRouter<Arc<ServiceState>> {
    OpenApiRouter::new()
        .routes(routes!(bays))
        .routes(routes!(dock))
        .routes(routes!(undock))
        .routes(routes!(rate, set_rate))
        .routes(routes!(attention))
        .routes(routes!(audit))
        .routes(routes!(watch))
        .routes(routes!(jobs))
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
    get, path = "/rate", operation_id = "Rate_Get", summary = "Rate limit of all copies together",
    responses((status = 200, description = "done", body = StationRate), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn rate(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &state.jobs.rate())
}

#[utoipa::path(
    post, path = "/rate", operation_id = "Rate_Set", summary = "Set the rate limit of all copies together, or go back to the schedule",
    request_body = SetRate,
    responses((status = 200, description = "done", body = StationRate), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn set_rate(
    State(state): State<Arc<ServiceState>>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let SetRate { rate } = call::json(body).await?;
    document(200, &state.jobs.set_rate(&call.actor, &rate).await?)
}

#[utoipa::path(
    get, path = "/attention", operation_id = "Attention_List", summary = "What needs an operator, the most urgent first",
    params(("$top" = Option<u32>, Query, description = "jobs of a page", minimum = 1, maximum = 1000), ("$skiptoken" = Option<String>, Query)),
    responses((status = 200, description = "done", body = AttentionList), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn attention(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    call.require_known(&["$top", "$skiptoken"])?;
    let after = call.parameter("$skiptoken").map(str::parse).transpose();
    let after = after.map_err(|_| wrong_parameter("$skiptoken"))?;
    let top = list::page_size(&call, ATTENTION_JOBS, ATTENTION_JOBS_MAX)?;
    let page = state.scheduler.attention(after, top).await?;
    let next = page.next.map(|place| call.link_with("$skiptoken", &place.to_string()));
    document(200, &AttentionList { value: page.list, next_link: next })
}

#[utoipa::path(
    get, path = "/audit", operation_id = "Audit_List", summary = "Who did what",
    params(
        ("job" = Option<String>, Query, description = "only of the job with this uid"),
        ("actor" = Option<String>, Query, description = "only by the owner of the token of this name"),
        ("action" = Option<String>, Query, description = "only where this is part of what was done"),
        ("since" = Option<String>, Query, format = DateTime, description = "not before this time (RFC 3339)"),
        ("until" = Option<String>, Query, format = DateTime, description = "before this time (RFC 3339)"),
        ("$top" = Option<u32>, Query, description = "entries of a page", minimum = 1, maximum = 1000),
        ("$skiptoken" = Option<i64>, Query, minimum = 0)
    ),
    responses((status = 200, description = "done", body = AuditList), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn audit(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    call.require_known(&["job", "actor", "action", "since", "until", "$top", "$skiptoken"])?;
    let owned = |name: &str| call.parameter(name).map(str::to_owned);
    let time = |name: &str| {
        let time = call.parameter(name).map(|text| OffsetDateTime::parse(text, &Rfc3339));
        time.transpose().map_err(|_| wrong_parameter(name))
    };
    let filter = AuditFilter {
        before: list::place(&call)?,
        job_uid: owned("job"),
        actor: owned("actor"),
        action: owned("action"),
        since: time("since")?,
        until: time("until")?,
    };
    let top = list::page_size(&call, AUDIT_ENTRIES_MAX, AUDIT_ENTRIES_MAX)?;
    let page = state.store.audit_log(&filter, top).await?;
    let link = |place: i64| call.link_with("$skiptoken", &place.to_string());
    document(200, &AuditList { value: page.entries, next_link: page.next.map(link) })
}

fn wrong_parameter(name: &str) -> ApiError {
    ApiError::at(400, "InvalidQueryParameter", format!("`{name}` cannot be understood"), name)
}

#[utoipa::path(
    get, path = "/events", operation_id = "Bays_Events", summary = "The bays whenever they change, as server-sent events",
    responses((status = 200, description = "done", body = String, content_type = "text/event-stream"), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn watch(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    events::bays(&state, call)
}

#[utoipa::path(
    get, path = "/jobs", operation_id = "OperatorJobs_List", summary = "Jobs of every subscription",
    params(
        ("search" = Option<String>, Query, description = "only what has this in its name, its customer, the number of its parcel or of a drive"),
        ("$top" = Option<u32>, Query, minimum = 1, maximum = 100),
        ("$filter" = Option<String>, Query),
        ("$skiptoken" = Option<i64>, Query, minimum = 0)
    ),
    responses((status = 200, description = "done", body = JobList), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn jobs(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    call.require_known(&["search", "$top", "$filter", "$skiptoken"])?;
    let search = call.parameter("search").map(str::trim).filter(|search| !search.is_empty()).map(str::to_owned);
    list::list(&state, &call, Scope { search, ..Scope::ALL }).await
}
