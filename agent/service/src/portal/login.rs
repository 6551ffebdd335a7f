//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::extract::{form, login_form};
use super::forms::value;
use super::page::{PageError, render};
use super::viewer::{COOKIE_NAME, Viewer, cookie_of, secret_of};
use crate::entra::{Entra, SIGN_IN_TIMEOUT, SignInError};
use crate::http::look_up;
use crate::state::ServiceState;
use crate::store::{Actor, Role, SESSION_LASTS, TokenOrigin};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    title: &'static str,
    viewer: Option<Viewer>,
    error: Option<String>,
    has_sign_in: bool,
}

fn page(state: &ServiceState, status: StatusCode, error: Option<String>) -> Response {
    let has_sign_in = state.access.entra().is_some_and(Entra::has_sign_in);
    let mut response = render(&LoginPage { title: "Log in", viewer: None, error, has_sign_in });
    *response.status_mut() = status;
    response
}

/// Shown when the browser comes back from the issuer. The page that it loads is asked for by this site, and so comes with
/// the session's strict cookie.
#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage {
    title: &'static str,
    viewer: Option<Viewer>,
}

/// Where the browser comes back to.
pub(super) const SIGN_IN_RETURN: &str = "/portal/login/entra/done";

/// The cookie of a login under way. The browser brings it back from another site, so it is `SameSite=Lax`, and for this
/// path alone.
const LOGIN_COOKIE: &str = "drive-agent-login";

/// The first page: the bays for operators, the jobs for customers.
pub(super) async fn home(viewer: Viewer) -> Redirect {
    Redirect::to(if viewer.is_operator { "/portal/bays" } else { "/portal/jobs" })
}

pub(super) async fn show(State(state): State<Arc<ServiceState>>) -> Response {
    page(&state, StatusCode::OK, None)
}

pub(super) async fn log_in(State(state): State<Arc<ServiceState>>, request: Request) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    let form = login_form(body).await?;
    let token = value(&form, "token").trim();
    let Some((actor, origin)) = state.access.identify(&state.store, look_up(&parts.extensions), token).await? else {
        let (status, error) = match state.access.allows_attempt(&parts) {
            true => (StatusCode::UNAUTHORIZED, "The token is unknown, was taken back, or has expired."),
            false => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts: wait a moment."),
        };
        return Ok(page(&state, status, Some(error.to_owned())));
    };
    if actor.role == Role::Station {
        let error = "This is the token of a station: log in with one of your own.".to_owned();
        return Ok(page(&state, StatusCode::FORBIDDEN, Some(error)));
    }
    let mut response = Redirect::to("/portal/").into_response();
    open_session(&state, &mut response, &actor, origin).await?;
    Ok(response)
}

async fn open_session(
    state: &ServiceState,
    response: &mut Response,
    actor: &Actor,
    origin: TokenOrigin,
) -> Result<(), PageError> {
    let secret = state.store.open_session(actor, origin, state.scheduler.now()).await?;
    let lasts = SESSION_LASTS.whole_seconds();
    set_cookie(state, response, &format!("{COOKIE_NAME}={secret}; Path=/portal; HttpOnly; SameSite=Strict; Max-Age={lasts}"));
    Ok(())
}

fn set_cookie(state: &ServiceState, response: &mut Response, cookie: &str) {
    let secure = if state.is_https() { "; Secure" } else { "" };
    if let Ok(cookie) = HeaderValue::from_str(&format!("{cookie}{secure}")) {
        response.headers_mut().append("set-cookie", cookie);
    }
}

/// Sends the browser to log in at the issuer.
pub(super) async fn begin_sign_in(State(state): State<Arc<ServiceState>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let Some(entra) = state.access.entra().filter(|entra| entra.has_sign_in()) else {
        return page(&state, StatusCode::NOT_FOUND, Some("Only tokens are known here.".to_owned()));
    };
    if !state.access.allows_attempt(&parts) {
        return page(&state, StatusCode::TOO_MANY_REQUESTS, Some("Too many attempts: wait a moment.".to_owned()));
    }
    let base = state.base_url(parts.headers.get(HOST).and_then(|host| host.to_str().ok()));
    match entra.begin_sign_in(format!("{base}{SIGN_IN_RETURN}")).await {
        Ok(redirect) => {
            let mut response = Redirect::to(&redirect.location).into_response();
            let (secret, lasts) = (redirect.state, SIGN_IN_TIMEOUT.as_secs());
            let cookie = format!("{LOGIN_COOKIE}={secret}; Path={SIGN_IN_RETURN}; HttpOnly; SameSite=Lax; Max-Age={lasts}");
            set_cookie(&state, &mut response, &cookie);
            response
        }
        Err(error) => page(&state, StatusCode::BAD_GATEWAY, Some(error.to_string())),
    }
}

/// What the browser brings back from the issuer.
#[derive(Deserialize)]
pub(super) struct SignInQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    /// Why there is no code.
    error: Option<String>,
}

/// Completes a login when the browser comes back.
pub(super) async fn complete_sign_in(
    State(state): State<Arc<ServiceState>>,
    Query(query): Query<SignInQuery>,
    headers: HeaderMap,
) -> Response {
    let refused = |error: String| page(&state, StatusCode::UNAUTHORIZED, Some(error));
    let Some(entra) = state.access.entra() else { return refused("Only tokens are known here.".to_owned()) };
    if let Some(error) = query.error {
        return refused(format!("The login service said no ({error}): try again, or use a token."));
    }
    // A link of another person's login must not log this browser in.
    if cookie_of(&headers, LOGIN_COOKIE) != Some(query.state.as_str()) {
        return refused(SignInError::Unknown.to_string());
    }
    let (actor, expires_at) = match entra.complete_sign_in(&query.state, &query.code).await {
        Ok(found) => found,
        Err(error) => return refused(error.to_string()),
    };
    let mut response = render(&SignedInPage { title: "You are logged in", viewer: None });
    match open_session(&state, &mut response, &actor, TokenOrigin::Entra { expires_at }).await {
        Ok(()) => response,
        Err(error) => error.into_response(),
    }
}

pub(super) async fn log_out(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    form(&viewer, body).await?;
    if let Some(secret) = secret_of(&parts.headers) {
        state.store.close_session(secret).await?;
    }
    let mut response = Redirect::to("/portal/login").into_response();
    let cookie = HeaderValue::from_static("drive-agent-session=; Path=/portal; Max-Age=0; HttpOnly; SameSite=Strict");
    response.headers_mut().insert("set-cookie", cookie);
    Ok(response)
}
