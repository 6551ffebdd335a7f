//! The hash threads of one transfer. They fill the lanes of one core before the next begins: four chunks side by side cost
//! hardly more of a core's time than two, so a thread with a free lane is better than a second thread.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, select, unbounded};
use drive::zero::is_zero;
use protocol::digest::Sha256Digest;

use crate::call::counters::Counters;
use crate::call::shared_budget::{self, SharedBudget};
use crate::error::CopyError;
use crate::flow::threads;
use crate::hashing::side_by_side::{SideBySide, lanes};

/// A chunk on its way.
pub(crate) trait HasBody {
    /// Its bytes; none where they are known to be zeros.
    fn body(&self) -> Option<&[u8]>;
}

/// What the threads share. At least one is always active, which means that it waits for chunks or hashes them; the others
/// are parked until they are woken.
pub(crate) struct HashPool<C> {
    input: Receiver<C>,
    /// Ends when the readers were abandoned: one that hangs holds its end of the input.
    abandoned: Receiver<Infallible>,
    wakes: (Sender<()>, Receiver<()>),
    active: AtomicUsize,
    threads: usize,
    /// Chunks that must wait before another thread is woken.
    queue_max: usize,
    counters: Arc<Counters>,
    shared_budget: Option<Arc<SharedBudget>>,
}

/// Wakes the next thread when this one ends, however it does: one of them must see the end of the input.
struct ActiveGuard<'pool, C: HasBody>(&'pool HashPool<C>);

impl<C: HasBody> Drop for ActiveGuard<'_, C> {
    fn drop(&mut self) {
        self.0.wake_one();
    }
}

impl<C: HasBody> HashPool<C> {
    /// A pool for what comes from `input`. With `is_other_work` a thread has more to do than can be done side by side.
    pub(crate) fn new(
        input: Receiver<C>,
        abandoned: Receiver<Infallible>,
        is_other_work: bool,
        counters: Arc<Counters>,
        shared_budget: Option<Arc<SharedBudget>>,
    ) -> Self {
        let queue_max = if is_other_work { 1 } else { lanes() };
        let (threads, active) = (threads::hash_threads(), AtomicUsize::new(1));
        let pool = HashPool { input, abandoned, wakes: unbounded(), active, threads, queue_max, counters, shared_budget };
        pool.wake_one();
        pool
    }

    /// The same pool with another number of threads.
    #[cfg(test)]
    pub(crate) fn with_threads(self, threads: usize) -> Self {
        HashPool { threads, ..self }
    }

    /// What each thread of the pool does: hashes until no more chunks come, or the readers were abandoned. `begin` looks
    /// at a chunk before that, and says false where it goes no further; `done` takes it with its digest, or without one
    /// where it is zeros, and says false where the next stage has ended.
    pub(crate) fn run(
        &self,
        begin: impl Fn(&C) -> Result<bool, CopyError>,
        done: impl Fn(C, Option<Sha256Digest>) -> Result<bool, CopyError>,
    ) -> Result<(), CopyError> {
        self.park();
        let _active = ActiveGuard(self);
        let mut hasher = BodyHasher::default();
        loop {
            let chunk = match hasher.is_empty() {
                true => self.first(),
                // What is under way goes on meanwhile.
                false => hasher.has_room().then(|| self.input.try_recv().ok()).flatten(),
            };
            if let Some(chunk) = chunk {
                if begin(&chunk)?
                    && let Some(zeros) = self.timed(|| hasher.add(chunk))
                    && !done(zeros, None)?
                {
                    return Ok(());
                }
            } else if hasher.is_empty() {
                return Ok(());
            }
            self.wake_one_if_behind();
            for (chunk, digest) in self.timed(|| hasher.step()) {
                if !done(chunk, Some(digest))? {
                    return Ok(());
                }
            }
        }
    }

    /// Does a piece of hashing, which counts as such, as the shared budget allows.
    pub(crate) fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        shared_budget::hashing(self.shared_budget.as_deref(), || self.counters.hash_time.time(work))
    }

    /// The next chunk for a thread that has none; `None` at the end.
    fn first(&self) -> Option<C> {
        loop {
            // In this order: what was handed on before the readers were abandoned still counts.
            let is_abandoned = self.abandoned.try_recv() == Err(TryRecvError::Disconnected);
            match self.input.try_recv() {
                Ok(chunk) => return Some(chunk),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if is_abandoned => return None,
                Err(TryRecvError::Empty) => {}
            }
            if self.leave() {
                self.park();
                continue;
            }
            select! {
                recv(self.input) -> chunk => return chunk.ok(),
                recv(self.abandoned) -> _ => {}
            }
        }
    }

    fn park(&self) {
        select! {
            recv(self.wakes.1) -> _ => {}
            recv(self.abandoned) -> _ => {}
        }
    }

    fn wake_one(&self) {
        // Both ends live as long as the pool.
        let _ = self.wakes.0.send(());
    }

    /// False for the last that is active.
    fn leave(&self) -> bool {
        self.change_active(|active| (active > 1).then(|| active - 1))
    }

    fn wake_one_if_behind(&self) {
        if self.input.len() >= self.queue_max && self.change_active(|active| (active < self.threads).then(|| active + 1)) {
            self.wake_one();
        }
    }

    fn change_active(&self, change: impl FnMut(usize) -> Option<usize>) -> bool {
        self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }
}

/// Hashes the bodies of chunks side by side on this thread; zeros are found and not hashed.
struct BodyHasher<C> {
    side_by_side: SideBySide<WithBody<C>>,
}

struct WithBody<C>(C);

impl<C: HasBody> AsRef<[u8]> for WithBody<C> {
    fn as_ref(&self) -> &[u8] {
        self.0.body().unwrap_or_default()
    }
}

impl<C: HasBody> Default for BodyHasher<C> {
    fn default() -> Self {
        BodyHasher { side_by_side: SideBySide::default() }
    }
}

impl<C: HasBody> BodyHasher<C> {
    fn is_empty(&self) -> bool {
        self.side_by_side.is_empty()
    }

    fn has_room(&self) -> bool {
        self.side_by_side.has_room()
    }

    /// Takes a chunk, or gives it back where it is zeros.
    fn add(&mut self, chunk: C) -> Option<C> {
        if chunk.body().is_some_and(|bytes| !is_zero(bytes)) {
            self.side_by_side.add(WithBody(chunk));
            return None;
        }
        Some(chunk)
    }

    /// Goes on a little; gives the chunks that are done.
    fn step(&mut self) -> Vec<(C, Sha256Digest)> {
        let mut done = Vec::new();
        self.side_by_side.step(|WithBody(chunk), digest| done.push((chunk, digest)));
        done
    }
}
