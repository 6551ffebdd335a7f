//! The hash threads of one transfer. They fill the lanes of one core before the next begins: four chunks side by side cost
//! hardly more of a core's time than two, so a thread with a free lane is better than a second thread.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, select, unbounded};
use drive::zero::is_zero;
use protocol::digest::Sha256Digest;

use crate::chunk::Body;
use crate::error::CopyError;
use crate::hashing::{self, SideBySide};
use crate::progress::Counters;
use crate::station::{self, StationBudget};
use crate::threads;

/// A chunk on its way that has a body.
pub(crate) trait HasBody {
    fn body(&self) -> &Body;
}

/// What the threads share. At least one is always at work, which means that it waits for chunks or hashes them; the others
/// rest until they are called.
pub(crate) struct Crew<C> {
    input: Receiver<C>,
    /// Ends when the readers were given up on: one that hangs holds its end of the input.
    abandoned: Receiver<Infallible>,
    calls: (Sender<()>, Receiver<()>),
    at_work: AtomicUsize,
    threads: usize,
    /// Chunks that must wait before another thread is called.
    queue_max: usize,
    counters: Arc<Counters>,
    station: Option<Arc<StationBudget>>,
}

/// Calls the next thread when this one ends, however it does: somebody must see the end of the input.
struct Shift<'crew, C: HasBody>(&'crew Crew<C>);

impl<C: HasBody> Drop for Shift<'_, C> {
    fn drop(&mut self) {
        self.0.call();
    }
}

impl<C: HasBody> Crew<C> {
    /// A crew for what comes from `input`. With `is_other_work` a thread has more to do than can be done side by side.
    pub(crate) fn new(
        input: Receiver<C>,
        abandoned: Receiver<Infallible>,
        is_other_work: bool,
        counters: Arc<Counters>,
        station: Option<Arc<StationBudget>>,
    ) -> Self {
        let queue_max = if is_other_work { 1 } else { hashing::lanes() };
        let (threads, at_work) = (threads::hash_threads(), AtomicUsize::new(1));
        let crew = Crew { input, abandoned, calls: unbounded(), at_work, threads, queue_max, counters, station };
        crew.call();
        crew
    }

    /// The same crew with another number of threads.
    #[cfg(test)]
    pub(crate) fn with_threads(self, threads: usize) -> Self {
        Crew { threads, ..self }
    }

    /// What each thread of the crew does: hashes until no more chunks come, or the readers were given up on. `begin` looks
    /// at a chunk before that, and says false where it goes no further; `done` takes it with its digest, or without one
    /// where it is zeros, and says false where nobody takes it any more.
    pub(crate) fn run(
        &self,
        begin: impl Fn(&C) -> Result<bool, CopyError>,
        done: impl Fn(C, Option<Sha256Digest>) -> Result<bool, CopyError>,
    ) -> Result<(), CopyError> {
        self.rest();
        let _shift = Shift(self);
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
            self.call_for_help();
            for (chunk, digest) in self.timed(|| hasher.step()) {
                if !done(chunk, Some(digest))? {
                    return Ok(());
                }
            }
        }
    }

    /// Does a piece of hashing, which counts as such, as the station allows.
    pub(crate) fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        station::hashing(self.station.as_deref(), || self.counters.hash_time.time(work))
    }

    /// The next chunk for a thread that has none; `None` at the end.
    fn first(&self) -> Option<C> {
        loop {
            // In this order: what was handed on before the readers were given up on still counts.
            let is_abandoned = self.abandoned.try_recv() == Err(TryRecvError::Disconnected);
            match self.input.try_recv() {
                Ok(chunk) => return Some(chunk),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if is_abandoned => return None,
                Err(TryRecvError::Empty) => {}
            }
            if self.leave() {
                self.rest();
                continue;
            }
            select! {
                recv(self.input) -> chunk => return chunk.ok(),
                recv(self.abandoned) -> _ => {}
            }
        }
    }

    fn rest(&self) {
        select! {
            recv(self.calls.1) -> _ => {}
            recv(self.abandoned) -> _ => {}
        }
    }

    fn call(&self) {
        // Both ends live as long as the crew.
        let _ = self.calls.0.send(());
    }

    /// False for the last that is at work.
    fn leave(&self) -> bool {
        self.change_at_work(|at_work| (at_work > 1).then(|| at_work - 1))
    }

    fn call_for_help(&self) {
        if self.input.len() >= self.queue_max && self.change_at_work(|at_work| (at_work < self.threads).then(|| at_work + 1)) {
            self.call();
        }
    }

    fn change_at_work(&self, change: impl FnMut(usize) -> Option<usize>) -> bool {
        self.at_work.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }
}

/// Hashes the bodies of chunks side by side on this thread; zeros are found and not hashed.
struct BodyHasher<C> {
    side_by_side: SideBySide<WithBody<C>>,
}

struct WithBody<C>(C);

impl<C: HasBody> AsRef<[u8]> for WithBody<C> {
    fn as_ref(&self) -> &[u8] {
        match self.0.body() {
            Body::Bytes(bytes) => bytes,
            Body::Hole => &[],
        }
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
        if matches!(chunk.body(), Body::Bytes(bytes) if !is_zero(bytes)) {
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
