//! Server-sent events: the answer that carries them, and how many one actor may hold open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;

/// A line without content is sent this often, so that both sides notice a broken connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams that one actor may hold open: they share the connections with all other clients.
const STREAMS_MAX: usize = 32;

/// A stream of events as an answer.
pub(crate) fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Counts open streams, by the actor's name.
#[derive(Default)]
pub(crate) struct StreamSlots {
    open: Mutex<HashMap<String, usize>>,
}

/// An open stream; its slot is free again when this is dropped.
pub(crate) struct StreamSlot {
    slots: Arc<StreamSlots>,
    name: String,
}

impl StreamSlots {
    /// A slot for one more stream of this actor; `None` where too many are open.
    pub(crate) fn take(self: &Arc<Self>, name: &str) -> Option<StreamSlot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(name.to_owned()).or_default();
        (*count < STREAMS_MAX).then(|| {
            *count += 1;
            StreamSlot { slots: self.clone(), name: name.to_owned() }
        })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.name);
            }
        }
    }
}
