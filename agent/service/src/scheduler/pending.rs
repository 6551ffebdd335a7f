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

/// Of these so many notices: a receiver that does not answer must not keep documents back.
const NOTICES_AT_ONCE_MAX: usize = 8;

/// When an effect may have its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Beside all others.
    Any,
    /// Beside few others of its kind.
    Notice,
    /// When no other of its job is under way: what those write would stay.
    Last,
}

/// Attempts of each effect, by its number in the outbox.
#[derive(Default)]
pub(super) struct PendingEffects {
    attempts: HashMap<i64, Attempts>,
    /// How many are under way.
    at_once: usize,
    /// How many of them are notices.
    notices_at_once: usize,
    /// The effect that was looked at last: the next round continues behind it, so that none is left out.
    pub(super) looked_at: i64,
}

struct Attempts {
    job_uid: String,
    turn: Turn,
    count: u32,
    /// When the next may begin; `None` while one is under way.
    next: Option<Instant>,
}

impl PendingEffects {
    /// Whether as many attempts are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.at_once >= AT_ONCE_MAX
    }

    /// Begins an attempt and returns its number, from 1; `None` where one is under way, the next is not due, or it is not its turn.
    pub(super) fn begin(&mut self, id: i64, job_uid: &str, turn: Turn) -> Option<u32> {
        let now = Instant::now();
        let is_under_way = |attempts: &Attempts| attempts.next.is_none() && attempts.job_uid == job_uid;
        match turn {
            Turn::Last if self.attempts.values().any(is_under_way) => return None,
            Turn::Notice if self.notices_at_once >= NOTICES_AT_ONCE_MAX => return None,
            Turn::Any | Turn::Notice | Turn::Last => {}
        }
        let attempts =
            self.attempts.entry(id).or_insert_with(|| Attempts { job_uid: job_uid.to_owned(), turn, count: 0, next: Some(now) });
        if attempts.next.is_none_or(|next| next > now) {
            return None;
        }
        attempts.next = None;
        attempts.count += 1;
        self.at_once += 1;
        self.notices_at_once += usize::from(turn == Turn::Notice);
        Some(attempts.count)
    }

    /// How many attempts are under way.
    #[cfg(feature = "simulation")]
    pub(super) fn under_way(&self) -> usize {
        self.attempts.values().filter(|attempts| attempts.next.is_none()).count()
    }

    /// The effect was carried out, or was abandoned.
    pub(super) fn remove(&mut self, id: i64) {
        let attempts = self.attempts.remove(&id);
        self.ended(attempts.map(|attempts| attempts.turn));
    }

    /// The attempt failed: the next is due after a pause that grows.
    pub(super) fn retry_later(&mut self, id: i64) {
        let turn = self.attempts.get_mut(&id).map(|attempts| {
            attempts.next = Some(Instant::now() + (RETRY * 2_u32.pow(attempts.count.min(16))).min(RETRY_MAX));
            attempts.turn
        });
        self.ended(turn);
    }

    fn ended(&mut self, turn: Option<Turn>) {
        self.at_once = self.at_once.saturating_sub(1);
        if turn == Some(Turn::Notice) {
            self.notices_at_once = self.notices_at_once.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_leave_turns_to_documents_and_the_removal_of_a_job_comes_last() {
        let mut pending = PendingEffects::default();
        let begun: Vec<bool> = (0..20).map(|id| pending.begin(id, "a", Turn::Notice).is_some()).collect();
        assert_eq!(begun.iter().filter(|begun| **begun).count(), NOTICES_AT_ONCE_MAX);
        assert!(!pending.is_full());
        assert_eq!(pending.begin(100, "a", Turn::Last), None, "a notice of the job is under way");
        assert_eq!(pending.begin(101, "b", Turn::Last), Some(1));
        assert_eq!(pending.begin(102, "a", Turn::Any), Some(1));
        pending.retry_later(0);
        pending.remove(1);
        let more: Vec<i64> = (30..40).filter(|id| pending.begin(*id, "c", Turn::Notice).is_some()).collect();
        assert_eq!(more.len(), 2, "two turns were given back");
        assert_eq!(pending.begin(0, "a", Turn::Notice), None, "it is not due");
    }
}
