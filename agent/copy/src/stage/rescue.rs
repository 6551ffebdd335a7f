//! A failing drive → [`ReadChunk`]: one thread, one read at a time, in the order that the plan gives. Chunks
//! that become whole are passed on at once; what stays unreadable comes last, with its filling.

use std::time::Instant;

use crossbeam_channel::Sender;
use drive::{DriveError, TimedReader};
use protocol::progress::Phase;
use protocol::rescue::{ReadOutcome, ReadStatus, RescuePhase};
use protocol::units::{ByteRange, ByteSize, RangeList};

use crate::chunk::{Body, Place, ReadChunk};
use crate::error::CopyError;
use crate::flow::pool::PooledBuffer;
use crate::flow::watchdog::CallWatch;
use crate::limits::{FAILURES_UNTIL_ASKED, HANGING_READS_MAX};
use crate::rescue::{Rescue, is_slow};
use crate::source::holes::DataRun;
use crate::stage::read::ReadStage;

/// The rescuing reader.
pub(crate) struct RescueReader<'stage> {
    stage: &'stage ReadStage,
    rescue: &'stage Rescue,
    watch: &'stage CallWatch,
    output: &'stage Sender<ReadChunk>,
    /// The chunk that is being put together.
    assembly: Option<Assembly>,
    /// Failed reads since the last good one, with what was known before: where the drive is gone, they
    /// say nothing about its sectors.
    failed_since_good: Vec<(ByteRange, ReadStatus)>,
    worker: TimedReader,
    hanging_reads: u32,
}

struct Assembly {
    place: Place,
    buffer: PooledBuffer,
    /// What is in the buffer and nowhere else.
    fresh: Vec<ByteRange>,
}

/// Why the reader ends early.
enum End {
    /// A stop was asked for, or no stage takes chunks any more.
    Stopped,
    Failed(CopyError),
}

impl<E: Into<CopyError>> From<E> for End {
    fn from(error: E) -> Self {
        End::Failed(error.into())
    }
}

impl<'stage> RescueReader<'stage> {
    pub(crate) fn new(
        stage: &'stage ReadStage,
        rescue: &'stage Rescue,
        watch: &'stage CallWatch,
        output: &'stage Sender<ReadChunk>,
    ) -> Self {
        RescueReader {
            stage,
            rescue,
            watch,
            output,
            assembly: None,
            failed_since_good: Vec::new(),
            worker: TimedReader::default(),
            hanging_reads: 0,
        }
    }

    /// Rescues what is left of the plan until nothing is left to try, a stop is asked for, or the drive is
    /// gone.
    pub(crate) fn run(mut self) -> Result<(), CopyError> {
        self.stage.counters.set_phase_from(Phase::Copying, Phase::Rescuing);
        let ended = self.rescue_all();
        // Whatever the end: what was read is kept.
        let kept = self.put_aside();
        let saved = self.rescue.save(&self.stage.table);
        match ended {
            Err(End::Failed(error)) => Err(error),
            _ => kept.and(saved),
        }
    }

    fn rescue_all(&mut self) -> Result<(), End> {
        self.take_over()?;
        while let Some((range, phase)) = self.rescue.next_read() {
            if self.stage.stop.is_stopping() {
                return Err(End::Stopped);
            }
            self.step(range, phase)?;
            self.rescue.save_sometimes(&self.stage.table)?;
        }
        self.put_aside()?;
        self.require_limit()?;
        self.give_up_on_the_rest()
    }

    /// Takes over every chunk that the fast path did not get to, and what the user's image has of them.
    fn take_over(&mut self) -> Result<(), End> {
        while let Some((place, _)) = self.stage.next_planned()? {
            if self.stage.stop.is_stopping() {
                return Err(End::Stopped);
            }
            self.rescue.add_chunk(place.range);
            for range in self.rescue.in_image(place.range) {
                self.read_image(range)?;
            }
        }
        self.put_aside()?;
        Ok(())
    }

    fn read_image(&mut self, range: ByteRange) -> Result<(), End> {
        let Some(image) = self.rescue.options.rescued.clone() else { return Ok(()) };
        let watch = self.watch;
        for piece in pieces(range, self.stage.geometry.chunk_size_bytes()) {
            let bytes = self.bytes_of(piece)?;
            watch.during(piece, || image.read_at(bytes, piece.offset))?;
        }
        self.rescue.took_from_image(range);
        self.took(range)
    }

    /// One read of the plan.
    fn step(&mut self, range: ByteRange, phase: RescuePhase) -> Result<(), End> {
        let (stage, watch) = (self.stage, self.watch);
        if !stage.wait_for_rate(range.length) {
            return Err(End::Stopped);
        }
        let may_be_hole = matches!(phase, RescuePhase::Copying(_));
        if may_be_hole && stage.is_hole(watch, range, &mut DataRun::unknown())? {
            // Nothing was read: that says nothing of the drive.
            self.bytes_of(range)?.fill(0);
            self.rescue.with_plan(|plan| plan.done(range, ReadOutcome::Read));
            return self.took(range);
        }
        // First, the chunk before is put aside: the drive does not take that time.
        self.bytes_of(range)?;
        let started = Instant::now();
        let call = || self.worker.read(&stage.drive, range, stage.read_timeout, || stage.stop.is_aborting());
        let read = stage.rescue_watch.during(range, call);
        let took = started.elapsed();
        stage.counters.read_time.add(took);
        match read {
            Ok(Some(filled)) => {
                self.bytes_of(range)?.copy_from_slice(&filled[..range.length as usize]);
                self.worker.give_back(filled);
                let outcome = if is_slow(self.rescue, range.length, took) { ReadOutcome::Slow } else { ReadOutcome::Read };
                self.rescue.with_plan(|plan| plan.done(range, outcome));
                self.rescue.set_last_good(range.offset);
                self.failed_since_good.clear();
                self.took(range)
            }
            Ok(None) if stage.stop.is_aborting() => Err(End::Stopped),
            Ok(None) => self.hung(range),
            Err(error) if error.is_unreadable() => self.failed(range),
            Err(error) => Err(error.into()),
        }
    }

    fn failed(&mut self, range: ByteRange) -> Result<(), End> {
        self.rescue.count_failed_read();
        let before = self.rescue.with_plan(|plan| {
            let before = plan.map().status_at(range.offset);
            plan.done(range, ReadOutcome::Failed);
            before
        });
        self.failed_since_good.push((range, before));
        if self.failed_since_good.len() >= FAILURES_UNTIL_ASKED {
            self.require_presence()?;
            self.failed_since_good.clear();
        }
        // Sectors that are tried again may still be read.
        if self.rescue.options.retry_passes > 0 { Ok(()) } else { self.require_limit() }
    }

    /// A read that did not come back: its thread is left behind, and the place is as bad as any other. Unless the
    /// drive answers nothing any more.
    fn hung(&mut self, range: ByteRange) -> Result<(), End> {
        self.hanging_reads += 1;
        let seconds = self.stage.read_timeout.as_secs();
        let path = self.stage.drive.identity().path.clone();
        if self.hanging_reads > HANGING_READS_MAX {
            return Err(DriveError::TimedOut { path: path.into(), range, seconds }.into());
        }
        self.failed(range)?;
        self.require_presence()
    }

    /// More than the user's limit ends it.
    fn require_limit(&self) -> Result<(), End> {
        let (unreadable, most) = (self.rescue.unreadable_bytes(), self.rescue.options.max_unreadable);
        match most.filter(|most| unreadable > most.0) {
            Some(limit) => {
                let path = self.stage.drive.identity().path.clone().into();
                Err(DriveError::TooMuchUnreadable { path, bytes: unreadable, limit: limit.0 }.into())
            }
            None => Ok(()),
        }
    }

    /// Reads a place again that was good: a drive that is gone answers every read with an error.
    fn require_presence(&mut self) -> Result<(), End> {
        let Some(offset) = self.rescue.last_good() else { return Ok(()) };
        let range = ByteRange::new(offset, self.stage.drive.sector_size_bytes());
        let (stage, worker) = (self.stage, &mut self.worker);
        let call = || worker.read(&stage.drive, range, stage.read_timeout, || stage.stop.is_aborting());
        match stage.rescue_watch.during(range, call) {
            Ok(Some(filled)) => {
                self.worker.give_back(filled);
                return Ok(());
            }
            Ok(None) if self.stage.stop.is_aborting() => return Err(End::Stopped),
            _ => {}
        }
        let undone = std::mem::take(&mut self.failed_since_good);
        self.rescue.with_plan(|plan| undone.iter().for_each(|(range, before)| plan.note(*range, *before)));
        Err(DriveError::Removed { path: self.stage.drive.identity().path.clone().into() }.into())
    }

    /// The place of `range` in the buffer of its chunk.
    fn bytes_of(&mut self, range: ByteRange) -> Result<&mut [u8], End> {
        let place = self.stage.place_of(range.offset);
        if self.assembly.as_ref().is_some_and(|assembly| assembly.place != place) {
            self.put_aside()?;
        }
        let assembly = match &mut self.assembly {
            Some(assembly) => assembly,
            none => {
                let buffer = self.stage.take_buffer()?.ok_or(End::Stopped)?;
                none.insert(Assembly { place, buffer, fresh: Vec::new() })
            }
        };
        let start = (range.offset - place.range.offset) as usize;
        Ok(&mut assembly.buffer[start..start + range.length as usize])
    }

    /// Notes that `range` is in the buffer; a chunk that is whole is passed on.
    fn took(&mut self, range: ByteRange) -> Result<(), End> {
        let Some(assembly) = &mut self.assembly else { return Ok(()) };
        match assembly.fresh.last_mut() {
            Some(last) if last.end() == range.offset => last.length += range.length,
            _ => assembly.fresh.push(range),
        }
        let chunk = assembly.place.range;
        if self.rescue.is_whole(chunk)
            && let Some(assembly) = self.assembly.take()
        {
            self.send(assembly, Vec::new())?;
        }
        Ok(())
    }

    /// Keeps what is in the buffer, and lets go of it.
    fn put_aside(&mut self) -> Result<(), CopyError> {
        let Some(Assembly { place, buffer, fresh }) = self.assembly.take() else { return Ok(()) };
        for range in fresh {
            let start = (range.offset - place.range.offset) as usize;
            self.rescue.keep(range, &buffer[start..start + range.length as usize])?;
        }
        Ok(())
    }

    /// Completes a chunk from the scratch file, fills what is missing, and sends it on.
    fn send(&mut self, assembly: Assembly, unreadable: Vec<ByteRange>) -> Result<(), End> {
        let Assembly { place, mut buffer, mut fresh } = assembly;
        let chunk = place.range;
        let slice = |range: ByteRange| (range.offset - chunk.offset) as usize..(range.end() - chunk.offset) as usize;
        fresh.sort_unstable();
        let mut missing = Vec::new();
        let mut next = chunk.offset;
        for range in fresh.iter().chain([&ByteRange::new(chunk.end(), 0)]) {
            if range.offset > next {
                missing.push(ByteRange::new(next, range.offset - next));
            }
            next = next.max(range.end());
        }
        for (range, status) in missing.into_iter().flat_map(|range| self.rescue.runs_of(range)) {
            match status {
                ReadStatus::Finished => self.rescue.kept(&mut buffer[slice(range)], range.offset)?,
                _ => self.rescue.fill.fill(&mut buffer[slice(range)], range.offset),
            }
        }
        let recorded = self.stage.table.get(place.index)?.landed.map(|(content, ..)| content);
        let body = Body::Bytes(buffer.freeze(chunk.length as usize));
        self.output.send(ReadChunk { place, body, recorded, unreadable }).map_err(|_| End::Stopped)
    }

    /// Nothing more can be read: chunks with unreadable parts are passed on with their filling.
    fn give_up_on_the_rest(&mut self) -> Result<(), End> {
        let mut next = Some(0);
        while let Some(offset) = next {
            let Some(bad) = self.rescue.with_plan(|plan| {
                let map = plan.map();
                let rest = ByteRange::new(offset, map.size_bytes().saturating_sub(offset));
                map.runs_in(rest).find(|(_, status)| *status != ReadStatus::Finished).map(|(range, _)| range)
            }) else {
                return Ok(());
            };
            let place = self.stage.place_of(bad.offset);
            let buffer = self.stage.take_buffer()?.ok_or(End::Stopped)?;
            let runs = self.rescue.runs_of(place.range).into_iter();
            let unreadable: RangeList =
                runs.filter(|(_, status)| *status != ReadStatus::Finished).map(|(range, _)| range).collect();
            self.send(Assembly { place, buffer, fresh: Vec::new() }, unreadable.as_slice().to_vec())?;
            next = Some(place.range.end());
        }
        Ok(())
    }
}

/// A range cut at multiples of `step_bytes`.
fn pieces(range: ByteRange, step_bytes: u64) -> impl Iterator<Item = ByteRange> {
    let mut next = range.offset;
    std::iter::from_fn(move || {
        let end = (next / step_bytes + 1).saturating_mul(step_bytes).min(range.end());
        let piece = ByteRange::new(next, end.checked_sub(next).filter(|length| *length > 0)?);
        next = end;
        Some(piece)
    })
}

impl ReadStage {
    /// The last reader to leave the fast path continues alone where the drive is in trouble.
    pub(crate) fn rescue_rest(&self, watch: &CallWatch, output: &Sender<ReadChunk>) -> Result<(), CopyError> {
        match &self.rescue {
            Some(rescue) if rescue.has_begun() && !self.stop.is_stopping() => {
                tracing::debug!(after = %ByteSize(rescue.last_good().unwrap_or(0)), "the drive is in trouble: rescuing");
                RescueReader::new(self, rescue, watch, output).run()
            }
            _ => Ok(()),
        }
    }
}
