//! Server-sent events: the bays, or a job, whenever they change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use axum::response::sse::Event;
use futures::stream;
use tokio::sync::watch;

use super::answer::ApiError;
use super::call::Call;
use crate::http::events::{StreamSlot, answer};
use crate::state::ServiceState;
use crate::store::{JobKey, StoreError};

/// Time between two looks at a job.
const JOB_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two checks of a subscriber's token.
const ACCESS_INTERVAL: Duration = Duration::from_secs(30);

/// The client of a stream; its token is checked while it is open.
struct Subscriber {
    state: Arc<ServiceState>,
    call: Call,
    checked: Instant,
    _slot: StreamSlot,
}

impl Subscriber {
    fn new(state: &Arc<ServiceState>, call: Call) -> Result<Self, ApiError> {
        let message = || "too many streams of events are open: close some".to_owned();
        let slot = state.access.open_stream(&call.actor).ok_or_else(|| ApiError::new(429, "TooManyRequests", message()))?;
        Ok(Subscriber { state: state.clone(), call, checked: Instant::now(), _slot: slot })
    }

    /// False once the token was taken back or has expired.
    async fn may_continue(&mut self) -> bool {
        if self.checked.elapsed() < ACCESS_INTERVAL {
            return true;
        }
        self.checked = Instant::now();
        self.call.is_still_valid(&self.state).await.unwrap_or(false)
    }
}

/// `event: bays` with all bays, at once and whenever they change.
pub(super) fn bays(state: &Arc<ServiceState>, call: Call) -> Result<Response, ApiError> {
    struct Watcher {
        subscriber: Subscriber,
        shown: watch::Receiver<Arc<str>>,
        is_first: bool,
    }
    let watcher = Watcher { subscriber: Subscriber::new(state, call)?, shown: state.scheduler.watch(), is_first: true };
    Ok(answer(stream::unfold(watcher, |mut watcher| async move {
        if std::mem::take(&mut watcher.is_first) {
            let bays = watcher.subscriber.state.scheduler.bays().await.ok()?;
            let text = serde_json::to_string(&bays).ok()?;
            return Some((Ok(Event::default().event("bays").data(text)), watcher));
        }
        loop {
            if !watcher.subscriber.may_continue().await {
                return None;
            }
            tokio::select! {
                changed = watcher.shown.changed() => {
                    changed.ok()?;
                    let text = watcher.shown.borrow_and_update().clone();
                    return Some((Ok(Event::default().event("bays").data(&*text)), watcher));
                }
                () = tokio::time::sleep(ACCESS_INTERVAL) => {}
                () = watcher.subscriber.state.closing.cancelled() => return None,
            }
        }
    })))
}

/// `event: job` with the job, at once and whenever it changes; `event: gone` when it was removed, and the end.
pub(super) fn job(state: &Arc<ServiceState>, call: Call, key: JobKey) -> Result<Response, ApiError> {
    struct Watcher {
        subscriber: Subscriber,
        key: JobKey,
        last: Option<String>,
        is_over: bool,
    }
    let watcher = Watcher { subscriber: Subscriber::new(state, call)?, key, last: None, is_over: false };
    Ok(answer(stream::unfold(watcher, |mut watcher| async move {
        while !watcher.is_over && watcher.subscriber.may_continue().await {
            let state = watcher.subscriber.state.clone();
            if watcher.last.is_some() {
                // Something always changes while it is copied: never more often than this.
                tokio::select! {
                    () = tokio::time::sleep(JOB_INTERVAL) => {}
                    () = state.closing.cancelled() => return None,
                }
            }
            match state.store.get(&watcher.key).await {
                Ok(job) => {
                    let text = serde_json::to_string(&state.jobs.response(&job)).ok()?;
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
