//! The buffers: the only memory that grows with anything, and so the back-pressure of the pipeline.
//!
//! A reader that finds no free buffer waits; everything behind it gives buffers back by dropping
//! them. A buffer becomes [`Bytes`] without a copy and returns when the last clone is dropped. What it takes of the
//! budget, its [`Share`], may be kept for longer: what landed and is not recorded yet needs no memory, and still counts.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use drive::{AlignedBuffer, DriveError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limits::{WARM_TIMEOUT, WORKING_SET_BUFFERS, WORKING_SET_BYTES};

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
    /// One permit for each share of the budget.
    shares: Arc<Semaphore>,
    /// One permit for each buffer that there may be by now, `working_set` in all. A holder of one finds a buffer in
    /// `free`, or may make it: a buffer comes back before its permit does, and its permit before its share.
    memory: Arc<Semaphore>,
    working_set: AtomicUsize,
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
        };
        BufferPool { shared: Arc::new(shared) }
    }

    /// Waits for a buffer.
    ///
    /// # Errors
    /// When one has to be made, and there is no memory for it.
    pub(crate) async fn take(&self) -> Result<PooledBuffer, DriveError> {
        let counted = Counted { _permit: acquire(&self.shared.shares).await, pool: self.clone() };
        let share = Share(Arc::new(counted));
        loop {
            match timeout(WARM_TIMEOUT, acquire(&self.shared.memory)).await {
                Ok(memory) => return self.buffer(memory, share),
                Err(_) => self.grow(),
            }
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

    fn buffer(&self, memory: OwnedSemaphorePermit, share: Share) -> Result<PooledBuffer, DriveError> {
        let free = self.free().pop();
        let buffer = free.map_or_else(|| AlignedBuffer::new(self.shared.buffer_bytes), Ok)?;
        Ok(PooledBuffer { buffer: Some(buffer), _memory: memory, share })
    }

    /// A way to see how full it is, without keeping its buffers.
    pub(crate) fn watch(&self) -> PoolWatch {
        PoolWatch { shared: Arc::downgrade(&self.shared) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<AlignedBuffer>> {
        self.shared.free.lock().unwrap_or_else(PoisonError::into_inner)
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
    _permit: OwnedSemaphorePermit,
    pool: BufferPool,
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
    /// Bytes of buffers that are handed out; none where the pool is gone.
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
    _memory: OwnedSemaphorePermit,
    share: Share,
}

impl PooledBuffer {
    /// The first `length` bytes, shared and immutable from now on.
    pub(crate) fn freeze(self, length: usize) -> PooledBytes {
        let buffer = Arc::new(self);
        PooledBytes { bytes: Bytes::from_owner(SharedBuffer(buffer.clone())).slice(..length), buffer: Some(buffer) }
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

/// A buffer with bytes at its beginning. Nothing shares them yet, so it may be filled again.
pub(crate) struct FilledBuffer {
    buffer: PooledBuffer,
    length: usize,
}

impl FilledBuffer {
    /// A buffer whose first `length` bytes were filled.
    pub(crate) fn new(buffer: PooledBuffer, length: usize) -> Self {
        FilledBuffer { buffer, length }
    }

    /// The bytes, shared and immutable from now on.
    pub(crate) fn freeze(self) -> PooledBytes {
        self.buffer.freeze(self.length)
    }

    /// The buffer, to be filled again.
    pub(crate) fn into_buffer(self) -> PooledBuffer {
        self.buffer
    }
}

impl Deref for FilledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl fmt::Debug for FilledBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.length)
    }
}

/// A buffer whose bytes are shared.
struct SharedBuffer(Arc<PooledBuffer>);

impl AsRef<[u8]> for SharedBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
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
    /// The buffer, where they lie in one.
    buffer: Option<Arc<PooledBuffer>>,
}

impl PooledBytes {
    /// The bytes alone; the buffer stays away as long as any of them are kept.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives the buffer back, and keeps what it takes of the budget.
    pub(crate) fn into_share(self) -> Option<Share> {
        self.buffer.map(|buffer| buffer.share.clone())
    }
}

impl From<Bytes> for PooledBytes {
    fn from(bytes: Bytes) -> Self {
        PooledBytes { bytes, buffer: None }
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
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[tokio::test]
    async fn a_pool_never_has_more_buffers_than_it_may() {
        let pool = BufferPool::new(2, 4096);
        let mut addresses = BTreeSet::new();
        for _ in 0..10 {
            let first = pool.take().await.unwrap();
            assert_eq!(pool.watch().bytes_taken(), 4096);
            let second = pool.take().await.unwrap().freeze(7);
            assert_eq!((first.len(), second.len()), (4096, 7));
            addresses.extend([first.as_ptr().addr(), second.as_ptr().addr()]);
            let clone = second.clone();
            drop(second);
            assert_eq!(clone.len(), 7);
        }
        assert_eq!(addresses.len(), 2);
    }

    #[tokio::test]
    async fn what_came_back_last_goes_out_first() {
        let pool = BufferPool::new(3, 4096);
        let [first, second] = [pool.take().await.unwrap(), pool.take().await.unwrap()];
        let address = second.as_ptr().addr();
        drop(first);
        drop(second);
        for _ in 0..3 {
            assert_eq!(pool.take().await.unwrap().as_ptr().addr(), address);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_soon_is_taken_and_nothing_new_is_made() {
        let pool = BufferPool::new(20, WORKING_SET_BYTES);
        let mut held = Vec::new();
        while held.len() < WORKING_SET_BUFFERS {
            held.push(pool.take().await.unwrap());
        }
        let started = tokio::time::Instant::now();
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.unwrap().as_ptr().addr() }
        });
        tokio::time::sleep(WARM_TIMEOUT / 2).await;
        let back = held.swap_remove(7);
        let address = back.as_ptr().addr();
        drop(back);
        assert_eq!(waiting.await.unwrap(), address);
        assert!(started.elapsed() < WARM_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_comes_back_the_whole_budget_is_used() {
        let pool = BufferPool::new(200, WORKING_SET_BYTES);
        let started = tokio::time::Instant::now();
        let mut held = Vec::new();
        while held.len() < 200 {
            held.push(pool.take().await.unwrap());
        }
        assert_eq!(pool.watch().bytes_taken(), 200 * WORKING_SET_BYTES as u64);
        assert!((WARM_TIMEOUT..Duration::from_secs(1)).contains(&started.elapsed()));
        assert!(timeout(Duration::from_secs(60), pool.take()).await.is_err());
    }

    #[tokio::test]
    async fn a_buffer_that_was_filled_is_filled_again_and_counts_once() {
        let pool = BufferPool::new(1, 4096);
        let filled = FilledBuffer::new(pool.take().await.unwrap(), 7);
        let address = filled.as_ptr().addr();
        assert_eq!(filled.len(), 7);
        let again = filled.into_buffer();
        assert_eq!((again.as_ptr().addr(), again.len(), pool.watch().bytes_taken()), (address, 4096, 4096));
        let bytes = FilledBuffer::new(again, 9).freeze();
        assert_eq!((bytes.as_ptr().addr(), bytes.len()), (address, 9));
        drop(bytes);
        assert_eq!(pool.watch().bytes_taken(), 0);
    }

    #[tokio::test]
    async fn a_share_outlives_its_buffer_and_still_counts() {
        let pool = BufferPool::new(2, 4096);
        let bytes = pool.take().await.unwrap().freeze(7);
        let address = bytes.as_ptr().addr();
        let share = bytes.into_share();
        let again = pool.take().await.unwrap();
        assert_eq!((again.as_ptr().addr(), pool.watch().bytes_taken()), (address, 2 * 4096));
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.unwrap().as_ptr().addr() }
        });
        drop(share);
        assert_ne!(waiting.await.unwrap(), address);
        drop(again);
        assert_eq!(pool.watch().bytes_taken(), 0);
    }
}
