//! `--rate`, and the share of a rate that several transfers have together: how long to wait before the next bytes may go.
//! Both may change while bytes wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::call::live_rate::LiveRate;
use crate::call::pacer::{Pacer, Place};
use crate::call::shared_budget::SharedBudget;

/// How often what waits looks whether the rate is another one.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The rate of one transfer, for all its readers.
pub(crate) struct RateLimit {
    own: Pacer,
    /// What it may move together with others.
    shared: Option<Arc<SharedBudget>>,
    /// The transfer's place in the shared queue.
    pending: Mutex<Option<Place>>,
}

impl RateLimit {
    pub(crate) fn new(rate: LiveRate, shared: Option<Arc<SharedBudget>>) -> Self {
        RateLimit { own: Pacer::new(rate), shared, pending: Mutex::default() }
    }

    /// Asks for the right to move `bytes`.
    pub(crate) fn reserve(&self, bytes: u64) -> Reservation {
        let shared = match &self.shared {
            None => None,
            Some(budget) => {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                // One place in the shared queue for each transfer, however many readers it has: so every transfer gets the
                // same.
                let wait = pending.map_or(Duration::ZERO, |place| budget.pacer.wait_for(place));
                if !wait.is_zero() {
                    return Reservation::RetryAfter(wait);
                }
                *pending = Some(budget.pacer.reserve(bytes));
                *pending
            }
        };
        Reservation::Granted(Turn { own: self.own.reserve(bytes), shared })
    }

    /// How long it takes until it is this turn.
    pub(crate) fn wait_for(&self, turn: Turn) -> Duration {
        let shared = self.shared.as_ref().zip(turn.shared).map(|(budget, place)| budget.pacer.wait_for(place));
        self.own.wait_for(turn.own).max(shared.unwrap_or_default())
    }

    /// Waits for the right to move `bytes`.
    pub(crate) async fn wait(&self, bytes: u64) {
        let turn = loop {
            match self.reserve(bytes) {
                Reservation::Granted(turn) => break turn,
                Reservation::RetryAfter(wait) => tokio::time::sleep(wait.min(LOOK_INTERVAL)).await,
            }
        };
        loop {
            let wait = self.wait_for(turn);
            // The shortest sleep takes a millisecond.
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait.min(LOOK_INTERVAL)).await;
        }
    }
}

/// When bytes may be moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Turn {
    own: Place,
    shared: Option<Place>,
}

/// Whether bytes have a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reservation {
    /// This one.
    Granted(Turn),
    /// Other readers of the same transfer wait already: ask again after this.
    RetryAfter(Duration),
}

#[cfg(test)]
mod tests {
    use protocol::units::ByteRate;

    use super::*;

    #[test]
    fn transfers_share_a_rate() {
        let shared = Arc::new(SharedBudget::new(Some(ByteRate { bytes_per_second: 1000 }), 1));
        let limit = || RateLimit::new(LiveRate::default(), Some(shared.clone()));
        let (one, other) = (limit(), limit());
        let granted = |limit: &RateLimit| match limit.reserve(500) {
            Reservation::Granted(turn) => limit.wait_for(turn),
            Reservation::RetryAfter(wait) => panic!("{wait:?}"),
        };
        assert_eq!(granted(&one), Duration::ZERO);
        let wait = granted(&other);
        assert!(wait > Duration::from_millis(400), "the other transfer waits for the first");
        // A second reader of it gets no second place.
        assert!(matches!(other.reserve(500), Reservation::RetryAfter(again) if again <= wait));
        assert!(granted(&one) > Duration::from_millis(900), "its first bytes have gone");
        shared.rate().set(None);
        assert_eq!((granted(&one), granted(&other)), (Duration::ZERO, Duration::ZERO));
    }
}
