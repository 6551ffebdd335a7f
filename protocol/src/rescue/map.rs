//! What is known of every byte of a drive.

use std::collections::BTreeMap;

use crate::units::{ByteRange, RangeList};

/// What is known of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStatus {
    /// It was not read yet.
    NonTried,
    /// A read that was longer than a sector failed here; its edges may be good.
    NonTrimmed,
    /// Both edges are known; sectors between them may be good.
    NonScraped,
    /// Single sectors that cannot be read.
    Bad,
    /// It was read.
    Finished,
}

impl ReadStatus {
    pub(super) const ALL: [ReadStatus; 5] =
        [ReadStatus::NonTried, ReadStatus::NonTrimmed, ReadStatus::NonScraped, ReadStatus::Bad, ReadStatus::Finished];

    /// The character of a mapfile.
    pub(super) fn letter(self) -> char {
        match self {
            ReadStatus::NonTried => '?',
            ReadStatus::NonTrimmed => '*',
            ReadStatus::NonScraped => '/',
            ReadStatus::Bad => '-',
            ReadStatus::Finished => '+',
        }
    }
}

/// A status for every byte of a drive, as runs. Costs memory by the number of runs, and a change costs
/// the logarithm of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMap {
    size_bytes: u64,
    /// Where a run begins; it ends where the next one does. Neighbours differ.
    starts: BTreeMap<u64, ReadStatus>,
    /// Bytes by status.
    bytes: [u64; 5],
}

impl ReadMap {
    /// A map in which everything has one status.
    pub fn new(size_bytes: u64, status: ReadStatus) -> Self {
        let mut bytes = [0; 5];
        bytes[status as usize] = size_bytes;
        let starts = if size_bytes > 0 { BTreeMap::from([(0, status)]) } else { BTreeMap::new() };
        ReadMap { size_bytes, starts, bytes }
    }

    /// Size of the drive in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many bytes have a status.
    pub fn bytes(&self, status: ReadStatus) -> u64 {
        self.bytes[status as usize]
    }

    /// The status of a byte; behind the end everything is finished.
    pub fn status_at(&self, offset: u64) -> ReadStatus {
        let run = self.starts.range(..=offset).next_back().filter(|_| offset < self.size_bytes);
        run.map_or(ReadStatus::Finished, |(_, status)| *status)
    }

    /// Gives a range, as far as it lies on the drive, a status.
    pub fn set(&mut self, range: ByteRange, status: ReadStatus) {
        let (start, end) = (range.offset, range.end().min(self.size_bytes));
        if start >= end {
            return;
        }
        let after = (end < self.size_bytes).then(|| self.status_at(end));
        let before = start.checked_sub(1).map(|offset| self.status_at(offset));
        for (run, old) in self.runs_in(ByteRange::new(start, end - start)).collect::<Vec<_>>() {
            self.bytes[old as usize] -= run.length;
            self.starts.remove(&run.offset);
        }
        self.bytes[status as usize] += end - start;
        match before == Some(status) {
            true => self.starts.remove(&start),
            false => self.starts.insert(start, status),
        };
        match after {
            Some(after) if after == status => drop(self.starts.remove(&end)),
            Some(after) => drop(self.starts.insert(end, after)),
            None => {}
        }
    }

    /// The same in whole sectors: one that is known in parts is as little known as its least known part.
    pub fn in_sectors(&self, sector_bytes: u64) -> Self {
        let mut map = ReadMap::new(self.size_bytes, ReadStatus::Finished);
        for status in [ReadStatus::Bad, ReadStatus::NonScraped, ReadStatus::NonTrimmed, ReadStatus::NonTried] {
            for range in self.ranges(status).as_slice() {
                let start = range.offset / sector_bytes * sector_bytes;
                map.set(ByteRange::new(start, range.end().next_multiple_of(sector_bytes) - start), status);
            }
        }
        map
    }

    /// All runs, ascending.
    pub fn runs(&self) -> impl Iterator<Item = (ByteRange, ReadStatus)> {
        self.runs_in(ByteRange::new(0, self.size_bytes))
    }

    /// The runs within a range, cut to it.
    pub fn runs_in(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, ReadStatus)> {
        let end = range.end().min(self.size_bytes);
        let first = (range.offset < end).then(|| (range.offset, self.status_at(range.offset)));
        let inner = self.starts.range(range.offset.saturating_add(1)..end.max(range.offset.saturating_add(1)));
        let mut runs = first.into_iter().chain(inner.map(|(start, status)| (*start, *status))).peekable();
        std::iter::from_fn(move || {
            let (start, status) = runs.next()?;
            let next = runs.peek().map_or(end, |(next, _)| *next);
            Some((ByteRange::new(start, next - start), status))
        })
    }

    /// All ranges with a status.
    pub fn ranges(&self, status: ReadStatus) -> RangeList {
        self.runs().filter(|(_, found)| *found == status).map(|(range, _)| range).collect()
    }

    /// The first run with a status at or after `offset`, cut to begin there.
    pub fn first_from(&self, offset: u64, status: ReadStatus) -> Option<ByteRange> {
        let rest = ByteRange::new(offset, self.size_bytes.saturating_sub(offset));
        self.runs_in(rest).find(|(_, found)| *found == status).map(|(range, _)| range)
    }

    /// The last run with a status before `end`, cut to end there.
    pub fn last_before(&self, end: u64, status: ReadStatus) -> Option<ByteRange> {
        let mut end = end.min(self.size_bytes);
        for (start, found) in self.starts.range(..end).rev() {
            if *found == status {
                return Some(ByteRange::new(*start, end - start));
            }
            end = *start;
        }
        None
    }
}
