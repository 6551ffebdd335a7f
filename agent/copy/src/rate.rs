//! `--rate`: how long to wait before the next bytes may go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::units::ByteRate;

use crate::station::StationBudget;

/// Spreads bytes over time. Shared by all readers of a transfer.
pub(crate) struct RateLimit {
    rate: Option<ByteRate>,
    /// What all transfers of the station may move together.
    station: Option<Arc<StationBudget>>,
    next_free: Mutex<Instant>,
    /// When the transfer's place in the station's queue is served.
    pending: Mutex<Instant>,
}

impl RateLimit {
    pub(crate) fn new(rate: Option<ByteRate>, station: Option<Arc<StationBudget>>) -> Self {
        let now = Instant::now();
        RateLimit { rate, station, next_free: Mutex::new(now), pending: Mutex::new(now) }
    }

    /// Asks for the right to move `bytes`. The first bytes go at once; time in which nothing was moved is not saved up.
    pub(crate) fn ask(&self, bytes: u64) -> Turn {
        let now = Instant::now();
        let shared = match &self.station {
            None => Duration::ZERO,
            Some(station) => {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                // One place in the station's queue for each transfer, however many readers it has: so who waits there
                // gets the same.
                if *pending > now {
                    return Turn::AskAgainIn(*pending - now);
                }
                let shared = station.rate.reserve(bytes);
                *pending = now + shared;
                shared
            }
        };
        Turn::GoIn(shared.max(self.reserve(bytes)))
    }

    /// Waits for the right to move `bytes`.
    pub(crate) async fn wait(&self, bytes: u64) {
        loop {
            let (pause, is_granted) = match self.ask(bytes) {
                Turn::GoIn(pause) => (pause, true),
                Turn::AskAgainIn(pause) => (pause, false),
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

    /// Takes the right, and tells how long to wait until then.
    fn reserve(&self, bytes: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let now = Instant::now();
        let mut next_free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*next_free).max(now);
        *next_free = begin + Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second as f64);
        begin - now
    }
}

/// When bytes may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// After this.
    GoIn(Duration),
    /// Others of the same transfer wait before: ask again after this.
    AskAgainIn(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_time() {
        let limit = RateLimit::new(Some(ByteRate { bytes_per_second: 1000 }), None);
        assert_eq!(limit.reserve(500), Duration::ZERO);
        let second = limit.reserve(1000);
        assert!(second > Duration::from_millis(400) && second <= Duration::from_millis(500), "{second:?}");
        let third = limit.reserve(1);
        assert!(third > Duration::from_millis(1400) && third <= Duration::from_millis(1500), "{third:?}");
        assert_eq!(RateLimit::new(None, None).reserve(u64::MAX), Duration::ZERO);
    }
}
