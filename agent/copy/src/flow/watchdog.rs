//! Watching calls into a drive from outside: a call that hangs cannot say so itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drive::DriveError;
use protocol::units::ByteRange;

use crate::call::stop::Stop;
use crate::flow::failure::Failure;
use crate::limits::WATCHDOG_INTERVAL;

/// What one thread is doing with a drive.
#[derive(Default)]
pub(crate) struct CallWatch {
    under_way: Mutex<Option<(Instant, ByteRange)>>,
}

impl CallWatch {
    /// Runs a call about `range`.
    pub(crate) fn during<T>(&self, range: ByteRange, call: impl FnOnce() -> T) -> T {
        self.set(Some((Instant::now(), range)));
        let result = call();
        self.set(None);
        result
    }

    fn set(&self, state: Option<(Instant, ByteRange)>) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// For how long the call under way has been, and what it is about.
    fn under_way(&self) -> Option<(Duration, ByteRange)> {
        let state = *self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        state.map(|(since, range)| (since.elapsed(), range))
    }
}

/// One watch for each of `count` threads.
pub(crate) fn watches(count: usize) -> Arc<[Arc<CallWatch>]> {
    (0..count).map(|_| Arc::default()).collect()
}

/// How many calls have been under way for at least so long.
pub(crate) fn stuck(watches: &[Arc<CallWatch>], at_least: Duration) -> usize {
    watches.iter().filter(|watch| watch.under_way().is_some_and(|(since, _)| since >= at_least)).count()
}

/// For how long the longest call has been under way.
pub(crate) fn longest_call(watches: &[Arc<CallWatch>]) -> Option<Duration> {
    longest(watches).map(|(since, _)| since)
}

/// The call that has been under way for longest.
fn longest(watches: &[Arc<CallWatch>]) -> Option<(Duration, ByteRange)> {
    watches.iter().filter_map(|watch| watch.under_way()).max()
}

/// Returns when a call has not come back for `timeout` (which is reported as a failure of the drive), or
/// when one is under way while requests are being dropped.
pub(crate) async fn hanging(watches: &[Arc<CallWatch>], path: &str, timeout: Duration, stop: &Stop, failure: &Failure) {
    let mut interval = tokio::time::interval(WATCHDOG_INTERVAL);
    loop {
        interval.tick().await;
        let Some((since, range)) = longest(watches) else { continue };
        if since > timeout {
            failure.fail(DriveError::TimedOut { path: path.into(), range, seconds: since.as_secs() }.into());
            return;
        }
        if stop.is_aborting() {
            return;
        }
    }
}
