//! Who looks at a page.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::PageError;
use crate::api::Api;
use crate::store::{Actor, JobKey, Role, StoreError, StoredJob};

/// The cookie of a session. `__Host-` would need TLS, which loopback has not.
pub(super) const COOKIE_NAME: &str = "drive-agent-session";

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) actor: Actor,
    pub(super) name: String,
    pub(super) is_operator: bool,
    pub(super) csrf: String,
}

/// The secret of the session's cookie.
pub(super) fn secret_of(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE_NAME)
}

/// What a cookie holds.
pub(super) fn cookie_of<'headers>(headers: &'headers HeaderMap, wanted: &str) -> Option<&'headers str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    cookies.filter_map(|cookie| cookie.trim().split_once('=')).find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// Who looks.
pub(super) async fn viewer(api: &Api, headers: &HeaderMap) -> Result<Viewer, PageError> {
    let secret = secret_of(headers).ok_or(PageError::LoggedOut)?;
    let session = api.store.session(secret, api.station.now()).await?.ok_or(PageError::LoggedOut)?;
    Ok(Viewer {
        name: session.actor.name.clone(),
        is_operator: session.actor.role == Role::Operator,
        csrf: session.csrf,
        actor: session.actor,
    })
}

/// An operator.
pub(super) async fn operator(api: &Api, headers: &HeaderMap) -> Result<Viewer, PageError> {
    let viewer = viewer(api, headers).await?;
    match viewer.is_operator {
        true => Ok(viewer),
        false => Err(PageError::Message(axum::http::StatusCode::FORBIDDEN, "this page is for operators".to_owned())),
    }
}

/// The fields of a form that the viewer's own page sent.
pub(super) fn fields(viewer: &Viewer, body: &[u8]) -> Result<Vec<(String, String)>, PageError> {
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    match value(&fields, "csrf") == viewer.csrf {
        true => Ok(fields),
        false => {
            let message = "the form is too old, or was sent by another site: load the page again".to_owned();
            Err(PageError::Message(axum::http::StatusCode::FORBIDDEN, message))
        }
    }
}

/// A field of a form; empty where it is absent.
pub(super) fn value<'fields>(fields: &'fields [(String, String)], name: &str) -> &'fields str {
    fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
}

/// A job that the viewer may see; others are not there.
pub(super) async fn job_of(api: &Api, viewer: &Viewer, place: (String, String, String)) -> Result<StoredJob, PageError> {
    let (subscription, resource_group, name) = place;
    let key = JobKey { subscription, resource_group, name };
    if !viewer.actor.may_use(&key.subscription) {
        return Err(StoreError::NotFound(key.name).into());
    }
    Ok(api.store.get(&key).await?)
}
