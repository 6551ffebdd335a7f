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

/// Of these so many notices, and so many to one receiver: one that does not answer must keep neither documents nor other receivers
/// back.
const NOTICES_AT_ONCE_MAX: usize = 16;
const NOTICES_TO_ONE_MAX: usize = 4;

/// When an effect may have its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Beside all others.
    Any,
    /// Beside few others of its kind: the receiver.
    Notice(String),
    /// When no other of its job is under way: what those write would stay.
    Last,
}

/// Attempts of each effect, by its number in the outbox.
#[derive(Default)]
pub(super) struct PendingEffects {
    attempts: HashMap<i64, Attempts>,
    /// How many are under way.
    at_once: usize,
    /// How many of them are notices to whom.
    notices: HashMap<String, usize>,
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
        match &turn {
            Turn::Last if self.attempts.values().any(is_under_way) => return None,
            Turn::Notice(to) if self.notices.get(to).is_some_and(|count| *count >= NOTICES_TO_ONE_MAX) => return None,
            Turn::Notice(_) if self.notices.values().sum::<usize>() >= NOTICES_AT_ONCE_MAX => return None,
            Turn::Any | Turn::Notice(_) | Turn::Last => {}
        }
        let attempts = self.attempts.entry(id).or_insert_with(|| Attempts {
            job_uid: job_uid.to_owned(),
            turn: turn.clone(),
            count: 0,
            next: Some(now),
        });
        if attempts.next.is_none_or(|next| next > now) {
            return None;
        }
        attempts.next = None;
        attempts.count += 1;
        self.at_once += 1;
        if let Turn::Notice(to) = turn {
            *self.notices.entry(to).or_default() += 1;
        }
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
            attempts.turn.clone()
        });
        self.ended(turn);
    }

    fn ended(&mut self, turn: Option<Turn>) {
        self.at_once = self.at_once.saturating_sub(1);
        if let Some(Turn::Notice(to)) = turn
            && let Some(count) = self.notices.get_mut(&to)
        {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_leave_turns_to_documents_and_the_removal_of_a_job_comes_last() {
        let mut pending = PendingEffects::default();
        let notice = |to: usize| Turn::Notice(format!("receiver {to}"));
        let begun: Vec<i64> = (0..20).filter(|id| pending.begin(*id, "a", notice(0)).is_some()).collect();
        assert_eq!(begun.len(), NOTICES_TO_ONE_MAX);
        assert!((20..200).filter(|id| pending.begin(*id, "a", notice(*id as usize)).is_some()).count() > 1, "others have theirs");
        assert!(!pending.is_full());
        assert_eq!(pending.begin(1000, "a", Turn::Last), None, "a notice of the job is under way");
        assert_eq!(pending.begin(1001, "b", Turn::Last), Some(1));
        assert_eq!(pending.begin(1002, "a", Turn::Any), Some(1));
        pending.retry_later(0);
        pending.remove(1);
        let more: Vec<i64> = (300..310).filter(|id| pending.begin(*id, "c", notice(0)).is_some()).collect();
        assert_eq!(more.len(), 2, "two turns were given back");
        assert_eq!(pending.begin(0, "a", notice(1)), None, "it is not due");
    }
}
