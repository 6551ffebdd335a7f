//! The buffers: the only memory that grows with anything, and so the back-pressure of the pipeline.
//!
//! A reader that finds no free buffer waits; everything behind it gives buffers back by dropping
//! them. A buffer becomes [`Bytes`] without a copy and returns when the last clone is dropped. What it takes of the
//! budget, its [`Share`], may be kept for longer: what landed and is not recorded yet needs no memory, and still counts.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use drive::AlignedBuffer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::TOKEN_BEAT;
use crate::stop::Stop;

/// A bounded pool of aligned buffers of one size. Buffers are allocated when first needed, and the one that came back last
/// goes out first: it is warm, and as few as possible are ever touched.
#[derive(Clone)]
pub(crate) struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    buffers_max: usize,
    buffer_bytes: usize,
    /// Whoever has a share finds a buffer here, or may make one: a buffer comes back before its share does.
    free: Mutex<Vec<AlignedBuffer>>,
    /// One permit a buffer, so that async and blocking callers wait for the same thing.
    permits: Arc<Semaphore>,
    /// Wakes blocking callers after a permit came back.
    came_back: Condvar,
}

impl BufferPool {
    pub(crate) fn new(buffers: usize, buffer_bytes: usize) -> Self {
        let permits = Arc::new(Semaphore::new(buffers));
        let shared = Shared { buffers_max: buffers, buffer_bytes, free: Mutex::default(), permits, came_back: Condvar::new() };
        BufferPool { shared: Arc::new(shared) }
    }

    /// Waits for a buffer on a plain thread; `None` when a stop was asked for first.
    pub(crate) fn take_blocking(&self, stop: &Stop) -> Option<PooledBuffer> {
        loop {
            if stop.is_stopping() {
                return None;
            }
            let free = self.free();
            if let Ok(permit) = self.shared.permits.clone().try_acquire_owned() {
                return Some(self.with_permit(free, permit));
            }
            // The lock is held from the look until the wait: no wake is missed. The beat is for the token.
            drop(self.shared.came_back.wait_timeout(free, TOKEN_BEAT));
        }
    }

    /// Waits for a buffer.
    pub(crate) async fn take(&self) -> PooledBuffer {
        match self.shared.permits.clone().acquire_owned().await {
            Ok(permit) => self.with_permit(self.free(), permit),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// A way to see how full it is, without keeping its buffers.
    pub(crate) fn watch(&self) -> PoolWatch {
        PoolWatch { shared: Arc::downgrade(&self.shared) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<AlignedBuffer>> {
        self.shared.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_permit(&self, mut free: MutexGuard<'_, Vec<AlignedBuffer>>, permit: OwnedSemaphorePermit) -> PooledBuffer {
        let buffer = free.pop();
        drop(free);
        let buffer = buffer.unwrap_or_else(|| AlignedBuffer::new(self.shared.buffer_bytes));
        let share = Share(Arc::new(Counted { permit: Some(permit), pool: self.clone() }));
        PooledBuffer { buffer: Some(buffer), share }
    }
}

/// What one buffer takes of the budget, until the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Share(Arc<Counted>);

struct Counted {
    permit: Option<OwnedSemaphorePermit>,
    pool: BufferPool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Under the lock, as a waiting thread looks and begins to wait under it.
        let free = self.pool.free();
        drop(self.permit.take());
        drop(free);
        self.pool.shared.came_back.notify_one();
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.pool.shared.buffer_bytes)
    }
}

/// Sees how full a pool is.
pub(crate) struct PoolWatch {
    shared: Weak<Shared>,
}

impl PoolWatch {
    /// Bytes of buffers that somebody has; none where the pool is gone.
    pub(crate) fn bytes_taken(&self) -> u64 {
        let Some(shared) = self.shared.upgrade() else { return 0 };
        let taken = shared.buffers_max.saturating_sub(shared.permits.available_permits());
        taken as u64 * shared.buffer_bytes as u64
    }
}

impl fmt::Debug for PoolWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes taken", self.bytes_taken())
    }
}

/// A buffer that goes back to its pool when dropped.
pub(crate) struct PooledBuffer {
    buffer: Option<AlignedBuffer>,
    share: Share,
}

impl PooledBuffer {
    /// The first `length` bytes, shared and immutable from now on.
    pub(crate) fn freeze(self, length: usize) -> PooledBytes {
        let share = self.share.clone();
        PooledBytes { bytes: Bytes::from_owner(self).slice(..length), share: Some(share) }
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().unwrap_or_default()
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.share.0.pool.free().push(buffer);
        }
    }
}

/// Bytes that lie in a buffer of a pool, or in memory of their own.
#[derive(Clone)]
pub(crate) struct PooledBytes {
    bytes: Bytes,
    share: Option<Share>,
}

impl PooledBytes {
    /// The bytes alone; the buffer stays away as long as any of them are kept.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives the buffer back, and keeps what it takes of the budget.
    pub(crate) fn into_share(self) -> Option<Share> {
        self.share
    }
}

impl From<Bytes> for PooledBytes {
    fn from(bytes: Bytes) -> Self {
        PooledBytes { bytes, share: None }
    }
}

impl Deref for PooledBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for PooledBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::stop::StopReason;
    use std::collections::BTreeSet;

    #[test]
    fn a_pool_never_has_more_buffers_than_it_may() {
        let pool = BufferPool::new(2, 4096);
        let stop = Stop::new();
        let mut addresses = BTreeSet::new();
        for _ in 0..10 {
            let first = pool.take_blocking(&stop).unwrap();
            assert_eq!(pool.watch().bytes_taken(), 4096);
            let second = pool.take_blocking(&stop).unwrap().freeze(7);
            assert_eq!((first.len(), second.len()), (4096, 7));
            addresses.extend([first.as_ptr().addr(), second.as_ptr().addr()]);
            let clone = second.clone();
            drop(second);
            assert_eq!(clone.len(), 7);
        }
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn what_came_back_last_goes_out_first() {
        let pool = BufferPool::new(3, 4096);
        let stop = Stop::new();
        let [first, second] = [(); 2].map(|()| pool.take_blocking(&stop).unwrap());
        let address = second.as_ptr().addr();
        drop(first);
        drop(second);
        for _ in 0..3 {
            assert_eq!(pool.take_blocking(&stop).unwrap().as_ptr().addr(), address);
        }
    }

    #[test]
    fn a_share_outlives_its_buffer_and_still_counts() {
        let pool = BufferPool::new(2, 4096);
        let stop = Stop::new();
        let bytes = pool.take_blocking(&stop).unwrap().freeze(7);
        let address = bytes.as_ptr().addr();
        let share = bytes.into_share();
        let again = pool.take_blocking(&stop).unwrap();
        assert_eq!((again.as_ptr().addr(), pool.watch().bytes_taken()), (address, 2 * 4096));
        let waiting = std::thread::spawn({
            let pool = pool.clone();
            move || pool.take_blocking(&Stop::new()).unwrap().as_ptr().addr()
        });
        drop(share);
        let fresh = waiting.join().unwrap();
        assert_ne!(fresh, address);
        drop(again);
        assert_eq!(pool.watch().bytes_taken(), 0);
    }

    #[test]
    fn waiting_for_a_buffer_gives_up_at_a_stop() {
        let pool = BufferPool::new(1, 4096);
        let stop = Stop::new();
        let held = pool.take_blocking(&stop);
        let waiting = std::thread::spawn({
            let (pool, stop) = (pool.clone(), stop.clone());
            move || pool.take_blocking(&stop).is_none()
        });
        stop.request_stop(StopReason::Interrupted);
        assert!(waiting.join().unwrap());
        drop(held);
    }

    #[test]
    fn a_waiting_thread_gets_the_buffer_that_comes_back() {
        let pool = BufferPool::new(1, 4096);
        let held = pool.take_blocking(&Stop::new()).unwrap();
        let waiting = std::thread::spawn({
            let pool = pool.clone();
            move || pool.take_blocking(&Stop::new()).is_some()
        });
        drop(held);
        assert!(waiting.join().unwrap());
    }
}
