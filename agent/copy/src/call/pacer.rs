//! Spreading bytes over time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::call::live_rate::LiveRate;

/// No wait is announced as longer: the rate may be another one by then.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Lets bytes go at a rate, first come, first served; at once where there is no rate. The rate may change at any time, for
/// bytes that wait already too.
pub(crate) struct Pacer {
    rate: LiveRate,
    queue: Mutex<Queue>,
}

/// Bytes in the order in which they may go, counted from the first.
struct Queue {
    looked_at: Instant,
    /// How many of them have had their time by then.
    gone: f64,
    /// How many there are.
    reserved: f64,
}

/// A place in the queue: the bytes before it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Place(f64);

impl Pacer {
    pub(crate) fn new(rate: LiveRate) -> Self {
        Pacer { rate, queue: Mutex::new(Queue { looked_at: Instant::now(), gone: 0.0, reserved: 0.0 }) }
    }

    /// The rate, to be changed.
    pub(crate) fn rate(&self) -> &LiveRate {
        &self.rate
    }

    /// Reserves the time that `bytes` take, behind all that was reserved before. The first bytes go at once; time in which
    /// nothing was moved is not saved up.
    pub(crate) fn reserve(&self, bytes: u64) -> Place {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.advance(&self.rate, Instant::now());
        let place = Place(queue.reserved);
        queue.reserved += bytes as f64;
        place
    }

    /// How long it takes until a place has its turn, at the rate of now.
    pub(crate) fn wait_for(&self, place: Place) -> Duration {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.advance(&self.rate, Instant::now());
        let before = place.0 - queue.gone;
        match self.rate.get() {
            Some(rate) if before > 0.0 => {
                let seconds = before / rate.bytes_per_second as f64;
                Duration::from_secs_f64(seconds.min(WAIT_MAX.as_secs_f64()))
            }
            _ => Duration::ZERO,
        }
    }
}

impl Queue {
    /// Lets go what had its time since the last look.
    fn advance(&mut self, rate: &LiveRate, now: Instant) {
        let seconds = now.saturating_duration_since(self.looked_at).as_secs_f64();
        self.looked_at = now;
        self.gone = match rate.get() {
            Some(rate) => self.reserved.min(self.gone + seconds * rate.bytes_per_second as f64),
            None => self.reserved,
        };
    }
}

#[cfg(test)]
mod tests {
    use protocol::units::ByteRate;

    use super::*;

    fn rate(bytes_per_second: u64) -> LiveRate {
        LiveRate::new(Some(ByteRate { bytes_per_second }))
    }

    fn wait(pacer: &Pacer, bytes: u64) -> Duration {
        pacer.wait_for(pacer.reserve(bytes))
    }

    #[test]
    fn bytes_are_spread_over_time() {
        let pacer = Pacer::new(rate(1000));
        assert_eq!(wait(&pacer, 500), Duration::ZERO);
        let second = wait(&pacer, 1000);
        assert!(second > Duration::from_millis(400) && second <= Duration::from_millis(500), "{second:?}");
        let third = wait(&pacer, 1);
        assert!(third > Duration::from_millis(1400) && third <= Duration::from_millis(1500), "{third:?}");
        let unlimited = Pacer::new(LiveRate::default());
        assert_eq!((wait(&unlimited, u64::MAX), wait(&unlimited, 1)), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_change_counts_for_what_waits_already() {
        let live = rate(1);
        let pacer = Pacer::new(live.clone());
        assert_eq!(wait(&pacer, 10_000), Duration::ZERO);
        let place = pacer.reserve(1);
        assert_eq!(pacer.wait_for(place), WAIT_MAX);
        live.set(Some(ByteRate { bytes_per_second: 10_000 }));
        let sooner = pacer.wait_for(place);
        assert!(sooner > Duration::from_millis(900) && sooner <= Duration::from_secs(1), "{sooner:?}");
        live.set(None);
        assert_eq!(pacer.wait_for(place), Duration::ZERO);
        // What went without a limit is not paid for later.
        live.set(Some(ByteRate { bytes_per_second: 1 }));
        assert_eq!(wait(&pacer, 1), Duration::ZERO);
        assert!(wait(&pacer, 1) > Duration::ZERO);
    }
}
