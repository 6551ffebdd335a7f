//! `--rate`, and the share of a rate that several transfers have together: how long to wait before the next bytes may go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::units::ByteRate;

use crate::call::pacer::Pacer;
use crate::call::shared_budget::SharedBudget;

/// The rate of one transfer, for all its readers.
pub(crate) struct RateLimit {
    own: Pacer,
    /// What it may move together with others.
    shared: Option<Arc<SharedBudget>>,
    /// When the transfer's reservation in the shared queue is due.
    pending: Mutex<Instant>,
}

impl RateLimit {
    pub(crate) fn new(rate: Option<ByteRate>, shared: Option<Arc<SharedBudget>>) -> Self {
        RateLimit { own: Pacer::new(rate), shared, pending: Mutex::new(Instant::now()) }
    }

    /// Asks for the right to move `bytes`.
    pub(crate) fn reserve(&self, bytes: u64) -> Reservation {
        let now = Instant::now();
        let shared = match &self.shared {
            None => Duration::ZERO,
            Some(budget) => {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                // One reservation in the shared queue for each transfer, however many readers it has: so every transfer
                // gets the same.
                if *pending > now {
                    return Reservation::RetryAfter(*pending - now);
                }
                let shared = budget.pacer.reserve(bytes);
                *pending = now + shared;
                shared
            }
        };
        Reservation::Granted(shared.max(self.own.reserve(bytes)))
    }

    /// Waits for the right to move `bytes`.
    pub(crate) async fn wait(&self, bytes: u64) {
        loop {
            let (pause, is_granted) = match self.reserve(bytes) {
                Reservation::Granted(pause) => (pause, true),
                Reservation::RetryAfter(pause) => (pause, false),
            };
            // The shortest sleep takes a millisecond.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if is_granted {
                return;
            }
        }
    }
}

/// When bytes may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// After this.
    Granted(Duration),
    /// Other readers of the same transfer wait already: ask again after this.
    RetryAfter(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_share_a_rate() {
        let shared = Arc::new(SharedBudget::new(Some(ByteRate { bytes_per_second: 1000 }), 1));
        let (one, other) = (RateLimit::new(None, Some(shared.clone())), RateLimit::new(None, Some(shared)));
        assert_eq!(one.reserve(500), Reservation::Granted(Duration::ZERO));
        let Reservation::Granted(pause) = other.reserve(500) else { panic!("it has no place in the queue yet") };
        assert!(pause > Duration::from_millis(400), "the other transfer waits for the first");
        // A second reader of it gets no second place.
        assert!(matches!(other.reserve(500), Reservation::RetryAfter(again) if again <= pause));
        let Reservation::Granted(pause) = one.reserve(500) else { panic!("its first bytes have gone") };
        assert!(pause > Duration::from_millis(900));
    }
}
