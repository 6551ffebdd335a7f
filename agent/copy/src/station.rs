//! What the transfers of one station share: bandwidth, and processors to hash with. Memory is given to each transfer
//! as a share of its own, since buffers are held for long.

use std::fmt;

use crossbeam_channel::{Receiver, Sender, bounded};
use protocol::units::ByteRate;

use crate::limits::HASH_THREADS_MAX;
use crate::rate::RateLimit;

/// The budget of a station. Who waits is served in the order of coming, chunk by chunk: so bays that want more than
/// there is get the same, and what one bay leaves the others have.
pub struct StationBudget {
    pub(crate) rate: RateLimit,
    slots: (Sender<()>, Receiver<()>),
}

impl StationBudget {
    /// At most `rate` over all transfers, and at most `hash_threads` chunks hashed at once (at least one).
    pub fn new(rate: Option<ByteRate>, hash_threads: usize) -> Self {
        let count = hash_threads.clamp(1, HASH_THREADS_MAX);
        let slots = bounded(count);
        for _ in 0..count {
            // There is room for every slot.
            let _ = slots.0.try_send(());
        }
        StationBudget { rate: RateLimit::new(rate, None), slots }
    }

    /// Hashes when a slot is free.
    pub(crate) fn hashing<T>(&self, work: impl FnOnce() -> T) -> T {
        // Both ends live as long as this: there is always a slot to come.
        let _ = self.slots.1.recv();
        let result = work();
        let _ = self.slots.0.try_send(());
        result
    }
}

impl fmt::Debug for StationBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StationBudget").finish_non_exhaustive()
    }
}

/// Hashes as the station allows; at once where there is none.
pub(crate) fn hashing<T>(station: Option<&StationBudget>, work: impl FnOnce() -> T) -> T {
    match station {
        Some(station) => station.hashing(work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::rate::Turn;

    #[test]
    fn no_more_is_hashed_at_once_than_there_are_slots() {
        let budget = StationBudget::new(None, 2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    budget.hashing(|| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                });
            }
        });
        assert_eq!(most.into_inner(), 2);
    }

    #[test]
    fn transfers_of_a_station_share_its_rate() {
        let station = Arc::new(StationBudget::new(Some(ByteRate { bytes_per_second: 1000 }), 1));
        let (one, other) = (RateLimit::new(None, Some(station.clone())), RateLimit::new(None, Some(station)));
        assert_eq!(one.ask(500), Turn::GoIn(Duration::ZERO));
        let Turn::GoIn(pause) = other.ask(500) else { panic!("it has no place in the queue yet") };
        assert!(pause > Duration::from_millis(400), "the other transfer waits for the first");
        // A second reader of it gets no second place.
        assert!(matches!(other.ask(500), Turn::AskAgainIn(again) if again <= pause));
        let Turn::GoIn(pause) = one.ask(500) else { panic!("its first bytes have gone") };
        assert!(pause > Duration::from_millis(900));
    }
}
