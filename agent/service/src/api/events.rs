//! Server-sent events: how the bays, or a job, stand whenever that changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};

use super::Api;
use super::response::response;
use crate::store::{JobKey, StoreError};

/// A line without content comes this often, so that both sides know of each other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often a job is looked at.
const BEAT: Duration = Duration::from_millis(500);

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// `event: bays` with all bays, at once and whenever they change.
pub(super) fn bays(api: &Arc<Api>) -> Response {
    struct Watcher {
        api: Arc<Api>,
        shown: tokio::sync::watch::Receiver<Arc<str>>,
        is_first: bool,
    }
    let watcher = Watcher { shown: api.station.watch(), api: api.clone(), is_first: true };
    answer(stream::unfold(watcher, |mut watcher| async move {
        let text: Arc<str> = if std::mem::take(&mut watcher.is_first) {
            let bays = watcher.api.station.bays().await.ok()?;
            serde_json::to_string(&bays).ok()?.into()
        } else {
            tokio::select! {
                changed = watcher.shown.changed() => changed.ok()?,
                () = watcher.api.closing.cancelled() => return None,
            }
            watcher.shown.borrow_and_update().clone()
        };
        Some((Ok(Event::default().event("bays").data(&*text)), watcher))
    }))
}

/// `event: job` with the job, at once and whenever it changes; `event: gone` when it was removed, and the end.
pub(super) fn job(api: &Arc<Api>, key: JobKey) -> Response {
    struct Watcher {
        api: Arc<Api>,
        key: JobKey,
        last: Option<String>,
        is_over: bool,
    }
    let watcher = Watcher { api: api.clone(), key, last: None, is_over: false };
    answer(stream::unfold(watcher, |mut watcher| async move {
        if watcher.is_over {
            return None;
        }
        loop {
            match watcher.api.store.get(&watcher.key).await {
                Ok(job) => {
                    let text = serde_json::to_string(&response(&watcher.api, &job)).ok()?;
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
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = watcher.api.closing.cancelled() => return None,
            }
        }
    }))
}
