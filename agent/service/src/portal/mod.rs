//! The portal: what staff and customers look at. Pages are rendered here from the same types as the API answers with;
//! what may be done is asked of the same `decide`. Live parts come as server-sent events; without scripts a page is
//! reloaded.
//!
//! | file | page |
//! |---|---|
//! | `access` | who looks: sessions, and the forms' protection |
//! | `login` | logging in and out |
//! | `bays` | the station, card by card (operators) |
//! | `docking` | docking, checking in and taking out by hand (operators) |
//! | `jobs` | the list of jobs |
//! | `job` | one job: drives, receipts, history |
//! | `drive` | one drive of a job, and its documents |
//! | `actions` | what is done with a job |
//! | `new` | the form of a new job |
//! | `offers` | what may be done now |
//! | `forms`, `bars`, `copy_card` | parts of pages |
//! | `live` | what changes while somebody looks |
//!
//! # What keeps it safe
//! A strict content security policy (nothing inline, nothing from elsewhere), cookies that scripts and other sites
//! cannot use, a secret in every form, and every text escaped by its template.

mod access;
mod actions;
mod bars;
mod bays;
mod copy_card;
mod docking;
mod drive;
mod forms;
mod job;
mod jobs;
mod live;
mod login;
mod new;
mod offers;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::api::Api;
use crate::station::OrderError;
use crate::store::{JobKey, StoreError};
use access::Viewer;

/// Pages and their parts.
pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(async || Redirect::to("/portal/")))
        .route("/portal/", get(login::home))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/portal/login", get(login::show).post(login::log_in))
        .route("/portal/login/entra", get(login::depart))
        .route(login::ARRIVAL, get(login::arrive))
        .route("/portal/logout", post(login::log_out))
        .route("/portal/bays", get(bays::page))
        .route("/portal/jobs", get(jobs::page))
        .route("/portal/new", get(new::show).post(new::create))
        .route("/portal/job/{subscription}/{group}/{name}", get(job::page))
        .route("/portal/job/{subscription}/{group}/{name}/cancel", get(actions::ask_cancel))
        .route("/portal/job/{subscription}/{group}/{name}/ship", get(actions::ask_ship))
        .route("/portal/job/{subscription}/{group}/{name}/shipBack", get(actions::ask_ship_back))
        .route("/portal/job/{subscription}/{group}/{name}/delete", get(actions::ask_delete))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}", get(drive::page))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/retry", get(actions::ask_retry))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/file/{file}", get(drive::file))
        .route("/portal/job/{subscription}/{group}/{name}/receipts.json", get(job::receipts_file))
        .route("/portal/job/{subscription}/{group}/{name}/do/{action}", post(actions::carry_out))
        .route("/portal/bay/{bay}/dock", get(docking::ask_dock))
        .route("/portal/bay/{bay}/do/{action}", post(docking::carry_out))
        .route("/portal/check-in", get(docking::ask_check_in).post(docking::check_in))
        .route("/portal/events/bays", get(live::bays))
        .route("/portal/events/job/{subscription}/{group}/{name}", get(live::job))
        .route("/portal/events/job/{subscription}/{group}/{name}/drive/{drive}", get(live::drive))
        .route("/portal/assets/{file}", get(asset))
        .layer(from_fn(protect))
}

/// Scripts and styles from here alone, no frames, nothing kept in caches.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    headers.insert("content-security-policy", HeaderValue::from_static(policy));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("same-origin"));
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn asset(Path(file): Path<String>) -> Response {
    let (kind, text) = match file.as_str() {
        "portal.css" => ("text/css; charset=utf-8", include_str!("../../assets/portal.css")),
        "portal.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/portal.js")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([("content-type", kind), ("cache-control", "no-cache")], text).into_response()
}

/// Why a page cannot be shown.
#[derive(Debug)]
pub(super) enum PageError {
    /// Nobody is logged in, or not any more.
    LoggedOut,
    /// One sentence for the reader.
    Message(StatusCode, String),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) => PageError::Message(StatusCode::NOT_FOUND, message),
            StoreError::Vault(_) | StoreError::Damaged(_) | StoreError::Database(_) | StoreError::Migration(_) => {
                tracing::error!(error = message, "the store failed");
                let message = "the job service cannot reach its jobs: try again in a while".to_owned();
                PageError::Message(StatusCode::SERVICE_UNAVAILABLE, message)
            }
            _ => PageError::Message(StatusCode::CONFLICT, message),
        }
    }
}

impl From<OrderError> for PageError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Store(error) => error.into(),
            error => PageError::Message(StatusCode::CONFLICT, error.to_string()),
        }
    }
}

/// A page of which a part is told anew while somebody looks at it.
#[derive(Template)]
#[template(path = "live.html")]
struct LivePage {
    title: String,
    viewer: Option<Viewer>,
    /// Where the page belongs: a link, and what it is called.
    above: Option<(String, String)>,
    events: String,
    content: String,
}

/// The part of a page that changes.
fn live_part(part: &impl Template) -> Result<String, PageError> {
    part.render().map_err(|error| PageError::Message(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    title: &'static str,
    viewer: Option<Viewer>,
    message: String,
    back: &'static str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            PageError::LoggedOut => Redirect::to("/portal/login").into_response(),
            PageError::Message(status, message) => {
                let page = MessagePage { title: "That did not work", viewer: None, message, back: "/portal/" };
                let mut response = render(&page);
                *response.status_mut() = status;
                response
            }
        }
    }
}

/// A page as an answer.
fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([("content-type", "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            let mut response = Response::new(Body::from("the page could not be made"));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// A part of a path.
fn part(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// The address of a job's page.
fn job_link(key: &JobKey) -> String {
    format!("/portal/job/{}/{}/{}", part(&key.subscription), part(&key.resource_group), part(&key.name))
}

/// The address of the page of a job's drive.
fn drive_link(key: &JobKey, drive_id: &str) -> String {
    format!("{}/drive/{}", job_link(key), part(drive_id))
}

/// What the addresses about a bay begin with.
fn bay_link(bay: &str) -> String {
    format!("/portal/bay/{}", part(bay))
}

/// The job of a path in the API.
fn key_of_path(path: &str) -> Option<JobKey> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let [_, subscription, _, resource_group, _, _, _, name] = parts.as_slice() else { return None };
    let own = |text: &str| text.to_owned();
    Some(JobKey { subscription: own(subscription), resource_group: own(resource_group), name: own(name) })
}
