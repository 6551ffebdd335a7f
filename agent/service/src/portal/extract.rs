//! What handlers of pages take from a request: the viewer, the job that they look at, and the form that they sent.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::forms::value;
use super::page::PageError;
use super::viewer::{Viewer, secret_of};
use crate::http::{body, look_up};
use crate::state::ServiceState;
use crate::store::{JobKey, StoreError, StoredJob};

/// A viewer who is an operator.
pub(super) struct Operator(pub(super) Viewer);

/// A job, and the viewer who may see it. Jobs of others are not found.
pub(super) struct ViewedJob {
    pub(super) viewer: Viewer,
    pub(super) job: StoredJob,
}

/// A job that is viewed by an operator.
pub(super) struct OperatorsJob(pub(super) ViewedJob);

/// A drive of a job, and the viewer who may see the job.
pub(super) struct ViewedDrive {
    pub(super) viewer: Viewer,
    pub(super) job: StoredJob,
    /// What the job calls the drive.
    pub(super) id: String,
}

/// A drive of a job that is viewed by an operator.
pub(super) struct OperatorsDrive(pub(super) ViewedDrive);

/// What an address asks of a page. One that makes no sense is answered with a page.
pub(super) struct PageQuery<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<ServiceState>> for PageQuery<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| PageQuery(query)).map_err(|_| PageError::incomplete_address())
    }
}

/// A name in the path of a page, answered likewise.
pub(super) struct PageName(pub(super) String);

impl FromRequestParts<Arc<ServiceState>> for PageName {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| PageName(name)).map_err(|_| PageError::incomplete_address())
    }
}

/// The part of a path that names a job.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct JobPath {
    subscription: String,
    group: String,
    name: String,
}

/// The part of a path that names a drive of a job.
#[derive(Deserialize)]
pub(super) struct DrivePath {
    pub(super) drive: String,
}

/// The part of a path that names what to do.
#[derive(Deserialize)]
pub(super) struct ActionPath {
    pub(super) action: String,
}

impl FromRequestParts<Arc<ServiceState>> for Viewer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        admit(state, parts).await
    }
}

impl FromRequestParts<Arc<ServiceState>> for Operator {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let viewer = admit(state, parts).await?;
        require_operator(&viewer)?;
        Ok(Operator(viewer))
    }
}

impl FromRequestParts<Arc<ServiceState>> for ViewedJob {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let path: JobPath = path_of(parts, state).await?;
        let viewer = admit(state, parts).await?;
        let job = job_of(state, &viewer, path).await?;
        Ok(ViewedJob { viewer, job })
    }
}

impl FromRequestParts<Arc<ServiceState>> for OperatorsJob {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let viewed = ViewedJob::from_request_parts(parts, state).await?;
        require_operator(&viewed.viewer)?;
        Ok(OperatorsJob(viewed))
    }
}

impl FromRequestParts<Arc<ServiceState>> for ViewedDrive {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let viewed = ViewedJob::from_request_parts(parts, state).await?;
        viewed.drive(path_of(parts, state).await?)
    }
}

impl FromRequestParts<Arc<ServiceState>> for OperatorsDrive {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        // Before the drive: others do not learn which drives there are.
        let OperatorsJob(viewed) = OperatorsJob::from_request_parts(parts, state).await?;
        viewed.drive(path_of(parts, state).await?).map(OperatorsDrive)
    }
}

impl ViewedJob {
    /// One of the job's drives; not found where it has none of that name.
    fn drive(self, DrivePath { drive: id }: DrivePath) -> Result<ViewedDrive, PageError> {
        let ViewedJob { viewer, job } = self;
        match job.machine.drive(&id) {
            Some(_) => Ok(ViewedDrive { viewer, job, id }),
            None => Err(no_drive(&id)),
        }
    }
}

/// A part of the request's path.
async fn path_of<T: DeserializeOwned + Send>(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<T, PageError> {
    let path = Path::<T>::from_request_parts(parts, state).await;
    let Path(path) = path.map_err(|error: PathRejection| PageError::Message(error.status(), error.body_text()))?;
    Ok(path)
}

/// The job has no drive of that name.
pub(super) fn no_drive(id: &str) -> PageError {
    PageError::not_found(format!("the job has no drive `{id}`"))
}

/// The viewer of a request, which is counted: 429 where there were too many.
async fn admit(state: &ServiceState, parts: &Parts) -> Result<Viewer, PageError> {
    let lookup = look_up(&parts.extensions);
    let viewer = viewer_of(state, &parts.headers).await;
    drop(lookup);
    let is_allowed = match viewer {
        Ok(viewer) if state.access.allows_request(parts, &viewer.actor) => return Ok(viewer),
        Ok(_) => false,
        // A wrong cookie may be a guess.
        Err(PageError::LoggedOut) if secret_of(&parts.headers).is_some() => state.access.allows_attempt(parts),
        Err(error) => return Err(error),
    };
    match is_allowed {
        true => Err(PageError::LoggedOut),
        false => Err(PageError::Message(StatusCode::TOO_MANY_REQUESTS, "too many requests: wait a moment".to_owned())),
    }
}

/// The viewer whose session the cookie names.
pub(super) async fn viewer_of(state: &ServiceState, headers: &HeaderMap) -> Result<Viewer, PageError> {
    let secret = secret_of(headers).ok_or(PageError::LoggedOut)?;
    let session = state.store.session(secret, state.scheduler.now()).await?;
    session.map(Viewer::from).ok_or(PageError::LoggedOut)
}

/// The viewer, who must be an operator.
pub(super) async fn operator_of(state: &ServiceState, headers: &HeaderMap) -> Result<Viewer, PageError> {
    let viewer = viewer_of(state, headers).await?;
    require_operator(&viewer)?;
    Ok(viewer)
}

/// Refuses viewers who are not operators.
fn require_operator(viewer: &Viewer) -> Result<(), PageError> {
    match viewer.is_operator {
        true => Ok(()),
        false => Err(PageError::Message(StatusCode::FORBIDDEN, "this page is for operators".to_owned())),
    }
}

/// A job that the viewer may see; others are not found.
pub(super) async fn job_of(state: &ServiceState, viewer: &Viewer, path: JobPath) -> Result<StoredJob, PageError> {
    let key = JobKey { subscription: path.subscription, resource_group: path.group, name: path.name };
    if !viewer.actor.may_use(&key.subscription) {
        return Err(StoreError::NotFound(key.name).into());
    }
    Ok(state.store.get(&key).await?)
}

/// Longest form of a login: a token of Entra ID has a few thousand bytes.
const LOGIN_FORM_BYTES_MAX: usize = 16 << 10;

/// The fields of a login, from a client that is not logged in yet.
pub(super) async fn login_form(body: Body) -> Result<Vec<(String, String)>, PageError> {
    Ok(fields_of(&body::read_at_most(body, LOGIN_FORM_BYTES_MAX).await?))
}

fn fields_of(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// The fields of a form that the viewer's own page sent.
pub(super) async fn form(viewer: &Viewer, body: Body) -> Result<Vec<(String, String)>, PageError> {
    let fields = fields_of(&body::read(body).await?);
    match value(&fields, "csrf") == viewer.csrf {
        true => Ok(fields),
        false => {
            let message = "the form is too old, or was sent by another site: load the page again".to_owned();
            Err(PageError::Message(StatusCode::FORBIDDEN, message))
        }
    }
}
