//! Server-sent events: how the bays, or a job, stand whenever that changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use tokio::sync::watch;

use super::access::{StreamPlace, actor_of, bearer};
use super::answer::ApiError;
use super::response::response;
use super::{Api, Call};
use crate::store::{JobKey, StoreError};

/// A line without content comes this often, so that both sides know of each other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often a job is looked at.
const BEAT: Duration = Duration::from_millis(500);

/// How often it is asked whether the bearer may still watch.
const ACCESS_BEAT: Duration = Duration::from_secs(30);

/// Who watches, and whether they still may.
struct Viewer {
    api: Arc<Api>,
    call: Call,
    checked: Instant,
    _place: StreamPlace,
}

impl Viewer {
    fn new(api: &Arc<Api>, call: Call) -> Result<Self, ApiError> {
        let message = || "too many streams of events are open: close some".to_owned();
        let place = api.access.stream(&call.actor.name).ok_or_else(|| ApiError::new(429, "TooManyRequests", message()))?;
        Ok(Viewer { api: api.clone(), call, checked: Instant::now(), _place: place })
    }

    /// A token that was taken back, or has expired, ends its streams.
    async fn may_watch(&mut self) -> bool {
        if self.checked.elapsed() < ACCESS_BEAT {
            return true;
        }
        self.checked = Instant::now();
        let Some(token) = bearer(&self.call.headers) else { return false };
        actor_of(&self.api, token).await.is_ok_and(|actor| actor.as_ref() == Some(&self.call.actor))
    }
}

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// `event: bays` with all bays, at once and whenever they change.
pub(super) fn bays(api: &Arc<Api>, call: Call) -> Result<Response, ApiError> {
    struct Watcher {
        viewer: Viewer,
        shown: watch::Receiver<Arc<str>>,
        is_first: bool,
    }
    let watcher = Watcher { viewer: Viewer::new(api, call)?, shown: api.station.watch(), is_first: true };
    Ok(answer(stream::unfold(watcher, |mut watcher| async move {
        if std::mem::take(&mut watcher.is_first) {
            let bays = watcher.viewer.api.station.bays().await.ok()?;
            let text = serde_json::to_string(&bays).ok()?;
            return Some((Ok(Event::default().event("bays").data(text)), watcher));
        }
        loop {
            if !watcher.viewer.may_watch().await {
                return None;
            }
            tokio::select! {
                changed = watcher.shown.changed() => {
                    changed.ok()?;
                    let text = watcher.shown.borrow_and_update().clone();
                    return Some((Ok(Event::default().event("bays").data(&*text)), watcher));
                }
                () = tokio::time::sleep(ACCESS_BEAT) => {}
                () = watcher.viewer.api.closing.cancelled() => return None,
            }
        }
    })))
}

/// `event: job` with the job, at once and whenever it changes; `event: gone` when it was removed, and the end.
pub(super) fn job(api: &Arc<Api>, call: Call, key: JobKey) -> Result<Response, ApiError> {
    struct Watcher {
        viewer: Viewer,
        key: JobKey,
        last: Option<String>,
        is_over: bool,
    }
    let watcher = Watcher { viewer: Viewer::new(api, call)?, key, last: None, is_over: false };
    Ok(answer(stream::unfold(watcher, |mut watcher| async move {
        while !watcher.is_over && watcher.viewer.may_watch().await {
            let api = watcher.viewer.api.clone();
            if watcher.last.is_some() {
                // Something always changes while it is copied: never faster than the beat.
                tokio::select! {
                    () = tokio::time::sleep(BEAT) => {}
                    () = api.closing.cancelled() => return None,
                }
            }
            match api.store.get(&watcher.key).await {
                Ok(job) => {
                    let text = serde_json::to_string(&response(&api, &job)).ok()?;
                    if watcher.last.as_ref() != Some(&text) {
                        watcher.last = Some(text.clone());
                        return Some((Ok(Event::default().event("job").data(text)), watcher));
                    }
                }
                Err(StoreError::NotFound(_)) => {
                    watcher.is_over = true;
                    return Some((Ok(Event::default().event("gone").data("{}")), watcher));
                }
                Err(_) => return None,
            }
        }
        None
    })))
}
