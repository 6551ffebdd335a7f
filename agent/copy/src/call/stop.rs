//! Asking a transfer to stop.
//!
//! Two tokens, one contract. The soft one means: no new chunk is begun, and waits end; what was
//! read is hashed, sent and recorded. The hard one means: requests under way are dropped. The reason
//! is ordered: a graver one replaces a lesser one, and the first request's time stays.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// The first request to stop, and the gravest reason since.
#[derive(Debug, Clone, Copy)]
pub struct StopRequest {
    /// The gravest reason so far.
    pub reason: StopReason,
    /// When the first request came.
    pub at: Instant,
    /// The same, as a date.
    pub requested_at: OffsetDateTime,
}

/// A stop: every clone of it can ask for one.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
    request: Arc<Mutex<Option<StopRequest>>>,
    parent: Option<Arc<Stop>>,
}

impl Stop {
    /// A stop that was not asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stop of one part: it falls with this one, and on its own without this one.
    pub fn child(&self) -> Self {
        Stop {
            soft: self.soft.child_token(),
            hard: self.hard.child_token(),
            request: Arc::default(),
            parent: Some(Arc::new(self.clone())),
        }
    }

    /// Asks to stop.
    pub fn request_stop(&self, reason: StopReason) {
        {
            let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *request {
                Some(earlier) => earlier.reason = earlier.reason.max(reason),
                None => *request = Some(StopRequest { reason, at: Instant::now(), requested_at: OffsetDateTime::now_utc() }),
            }
        }
        self.soft.cancel();
        if reason.is_abort() {
            self.hard.cancel();
        }
    }

    /// What was asked for, here or further up, if anything was.
    pub fn request(&self) -> Option<StopRequest> {
        let own = *self.request.lock().unwrap_or_else(PoisonError::into_inner);
        let above = self.parent.as_ref().and_then(|parent| parent.request());
        match (own, above) {
            (Some(own), Some(above)) => {
                let first = if own.at <= above.at { own } else { above };
                Some(StopRequest { reason: own.reason.max(above.reason), ..first })
            }
            (own, above) => own.or(above),
        }
    }

    /// No new chunk may be begun.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Requests under way are to be dropped.
    pub fn is_aborting(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// Returns when a stop is asked for.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Waits for something, and gives up when a stop is asked for.
    pub(crate) async fn or_stopping<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopping() => None,
            value = wait => Some(value),
        }
    }

    /// Returns when an abort is asked for.
    pub async fn aborting(&self) {
        self.hard.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_reason_stays_and_the_first_time() {
        let stop = Stop::new();
        assert!(!stop.is_stopping() && stop.request().is_none());
        stop.request_stop(StopReason::Interrupted);
        let first = stop.request().unwrap();
        assert!(stop.is_stopping() && !stop.is_aborting());
        stop.request_stop(StopReason::SecondSignal);
        stop.request_stop(StopReason::JobCancelled);
        let last = stop.request().unwrap();
        assert!(stop.is_aborting());
        assert_eq!((last.reason, last.at), (StopReason::SecondSignal, first.at));
    }

    #[test]
    fn a_part_stops_with_the_whole_and_not_the_other_way() {
        let whole = Stop::new();
        let (one, other) = (whole.child(), whole.child());
        one.request_stop(StopReason::DriveFailed);
        assert!(one.is_stopping() && !other.is_stopping() && !whole.is_stopping());
        whole.request_stop(StopReason::Terminated);
        assert!(other.is_stopping());
        assert_eq!(other.request().unwrap().reason, StopReason::Terminated);
        assert_eq!(one.request().unwrap().reason, StopReason::DriveFailed);
    }
}
