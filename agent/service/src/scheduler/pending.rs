//! Effects that are being carried out beside the rounds, or wait for their next attempt.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Pause after the first failed attempt, doubled each time.
const RETRY: Duration = Duration::from_secs(1);

/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Attempts of each effect, by its number in the outbox.
#[derive(Default)]
pub(super) struct PendingEffects {
    attempts: HashMap<i64, Attempts>,
}

struct Attempts {
    count: u32,
    /// When the next may begin; `None` while one is under way.
    next: Option<Instant>,
}

impl PendingEffects {
    /// Begins an attempt and returns its number, from 1; `None` where one is under way or the next is not due.
    pub(super) fn begin(&mut self, id: i64) -> Option<u32> {
        let now = Instant::now();
        let attempts = self.attempts.entry(id).or_insert(Attempts { count: 0, next: Some(now) });
        if attempts.next.is_none_or(|next| next > now) {
            return None;
        }
        attempts.next = None;
        attempts.count += 1;
        Some(attempts.count)
    }

    /// How many attempts are under way.
    #[cfg(feature = "simulation")]
    pub(super) fn under_way(&self) -> usize {
        self.attempts.values().filter(|attempts| attempts.next.is_none()).count()
    }

    /// The effect was carried out, or was abandoned.
    pub(super) fn remove(&mut self, id: i64) {
        self.attempts.remove(&id);
    }

    /// The attempt failed: the next is due after a pause that grows.
    pub(super) fn retry_later(&mut self, id: i64) {
        if let Some(attempts) = self.attempts.get_mut(&id) {
            attempts.next = Some(Instant::now() + (RETRY * 2_u32.pow(attempts.count.min(16))).min(RETRY_MAX));
        }
    }
}
