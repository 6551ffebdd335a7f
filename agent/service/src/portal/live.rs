//! Pages that are kept up to date: server-sent events that carry the part of a page that changes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::response::sse::Event;
use futures::stream;

use super::bays::BaysQuery;
use super::extract::{DrivePath, JobPath, Operator, PageQuery, job_of, operator_of, viewer_of};
use super::jobs::JobsQuery;
use super::page::PageError;
use super::viewer::Viewer;
use super::{bays as bays_page, drive as drive_page, job as job_page, jobs as jobs_page};
use crate::http::events::{StreamSlot, answer};
use crate::state::ServiceState;

/// Time between two looks at what a page shows; it is sent where it changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The same for lists: jobs change state by the minute, and counting many takes a while.
const LIST_INTERVAL: Duration = Duration::from_secs(3);

/// A page that is kept up to date.
struct Watcher {
    state: Arc<ServiceState>,
    headers: HeaderMap,
    /// What was sent last.
    last: Option<String>,
    interval: Duration,
    _slot: StreamSlot,
}

impl Watcher {
    fn new(state: Arc<ServiceState>, headers: HeaderMap, viewer: &Viewer) -> Result<Self, PageError> {
        let slot = state.access.open_stream(&viewer.actor).ok_or_else(|| {
            let message = "too many pages are open: close some".to_owned();
            PageError::Message(StatusCode::TOO_MANY_REQUESTS, message)
        })?;
        Ok(Watcher { state, headers, last: None, interval: LOOK_INTERVAL, _slot: slot })
    }

    /// Waits for the time of the next look, except for the first; false when the service stops. Something always changes
    /// while drives are copied: an event is never sent more often than this.
    async fn next_look(&self) -> bool {
        if self.last.is_none() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(self.interval) => true,
            () = self.state.closing.cancelled() => false,
        }
    }

    /// The event that sends this text; `None` where it was sent before.
    fn event(&mut self, text: String) -> Option<Event> {
        // Events cannot carry carriage returns.
        let text = if text.contains('\r') { text.replace('\r', " ") } else { text };
        if self.last.as_deref() == Some(&text) {
            return None;
        }
        self.last = Some(text.clone());
        Some(Event::default().event("live").data(text))
    }
}

/// The bays.
pub(super) async fn bays(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<BaysQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let watcher = Watcher::new(state, headers, &viewer)?;
    Ok(answer(stream::unfold((watcher, query), |(mut watcher, query)| async move {
        while watcher.next_look().await {
            // The stream ends with the session.
            let viewer = operator_of(&watcher.state, &watcher.headers).await.ok()?;
            let text = bays_page::live(&watcher.state, &viewer, &query).await.ok()?;
            if let Some(event) = watcher.event(text) {
                return Some((Ok(event), (watcher, query)));
            }
        }
        None
    })))
}

/// The list of jobs.
pub(super) async fn jobs(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    PageQuery(query): PageQuery<JobsQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    // A list that cannot be shown is an error, and not a stream.
    jobs_page::live(&state, &viewer, &query).await?;
    let watcher = Watcher { interval: LIST_INTERVAL, ..Watcher::new(state, headers, &viewer)? };
    Ok(answer(stream::unfold((watcher, query), |(mut watcher, query)| async move {
        while watcher.next_look().await {
            // The stream ends with the session.
            let viewer = viewer_of(&watcher.state, &watcher.headers).await.ok()?;
            let text = jobs_page::live(&watcher.state, &viewer, &query).await.ok()?;
            if let Some(event) = watcher.event(text) {
                return Some((Ok(event), (watcher, query)));
            }
        }
        None
    })))
}

/// A job; `gone` when it was removed.
pub(super) async fn job(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    Path(path): Path<JobPath>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    watch_job(state, headers, &viewer, path, None).await
}

/// A drive of a job; `gone` when the job was removed.
pub(super) async fn drive(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    Path(path): Path<JobPath>,
    Path(DrivePath { drive }): Path<DrivePath>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    watch_job(state, headers, &viewer, path, Some(drive)).await
}

/// What is watched: a job, or one of its drives.
struct JobWatch {
    watcher: Watcher,
    path: JobPath,
    drive: Option<String>,
    is_gone: bool,
}

impl JobWatch {
    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        while !self.is_gone && self.watcher.next_look().await {
            // The stream ends with the session.
            let viewer = viewer_of(&self.watcher.state, &self.watcher.headers).await.ok()?;
            let state = &self.watcher.state;
            let Ok(found) = job_of(state, &viewer, self.path.clone()).await else {
                self.is_gone = true;
                return Some(Event::default().event("gone").data("gone"));
            };
            let text = match &self.drive {
                None => job_page::live(state, &viewer, &found).await.ok()?,
                Some(drive) => drive_page::live(state, &viewer, &found, drive).ok()?,
            };
            if let Some(event) = self.watcher.event(text) {
                return Some(event);
            }
        }
        None
    }
}

async fn watch_job(
    state: Arc<ServiceState>,
    headers: HeaderMap,
    viewer: &Viewer,
    path: JobPath,
    drive: Option<String>,
) -> Result<Response, PageError> {
    // A job that does not exist is an error, and not a stream.
    job_of(&state, viewer, path.clone()).await?;
    let watch = JobWatch { watcher: Watcher::new(state, headers, viewer)?, path, drive, is_gone: false };
    Ok(answer(stream::unfold(watch, |mut watch| async move { watch.next().await.map(|event| (Ok(event), watch)) })))
}
