//! What is known of every chunk, by its index: in a file of fixed-size slots (`slots.rs`), so that a drive of
//! millions of chunks costs no memory.
//!
//! It is rebuilt from the journal at every start: the journal is the truth, this is its index.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use blob::RecordedChunks;
use protocol::digest::Sha256Digest;
use protocol::manifest::{ChunkContent, ChunkRecord, ChunkState};
use protocol::receipt::ByteClass;
use protocol::rescue::{ReadMap, ReadStatus};
use protocol::units::{ByteRange, ChunkGeometry, ChunkIndex, RangeList};

use crate::error::{CopyError, state_error};
use crate::record::slot_file::Slots;

/// One slot: class, content, state, attempts (saturating), digest.
const SLOT_BYTES: usize = 36;

/// What is known of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) class: ByteClass,
    /// Content, state and attempts of a chunk that landed.
    pub(crate) landed: Option<(ChunkContent, ChunkState, u32)>,
}

/// All chunks of one transfer.
pub(crate) struct ChunkTable {
    slots: Slots<SLOT_BYTES>,
    geometry: ChunkGeometry,
    /// Only chunks with unreadable parts; they are few.
    unreadable: BTreeMap<ChunkIndex, Vec<ByteRange>>,
    /// `+` where what landed came from an image of the drive: as runs, for there may be an image of nearly all of it.
    from_image: ReadMap,
    landed: u64,
    /// Where its file is, for messages.
    folder: PathBuf,
}

impl ChunkTable {
    /// A table in which nothing has landed; its file is in `folder`.
    pub(crate) fn new(folder: &Path, geometry: ChunkGeometry) -> io::Result<Self> {
        let slots = Slots::new(folder, geometry.chunk_count())?;
        let from_image = ReadMap::new(geometry.total_bytes(), ReadStatus::NonTried);
        let folder = folder.to_owned();
        Ok(ChunkTable { slots, geometry, unreadable: BTreeMap::new(), from_image, landed: 0, folder })
    }

    pub(crate) fn geometry(&self) -> ChunkGeometry {
        self.geometry
    }

    /// How many chunks have landed.
    pub(crate) fn landed(&self) -> u64 {
        self.landed
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.landed == self.geometry.chunk_count()
    }

    /// Notes that a chunk landed. A second time replaces the first.
    pub(crate) fn set_landed(&mut self, index: ChunkIndex, record: &ChunkRecord, after_request: bool) -> io::Result<()> {
        if self.get(index)?.landed.is_none() {
            self.landed += 1;
        }
        let class = if after_request { ByteClass::LandedAfterRequest } else { ByteClass::LandedBeforeRequest };
        match record.unreadable.is_empty() {
            true => self.unreadable.remove(&index),
            false => self.unreadable.insert(index, record.unreadable.clone()),
        };
        self.set_from_image(record.range, &record.from_image);
        let landed = Some((record.content, record.state, record.attempts));
        self.write(index, &Entry { class, landed })
    }

    fn set_from_image(&mut self, chunk: ByteRange, parts: &[ByteRange]) {
        if self.from_image.bytes(ReadStatus::Finished) > 0 {
            self.from_image.set(chunk, ReadStatus::NonTried);
        }
        parts.iter().for_each(|part| self.from_image.set(*part, ReadStatus::Finished));
    }

    /// Notes that a chunk was sent and that it is not known whether it landed.
    pub(crate) fn set_unknown(&mut self, index: ChunkIndex) -> io::Result<()> {
        if self.get(index)?.landed.is_some() {
            self.landed -= 1;
        }
        self.write(index, &Entry { class: ByteClass::OutcomeUnknown, landed: None })
    }

    /// Forgets that a chunk landed.
    pub(crate) fn clear(&mut self, index: ChunkIndex) -> io::Result<()> {
        if self.get(index)?.landed.is_some() {
            self.landed -= 1;
        }
        self.unreadable.remove(&index);
        if let Some(range) = self.geometry.range(index) {
            self.set_from_image(range, &[]);
        }
        self.write(index, &Entry { class: ByteClass::NeverSent, landed: None })
    }

    /// Forgets all chunks with unreadable parts.
    pub(crate) fn clear_unreadable(&mut self) -> io::Result<()> {
        let indices: Vec<ChunkIndex> = self.unreadable.keys().copied().collect();
        indices.into_iter().try_for_each(|index| self.clear(index))
    }

    pub(crate) fn get(&self, index: ChunkIndex) -> io::Result<Entry> {
        Ok(decode(&self.slots.get(index.0)?))
    }

    /// Parts of a chunk that could not be read.
    pub(crate) fn unreadable_of(&self, index: ChunkIndex) -> &[ByteRange] {
        self.unreadable.get(&index).map_or(&[], Vec::as_slice)
    }

    /// All parts that could not be read, in drive order.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = ByteRange> {
        self.unreadable.values().flatten().copied()
    }

    /// The record of a chunk that landed.
    pub(crate) fn record(&self, index: ChunkIndex) -> io::Result<Option<ChunkRecord>> {
        let (Some((content, state, attempts)), Some(range)) = (self.get(index)?.landed, self.geometry.range(index)) else {
            return Ok(None);
        };
        let unreadable = self.unreadable_of(index).to_vec();
        let from_image = self.from_image.runs_in(range).filter(|(_, status)| *status == ReadStatus::Finished);
        let from_image = from_image.map(|(part, _)| part).collect();
        Ok(Some(ChunkRecord { range, content, state, attempts, unreadable, from_image }))
    }

    /// What landed and came from an image of the drive, in drive order.
    pub(crate) fn image_ranges(&self) -> RangeList {
        self.from_image.ranges(ReadStatus::Finished)
    }

    /// All chunks in drive order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = io::Result<(ChunkIndex, ByteRange, Entry)>> {
        self.geometry.chunks().map(|(index, range)| Ok((index, range, self.get(index)?)))
    }

    fn write(&self, index: ChunkIndex, entry: &Entry) -> io::Result<()> {
        self.slots.set(index.0, encode(entry))
    }
}

/// The table as the stages share it.
#[derive(Clone)]
pub(crate) struct SharedTable {
    table: Arc<Mutex<ChunkTable>>,
}

impl SharedTable {
    pub(crate) fn new(table: ChunkTable) -> Self {
        SharedTable { table: Arc::new(Mutex::new(table)) }
    }

    /// Runs `work` on the table; a failure of its file is a failure of the state directory.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut ChunkTable) -> io::Result<T>) -> Result<T, CopyError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut table).map_err(|source| state_error("use the chunk table in", &table.folder, source))
    }

    /// Refuses to complete a transfer of which a chunk has not landed.
    pub(crate) fn require_complete(&self) -> Result<(), CopyError> {
        match self.with(|table| Ok(table.geometry().chunk_count() - table.landed()))? {
            0 => Ok(()),
            missing => Err(CopyError::ChunksMissing { missing }),
        }
    }

    pub(crate) fn get(&self, index: ChunkIndex) -> Result<Entry, CopyError> {
        self.with(|table| table.get(index))
    }
}

impl RecordedChunks for SharedTable {
    fn content(&self, index: ChunkIndex) -> io::Result<Option<ChunkContent>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(table.get(index)?.landed.map(|(content, ..)| content))
    }
}

fn encode(entry: &Entry) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[0] = match entry.class {
        ByteClass::NeverSent => 0,
        ByteClass::LandedBeforeRequest => 1,
        ByteClass::LandedAfterRequest => 2,
        ByteClass::OutcomeUnknown => 3,
    };
    if let Some((content, state, attempts)) = entry.landed {
        slot[1] = match state {
            ChunkState::Sent => 1,
            ChunkState::Reused => 2,
            ChunkState::Zero => 3,
        };
        slot[2] = attempts.min(255) as u8;
        if let ChunkContent::Data(digest) = content {
            slot[3] = 1;
            slot[4..].copy_from_slice(&digest.0);
        }
    }
    slot
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Entry {
    let class = match slot[0] {
        1 => ByteClass::LandedBeforeRequest,
        2 => ByteClass::LandedAfterRequest,
        3 => ByteClass::OutcomeUnknown,
        _ => ByteClass::NeverSent,
    };
    let state = match slot[1] {
        1 => ChunkState::Sent,
        2 => ChunkState::Reused,
        3 => ChunkState::Zero,
        _ => return Entry { class, landed: None },
    };
    let mut digest = [0; 32];
    digest.copy_from_slice(&slot[4..]);
    let content = if slot[3] == 1 { ChunkContent::Data(Sha256Digest(digest)) } else { ChunkContent::Zero };
    Entry { class, landed: Some((content, state, slot[2].into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let geometry = ChunkGeometry::new(10_000 * 512 + 100, 512).unwrap();
        let mut table = ChunkTable::new(folder.path(), geometry).unwrap();
        let record = |index: u64| ChunkRecord {
            range: geometry.range(ChunkIndex(index)).unwrap(),
            content: if index.is_multiple_of(3) {
                ChunkContent::Zero
            } else {
                ChunkContent::Data(Sha256Digest::of(&index.to_le_bytes()))
            },
            state: ChunkState::Sent,
            attempts: 2,
            unreadable: if index == 7 { vec![ByteRange::new(7 * 512, 10)] } else { vec![] },
            from_image: if index == 7 {
                vec![ByteRange::new(7 * 512 + 10, 5), ByteRange::new(7 * 512 + 20, 492)]
            } else {
                vec![]
            },
        };
        for index in (0..geometry.chunk_count()).filter(|index| index % 2 == 1) {
            table.set_landed(ChunkIndex(index), &record(index), index > 5000).unwrap();
        }
        table.set_landed(ChunkIndex(1), &record(1), false).unwrap();
        table.set_unknown(ChunkIndex(2)).unwrap();
        assert_eq!(table.landed(), 5000);
        assert_eq!(table.record(ChunkIndex(7)).unwrap().unwrap(), record(7));
        assert_eq!(table.record(ChunkIndex(8)).unwrap(), None);
        for entry in table.entries() {
            let (index, range, entry) = entry.unwrap();
            assert_eq!(Some(range), geometry.range(index));
            assert_eq!(entry, table.get(index).unwrap());
            assert_eq!(entry.landed.is_some(), index.0 % 2 == 1);
        }
        assert_eq!(table.image_ranges().total_bytes(), 497);
        table.clear(ChunkIndex(7)).unwrap();
        assert!(table.image_ranges().is_empty());
        assert_eq!((table.landed(), table.unreadable().count()), (4999, 0));
    }
}
