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
}

impl RateLimit {
    pub(crate) fn new(rate: Option<ByteRate>, station: Option<Arc<StationBudget>>) -> Self {
        RateLimit { rate, station, next_free: Mutex::new(Instant::now()) }
    }

    /// Takes the right to move `bytes` and tells how long to wait until then. The first bytes go at
    /// once; time in which nothing was moved is not saved up.
    pub(crate) fn reserve(&self, bytes: u64) -> Duration {
        let shared = self.station.as_ref().map_or(Duration::ZERO, |station| station.rate.reserve(bytes));
        let Some(rate) = self.rate else { return shared };
        let now = Instant::now();
        let mut next_free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*next_free).max(now);
        *next_free = begin + Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second as f64);
        shared.max(begin - now)
    }
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
