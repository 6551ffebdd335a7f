//! What the transfers of one host share: bandwidth, and processors to hash with. Memory is given to each transfer
//! as a share of its own, since buffers are held for long.

use std::fmt;

use crossbeam_channel::{Receiver, Sender, bounded};
use protocol::units::ByteRate;

use crate::call::live_rate::LiveRate;
use crate::call::pacer::Pacer;
use crate::limits::HASH_THREADS_MAX;

/// A budget that transfers share. Chunks are served in the order of coming: transfers that want more than there is get
/// the same, and what one leaves the others have.
pub struct SharedBudget {
    pub(crate) pacer: Pacer,
    slots: (Sender<()>, Receiver<()>),
}

impl SharedBudget {
    /// At most `rate` over all transfers, and at most `hash_threads` chunks hashed at once (at least one).
    pub fn new(rate: Option<ByteRate>, hash_threads: usize) -> Self {
        let count = hash_threads.clamp(1, HASH_THREADS_MAX);
        let slots = bounded(count);
        for _ in 0..count {
            // There is room for every slot.
            let _ = slots.0.try_send(());
        }
        SharedBudget { pacer: Pacer::new(LiveRate::new(rate)), slots }
    }

    /// What all transfers may move together, to be changed.
    pub fn rate(&self) -> &LiveRate {
        self.pacer.rate()
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

impl fmt::Debug for SharedBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedBudget").finish_non_exhaustive()
    }
}

/// Hashes as the shared budget allows; at once where there is none.
pub(crate) fn hashing<T>(shared: Option<&SharedBudget>, work: impl FnOnce() -> T) -> T {
    match shared {
        Some(shared) => shared.hashing(work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_is_hashed_at_once_than_there_are_slots() {
        let budget = SharedBudget::new(None, 2);
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
}
