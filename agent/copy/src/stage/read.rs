//! Drive → [`ReadChunk`]. The only stage of an import that looks at the token, and only between
//! chunks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::Sender;
use drive::{Drive, DriveError};
use protocol::units::ByteRange;

use crate::chunk::{Body, ReadChunk};
use crate::error::CopyError;
use crate::limits::{RESCUE_TRIES, SKIP_PIECE_BYTES, TOKEN_BEAT};
use crate::options::OnUnreadable;
use crate::plan::ReadPlan;
use crate::pool::BufferPool;
use crate::progress::Counters;
use crate::rate::RateLimit;
use crate::stop::Stop;
use crate::watch::CallWatch;

/// What all readers of a transfer share.
pub(crate) struct ReadStage {
    pub(crate) drive: Arc<dyn Drive>,
    pub(crate) plan: Mutex<ReadPlan>,
    pub(crate) pool: BufferPool,
    pub(crate) rate: RateLimit,
    pub(crate) on_unreadable: OnUnreadable,
    pub(crate) stop: Stop,
    pub(crate) counters: Arc<Counters>,
}

impl ReadStage {
    /// Reads chunk after chunk until the plan is done, a stop is asked for, or the drive fails.
    pub(crate) fn run(&self, watch: &CallWatch, output: &Sender<ReadChunk>) -> Result<(), CopyError> {
        let mut data = ByteRange::new(0, 0);
        // A buffer first, then a chunk: so the earliest chunk under way always has a buffer, and whoever
        // needs chunks in order never waits for one that cannot come.
        while let Some(buffer) = self.counters.wait_time.time(|| self.pool.take_blocking(&self.stop)) {
            let mut buffer = Some(buffer);
            while let Some(unused) = buffer.take() {
                if self.stop.is_stopping() {
                    return Ok(());
                }
                let next = self.plan.lock().unwrap_or_else(PoisonError::into_inner).next()?;
                let Some((place, recorded)) = next else { return Ok(()) };
                let chunk = if self.is_hole(watch, place.range, &mut data)? {
                    buffer = Some(unused);
                    ReadChunk { place, body: Body::Hole, recorded, unreadable: Vec::new() }
                } else {
                    if !self.wait_for_rate(place.range.length) {
                        return Ok(());
                    }
                    let mut filled = unused;
                    let length = place.range.length as usize;
                    let bytes = &mut filled[..length];
                    let unreadable =
                        self.counters.read_time.time(|| self.read_chunk(watch, bytes, place.range.offset, &mut data))?;
                    ReadChunk { place, body: Body::Bytes(filled.freeze(length)), recorded, unreadable }
                };
                if output.send(chunk).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether a range holds no data; `data` remembers the last run of data found.
    fn is_hole(&self, watch: &CallWatch, range: ByteRange, data: &mut ByteRange) -> Result<bool, DriveError> {
        if data.end() <= range.offset {
            let end = ByteRange::new(u64::MAX, 0);
            let found = watch.during(range, || self.drive.next_data(range.offset));
            *data = found?.unwrap_or(end);
        }
        Ok(range.end() <= data.offset)
    }

    /// Waits until the bytes may be moved; false when a stop was asked for first.
    fn wait_for_rate(&self, bytes: u64) -> bool {
        let until = Instant::now() + self.rate.reserve(bytes);
        self.counters.rate_time.time(|| {
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                if self.stop.is_stopping() {
                    return false;
                }
                std::thread::sleep(left.min(TOKEN_BEAT));
            }
            true
        })
    }

    /// Reads a chunk in the pieces that the drive likes, and around bad places as the policy says.
    /// Gives the parts that could not be read; they are zeros in `bytes`.
    fn read_chunk(
        &self,
        watch: &CallWatch,
        bytes: &mut [u8],
        offset: u64,
        data: &mut ByteRange,
    ) -> Result<Vec<ByteRange>, DriveError> {
        let mut unreadable = Vec::new();
        let piece_bytes = self.drive.preferred_read_bytes();
        for (number, piece) in bytes.chunks_mut(piece_bytes).enumerate() {
            let offset = offset + (number * piece_bytes) as u64;
            if self.is_hole(watch, ByteRange::new(offset, piece.len() as u64), data)? {
                piece.fill(0);
                continue;
            }
            match self.read_piece(watch, piece, offset) {
                Err(error) if error.is_unreadable() && self.on_unreadable != OnUnreadable::Stop => {
                    self.read_around(watch, piece, offset, &mut unreadable)?;
                }
                other => other?,
            }
        }
        Ok(unreadable)
    }

    fn read_around(
        &self,
        watch: &CallWatch,
        piece: &mut [u8],
        offset: u64,
        unreadable: &mut Vec<ByteRange>,
    ) -> Result<(), DriveError> {
        let sector = self.drive.sector_size_bytes() as usize;
        let (step, tries) = match self.on_unreadable {
            OnUnreadable::Rescue => (sector, RESCUE_TRIES),
            _ => (SKIP_PIECE_BYTES.max(sector), 1),
        };
        let mut left: Vec<usize> = (0..piece.len()).step_by(step).collect();
        for _ in 0..tries {
            let mut bad = Vec::new();
            for start in left {
                let end = piece.len().min(start + step);
                match self.read_piece(watch, &mut piece[start..end], offset + start as u64) {
                    Err(error) if error.is_unreadable() => bad.push(start),
                    other => other?,
                }
            }
            // The next pass comes from the other side: some heads read a bad place only so.
            bad.reverse();
            left = bad;
        }
        left.sort_unstable();
        for start in left {
            let end = piece.len().min(start + step);
            piece[start..end].fill(0);
            let range = ByteRange::new(offset + start as u64, (end - start) as u64);
            match unreadable.last_mut() {
                Some(last) if last.end() == range.offset => last.length += range.length,
                _ => unreadable.push(range),
            }
        }
        Ok(())
    }

    fn read_piece(&self, watch: &CallWatch, piece: &mut [u8], offset: u64) -> Result<(), DriveError> {
        let range = ByteRange::new(offset, piece.len() as u64);
        watch.during(range, || self.drive.read_at(piece, offset))
    }
}
