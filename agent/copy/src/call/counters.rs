//! Counters that the stages move, and the snapshots that listeners take.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use protocol::manifest::ChunkState;
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::{LimitedBy, StageSeconds};

use crate::call::link_meter::LinkMeter;

/// A value that another part knows, asked for when a snapshot is taken.
struct Source<T>(OnceLock<Box<dyn Fn() -> T + Send + Sync>>);

impl<T: Default> Source<T> {
    fn get(&self) -> T {
        self.0.get().map(|ask| ask()).unwrap_or_default()
    }
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Source(OnceLock::new())
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Source").finish_non_exhaustive()
    }
}

/// Counters of one transfer. Bytes are counted when they are recorded.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    phase: Mutex<Phase>,
    total: AtomicU64,
    sent: AtomicU64,
    reused: AtomicU64,
    zero: AtomicU64,
    unreadable: AtomicU64,
    /// Of the part after the copying: clearing, or verifying.
    part: AtomicU64,
    part_total: AtomicU64,
    retries: AtomicU64,
    recent: Mutex<VecDeque<(Instant, u64)>>,
    /// Those of reading, hashing, sending, writing.
    workers: Mutex<[Workers; 4]>,
    /// Of requests to a store across a network.
    pub(crate) link: LinkMeter,
    bytes_in_flight: Source<u64>,
    unreadable_so_far: Source<UnreadableSoFar>,
    /// For how long the longest call into the drive has been under way.
    drive_call: Source<Option<Duration>>,
    pub(crate) read_time: StageClock,
    pub(crate) hash_time: StageClock,
    pub(crate) wait_time: StageClock,
    pub(crate) rate_time: StageClock,
    pub(crate) send_time: StageClock,
    pub(crate) write_time: StageClock,
    pub(crate) sync_time: StageClock,
}

/// Rates are taken over this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// A drive that answers sooner is not called silent: one that spins up, or reads a place again, takes seconds.
const DRIVE_SILENCE_LEAST: Duration = Duration::from_secs(2);

impl Default for Counters {
    fn default() -> Self {
        Counters {
            started: Instant::now(),
            phase: Mutex::new(Phase::Preparing),
            total: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            zero: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            part: AtomicU64::new(0),
            part_total: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            recent: Mutex::default(),
            workers: Mutex::new([Workers::new(1); 4]),
            link: LinkMeter::default(),
            bytes_in_flight: Source::default(),
            unreadable_so_far: Source::default(),
            drive_call: Source::default(),
            read_time: StageClock::default(),
            hash_time: StageClock::default(),
            wait_time: StageClock::default(),
            rate_time: StageClock::default(),
            send_time: StageClock::default(),
            write_time: StageClock::default(),
            sync_time: StageClock::default(),
        }
    }
}

impl Counters {
    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        // What an earlier run moved says nothing about the rate of this one.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Changes the phase where it is `from` now.
    pub(crate) fn set_phase_from(&self, from: Phase, to: Phase) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == from {
            *phase = to;
        }
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// Says how many work at reading, hashing, sending and writing.
    pub(crate) fn set_workers(&self, workers: [usize; 4]) {
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers.map(Workers::new);
    }

    /// Says that so many read from the drive, or request from the store, from now on.
    pub(crate) fn set_readers(&self, count: usize) {
        let [reading, ..] = &mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        *reading = reading.changed_to(count);
    }

    /// Says that so many requests send to the store from now on.
    pub(crate) fn set_senders(&self, count: usize) {
        let [_, _, sending, _] = &mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        *sending = sending.changed_to(count);
    }

    /// Takes the counter of bytes in flight. A transfer has one pipeline: only the first call counts.
    pub(crate) fn set_bytes_in_flight(&self, ask: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.bytes_in_flight.0.set(Box::new(ask));
    }

    /// Takes the list of what a failing drive has not given. Only the first call counts.
    pub(crate) fn set_unreadable_so_far(&self, ask: impl Fn() -> UnreadableSoFar + Send + Sync + 'static) {
        let _ = self.unreadable_so_far.0.set(Box::new(ask));
    }

    /// Takes the age of the longest call into the drive that is under way. Only the first call counts.
    pub(crate) fn set_drive_call(&self, ask: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        let _ = self.drive_call.0.set(Box::new(ask));
    }

    fn drive_silent_seconds(&self) -> Option<f64> {
        self.drive_call.get().filter(|since| *since >= DRIVE_SILENCE_LEAST).map(|since| since.as_secs_f64())
    }

    /// What the drive has not given so far; nothing where it is well.
    pub fn unreadable_so_far(&self) -> UnreadableSoFar {
        self.unreadable_so_far.get()
    }

    /// Counts a chunk that was recorded; its unreadable part is counted apart.
    pub(crate) fn add_recorded(&self, state: ChunkState, bytes: u64, unreadable_bytes: u64) {
        let counter = match state {
            ChunkState::Sent => &self.sent,
            ChunkState::Reused => &self.reused,
            ChunkState::Zero => &self.zero,
        };
        counter.fetch_add(bytes - unreadable_bytes, Ordering::Relaxed);
        self.unreadable.fetch_add(unreadable_bytes, Ordering::Relaxed);
    }

    /// Begins a part after the copying, of so many bytes.
    pub(crate) fn begin_part(&self, phase: Phase, total_bytes: u64) {
        self.part.store(0, Ordering::Relaxed);
        self.part_total.store(total_bytes, Ordering::Relaxed);
        self.set_phase(phase);
    }

    /// Counts bytes that were cleared or verified.
    pub(crate) fn add_to_part(&self, bytes: u64) {
        self.part.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes cleared or verified in this part.
    pub(crate) fn part_bytes(&self) -> u64 {
        self.part.load(Ordering::Relaxed)
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Bytes sent, reused, zero, unreadable.
    pub(crate) fn classes(&self) -> [u64; 4] {
        [&self.sent, &self.reused, &self.zero, &self.unreadable].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Seconds since the transfer began.
    pub fn elapsed_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// How far the transfer is now. Called a few times a second; the rate is taken over the last five
    /// seconds of calls.
    pub fn snapshot(&self) -> Progress {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let [bytes_sent, bytes_reused, bytes_zero, bytes_unreadable] = self.classes();
        let (bytes_done, bytes_total) = match phase {
            Phase::Clearing | Phase::Verifying => (self.part_bytes(), self.part_total.load(Ordering::Relaxed)),
            _ => (bytes_sent + bytes_reused + bytes_zero + bytes_unreadable, self.total.load(Ordering::Relaxed)),
        };
        let bytes_per_second = self.rate(bytes_done);
        let left = bytes_total.saturating_sub(bytes_done) as f64;
        Progress {
            phase,
            bytes_total,
            bytes_done,
            bytes_sent,
            bytes_reused,
            bytes_zero,
            bytes_unreadable,
            bytes_in_flight: self.bytes_in_flight.get(),
            retries: self.retries(),
            limited_by: self.limited_by(),
            elapsed_seconds: self.elapsed_seconds(),
            bytes_per_second,
            link_bytes_per_second: self.link_bytes_per_second(),
            drive_silent_seconds: self.drive_silent_seconds(),
            eta_seconds: (bytes_per_second > 0.0 && phase != Phase::Done).then(|| left / bytes_per_second),
        }
    }

    /// What the link to the store carries, in bytes a second; `None` where nothing went over one.
    pub(crate) fn link_bytes_per_second(&self) -> Option<f64> {
        self.link.bytes_per_second(Instant::now())
    }

    fn rate(&self, bytes_done: u64) -> f64 {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back((now, bytes_done));
        while recent.len() > 2 && recent.front().is_some_and(|(at, _)| now - *at > RATE_WINDOW) {
            recent.pop_front();
        }
        match recent.front() {
            Some((at, bytes)) if now > *at => bytes_done.saturating_sub(*bytes) as f64 / (now - *at).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// Where the time went.
    pub(crate) fn stages(&self) -> StageSeconds {
        StageSeconds {
            read: self.read_time.seconds(),
            hash: self.hash_time.seconds(),
            wait: self.wait_time.seconds(),
            send: self.send_time.seconds(),
            write: self.write_time.seconds(),
            sync: self.sync_time.seconds(),
        }
    }

    /// What held the transfer back: the stage whose workers were busy for the largest share of the
    /// time.
    pub(crate) fn limited_by(&self) -> LimitedBy {
        let workers = *self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let [read, hash, send, write] = workers.map(Workers::seconds);
        let elapsed = self.elapsed_seconds();
        let shares = [
            (LimitedBy::Read, self.read_time.seconds() / read),
            (LimitedBy::Hash, self.hash_time.seconds() / hash),
            (LimitedBy::Send, self.send_time.seconds() / send),
            (LimitedBy::Write, self.write_time.seconds() / write),
            (LimitedBy::Sync, self.sync_time.seconds() / elapsed),
            (LimitedBy::Rate, self.rate_time.seconds() / read),
        ];
        let busiest = shares.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        match busiest {
            Some((stage, seconds)) if seconds > 0.0 => stage,
            _ => LimitedBy::Nothing,
        }
    }
}

/// How much time those who work at a stage had.
#[derive(Debug, Clone, Copy)]
struct Workers {
    count: usize,
    since: Instant,
    /// Of all, before that.
    seconds_before: f64,
}

impl Workers {
    fn new(count: usize) -> Self {
        Workers { count: count.max(1), since: Instant::now(), seconds_before: 0.0 }
    }

    fn changed_to(self, count: usize) -> Self {
        Workers { seconds_before: self.seconds(), ..Workers::new(count) }
    }

    fn seconds(self) -> f64 {
        self.seconds_before + self.count as f64 * self.since.elapsed().as_secs_f64()
    }
}

/// Time spent in a stage, summed over its workers.
#[derive(Debug, Default)]
pub(crate) struct StageClock {
    nanoseconds: AtomicU64,
}

impl StageClock {
    pub(crate) fn add(&self, duration: Duration) {
        self.nanoseconds.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Runs `work` and counts its time.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(started.elapsed());
        result
    }

    fn seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}
