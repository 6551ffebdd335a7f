//! Effects that are being carried out beside the rounds, or wait for their next attempt.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Pause after the first failed attempt, doubled each time.
const RETRY: Duration = Duration::from_secs(1);

/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Attempts under way at once: each holds a document and a request to a store.
pub(super) const AT_ONCE_MAX: usize = 32;

/// Attempts of each effect, by its number in the outbox.
#[derive(Default)]
pub(super) struct PendingEffects {
    attempts: HashMap<i64, Attempts>,
    /// How many are under way.
    at_once: usize,
    /// The effect that was looked at last: the next round continues behind it, so that none is left out.
    pub(super) looked_at: i64,
}

struct Attempts {
    job_uid: String,
    count: u32,
    /// When the next may begin; `None` while one is under way.
    next: Option<Instant>,
}

impl PendingEffects {
    /// Whether as many attempts are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.at_once >= AT_ONCE_MAX
    }

    /// Begins an attempt and returns its number, from 1; `None` where one is under way or the next is not due. One that
    /// `is_last` of its job waits for the others: what they write would stay.
    pub(super) fn begin(&mut self, id: i64, job_uid: &str, is_last: bool) -> Option<u32> {
        let now = Instant::now();
        if is_last && self.attempts.values().any(|attempts| attempts.next.is_none() && attempts.job_uid == job_uid) {
            return None;
        }
        let attempts =
            self.attempts.entry(id).or_insert_with(|| Attempts { job_uid: job_uid.to_owned(), count: 0, next: Some(now) });
        if attempts.next.is_none_or(|next| next > now) {
            return None;
        }
        attempts.next = None;
        attempts.count += 1;
        self.at_once += 1;
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
        self.at_once = self.at_once.saturating_sub(1);
    }

    /// The attempt failed: the next is due after a pause that grows.
    pub(super) fn retry_later(&mut self, id: i64) {
        self.at_once = self.at_once.saturating_sub(1);
        if let Some(attempts) = self.attempts.get_mut(&id) {
            attempts.next = Some(Instant::now() + (RETRY * 2_u32.pow(attempts.count.min(16))).min(RETRY_MAX));
        }
    }
}
