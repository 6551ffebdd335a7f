//! What changes while somebody looks, as server-sent events that carry the part of the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};

use super::PageError;
use super::access::{Viewer, job_of, operator, viewer};
use super::drive::DrivePlace;
use crate::api::{Api, StreamPlace};

/// How often a page is made again; it is sent where it changed.
const BEAT: Duration = Duration::from_secs(1);

/// A line without content comes this often, so that both sides know of each other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Somebody who watches.
struct Watcher {
    api: Arc<Api>,
    headers: HeaderMap,
    last: Option<String>,
    _place: StreamPlace,
}

impl Watcher {
    fn new(api: &Arc<Api>, headers: HeaderMap, viewer: &Viewer) -> Result<Self, PageError> {
        let place = api.access.stream(&viewer.actor.name).ok_or_else(|| {
            let message = "too many pages are open: close some".to_owned();
            PageError::Message(axum::http::StatusCode::TOO_MANY_REQUESTS, message)
        })?;
        Ok(Watcher { api: api.clone(), headers, last: None, _place: place })
    }

    /// Waits for the next beat; false where the service stops.
    async fn beat(&self) -> bool {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => true,
            () = self.api.closing.cancelled() => false,
        }
    }

    /// Whether this is new.
    fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.last.as_deref() != Some(text);
        if is_new {
            self.last = Some(text.to_owned());
        }
        is_new
    }
}

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Events know no carriage returns.
fn one_kind_of_line_end(text: String) -> String {
    if text.contains('\r') { text.replace('\r', " ") } else { text }
}

/// The bays.
pub(super) async fn bays(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, PageError> {
    let viewer = operator(&api, &headers).await?;
    let watcher = Watcher::new(&api, headers, &viewer)?;
    Ok(answer(stream::unfold(watcher, |mut watcher| async move {
        loop {
            // Something always changes while bays copy: never faster than the beat.
            if watcher.last.is_some() && !watcher.beat().await {
                return None;
            }
            // Whoever was logged out, or whose token was taken back, sees no more.
            let viewer = operator(&watcher.api, &watcher.headers).await.ok()?;
            let text = one_kind_of_line_end(super::bays::live(&watcher.api, &viewer).await.ok()?);
            if watcher.is_new(&text) {
                return Some((Ok(Event::default().event("live").data(text)), watcher));
            }
        }
    })))
}

/// A job; `gone` when it was removed.
pub(super) async fn job(
    State(api): State<Arc<Api>>,
    Path(place): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    of_job(api, headers, place, None).await
}

/// A drive of a job; `gone` when the job was removed.
pub(super) async fn drive(
    State(api): State<Arc<Api>>,
    Path((subscription, group, name, drive)): Path<DrivePlace>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    of_job(api, headers, (subscription, group, name), Some(drive)).await
}

async fn of_job(
    api: Arc<Api>,
    headers: HeaderMap,
    place: (String, String, String),
    drive: Option<String>,
) -> Result<Response, PageError> {
    let first = viewer(&api, &headers).await?;
    job_of(&api, &first, place.clone()).await?;
    let watcher = (Watcher::new(&api, headers, &first)?, place, drive);
    Ok(answer(stream::unfold(watcher, |(mut watcher, place, drive)| async move {
        loop {
            if watcher.last.is_some() && !watcher.beat().await {
                return None;
            }
            let viewer = viewer(&watcher.api, &watcher.headers).await.ok()?;
            let text = match (job_of(&watcher.api, &viewer, place.clone()).await, &drive) {
                (Ok(job), None) => super::job::live(&watcher.api, &viewer, &job).await.ok()?,
                (Ok(job), Some(drive)) => super::drive::live(&watcher.api, &viewer, &job, drive).ok()?,
                (Err(_), _) if watcher.last.as_deref() == Some("") => return None,
                (Err(_), _) => {
                    watcher.last = Some(String::new());
                    return Some((Ok(Event::default().event("gone").data("gone")), (watcher, place, drive)));
                }
            };
            let text = one_kind_of_line_end(text);
            if watcher.is_new(&text) {
                return Some((Ok(Event::default().event("live").data(text)), (watcher, place, drive)));
            }
        }
    })))
}
