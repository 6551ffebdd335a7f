//! How many readers are on a drive at once: found by trying, as with requests to a store ([`Concurrency`]), from one up.
//! A drive with heads is fastest with one, and says so by getting slower; most flash takes more. A reader that is stuck in
//! a call does not count: what the others can read is read.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::call::counters::Counters;
use crate::call::stop::Stop;
use crate::flow::concurrency::{Concurrency, Ended};
use crate::flow::watchdog::{self, CallWatch};
use crate::limits::STUCK_CALL;

/// A reader that waits longer for its buffer is not what holds the transfer back.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// Which readers are active. The others are parked.
pub(crate) struct Readers {
    state: Mutex<State>,
    changed: Condvar,
    watches: Arc<[Arc<CallWatch>]>,
    counters: Arc<Counters>,
}

struct State {
    concurrency: Concurrency,
    reading: usize,
    is_over: bool,
}

/// Leave to read one chunk, until it is dropped.
pub(crate) struct Reading<'readers> {
    readers: &'readers Readers,
    ended: Option<Ended>,
}

impl Readers {
    /// As many readers as there are watches at most; one at first.
    pub(crate) fn new(watches: Arc<[Arc<CallWatch>]>, counters: Arc<Counters>) -> Self {
        let concurrency = Concurrency::new(None, 1, watches.len());
        let state = Mutex::new(State { concurrency, reading: 0, is_over: false });
        Readers { state, changed: Condvar::new(), watches, counters }
    }

    /// Waits for leave to read a chunk; `None` when there is nothing more to read, or a stop was asked for.
    pub(crate) fn turn(&self, stop: &Stop) -> Option<Reading<'_>> {
        let mut state = self.state();
        loop {
            if state.is_over || stop.is_stopping() {
                return None;
            }
            if state.reading < state.concurrency.now() + watchdog::stuck(&self.watches, STUCK_CALL) {
                state.reading += 1;
                return Some(Reading { readers: self, ended: None });
            }
            // An active reader looks at the token and sends the others home; the interval is for one that is stuck.
            (state, _) = self.changed.wait_timeout(state, STUCK_CALL).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends the parked readers home: one that reads has found that there is nothing more for any of them.
    pub(crate) fn close(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading<'_> {
    /// Notes what was read, and how long its buffer was waited for.
    pub(crate) fn has_read(self, bytes: u64, waited: Duration) {
        self.ended_at(Instant::now(), bytes, waited);
    }

    fn ended_at(mut self, at: Instant, bytes: u64, waited: Duration) {
        self.ended = Some(Ended { bytes, was_full: waited <= WAIT_MAX, throttled: 0, at });
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.readers.state();
        state.reading -= 1;
        if let Some(ended) = self.ended {
            let before = state.concurrency.now();
            state.concurrency.ended(ended);
            if state.concurrency.now() != before {
                self.readers.counters.set_readers(state.concurrency.now());
            }
        }
        drop(state);
        self.readers.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use protocol::stop::StopReason;

    use super::*;

    const READERS: usize = 4;

    #[test]
    fn one_reads_at_first_and_those_parked_go_home_at_the_end() {
        let readers = Readers::new(watchdog::watches(READERS), Arc::default());
        let (left, now, most) = (AtomicUsize::new(1000), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    while let Some(_reading) = readers.turn(&Stop::new()) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                            readers.close();
                        }
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), left.into_inner()), (1, 0));
    }

    #[test]
    fn a_stop_sends_home_who_is_parked() {
        let (readers, stop) = (Readers::new(watchdog::watches(READERS), Arc::default()), Stop::new());
        let reading = readers.turn(&stop);
        std::thread::scope(|scope| {
            let parked = scope.spawn(|| readers.turn(&stop).is_none());
            stop.request_stop(StopReason::Interrupted);
            assert!(parked.join().unwrap());
        });
        drop(reading);
    }

    /// Which share of the chunks is read by how many readers, where so many read so fast in all.
    fn shares(waited: Duration, bytes_per_second: impl Fn(usize) -> f64) -> [f64; READERS] {
        let readers = Readers::new(watchdog::watches(READERS), Arc::default());
        let mut at = Instant::now();
        let mut shares = [0.0; READERS];
        for _ in 0..20_000 {
            let now = readers.state().concurrency.now();
            shares[now - 1] += 1.0 / 20_000.0;
            at += Duration::from_secs_f64(8e6 / bytes_per_second(now));
            readers.turn(&Stop::new()).unwrap().ended_at(at, 8_000_000, waited);
        }
        shares
    }

    #[test]
    fn a_drive_with_heads_keeps_one_reader_nearly_always_and_flash_gets_more() {
        let heads = |readers: usize| 200e6 / readers as f64;
        let flash = |readers: usize| 1e9 * readers.min(3) as f64;
        let [one, ..] = shares(Duration::ZERO, heads);
        assert!(one > 0.95, "{one}");
        let [.., three, four] = shares(Duration::ZERO, flash);
        assert!(three + four > 0.9, "{three} {four}");
        let [one, ..] = shares(Duration::from_millis(5), flash);
        assert!(one > 0.999, "who waits for buffers needs no company: {one}");
    }
}
