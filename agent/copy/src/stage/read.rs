//! Drive → [`ReadChunk`]. The only stage of an import that looks at the token, and only between
//! chunks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use drive::{Drive, DriveError};
use protocol::units::{ByteRange, ChunkGeometry};
use tokio::runtime::Handle;

use crate::call::counters::Counters;
use crate::call::stop::Stop;
use crate::chunk::{Body, Place, ReadChunk};
use crate::error::CopyError;
use crate::flow::pool::{BufferPool, PooledBuffer};
use crate::flow::rate::RateLimit;
use crate::flow::readers::Readers;
use crate::flow::watchdog::CallWatch;
use crate::plan::{Planned, ReadPlan};
use crate::record::table::SharedTable;
use crate::rescue::Rescue;
use crate::rescue::is_slow;
use crate::source::holes::DataRun;

/// What all readers of a transfer share.
pub(crate) struct ReadStage {
    pub(crate) drive: Arc<dyn Drive>,
    pub(crate) plan: Mutex<ReadPlan>,
    pub(crate) pool: BufferPool,
    pub(crate) rate: RateLimit,
    pub(crate) geometry: ChunkGeometry,
    pub(crate) table: SharedTable,
    /// What to do where the drive cannot be read; `None` ends the transfer there.
    pub(crate) rescue: Option<Arc<Rescue>>,
    /// The read of a rescue that is under way: it ends by itself after `read_timeout`.
    pub(crate) rescue_watch: Arc<CallWatch>,
    /// Longest single read of a rescue.
    pub(crate) read_timeout: Duration,
    pub(crate) readers: Readers,
    /// How many readers have not left the fast path.
    pub(crate) readers_left: AtomicUsize,
    pub(crate) stop: Stop,
    pub(crate) counters: Arc<Counters>,
    pub(crate) runtime: Handle,
}

impl ReadStage {
    /// Reads chunk after chunk until the plan is done, a stop is asked for, or the drive fails. Where it
    /// fails in places only, and the policy says so, the last reader to leave rescues what it can.
    pub(crate) fn run(&self, watch: &CallWatch, output: &Sender<ReadChunk>) -> Result<(), CopyError> {
        let ended = self.run_fast(watch, output);
        // What ends one ends all.
        self.readers.close();
        let is_last = self.readers_left.fetch_sub(1, Ordering::SeqCst) == 1;
        ended?;
        if is_last { self.rescue_rest(watch, output) } else { Ok(()) }
    }

    fn run_fast(&self, watch: &CallWatch, output: &Sender<ReadChunk>) -> Result<(), CopyError> {
        let mut data = DataRun::unknown();
        while let Some(reading) = self.readers.turn(&self.stop) {
            let asked = Instant::now();
            // A buffer first, then a chunk: so the earliest chunk under way always has a buffer, and a stage that
            // needs chunks in order never waits for one that cannot come.
            let Some(mut buffer) = self.take_buffer()? else { return Ok(()) };
            let Some((place, recorded)) = self.next_with_data(watch, &mut data, output)? else { return Ok(()) };
            if !self.wait_for_rate(place.range.length) {
                return Ok(());
            }
            let (waited, length) = (asked.elapsed(), place.range.length as usize);
            let bytes = &mut buffer[..length];
            let read = self.counters.read_time.time(|| self.read_chunk(watch, place.range, bytes, &mut data));
            if read?.is_none() {
                return Ok(());
            }
            reading.has_read(place.range.length, waited);
            let body = Body::Bytes(buffer.freeze(length));
            if output.send(ReadChunk { place, body, recorded, unreadable: Vec::new() }).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next chunk that is not a hole; the holes before it are passed on without being read. `None` when there is none, or
    /// none is to be begun any more.
    fn next_with_data(
        &self,
        watch: &CallWatch,
        data: &mut DataRun,
        output: &Sender<ReadChunk>,
    ) -> Result<Option<Planned>, CopyError> {
        loop {
            if self.stop.is_stopping() || self.rescue.as_ref().is_some_and(|rescue| rescue.has_begun()) {
                return Ok(None);
            }
            let Some((place, recorded)) = self.next_planned()? else { return Ok(None) };
            if !self.is_hole(watch, place.range, data)? {
                return Ok(Some((place, recorded)));
            }
            if output.send(ReadChunk { place, body: Body::Hole, recorded, unreadable: Vec::new() }).is_err() {
                return Ok(None);
            }
        }
    }

    /// Whether a range holds no data; `data` remembers the last run of data found.
    pub(crate) fn is_hole(&self, watch: &CallWatch, range: ByteRange, data: &mut DataRun) -> Result<bool, DriveError> {
        if data.ends_before(range) {
            data.note(watch.during(range, || self.drive.next_data(range.offset))?);
        }
        Ok(data.begins_after(range))
    }

    /// A buffer; `None` when a stop was asked for first.
    pub(crate) fn take_buffer(&self) -> Result<Option<PooledBuffer>, CopyError> {
        Ok(self.counters.wait_time.time(|| self.wait(self.pool.take())).transpose()?)
    }

    /// Waits until the bytes may be moved; false when a stop was asked for first.
    pub(crate) fn wait_for_rate(&self, bytes: u64) -> bool {
        self.counters.rate_time.time(|| self.wait(self.rate.wait(bytes))).is_some()
    }

    /// Waits on this thread, and gives up when a stop is asked for.
    fn wait<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(self.stop.or_stopping(wait))
    }

    /// Reads a chunk in the pieces that the drive likes. `None` where it was left to the rescue.
    fn read_chunk(
        &self,
        watch: &CallWatch,
        chunk: ByteRange,
        bytes: &mut [u8],
        data: &mut DataRun,
    ) -> Result<Option<()>, CopyError> {
        let piece_bytes = self.drive.preferred_read_bytes();
        let mut start = 0;
        while start < bytes.len() {
            let end = bytes.len().min(start + piece_bytes);
            let piece = ByteRange::new(chunk.offset + start as u64, (end - start) as u64);
            if self.is_hole(watch, piece, data)? {
                bytes[start..end].fill(0);
            } else {
                let started = Instant::now();
                match (watch.during(piece, || self.drive.read_at(&mut bytes[start..end], piece.offset)), &self.rescue) {
                    (Err(error), Some(rescue)) if error.is_unreadable() => {
                        rescue.defer(chunk, bytes, piece)?;
                        return Ok(None);
                    }
                    (read, _) => read?,
                }
                self.note_good_read(piece, started);
            }
            start = end;
        }
        Ok(Some(()))
    }

    /// A good read proves that the drive is there; one that took long, that it is in trouble.
    fn note_good_read(&self, piece: ByteRange, started: Instant) {
        let Some(rescue) = &self.rescue else { return };
        rescue.set_last_good(piece.offset);
        if is_slow(rescue, piece.length, started.elapsed()) {
            rescue.begin();
        }
    }

    /// The next chunk of the plan.
    pub(crate) fn next_planned(&self) -> Result<Option<Planned>, CopyError> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// The chunk that a byte is in.
    pub(crate) fn place_of(&self, offset: u64) -> Place {
        Place::at(self.geometry, offset)
    }
}
