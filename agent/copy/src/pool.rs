//! The buffers: the only memory that grows with anything, and so the back-pressure of the pipeline.
//!
//! A reader that finds no free buffer waits; everything behind it gives buffers back by dropping
//! them. A buffer becomes [`Bytes`] without a copy and returns when the last clone is dropped. What it takes of the
//! budget, its [`Share`], may be kept for longer: what landed and is not recorded yet needs no memory, and still counts.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drive::AlignedBuffer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limits::{TOKEN_BEAT, WARM_PATIENCE, WORKING_SET_BUFFERS, WORKING_SET_BYTES};
use crate::stop::Stop;

/// A bounded pool of aligned buffers of one size. As few as possible are ever touched, since a new one costs the kernel
/// more than hashing what is in it: the one that came back last goes out first, and new ones beyond a first few are made
/// only when none comes back for a while.
#[derive(Clone)]
pub(crate) struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    buffers_max: usize,
    buffer_bytes: usize,
    free: Mutex<Vec<AlignedBuffer>>,
    /// One permit for each share of the budget, so that async and blocking callers wait for the same thing.
    shares: Arc<Semaphore>,
    /// One permit for each buffer that there may be by now, `working_set` in all. Whoever has one finds a buffer in
    /// `free`, or may make it: a buffer comes back before its permit does, and its permit before its share.
    memory: Arc<Semaphore>,
    working_set: AtomicUsize,
    /// Wakes blocking callers after a permit came back.
    came_back: Condvar,
}

impl BufferPool {
    pub(crate) fn new(buffers: usize, buffer_bytes: usize) -> Self {
        let working_set = buffers.min(WORKING_SET_BUFFERS.max(WORKING_SET_BYTES / buffer_bytes));
        let shared = Shared {
            buffers_max: buffers,
            buffer_bytes,
            free: Mutex::default(),
            shares: Arc::new(Semaphore::new(buffers)),
            memory: Arc::new(Semaphore::new(working_set)),
            working_set: AtomicUsize::new(working_set),
            came_back: Condvar::new(),
        };
        BufferPool { shared: Arc::new(shared) }
    }

    /// Waits for a buffer on a plain thread; `None` when a stop was asked for first.
    pub(crate) fn take_blocking(&self, stop: &Stop) -> Option<PooledBuffer> {
        let share = Share::new(self, self.wait_blocking(&self.shared.shares, None, stop).permit()?);
        loop {
            match self.wait_blocking(&self.shared.memory, Some(WARM_PATIENCE), stop) {
                Waited::Permit(memory) => return Some(self.buffer(memory, share)),
                Waited::TooLong => self.grow(),
                Waited::Stopped => return None,
            }
        }
    }

    /// Waits for a buffer.
    pub(crate) async fn take(&self) -> PooledBuffer {
        let share = Share::new(self, acquire(&self.shared.shares).await);
        loop {
            match timeout(WARM_PATIENCE, acquire(&self.shared.memory)).await {
                Ok(memory) => return self.buffer(memory, share),
                Err(_) => self.grow(),
            }
        }
    }

    fn wait_blocking(&self, permits: &Arc<Semaphore>, patience: Option<Duration>, stop: &Stop) -> Waited {
        let end = patience.map(|patience| Instant::now() + patience);
        loop {
            if stop.is_stopping() {
                return Waited::Stopped;
            }
            let free = self.free();
            if let Ok(permit) = permits.clone().try_acquire_owned() {
                return Waited::Permit(permit);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Waited::TooLong;
            }
            // The lock is held from the look until the wait: no wake is missed. The beat is for the token.
            drop(self.shared.came_back.wait_timeout(free, TOKEN_BEAT));
        }
    }

    /// Lets there be more buffers: those there are do not come back fast enough. Where everything is slow this costs a
    /// second until the whole budget is in use.
    fn grow(&self) {
        let step = |working_set: usize| Some((working_set + working_set.div_ceil(4)).min(self.shared.buffers_max));
        if let Ok(before) = self.shared.working_set.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) {
            self.shared.memory.add_permits(step(before).map_or(0, |after| after - before));
        }
    }

    fn buffer(&self, memory: OwnedSemaphorePermit, share: Share) -> PooledBuffer {
        let free = self.free().pop();
        let buffer = free.unwrap_or_else(|| AlignedBuffer::new(self.shared.buffer_bytes));
        PooledBuffer { buffer: Some(buffer), memory: Some(memory), share }
    }

    /// Gives something back, under the lock under which waiting threads look and begin to wait.
    fn give_back(&self, give: impl FnOnce(&mut Vec<AlignedBuffer>)) {
        give(&mut self.free());
        // Some wait for memory and some for a share: who finds nothing waits on.
        self.shared.came_back.notify_all();
    }

    /// A way to see how full it is, without keeping its buffers.
    pub(crate) fn watch(&self) -> PoolWatch {
        PoolWatch { shared: Arc::downgrade(&self.shared) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<AlignedBuffer>> {
        self.shared.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a wait for a permit ended.
enum Waited {
    Permit(OwnedSemaphorePermit),
    TooLong,
    Stopped,
}

impl Waited {
    fn permit(self) -> Option<OwnedSemaphorePermit> {
        if let Waited::Permit(permit) = self { Some(permit) } else { None }
    }
}

async fn acquire(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match permits.clone().acquire_owned().await {
        Ok(permit) => permit,
        // The semaphores are never closed.
        Err(_) => std::future::pending().await,
    }
}

/// What one buffer takes of the budget, until the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Share(Arc<Counted>);

struct Counted {
    permit: Option<OwnedSemaphorePermit>,
    pool: BufferPool,
}

impl Share {
    fn new(pool: &BufferPool, permit: OwnedSemaphorePermit) -> Self {
        Share(Arc::new(Counted { permit: Some(permit), pool: pool.clone() }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let permit = self.permit.take();
        self.pool.give_back(|_| drop(permit));
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
        let taken = shared.buffers_max.saturating_sub(shared.shares.available_permits());
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
    memory: Option<OwnedSemaphorePermit>,
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
            let memory = self.memory.take();
            self.share.0.pool.give_back(|free| {
                free.push(buffer);
                drop(memory);
            });
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

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_soon_is_taken_and_nothing_new_is_made() {
        let pool = BufferPool::new(20, WORKING_SET_BYTES);
        let mut held = Vec::new();
        while held.len() < WORKING_SET_BUFFERS {
            held.push(pool.take().await);
        }
        let started = tokio::time::Instant::now();
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.as_ptr().addr() }
        });
        tokio::time::sleep(WARM_PATIENCE / 2).await;
        let back = held.swap_remove(7);
        let address = back.as_ptr().addr();
        drop(back);
        assert_eq!(waiting.await.unwrap(), address);
        assert!(started.elapsed() < WARM_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_comes_back_the_whole_budget_is_used() {
        let pool = BufferPool::new(200, WORKING_SET_BYTES);
        let started = tokio::time::Instant::now();
        let mut held = Vec::new();
        while held.len() < 200 {
            held.push(pool.take().await);
        }
        assert_eq!(pool.watch().bytes_taken(), 200 * WORKING_SET_BYTES as u64);
        assert!((WARM_PATIENCE..Duration::from_secs(1)).contains(&started.elapsed()));
        assert!(timeout(Duration::from_secs(60), pool.take()).await.is_err());
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
