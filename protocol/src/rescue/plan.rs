//! What to read next.

use super::map::{ReadMap, ReadStatus};
use crate::units::ByteRange;

/// How a rescue goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RescueRules {
    /// The smallest read, in bytes.
    pub sector_bytes: u64,
    /// Reads while copying: this after an error, growing to `read_bytes_max` while all goes well.
    pub read_bytes_min: u64,
    /// The largest read, in bytes.
    pub read_bytes_max: u64,
    /// No read crosses a multiple of this.
    pub chunk_bytes: u64,
    /// Whether places that failed are read again sector by sector.
    pub scrapes: bool,
    /// How often sectors that failed are tried again.
    pub retry_passes: u32,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// All of it is there.
    Read,
    /// All of it is there, and it took long: its neighbours may be failing.
    Slow,
    /// It cannot be read as a whole.
    Failed,
}

/// Where a rescue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RescuePhase {
    /// Large reads. Pass 1 goes forwards and skips ahead of errors, pass 2 backwards, pass 3 reads
    /// whatever was skipped.
    Copying(u32),
    /// Sector by sector from both edges of each failed place, until the first failure.
    Trimming,
    /// Every sector between the edges.
    Scraping,
    /// Failed sectors again: forwards in odd passes, backwards in even ones.
    Retrying(u32),
    /// Nothing is left to try.
    Finished,
}

/// Passes over what was not tried.
const COPYING_PASSES: u32 = 3;

/// Good reads in a row after which the next ones are twice as long.
const GOOD_READS_UNTIL_LONGER: u32 = 8;

/// The first skip after an error, as a share of the drive; doubled after each further one up to
/// [`SKIP_SHARE_MAX`] (ddrescue's figures).
const SKIP_SHARE_MIN: u64 = 100_000;
const SKIP_SHARE_MAX: u64 = 100;

impl RescuePhase {
    /// As a mapfile says it.
    pub(super) fn letter_and_pass(self) -> (char, u32) {
        match self {
            RescuePhase::Copying(pass) => ('?', pass),
            RescuePhase::Trimming => ('*', 1),
            RescuePhase::Scraping => ('/', 1),
            RescuePhase::Retrying(pass) => ('-', pass),
            RescuePhase::Finished => ('+', 1),
        }
    }
}

/// The state of a rescue: a map, and where it stands in it.
///
/// The reader calls [`next_read`](Self::next_read), reads that range, and reports how it ended with
/// [`done`](Self::done), one read at a time: a failing drive gets worse with every head movement.
#[derive(Debug, Clone)]
pub struct RescuePlan {
    map: ReadMap,
    rules: RescueRules,
    phase: RescuePhase,
    /// Forwards: the next byte to look at. Backwards: behind the next byte.
    position: u64,
    skip_bytes: u64,
    read_bytes: u64,
    good_reads: u32,
    /// The failed place being trimmed, and whether its front edge is known.
    trimmed: Option<(ByteRange, bool)>,
}

impl RescuePlan {
    /// A rescue that begins, or resumes, with what is known.
    pub fn new(map: ReadMap, rules: RescueRules) -> Self {
        let mut plan = RescuePlan {
            map,
            rules,
            phase: RescuePhase::Copying(1),
            position: 0,
            skip_bytes: 0,
            read_bytes: rules.read_bytes_min,
            good_reads: 0,
            trimmed: None,
        };
        plan.reset_skip();
        plan
    }

    /// What is known.
    pub fn map(&self) -> &ReadMap {
        &self.map
    }

    /// Where it stands.
    pub fn phase(&self) -> RescuePhase {
        self.phase
    }

    /// The byte that it is at.
    pub fn position(&self) -> u64 {
        self.position.min(self.map.size_bytes())
    }

    /// Notes what became known without a read of the plan's own, such as a hole.
    pub fn note(&mut self, range: ByteRange, status: ReadStatus) {
        self.map.set(range, status);
    }

    /// The range to be read next; `None` when nothing is left to try. Asking again without reporting how it
    /// ended gives the same range.
    pub fn next_read(&mut self) -> Option<ByteRange> {
        loop {
            let step = match self.phase {
                RescuePhase::Copying(2) => self.next_backwards(),
                RescuePhase::Copying(_) => self.next_forwards(),
                RescuePhase::Trimming => self.next_to_trim(),
                RescuePhase::Scraping => self.sector_from(self.position, ReadStatus::NonScraped),
                RescuePhase::Retrying(pass) if pass % 2 == 1 => self.sector_from(self.position, ReadStatus::Bad),
                RescuePhase::Retrying(_) => self.sector_before(self.position, ReadStatus::Bad),
                RescuePhase::Finished => return None,
            };
            match step {
                Some(range) => return Some(range),
                None => self.enter(self.phase_after()),
            }
        }
    }

    /// Reports how the read of `range`, which [`next_read`](Self::next_read) gave, ended.
    pub fn done(&mut self, range: ByteRange, outcome: ReadOutcome) {
        let is_sector = range.length <= self.rules.sector_bytes;
        match (outcome, self.phase) {
            (ReadOutcome::Failed, RescuePhase::Copying(_)) if !is_sector => self.map.set(range, ReadStatus::NonTrimmed),
            (ReadOutcome::Failed, _) => self.map.set(range, ReadStatus::Bad),
            _ => self.map.set(range, ReadStatus::Finished),
        }
        match self.phase {
            RescuePhase::Copying(pass) => self.copied(pass, range, outcome),
            RescuePhase::Trimming => self.trimmed(range, outcome),
            RescuePhase::Retrying(pass) if pass % 2 == 0 => self.position = range.offset,
            _ => self.position = range.end(),
        }
    }

    fn phase_after(&self) -> RescuePhase {
        match self.phase {
            RescuePhase::Copying(pass) if pass < COPYING_PASSES => RescuePhase::Copying(pass + 1),
            RescuePhase::Copying(_) if self.rules.scrapes => RescuePhase::Trimming,
            RescuePhase::Trimming => RescuePhase::Scraping,
            RescuePhase::Scraping if self.rules.retry_passes > 0 => RescuePhase::Retrying(1),
            RescuePhase::Retrying(pass) if pass < self.rules.retry_passes => RescuePhase::Retrying(pass + 1),
            _ => RescuePhase::Finished,
        }
    }

    fn enter(&mut self, phase: RescuePhase) {
        self.phase = phase;
        let is_backwards = match phase {
            RescuePhase::Copying(pass) | RescuePhase::Retrying(pass) => pass % 2 == 0,
            _ => false,
        };
        self.position = if is_backwards { self.map.size_bytes() } else { 0 };
        self.read_bytes = self.rules.read_bytes_min;
        self.good_reads = 0;
        self.reset_skip();
    }

    fn reset_skip(&mut self) {
        let share = (self.map.size_bytes() / SKIP_SHARE_MIN).next_multiple_of(self.rules.sector_bytes);
        self.skip_bytes = share.max(self.rules.read_bytes_min);
    }

    fn next_forwards(&self) -> Option<ByteRange> {
        let run = self.map.first_from(self.position, ReadStatus::NonTried)?;
        let boundary = (run.offset / self.rules.chunk_bytes + 1).saturating_mul(self.rules.chunk_bytes);
        let end = run.end().min(run.offset.saturating_add(self.read_bytes)).min(boundary);
        Some(ByteRange::new(run.offset, end - run.offset))
    }

    fn next_backwards(&self) -> Option<ByteRange> {
        let run = self.map.last_before(self.position, ReadStatus::NonTried)?;
        let end = run.end();
        let boundary = (end - 1) / self.rules.chunk_bytes * self.rules.chunk_bytes;
        // Only an odd end makes an odd read: its start is a whole sector.
        let start = (end.saturating_sub(self.read_bytes)).next_multiple_of(self.rules.sector_bytes);
        let start = run.offset.max(start.min(end - 1)).max(boundary);
        Some(ByteRange::new(start, end - start))
    }

    fn copied(&mut self, pass: u32, range: ByteRange, outcome: ReadOutcome) {
        let skip = match outcome {
            ReadOutcome::Read => {
                self.reset_skip();
                self.good_reads += 1;
                if self.good_reads >= GOOD_READS_UNTIL_LONGER {
                    self.good_reads = 0;
                    self.read_bytes = (self.read_bytes * 2).min(self.rules.read_bytes_max);
                }
                0
            }
            ReadOutcome::Slow | ReadOutcome::Failed => {
                self.good_reads = 0;
                self.read_bytes = self.rules.read_bytes_min;
                let skip = self.skip_bytes;
                let most = (self.map.size_bytes() / SKIP_SHARE_MAX).max(self.rules.read_bytes_min);
                self.skip_bytes = (skip * 2).min(most.next_multiple_of(self.rules.sector_bytes));
                if pass < COPYING_PASSES { skip } else { 0 }
            }
        };
        self.position = match pass {
            2 => range.offset.saturating_sub(skip),
            _ => range.end().saturating_add(skip),
        };
    }

    fn next_to_trim(&mut self) -> Option<ByteRange> {
        let (place, front_is_known) = match self.trimmed {
            Some(trimmed) => trimmed,
            None => (self.map.first_from(0, ReadStatus::NonTrimmed)?, false),
        };
        self.trimmed = Some((place, front_is_known));
        let sector = self.rules.sector_bytes;
        if front_is_known {
            let start = (place.end() - 1) / sector * sector;
            Some(ByteRange::new(start.max(place.offset), place.end() - start.max(place.offset)))
        } else {
            Some(ByteRange::new(place.offset, sector.min(place.length)))
        }
    }

    fn trimmed(&mut self, range: ByteRange, outcome: ReadOutcome) {
        self.position = range.offset;
        let Some((place, front_is_known)) = self.trimmed.take() else { return };
        let rest = match front_is_known {
            false => ByteRange::new(range.end(), place.end() - range.end()),
            true => ByteRange::new(place.offset, range.offset - place.offset),
        };
        match (outcome, front_is_known) {
            _ if rest.length == 0 => {}
            (ReadOutcome::Failed, false) => self.trimmed = Some((rest, true)),
            (ReadOutcome::Failed, true) => self.map.set(rest, ReadStatus::NonScraped),
            (_, known) => self.trimmed = Some((rest, known)),
        }
    }

    fn sector_from(&self, offset: u64, status: ReadStatus) -> Option<ByteRange> {
        let run = self.map.first_from(offset, status)?;
        Some(ByteRange::new(run.offset, run.length.min(self.rules.sector_bytes)))
    }

    fn sector_before(&self, end: u64, status: ReadStatus) -> Option<ByteRange> {
        let run = self.map.last_before(end, status)?;
        let start = ((run.end() - 1) / self.rules.sector_bytes * self.rules.sector_bytes).max(run.offset);
        Some(ByteRange::new(start, run.end() - start))
    }
}
