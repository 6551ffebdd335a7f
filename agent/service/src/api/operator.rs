//! The operators' own doors: `/operator/v1`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use protocol::arm::read_body;
use protocol::job::RetryOptions;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer::{ApiError, document};
use super::response::response;
use super::{Api, Call, access, bytes_of, events, jobs};
use crate::station::{CheckIn, OrderError, ReturnPackage};
use crate::store::{Actor, JobKey, Role, StoredJob};

/// Entries of the audit log in one answer.
const AUDIT_ENTRIES_MAX: u32 = 1000;

/// A drive that is docked by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dock {
    /// A block device, an image, or a profile of a simulated drive, as the station reaches it.
    pub path: String,
    /// What jobs call it; its serial number, or the name of its file, where it is absent.
    pub drive_id: Option<String>,
}

/// A drive of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OneDrive {
    /// The drive.
    pub drive_id: String,
}

/// A drive of a job, and how its next run differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// The drive.
    pub drive_id: String,
    /// Forget what was done before.
    #[serde(default)]
    pub restart: bool,
    /// Replace a blob that exists.
    #[serde(default)]
    pub overwrite: bool,
    /// Get everything that can be read of a drive that fails.
    #[serde(default)]
    pub rescue: bool,
}

/// A token that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// Its name in the audit log.
    pub name: String,
    /// The subscriptions of a customer; empty for an operator.
    #[serde(default)]
    pub subscriptions: Vec<String>,
}

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/bays", get(bays))
        .route("/bays/{bay}/dock", post(dock))
        .route("/bays/{bay}/undock", post(undock))
        .route("/attention", get(attention))
        .route("/audit", get(audit))
        .route("/events", get(watch))
        .route("/jobs", get(list))
        .route("/jobs/{subscription}/{group}/{name}", get(show))
        .route("/jobs/{subscription}/{group}/{name}/{action}", post(order))
        .route("/tokens", get(tokens).post(new_token))
        .route("/tokens/{name}", axum::routing::delete(revoke))
}

type Place = Path<(String, String, String)>;

fn key_of((subscription, resource_group, name): (String, String, String)) -> JobKey {
    JobKey { subscription, resource_group, name }
}

/// The call of an operator, and its body.
async fn operator(api: &Api, request: Request) -> Result<(Call, Body), ApiError> {
    let (call, body) = access::call_of(api, request).await?;
    match call.actor.role {
        Role::Operator => Ok((call, body)),
        Role::Customer(_) => Err(ApiError::new(403, "AuthorizationFailed", "this is for operators".to_owned())),
    }
}

async fn bays(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let _ = operator(&api, request).await?;
    document(200, &json!({ "value": api.station.bays().await? }))
}

async fn attention(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let _ = operator(&api, request).await?;
    document(200, &json!({ "value": api.station.attention().await? }))
}

async fn watch(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let (call, _) = operator(&api, request).await?;
    events::bays(&api, call)
}

async fn audit(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let (call, _) = operator(&api, request).await?;
    let uid = call.parameter("job");
    document(200, &json!({ "value": api.store.audit_log(uid, AUDIT_ENTRIES_MAX).await? }))
}

async fn list(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let (call, _) = operator(&api, request).await?;
    jobs::list(&api, &call, None, None).await
}

/// A job with what only operators see.
fn operators_view(api: &Api, job: &StoredJob) -> Result<Response, ApiError> {
    document(200, &json!({ "uid": job.uid, "job": response(api, job), "copies": job.copies }))
}

async fn show(State(api): State<Arc<Api>>, Path(place): Place, request: Request) -> Result<Response, ApiError> {
    let _ = operator(&api, request).await?;
    operators_view(&api, &api.store.get(&key_of(place)).await?)
}

async fn dock(State(api): State<Arc<Api>>, Path(bay): Path<String>, request: Request) -> Result<Response, ApiError> {
    let (call, body) = operator(&api, request).await?;
    let wanted: Dock = read_body(&bytes_of(body).await?)?;
    let docked = api.station.dock(&bay, &wanted.path, wanted.drive_id.as_deref(), &call.actor.name).await?;
    document(200, &docked)
}

async fn undock(State(api): State<Arc<Api>>, Path(bay): Path<String>, request: Request) -> Result<Response, ApiError> {
    let (call, _) = operator(&api, request).await?;
    api.station.undock(&bay, &call.actor.name).await?;
    document(200, &json!({}))
}

/// One order about a job.
async fn order(
    State(api): State<Arc<Api>>,
    Path((subscription, group, name, action)): Path<(String, String, String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (call, body) = operator(&api, request).await?;
    let (key, actor) = (key_of((subscription, group, name)), call.actor.name.as_str());
    let body = bytes_of(body).await?;
    let drive = || read_body::<OneDrive>(&body).map(|one| one.drive_id);
    let station = &api.station;
    let job = match action.as_str() {
        "checkIn" => station.check_in(&key, &read_body::<CheckIn>(&body)?, actor).await?,
        "neverReceived" => station.never_received(&key, &drive()?, actor).await?,
        "start" => station.go_on(&key, &drive()?, true, RetryOptions::default(), actor).await?,
        "pause" => station.pause(&key, &drive()?, actor).await?,
        "resume" => station.go_on(&key, &drive()?, false, RetryOptions::default(), actor).await?,
        "retry" => {
            let Retry { drive_id, restart, overwrite, rescue } = read_body(&body)?;
            station.go_on(&key, &drive_id, true, RetryOptions { restart, overwrite, rescue }, actor).await?
        }
        "giveUp" => station.give_up(&key, &drive()?, actor).await?,
        "shipBack" => station.ship_back(&key, &read_body::<ReturnPackage>(&body)?, actor).await?,
        _ => return Err(ApiError::new(404, "InvalidResourcePath", format!("there is no action `{action}`"))),
    };
    operators_view(&api, &job)
}

async fn tokens(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let _ = operator(&api, request).await?;
    let token = |actor: Actor| match actor.role {
        Role::Operator => json!({ "name": actor.name, "role": "operator", "subscriptions": [] }),
        Role::Customer(own) => json!({ "name": actor.name, "role": "customer", "subscriptions": own }),
    };
    let actors = api.store.tokens().await?;
    document(200, &json!({ "value": actors.into_iter().map(token).collect::<Vec<_>>() }))
}

async fn new_token(State(api): State<Arc<Api>>, request: Request) -> Result<Response, ApiError> {
    let (call, body) = operator(&api, request).await?;
    let wanted: NewToken = read_body(&bytes_of(body).await?)?;
    let is_plain = |text: &str| !text.is_empty() && text.len() <= 128 && text.chars().all(|letter| letter.is_ascii_graphic());
    if !is_plain(&wanted.name) || !wanted.subscriptions.iter().all(|subscription| is_plain(subscription)) {
        let message = "names have 1 to 128 letters, digits and signs, and no spaces".to_owned();
        return Err(ApiError::at(400, "InvalidField", message, "name"));
    }
    let role = if wanted.subscriptions.is_empty() { Role::Operator } else { Role::Customer(wanted.subscriptions) };
    let actor = Actor { name: wanted.name, role };
    let token = api.store.create_token(&actor, &call.actor.name, api.station.now()).await?;
    document(201, &json!({ "name": actor.name, "token": token }))
}

async fn revoke(State(api): State<Arc<Api>>, Path(name): Path<String>, request: Request) -> Result<Response, ApiError> {
    let (call, _) = operator(&api, request).await?;
    match api.store.revoke_token(&name, &call.actor.name, api.station.now()).await? {
        true => document(200, &json!({})),
        false => Err(ApiError::new(404, "ResourceNotFound", format!("there is no token `{name}`"))),
    }
}

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Refused(message) => ApiError::new(409, "OrderRefused", message),
            OrderError::Failed(message) => ApiError::new(502, "OrderFailed", message),
            OrderError::Store(error) => error.into(),
        }
    }
}
