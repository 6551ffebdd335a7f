//! What is known of a drive that fails, during one import: asked and changed by the reader and by those who report.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::fill::Fill;
use protocol::limits::FROM_IMAGE_RANGES_MAX;
use protocol::progress::UnreadableSoFar;
use protocol::rescue::{ReadMap, ReadStatus, RescuePhase, RescuePlan, RescueRules};
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex, RangeList};

use crate::call::options::RescueOptions;
use crate::error::CopyError;
use crate::limits::LATENCY_CLIFF;
use crate::record::table::SharedTable;
use crate::rescue::scratch::Scratch;

/// The rescue of one import: begun at the first trouble, or where an earlier run left one.
pub(crate) struct Rescue {
    pub(crate) options: RescueOptions,
    pub(crate) fill: Fill,
    pub(super) rules: RescueRules,
    pub(super) geometry: ChunkGeometry,
    pub(super) map_path: PathBuf,
    /// Which bytes the user's image has: the user's map will not say it any more.
    pub(super) image_path: PathBuf,
    /// Keeps other transfers away from the user's map.
    pub(super) _map_lock: Option<File>,
    /// What the user's map called rescued.
    pub(super) claimed: RangeList,
    pub(super) begun: AtomicBool,
    pub(super) failed_reads: AtomicU64,
    /// Begin of the last piece that was read well, for asking whether the drive is still there.
    pub(super) last_good: AtomicU64,
    pub(super) state: Mutex<State>,
    /// Held while maps are written: a state disk that hangs keeps other savers waiting, and nothing that only asks.
    pub(super) saving: Mutex<()>,
}

/// No place was read well yet.
pub(super) const NOWHERE: u64 = u64::MAX;

pub(super) struct State {
    /// What the user's map and an earlier run said of places that failed.
    pub(super) known: ReadMap,
    /// `+` where the plan knows better than that.
    pub(super) taken_over: ReadMap,
    /// `+` where the user's image has the bytes.
    pub(super) in_image: ReadMap,
    /// `+` where bytes were taken from it, now or in an earlier run.
    pub(super) from_image: ReadMap,
    /// What is still to be rescued; everything that is not is `+`.
    pub(super) plan: RescuePlan,
    pub(super) scratch: Scratch,
    /// `+` where the scratch file holds the bytes.
    pub(super) in_scratch: ReadMap,
    /// The read under way.
    pub(super) under_way: Option<ByteRange>,
    pub(super) saved_at: Instant,
    pub(super) saved_phase: RescuePhase,
}

impl Rescue {
    /// Bytes that the user's map calls rescued and that are neither in the blob nor at hand: they are read from
    /// the drive once more.
    pub(crate) fn bytes_claimed_in_vain(&self, table: &SharedTable) -> Result<u64, CopyError> {
        if self.options.rescued.is_some() {
            return Ok(0);
        }
        let mut bytes = 0;
        for range in self.claimed.as_slice() {
            for (index, chunk) in chunks_of(self.geometry, *range) {
                if table.get(index)?.landed.is_none() {
                    let (start, end) = (chunk.offset.max(range.offset), chunk.end().min(range.end()));
                    bytes += end - start;
                }
            }
        }
        Ok(bytes)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the drive is in trouble: it is read by one thread from now on.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The drive is in trouble.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether the failed place is kept as failed, or read again in smaller pieces.
    fn status_of_failed_piece(&self) -> ReadStatus {
        if self.rules.scrapes { ReadStatus::NonTrimmed } else { ReadStatus::NonTried }
    }

    /// Takes a chunk that could not be read whole on the fast path. `good` bytes of it, from its beginning,
    /// are in `bytes`; then comes `failed`.
    pub(crate) fn defer(&self, chunk: ByteRange, bytes: &[u8], failed: ByteRange) -> Result<(), CopyError> {
        let good = ByteRange::new(chunk.offset, failed.offset - chunk.offset);
        self.keep(good, &bytes[..good.length as usize])?;
        let mut state = self.state();
        state.taken_over.set(chunk, ReadStatus::Finished);
        state.plan.note(chunk, ReadStatus::NonTried);
        state.plan.note(good, ReadStatus::Finished);
        state.plan.note(failed, self.status_of_failed_piece());
        drop(state);
        self.count_failed_read();
        self.begin();
        Ok(())
    }

    /// Makes a chunk that was not read in this run part of the rescue, as it is known.
    pub(crate) fn add_chunk(&self, chunk: ByteRange) {
        let mut state = self.state();
        let State { known, plan, in_scratch, taken_over, .. } = &mut *state;
        taken_over.set(chunk, ReadStatus::Finished);
        for (range, status) in known.runs_in(chunk) {
            plan.note(range, if self.rules.scrapes { status } else { unless_proved_bad(status) });
        }
        for (range, status) in in_scratch.runs_in(chunk) {
            if status == ReadStatus::Finished {
                plan.note(range, ReadStatus::Finished);
            }
        }
    }

    /// Parts of a chunk that the user's image holds.
    pub(crate) fn in_image(&self, chunk: ByteRange) -> Vec<ByteRange> {
        let state = self.state();
        let found = state.in_image.runs_in(chunk).filter(|(_, status)| *status == ReadStatus::Finished);
        found.map(|(range, _)| range).collect()
    }

    /// The next read, and where the rescue stands.
    pub(crate) fn next_read(&self) -> Option<(ByteRange, RescuePhase)> {
        let mut state = self.state();
        let range = state.plan.next_read();
        state.under_way = range;
        Some((range?, state.plan.phase()))
    }

    /// Changes the plan.
    pub(crate) fn with_plan<T>(&self, work: impl FnOnce(&mut RescuePlan) -> T) -> T {
        let mut state = self.state();
        state.under_way = None;
        work(&mut state.plan)
    }

    /// The parts of a chunk by what is known of them.
    pub(crate) fn runs_of(&self, chunk: ByteRange) -> Vec<(ByteRange, ReadStatus)> {
        self.state().plan.map().runs_in(chunk).collect()
    }

    /// Whether all of a chunk was read.
    pub(crate) fn is_whole(&self, chunk: ByteRange) -> bool {
        let state = self.state();
        let mut runs = state.plan.map().runs_in(chunk);
        matches!((runs.next(), runs.next()), (Some((_, ReadStatus::Finished)), None))
    }

    /// Keeps good bytes of a chunk that is not finished.
    pub(crate) fn keep(&self, range: ByteRange, bytes: &[u8]) -> Result<(), CopyError> {
        if range.length == 0 {
            return Ok(());
        }
        let mut state = self.state();
        state.scratch.write(bytes, range.offset)?;
        state.in_scratch.set(range, ReadStatus::Finished);
        Ok(())
    }

    /// Reads kept bytes back.
    pub(crate) fn kept(&self, bytes: &mut [u8], offset: u64) -> Result<(), CopyError> {
        self.state().scratch.read(bytes, offset)
    }

    pub(crate) fn count_failed_read(&self) {
        self.failed_reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a range was read from the user's image.
    pub(crate) fn took_from_image(&self, range: ByteRange) {
        let mut state = self.state();
        state.under_way = None;
        state.from_image.set(range, ReadStatus::Finished);
        state.plan.note(range, ReadStatus::Finished);
    }

    /// Parts of a chunk that came from the user's image, now or in an earlier run: as few as a record may have, joined
    /// with what lies between them where there are more.
    pub(crate) fn image_ranges(&self, chunk: ByteRange) -> Vec<ByteRange> {
        let state = self.state();
        if state.from_image.bytes(ReadStatus::Finished) == 0 {
            return Vec::new();
        }
        let found = state.from_image.runs_in(chunk).filter(|(_, status)| *status == ReadStatus::Finished);
        joined(found.map(|(range, _)| range).collect(), FROM_IMAGE_RANGES_MAX)
    }

    /// The bad sectors that are known by now.
    pub(crate) fn bad_ranges(&self) -> RangeList {
        self.state().plan.map().ranges(ReadStatus::Bad)
    }

    /// What is bad, and what is not sure yet.
    pub(crate) fn unreadable_so_far(&self) -> UnreadableSoFar {
        let state = self.state();
        let map = state.plan.map();
        let of = |status| map.ranges(status).as_slice().to_vec();
        let mut doubtful = [of(ReadStatus::NonTrimmed), of(ReadStatus::NonScraped)].concat();
        doubtful.sort_unstable_by_key(|range| range.offset);
        UnreadableSoFar { bad: of(ReadStatus::Bad), doubtful }
    }

    /// The scratch file, where there is one.
    pub(crate) fn scratch_path(&self) -> Option<PathBuf> {
        let state = self.state();
        state.scratch.exists().then(|| state.scratch.path().to_owned())
    }

    /// Reads that the drive refused.
    pub(crate) fn failed_reads(&self) -> u64 {
        self.failed_reads.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_good(&self, offset: u64) {
        self.last_good.store(offset, Ordering::Relaxed);
    }

    pub(crate) fn last_good(&self) -> Option<u64> {
        Some(self.last_good.load(Ordering::Relaxed)).filter(|offset| *offset != NOWHERE)
    }

    /// Bytes that count as unreadable by now.
    pub(crate) fn unreadable_bytes(&self) -> u64 {
        let state = self.state();
        let map = state.plan.map();
        let untouched = map.bytes(ReadStatus::NonTrimmed) + map.bytes(ReadStatus::NonScraped);
        map.bytes(ReadStatus::Bad) + if self.rules.scrapes { 0 } else { untouched }
    }

    /// A read of `range` hangs: everything else is tried first from now on.
    pub(crate) fn note_hang(&self, range: ByteRange, table: &SharedTable) -> Result<(), CopyError> {
        self.begin();
        let mut state = self.state();
        if state.under_way.take().is_none() {
            // It hung on the fast path, before anything was planned.
            for (index, chunk) in self.geometry.chunks() {
                if table.get(index)?.landed.is_none() {
                    state.taken_over.set(chunk, ReadStatus::Finished);
                    let known: Vec<_> = state.known.runs_in(chunk).collect();
                    known.into_iter().for_each(|(part, status)| state.plan.note(part, status));
                }
            }
        }
        let is_sector = range.length <= self.rules.sector_bytes;
        state.plan.note(range, if is_sector { ReadStatus::Bad } else { ReadStatus::NonTrimmed });
        Ok(())
    }

    /// Sampling found places that hang: everything else is tried first.
    pub(crate) fn expect_hangs(&self, places: &[ByteRange]) {
        if places.is_empty() {
            return;
        }
        self.begin();
        let known = &mut self.state().known;
        for place in places {
            let untried: Vec<_> = known.runs_in(*place).filter(|(_, status)| *status == ReadStatus::NonTried).collect();
            untried.into_iter().for_each(|(range, _)| known.set(range, ReadStatus::NonTrimmed));
        }
    }
}

/// Whether a good read took so long that its neighbourhood is suspicious.
pub(crate) fn is_slow(rescue: &Rescue, bytes: u64, took: Duration) -> bool {
    match rescue.options.min_read_rate {
        Some(rate) => (bytes as f64) < rate.bytes_per_second as f64 * took.as_secs_f64(),
        None => took >= LATENCY_CLIFF,
    }
}

/// What a run that does not look at single sectors makes of what another one knew: a large read that failed says
/// little of most of its sectors, so the place is tried again in small pieces.
fn unless_proved_bad(status: ReadStatus) -> ReadStatus {
    match status {
        ReadStatus::NonTrimmed | ReadStatus::NonScraped => ReadStatus::NonTried,
        other => other,
    }
}

/// At most so many ranges that cover all of these: neighbours are joined with what lies between them.
fn joined(ranges: Vec<ByteRange>, most: usize) -> Vec<ByteRange> {
    let group = ranges.len().div_ceil(most).max(1);
    let groups = ranges.chunks(group);
    groups
        .filter_map(|group| Some((group.first()?, group.last()?)))
        .map(|(first, last)| ByteRange::new(first.offset, last.end() - first.offset))
        .collect()
}

/// The chunks that a range touches.
fn chunks_of(geometry: ChunkGeometry, range: ByteRange) -> impl Iterator<Item = (ChunkIndex, ByteRange)> {
    let first = range.offset / geometry.chunk_size_bytes();
    let last = range.end().div_ceil(geometry.chunk_size_bytes());
    (first..last).filter_map(move |index| Some((ChunkIndex(index), geometry.range(ChunkIndex(index))?)))
}
