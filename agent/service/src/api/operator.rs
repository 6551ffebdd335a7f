//! Operator API: `/operator/v1`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use protocol::arm::read_body;
use protocol::job::RetryOptions;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer::{ApiError, document};
use super::call::{self, OperatorCall};
use super::{events, list};
use crate::http::body;
use crate::jobs::{CheckIn, ReturnPackage};
use crate::state::ServiceState;
use crate::store::{JobKey, StoredJob};

/// Entries of the audit log in one answer.
const AUDIT_ENTRIES_MAX: u32 = 1000;

/// A drive that is docked by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Dock {
    /// A block device, an image, or a profile of a simulated drive, as the station reaches it.
    pub(crate) path: String,
    /// The name that jobs have for it; its serial number, or the name of its file, where it is absent.
    pub(crate) drive_id: Option<String>,
}

/// A drive of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OneDrive {
    /// The drive.
    pub(crate) drive_id: String,
}

/// A drive of a job, and how its next run differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Retry {
    /// The drive.
    pub(crate) drive_id: String,
    /// Start over: forget what was copied before.
    #[serde(default)]
    pub(crate) restart: bool,
    /// Replace a blob that exists.
    #[serde(default)]
    pub(crate) overwrite: bool,
    /// Recover everything that can be read of a failing drive.
    #[serde(default)]
    pub(crate) rescue: bool,
}

pub(super) fn router() -> Router<Arc<ServiceState>> {
    Router::new()
        .route("/bays", get(bays))
        .route("/bays/{bay}/dock", post(dock))
        .route("/bays/{bay}/undock", post(undock))
        .route("/attention", get(attention))
        .route("/audit", get(audit))
        .route("/events", get(watch))
        .route("/jobs", get(jobs))
        .route("/jobs/{subscription}/{group}/{name}", get(show))
        .route("/jobs/{subscription}/{group}/{name}/{action}", post(order))
}

type Place = Path<(String, String, String)>;

fn key_of((subscription, resource_group, name): (String, String, String)) -> JobKey {
    JobKey { subscription, resource_group, name }
}

async fn bays(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &json!({ "value": state.scheduler.bays().await? }))
}

async fn attention(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &json!({ "value": state.scheduler.attention().await? }))
}

async fn watch(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    events::bays(&state, call)
}

async fn audit(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    let uid = call.parameter("job");
    document(200, &json!({ "value": state.store.audit_log(uid, AUDIT_ENTRIES_MAX).await? }))
}

async fn jobs(State(state): State<Arc<ServiceState>>, OperatorCall(call): OperatorCall) -> Result<Response, ApiError> {
    list::list(&state, &call, None, None).await
}

/// A job with its copies, which only operators see.
fn operators_view(state: &ServiceState, job: &StoredJob) -> Result<Response, ApiError> {
    document(200, &json!({ "uid": job.uid, "job": state.jobs.response(job), "copies": job.copies }))
}

async fn show(State(state): State<Arc<ServiceState>>, Path(place): Place, _: OperatorCall) -> Result<Response, ApiError> {
    operators_view(&state, &state.store.get(&key_of(place)).await?)
}

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

async fn undock(
    State(state): State<Arc<ServiceState>>,
    Path(bay): Path<String>,
    OperatorCall(call): OperatorCall,
) -> Result<Response, ApiError> {
    state.jobs.undock(&call.actor, &bay).await?;
    document(200, &json!({}))
}

/// Carries out one action on a job.
async fn order(
    State(state): State<Arc<ServiceState>>,
    Path((subscription, group, name, action)): Path<(String, String, String, String)>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let (key, actor) = (key_of((subscription, group, name)), &call.actor);
    let body = body::read(body).await?;
    let drive = || read_body::<OneDrive>(&body).map(|one| one.drive_id);
    let jobs = &state.jobs;
    let job = match action.as_str() {
        "checkIn" => jobs.check_in(actor, &key, &read_body::<CheckIn>(&body)?).await?,
        "neverReceived" => jobs.never_received(actor, &key, &drive()?).await?,
        "start" => jobs.retry(actor, &key, &drive()?, RetryOptions::default()).await?,
        "pause" => jobs.pause(actor, &key, &drive()?).await?,
        "resume" => jobs.resume(actor, &key, &drive()?).await?,
        "retry" => {
            let Retry { drive_id, restart, overwrite, rescue } = read_body(&body)?;
            jobs.retry(actor, &key, &drive_id, RetryOptions { restart, overwrite, rescue }).await?
        }
        "giveUp" => jobs.give_up(actor, &key, &drive()?).await?,
        "shipBack" => jobs.ship_back(actor, &key, &read_body::<ReturnPackage>(&body)?).await?,
        _ => return Err(ApiError::new(404, "InvalidResourcePath", format!("there is no action `{action}`"))),
    };
    operators_view(&state, &job)
}
