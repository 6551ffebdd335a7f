//! Trying a change again that failed for a reason that passes: another change was in the way, or the database was restarted.
//! Nothing was written, so it is done from its beginning.

use std::time::Duration;

use tokio::time::Instant;

use super::error::StoreError;

/// How long a change is tried again.
const BUDGET: Duration = Duration::from_secs(10);

/// The longest time between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The attempts of one change.
pub(super) struct Attempts {
    begin: Instant,
    pause: Duration,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Attempts { begin: Instant::now(), pause: Duration::from_millis(5) }
    }

    /// What came of the last attempt; `None` after a pause, where there is to be another one.
    pub(super) async fn settle<T>(&mut self, result: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        match result {
            Err(error) if error.is_transient() && self.begin.elapsed() < BUDGET => {
                tracing::debug!(%error, "a change is tried again");
                // Those that were in each other's way do not meet again.
                tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.5..1.5))).await;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                None
            }
            result => Some(result),
        }
    }
}

/// Does a change until it was done, or failed for a reason that stays.
macro_rules! retried {
    ($attempt:expr) => {{
        let mut attempts = $crate::store::retry::Attempts::new();
        loop {
            if let Some(result) = attempts.settle($attempt.await).await {
                break result;
            }
        }
    }};
}

pub(super) use retried;
