//! A clock for what must have ended at a time: it also counts while the machine sleeps, and nobody sets it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of this machine, since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
        Moment(Duration::new(seconds, nanoseconds))
    }

    /// So long after the machine was started.
    pub const fn at(since_start: Duration) -> Self {
        Moment(since_start)
    }

    /// Nanoseconds since the machine was started.
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment that comes so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Moment(self.0 + time)
    }

    /// How much time lies between an earlier moment and this one; none where it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward() {
        let before = Moment::now();
        assert!(Moment::now() >= before);
        let later = before.after(Duration::from_secs(3));
        assert_eq!((later.since(before), before.since(later)), (Duration::from_secs(3), Duration::ZERO));
    }
}
