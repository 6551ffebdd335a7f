//! How long the grants of this host last. A copy is stopped early enough for what is in flight to land before its grant ends:
//! from then on the drive may be copied by another host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::station::STOP_MARGIN;
use service::moment::Moment;

/// The grants of this host, which are renewed together.
pub(super) struct Lease {
    /// How long a stop may take.
    stop: Duration,
    /// When copies have to be asked to stop, and when their grants end; `None` before the first answer.
    ends: Mutex<Option<(Moment, Moment)>>,
    /// How often grants ended before they were renewed.
    lapses: AtomicU64,
}

/// The grants are too short for what a stop takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service grants copies for {} s, and a stop here may take {} s: lower `drain_timeout` by {} s, or raise the service's `station_lease`",
    .lease.as_secs(), .stop.as_secs(), .stop.saturating_sub(*.lease / 2).as_secs().max(1)
)]
pub(super) struct LeaseTooShort {
    lease: Duration,
    stop: Duration,
}

impl Lease {
    /// A copy stops within `stop`.
    pub(super) fn new(stop: Duration) -> Self {
        Lease { stop, ends: Mutex::new(None), lapses: AtomicU64::new(0) }
    }

    /// The service renewed the grants, in the answer to a report that was sent at `sent` or later.
    ///
    /// # Errors
    /// When half of their time is not enough to stop in: nothing is begun then.
    pub(super) fn renew(&self, sent: Moment, lease: Duration) -> Result<(), LeaseTooShort> {
        if self.stop > lease / 2 {
            return Err(LeaseTooShort { lease, stop: self.stop });
        }
        if self.ends().is_some() && self.has_ended(sent) {
            self.lapses.fetch_add(1, Ordering::SeqCst);
        }
        let ends = (sent.after(lease - self.stop - STOP_MARGIN), sent.after(lease));
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
        Ok(())
    }

    fn ends(&self) -> Option<(Moment, Moment)> {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether copies have to stop now.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.ends().is_none_or(|(stop_at, _)| now >= stop_at)
    }

    /// Whether the grants have ended: this process slept, and what is in flight is dropped.
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        self.ends().is_none_or(|(_, ends_at)| now >= ends_at)
    }

    /// What grants of now are told from those by that had ended before; `None` where none holds now.
    pub(super) fn holds(&self, now: Moment) -> Option<u64> {
        (!self.has_ended(now)).then(|| self.lapses.load(Ordering::SeqCst))
    }

    /// How long copies may still go on.
    pub(super) fn remaining(&self, now: Moment) -> Duration {
        self.ends().map_or(Duration::ZERO, |(stop_at, _)| stop_at.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn copies_stop_early_enough_for_what_is_in_flight_to_land_before_the_grant_ends() {
        let lease = Lease::new(seconds(35));
        let sent = Moment::at(seconds(1000));
        assert!(lease.is_over(sent), "nothing was granted yet");
        lease.renew(sent, seconds(90)).unwrap();
        assert!(!lease.is_over(Moment::at(seconds(1052))));
        assert_eq!(lease.remaining(Moment::at(seconds(1052))), seconds(1));
        assert!(lease.is_over(Moment::at(seconds(1053))), "35 s are left to stop in, and a margin");
        assert!(!lease.has_ended(Moment::at(seconds(1089))) && lease.has_ended(Moment::at(seconds(1090))));
        lease.renew(Moment::at(seconds(1060)), seconds(90)).unwrap();
        assert!(!lease.is_over(Moment::at(seconds(1060))));
    }

    #[test]
    fn a_stop_that_may_take_longer_than_half_of_the_grant_is_refused() {
        let lease = Lease::new(seconds(65));
        let error = lease.renew(Moment::at(seconds(1)), seconds(90)).unwrap_err();
        assert!(error.to_string().contains("`drain_timeout` by 20 s"), "{error}");
        assert!(lease.is_over(Moment::at(seconds(1))));
    }
}
