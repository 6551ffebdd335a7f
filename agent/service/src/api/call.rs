//! A request whose actor is known: authentication, parameters, and the body.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use protocol::arm::{API_VERSIONS, PutJob, UpdateJob, read_body, read_job_body, read_update_body};
use serde::de::DeserializeOwned;

use super::answer::ApiError;
use crate::http::{Lookup, body, look_up};
use crate::state::ServiceState;
use crate::store::{Actor, Precondition, Role, StoreError, Versions};

/// A request whose actor is known: 401 without a valid token, 429 where there were too many requests.
pub(super) struct Call {
    pub(super) actor: Actor,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// `https://host`, for links.
    pub(super) base: String,
    pub(super) path: String,
    pub(super) method: Method,
}

impl Call {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters that a list of ours has not: a misspelt filter would answer everything. (The published API takes no
    /// notice of them, and so do we there.)
    pub(super) fn require_known(&self, known: &[&str]) -> Result<(), ApiError> {
        let is_known = |key: &str| known.iter().chain(&["api-version"]).any(|name| key.eq_ignore_ascii_case(name));
        let Some((key, _)) = self.query.iter().find(|(key, _)| !is_known(key)) else { return Ok(()) };
        let message = format!("`{key}` is not a parameter of this list: it has `{}`", known.join("`, `"));
        Err(ApiError::at(400, "InvalidQueryParameter", message, key))
    }

    /// The address of this request with another value of one parameter.
    pub(super) fn link_with(&self, name: &str, value: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.query.iter().filter(|(key, _)| !key.eq_ignore_ascii_case(name)));
        query.append_pair(name, value);
        format!("{}{}?{}", self.base, self.path, query.finish())
    }

    /// The parameter `api-version` must name a version that is understood.
    pub(super) fn require_version(&self) -> Result<(), ApiError> {
        let known = API_VERSIONS.join("`, `");
        match self.parameter("api-version") {
            None => {
                let message = format!("say `?api-version=` one of `{known}`");
                Err(ApiError::new(400, "MissingApiVersionParameter", message))
            }
            Some(version) if !API_VERSIONS.contains(&version) => {
                let message = format!("`{version}` is not a version of this API: it is one of `{known}`");
                Err(ApiError::at(400, "InvalidApiVersionParameter", message, "api-version"))
            }
            Some(_) => Ok(()),
        }
    }

    /// What the request says of the version of the job: `If-Match` and `If-None-Match`.
    pub(super) fn precondition(&self) -> Precondition {
        Precondition { matches: self.versions("if-match"), matches_none: self.versions("if-none-match") }
    }

    /// The versions that a header names. An ETag that the service never gave is that of no version.
    fn versions(&self, header: &str) -> Option<Versions> {
        let values: Vec<&str> = self.headers.get_all(header).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        if values.is_empty() {
            return None;
        }
        let tags = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        // A weak comparison: versions are the same or not, whatever a proxy made of the tag.
        let version = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').parse().ok();
        match tags.clone().any(|tag| tag == "*") {
            true => Some(Versions::Any),
            false => Some(Versions::OneOf(tags.filter_map(version).collect())),
        }
    }

    /// Whether the token still names the same actor.
    ///
    /// # Errors
    /// When the database fails: that says nothing about the token.
    pub(super) async fn is_still_valid(&self, state: &ServiceState) -> Result<bool, StoreError> {
        let Some(token) = bearer(&self.headers) else { return Ok(false) };
        Ok(actor_of(state, None, token).await?.as_ref() == Some(&self.actor))
    }
}

/// A request of an operator: as [`Call`], and 403 for customers.
pub(super) struct OperatorCall(pub(super) Call);

impl FromRequestParts<Arc<ServiceState>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, ApiError> {
        let actor = authenticate(state, parts).await?;
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let base = state.base_url(parts.headers.get(HOST).and_then(|host| host.to_str().ok()));
        // A router below another one sees the end of its path alone.
        let whole = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let (path, method, headers) = (whole.path().to_owned(), parts.method.clone(), parts.headers.clone());
        Ok(Call { actor, query, headers, base, path, method })
    }
}

impl FromRequestParts<Arc<ServiceState>> for OperatorCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ServiceState>) -> Result<Self, ApiError> {
        let call = Call::from_request_parts(parts, state).await?;
        match call.actor.role {
            Role::Operator => Ok(OperatorCall(call)),
            Role::Customer(_) | Role::Station => {
                Err(ApiError::new(403, "AuthorizationFailed", "this is for operators".to_owned()))
            }
        }
    }
}

/// The JSON of a body.
pub(super) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    Ok(read_body(&body::read(body).await?)?)
}

/// The document of a job in a body.
pub(super) async fn job(body: Body) -> Result<PutJob, ApiError> {
    Ok(read_job_body(&body::read(body).await?)?)
}

/// An update of a job in a body.
pub(super) async fn update(body: Body) -> Result<UpdateJob, ApiError> {
    Ok(read_update_body(&body::read(body).await?)?)
}

async fn authenticate(state: &ServiceState, parts: &Parts) -> Result<Actor, ApiError> {
    let token = bearer(&parts.headers);
    let actor = match token {
        Some(token) => actor_of(state, look_up(&parts.extensions), token).await?,
        None => None,
    };
    let Some(actor) = actor else {
        let is_allowed = match token {
            // It guesses nothing, and costs as little as what needs no token.
            None => state.access.allows_anonymous(parts),
            Some(_) => state.access.allows_attempt(parts),
        };
        if !is_allowed {
            return Err(ApiError::too_many_requests());
        }
        let message = match token {
            None => "send a token: `Authorization: Bearer TOKEN`",
            Some(_) => "the token is unknown, or was taken back, or has expired",
        };
        return Err(ApiError::new(401, "AuthenticationFailed", message.to_owned()));
    };
    if state.access.allows_request(parts, &actor) { Ok(actor) } else { Err(ApiError::too_many_requests()) }
}

/// The actor of a token; `None` if it is invalid.
async fn actor_of(state: &ServiceState, lookup: Option<Lookup>, token: &str) -> Result<Option<Actor>, StoreError> {
    Ok(state.access.identify(&state.store, lookup, token).await?.map(|(actor, _)| actor))
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
