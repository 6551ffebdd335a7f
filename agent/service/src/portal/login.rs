//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use serde::Deserialize;

use super::access::{COOKIE_NAME, Viewer, cookie_of, fields, secret_of, value, viewer};
use super::{PageError, render};
use crate::api::{Api, body_of, may_try, who_bears};
use crate::entra::{Entra, LOGIN_LASTS, SignInError};
use crate::store::{Actor, SESSION_LASTS};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    title: &'static str,
    viewer: Option<Viewer>,
    error: Option<String>,
    has_sign_in: bool,
}

fn page(api: &Api, status: StatusCode, error: Option<String>) -> Response {
    let has_sign_in = api.access.entra().is_some_and(Entra::has_sign_in);
    let mut response = render(&LoginPage { title: "Log in", viewer: None, error, has_sign_in });
    *response.status_mut() = status;
    response
}

/// Shown where somebody comes back from another site: what is loaded from here is asked for by this site again, and so
/// comes with the session's strict cookie.
#[derive(Template)]
#[template(path = "arrived.html")]
struct ArrivedPage {
    title: &'static str,
    viewer: Option<Viewer>,
}

/// Where the browser comes back to.
pub(super) const ARRIVAL: &str = "/portal/login/entra/done";

/// The cookie of a login under way. It has to come back from another site: lax, and only here.
const LOGIN_COOKIE: &str = "drive-agent-login";

/// Where each begins: staff at the bays, customers at their jobs.
pub(super) async fn home(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    Ok(Redirect::to(if viewer.is_operator { "/portal/bays" } else { "/portal/jobs" }).into_response())
}

pub(super) async fn show(State(api): State<Arc<Api>>) -> Response {
    page(&api, StatusCode::OK, None)
}

pub(super) async fn log_in(State(api): State<Arc<Api>>, request: Request) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    let body = body_of(body).await.map_err(|message| PageError::Message(StatusCode::BAD_REQUEST, message))?;
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let token = value(&form, "token").trim();
    let Some((actor, has_token)) = who_bears(&api, token).await? else {
        let (status, error) = match may_try(&api, &parts) {
            true => (StatusCode::UNAUTHORIZED, "The token is unknown, was taken back, or has expired."),
            false => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts: wait a moment."),
        };
        return Ok(page(&api, status, Some(error.to_owned())));
    };
    let mut response = Redirect::to("/portal/").into_response();
    open_session(&api, &mut response, &actor, has_token).await?;
    Ok(response)
}

async fn open_session(api: &Api, response: &mut Response, actor: &Actor, has_token: bool) -> Result<(), PageError> {
    let secret = api.store.open_session(actor, has_token, api.station.now()).await?;
    let lasts = SESSION_LASTS.whole_seconds();
    set_cookie(api, response, &format!("{COOKIE_NAME}={secret}; Path=/portal; HttpOnly; SameSite=Strict; Max-Age={lasts}"));
    Ok(())
}

fn set_cookie(api: &Api, response: &mut Response, cookie: &str) {
    let secure = if api.scheme == "https" { "; Secure" } else { "" };
    if let Ok(cookie) = HeaderValue::from_str(&format!("{cookie}{secure}")) {
        response.headers_mut().append("set-cookie", cookie);
    }
}

/// Goes to log in at the organization's own page.
pub(super) async fn depart(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let Some(entra) = api.access.entra().filter(|entra| entra.has_sign_in()) else {
        return page(&api, StatusCode::NOT_FOUND, Some("Only tokens are known here.".to_owned()));
    };
    if !may_try(&api, &parts) {
        return page(&api, StatusCode::TOO_MANY_REQUESTS, Some("Too many attempts: wait a moment.".to_owned()));
    }
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = api.public_url.clone().unwrap_or_else(|| format!("{}://{host}", api.scheme));
    match entra.depart(format!("{base}{ARRIVAL}")).await {
        Ok(departure) => {
            let mut response = Redirect::to(&departure.location).into_response();
            let (state, lasts) = (departure.state, LOGIN_LASTS.as_secs());
            let cookie = format!("{LOGIN_COOKIE}={state}; Path={ARRIVAL}; HttpOnly; SameSite=Lax; Max-Age={lasts}");
            set_cookie(&api, &mut response, &cookie);
            response
        }
        Err(error) => page(&api, StatusCode::BAD_GATEWAY, Some(error.to_string())),
    }
}

/// What a browser brings back.
#[derive(Deserialize)]
pub(super) struct Arrival {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    /// Why there is no code.
    error: Option<String>,
}

/// Comes back from there.
pub(super) async fn arrive(State(api): State<Arc<Api>>, Query(arrival): Query<Arrival>, headers: HeaderMap) -> Response {
    let refused = |error: String| page(&api, StatusCode::UNAUTHORIZED, Some(error));
    let Some(entra) = api.access.entra() else { return refused("Only tokens are known here.".to_owned()) };
    if let Some(error) = arrival.error {
        return refused(format!("The login service said no ({error}): try again, or use a token."));
    }
    // Whoever follows somebody else's link has begun nothing.
    if cookie_of(&headers, LOGIN_COOKIE) != Some(arrival.state.as_str()) {
        return refused(SignInError::Unknown.to_string());
    }
    let actor = match entra.arrive(&arrival.state, &arrival.code).await {
        Ok(actor) => actor,
        Err(error) => return refused(error.to_string()),
    };
    let mut response = render(&ArrivedPage { title: "You are logged in", viewer: None });
    match open_session(&api, &mut response, &actor, false).await {
        Ok(()) => response,
        Err(error) => error.into_response(),
    }
}

pub(super) async fn log_out(State(api): State<Arc<Api>>, request: Request) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    let viewer = viewer(&api, &parts.headers).await?;
    let body = body_of(body).await.map_err(|message| PageError::Message(StatusCode::BAD_REQUEST, message))?;
    fields(&viewer, &body)?;
    if let Some(secret) = secret_of(&parts.headers) {
        api.store.close_session(secret).await?;
    }
    let mut response = Redirect::to("/portal/login").into_response();
    let cookie = HeaderValue::from_static("drive-agent-session=; Path=/portal; Max-Age=0; HttpOnly; SameSite=Strict");
    response.headers_mut().insert("set-cookie", cookie);
    Ok(response)
}
