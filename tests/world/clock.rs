//! Time in the world, and the moment at which the service is killed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

/// When every history begins: 2027-01-15.
const BEGINNING: i64 = 1_800_000_000;

/// What a service that was killed panics with.
pub const KILLED: &str = "the service was killed";

/// The time that has gone by, and what the wall clock makes of it.
#[derive(Default)]
pub struct Clock {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    elapsed: Duration,
    /// How far the wall clock is off.
    skew: time::Duration,
    /// The service dies when it has asked so many times more for the time or for the data plane.
    calls_left: Option<u64>,
    is_dying: bool,
}

impl Clock {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the wall clock shows.
    pub fn now(&self) -> OffsetDateTime {
        let inner = self.inner();
        let start = OffsetDateTime::from_unix_timestamp(BEGINNING).unwrap();
        start + inner.elapsed + inner.skew
    }

    /// The time that has gone by since the beginning: it never goes back.
    pub fn elapsed(&self) -> Duration {
        self.inner().elapsed
    }

    pub fn advance(&self, by: Duration) {
        self.inner().elapsed += by;
    }

    /// Sets the wall clock forward or back.
    pub fn jump(&self, by: time::Duration) {
        self.inner().skew += by;
    }

    /// Lets the service die after so many calls.
    pub fn kill_after(&self, calls: u64) {
        self.inner().calls_left = Some(calls);
    }

    /// Whether the service was killed.
    pub fn is_dying(&self) -> bool {
        self.inner().is_dying
    }

    /// A new service lives.
    pub fn revive(&self) {
        let mut inner = self.inner();
        (inner.calls_left, inner.is_dying) = (None, false);
    }

    /// A place at which the service can be killed.
    ///
    /// # Panics
    /// Where it is killed here, or was before: nothing of a dead service goes on.
    pub fn kill_point(&self) {
        let mut inner = self.inner();
        match &mut inner.calls_left {
            Some(0) => inner.is_dying = true,
            Some(left) => *left -= 1,
            None => {}
        }
        let is_dying = inner.is_dying;
        drop(inner);
        if is_dying {
            std::panic::panic_any(KILLED);
        }
    }
}
