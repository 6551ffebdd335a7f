//! Spreading bytes over time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::units::ByteRate;

/// Lets bytes go at a rate, first come, first served; at once where there is no rate.
pub(crate) struct Pacer {
    rate: Option<ByteRate>,
    next_free: Mutex<Instant>,
}

impl Pacer {
    pub(crate) fn new(rate: Option<ByteRate>) -> Self {
        Pacer { rate, next_free: Mutex::new(Instant::now()) }
    }

    /// Reserves the time that `bytes` take, and tells how long to wait until then. The first bytes go at once; time in
    /// which nothing was moved is not saved up.
    pub(crate) fn reserve(&self, bytes: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let now = Instant::now();
        let mut next_free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*next_free).max(now);
        *next_free = begin + Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second as f64);
        begin - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_time() {
        let pacer = Pacer::new(Some(ByteRate { bytes_per_second: 1000 }));
        assert_eq!(pacer.reserve(500), Duration::ZERO);
        let second = pacer.reserve(1000);
        assert!(second > Duration::from_millis(400) && second <= Duration::from_millis(500), "{second:?}");
        let third = pacer.reserve(1);
        assert!(third > Duration::from_millis(1400) && third <= Duration::from_millis(1500), "{third:?}");
        assert_eq!(Pacer::new(None).reserve(u64::MAX), Duration::ZERO);
    }
}
