//! A page as an answer, and why a page cannot be shown.

use askama::Template;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::viewer::Viewer;
use crate::http::body::BodyReadError;
use crate::jobs::JobError;
use crate::store::StoreError;

/// Why a page cannot be shown.
#[derive(Debug)]
pub(super) enum PageError {
    /// There is no session, or it has ended.
    LoggedOut,
    /// One sentence for the reader.
    Message(StatusCode, String),
}

impl PageError {
    /// What the reader asked for is not there: one sentence.
    pub(super) fn not_found(message: String) -> Self {
        PageError::Message(StatusCode::NOT_FOUND, message)
    }

    /// The address names a place of a list that is none.
    pub(super) fn incomplete_address() -> Self {
        PageError::Message(StatusCode::BAD_REQUEST, "the address of this page is not complete".to_owned())
    }

    /// A part of the page could not be made.
    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        PageError::Message(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        if error.is_internal() {
            tracing::error!(error = message, "the store failed");
            let message = "the job service cannot reach its jobs: try again in a while".to_owned();
            return PageError::Message(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        match error {
            StoreError::NotFound(_) => PageError::Message(StatusCode::NOT_FOUND, message),
            StoreError::Unstorable => PageError::Message(StatusCode::BAD_REQUEST, message),
            StoreError::OutcomeUnknown(_) => PageError::Message(StatusCode::SERVICE_UNAVAILABLE, message),
            _ => PageError::Message(StatusCode::CONFLICT, message),
        }
    }
}

impl From<BodyReadError> for PageError {
    fn from(error: BodyReadError) -> Self {
        let status = match error {
            BodyReadError::Timeout => StatusCode::REQUEST_TIMEOUT,
            BodyReadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyReadError::Broken => StatusCode::BAD_REQUEST,
        };
        PageError::Message(status, error.to_string())
    }
}

impl From<JobError> for PageError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Store(error) => error.into(),
            error => PageError::Message(StatusCode::CONFLICT, error.to_string()),
        }
    }
}

/// A page with a part that is sent again while the page is open.
#[derive(Template)]
#[template(path = "live.html")]
pub(super) struct LivePage {
    pub(super) title: String,
    pub(super) viewer: Option<Viewer>,
    /// Where the page belongs: a link, and what it is called.
    pub(super) above: Option<(String, String)>,
    pub(super) events: String,
    pub(super) content: String,
}

/// Renders the part of a page that changes.
pub(super) fn live_part(part: &impl Template) -> Result<String, PageError> {
    part.render().map_err(PageError::internal)
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
                let mut response = message_page(None, message.clone());
                *response.status_mut() = status;
                // Who looks at it is known where the answer leaves.
                response.extensions_mut().insert(Failed(message));
                response
            }
        }
    }
}

/// What a page says that could not be shown.
#[derive(Clone)]
struct Failed(String);

/// The answer with the navigation, where it says that something failed to somebody who is logged in.
pub(super) fn with_navigation(response: Response, viewer: Viewer) -> Response {
    let Some(Failed(message)) = response.extensions().get().cloned() else { return response };
    let status = response.status();
    let mut response = message_page(Some(viewer), message);
    *response.status_mut() = status;
    response
}

/// Whether the answer says that something failed.
pub(super) fn has_failed(response: &Response) -> bool {
    response.extensions().get::<Failed>().is_some()
}

fn message_page(viewer: Option<Viewer>, message: String) -> Response {
    render(&MessagePage { title: "That did not work", viewer, message, back: "/portal/" })
}

/// An address that no page has.
pub(super) async fn unknown(_: Viewer) -> PageError {
    PageError::not_found("there is no such page: use the links above".to_owned())
}

/// Renders a page as an answer.
pub(super) fn render(page: &impl Template) -> Response {
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
