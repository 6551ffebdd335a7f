//! What the link to a store carries: the bytes of requests that succeeded, over the time in which there were any.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Meters the requests of one transfer.
#[derive(Debug, Default)]
pub(crate) struct LinkMeter(Mutex<Metered>);

#[derive(Debug, Default)]
struct Metered {
    requests: u64,
    /// Since when there are requests.
    since: Option<Instant>,
    busy: Duration,
    bytes: u64,
}

/// A request under way; it ends when this is dropped.
pub(crate) struct MeteredRequest<'meter> {
    meter: &'meter LinkMeter,
    /// What it moved, in bytes.
    pub(crate) moved_bytes: u64,
}

impl Drop for MeteredRequest<'_> {
    fn drop(&mut self) {
        self.meter.end(self.moved_bytes, Instant::now());
    }
}

impl LinkMeter {
    /// A request with a body begins now.
    pub(crate) fn request(&self) -> MeteredRequest<'_> {
        self.begin(Instant::now());
        MeteredRequest { meter: self, moved_bytes: 0 }
    }

    fn begin(&self, now: Instant) {
        let mut metered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        metered.requests += 1;
        metered.since.get_or_insert(now);
    }

    fn end(&self, bytes: u64, now: Instant) {
        let mut metered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        metered.bytes += bytes;
        metered.requests = metered.requests.saturating_sub(1);
        if metered.requests == 0
            && let Some(since) = metered.since.take()
        {
            metered.busy += now.saturating_duration_since(since);
        }
    }

    /// Bytes a second so far; `None` where nothing was moved.
    pub(crate) fn bytes_per_second(&self, now: Instant) -> Option<f64> {
        let metered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = metered.busy + metered.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (metered.bytes > 0 && !busy.is_zero()).then(|| metered.bytes as f64 / busy.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_with_requests_counts() {
        let (meter, start) = (LinkMeter::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(meter.bytes_per_second(at(1)), None);
        meter.begin(at(1));
        meter.begin(at(2));
        meter.end(100, at(3));
        assert_eq!(meter.bytes_per_second(at(5)), Some(25.0));
        meter.end(100, at(5));
        // Nothing is under way for a minute.
        meter.begin(at(65));
        meter.end(200, at(69));
        assert_eq!(meter.bytes_per_second(at(600)), Some(50.0));
    }
}
