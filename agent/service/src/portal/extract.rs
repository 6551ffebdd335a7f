//! What handlers of pages take from a request: the viewer, the job that they look at, and the form that they sent.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::forms::value;
use super::page::PageError;
use super::viewer::{Viewer, secret_of};
use crate::http::body;
use crate::state::ServiceState;
use crate::store::{JobKey, StoreError, StoredJob};

/// A viewer who is an operator.
pub(super) struct Operator(pub(super) Viewer);

/// A job, and the viewer who may see it. Jobs of others are not found.
pub(super) struct ViewedJob {
    pub(super) viewer: Viewer,
    pub(super) job: StoredJob,
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
        viewer_of(state, &parts.headers).await
    }
}

impl FromRequestParts<Arc<ServiceState>> for Operator {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        operator_of(state, &parts.headers).await.map(Operator)
    }
}

impl FromRequestParts<Arc<ServiceState>> for ViewedJob {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, PageError> {
        let path = Path::<JobPath>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|error: PathRejection| PageError::Message(error.status(), error.body_text()))?;
        let viewer = viewer_of(state, &parts.headers).await?;
        let job = job_of(state, &viewer, path).await?;
        Ok(ViewedJob { viewer, job })
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
pub(super) fn require_operator(viewer: &Viewer) -> Result<(), PageError> {
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

/// The fields of a form, without a check of where it comes from.
pub(super) async fn unprotected_form(body: Body) -> Result<Vec<(String, String)>, PageError> {
    let body = body::read(body).await.map_err(|error| PageError::Message(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

/// The fields of a form that the viewer's own page sent.
pub(super) async fn form(viewer: &Viewer, body: Body) -> Result<Vec<(String, String)>, PageError> {
    let fields = unprotected_form(body).await?;
    match value(&fields, "csrf") == viewer.csrf {
        true => Ok(fields),
        false => {
            let message = "the form is too old, or was sent by another site: load the page again".to_owned();
            Err(PageError::Message(StatusCode::FORBIDDEN, message))
        }
    }
}
