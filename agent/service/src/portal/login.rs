//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::access::{COOKIE_NAME, Viewer, fields, secret_of, value, viewer};
use super::{PageError, render};
use crate::api::{Api, body_of, may_try, who_bears};
use crate::store::SESSION_LASTS;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    title: &'static str,
    viewer: Option<Viewer>,
    error: Option<&'static str>,
}

fn page(error: Option<&'static str>) -> Response {
    render(&LoginPage { title: "Log in", viewer: None, error })
}

/// Where each begins: staff at the bays, customers at their jobs.
pub(super) async fn home(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    Ok(Redirect::to(if viewer.is_operator { "/portal/bays" } else { "/portal/jobs" }).into_response())
}

pub(super) async fn show() -> Response {
    page(None)
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
        let mut response = page(Some(error));
        *response.status_mut() = status;
        return Ok(response);
    };
    let secret = api.store.open_session(&actor, has_token, api.station.now()).await?;
    let secure = if api.scheme == "https" { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE_NAME}={secret}; Path=/portal; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        SESSION_LASTS.whole_seconds()
    );
    let mut response = Redirect::to("/portal/").into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert("set-cookie", cookie);
    }
    Ok(response)
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
