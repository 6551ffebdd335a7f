//! What an earlier run moved, and this one need not: is it still there? One rule for imports and exports.
//!
//! | what is known of the target | what is done | evidence |
//! |---|---|---|
//! | its state is the one that the last run noted when it ended | nothing | as for any chunk |
//! | another state, or none was noted, and it is a file here | every chunk that landed is read and compared | as for any chunk |
//! | its state cannot be told | the first, the last, the ones recorded last, and some between are read and compared | sampled |

use std::collections::{BTreeSet, VecDeque};

use protocol::fill::Fill;
use protocol::units::{ByteRange, ChunkIndex};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::limits::RESUME_PROBES;
use crate::plan::MemoryPlan;
use crate::record::table::{ChunkTable, SharedTable};
use crate::verify::{Expected, Scope, Side, compare};

/// How what landed is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Not at all: nothing wrote to the target since.
    NotNeeded,
    /// At all of it.
    Whole,
    /// At some places.
    Sampled,
}

/// How a resumed target is looked at: `left` is what named its state when the last run stopped, `now` what names it now.
/// `is_file` says that reading it whole is cheap enough to be done.
pub(crate) fn look(left: Option<&String>, now: Option<&String>, is_file: bool) -> Look {
    match (left, now) {
        (Some(left), Some(now)) if left == now => Look::NotNeeded,
        _ if is_file => Look::Whole,
        _ => Look::Sampled,
    }
}

/// The target of a transfer that is resumed, and how to read it.
pub(crate) struct Resumed<'transfer> {
    pub(crate) side: Side,
    pub(crate) table: &'transfer SharedTable,
    pub(crate) fill: Fill,
    pub(crate) latest: &'transfer VecDeque<ChunkIndex>,
    pub(crate) options: &'transfer TransferOptions,
    pub(crate) attempts: &'transfer Attempts,
    pub(crate) handle: &'transfer TransferHandle,
    pub(crate) memory: MemoryPlan,
}

impl Resumed<'_> {
    /// The ranges that do not hold what was recorded. Where a sample finds one, everything is looked at.
    pub(crate) async fn lost(&self, look: Look) -> Result<Vec<ByteRange>, CopyError> {
        match look {
            Look::NotNeeded => Ok(Vec::new()),
            Look::Whole => self.differing(Scope::Landed).await,
            Look::Sampled => {
                let places = self.table.with(|table| sample(table, self.latest))?;
                match self.differing(Scope::Only(&places)).await? {
                    found if found.is_empty() => Ok(found),
                    _ => self.differing(Scope::Landed).await,
                }
            }
        }
    }

    async fn differing(&self, scope: Scope<'_>) -> Result<Vec<ByteRange>, CopyError> {
        let expected = Expected { table: self.table, fill: self.fill, scope, wants_stream: false };
        let compared = compare(self.side.clone(), expected, self.options, self.attempts, self.handle, self.memory).await?;
        if self.handle.stop.is_stopping() {
            return Err(CopyError::Cancelled);
        }
        Ok(compared.differences.into_iter().map(|difference| difference.range).collect())
    }
}

/// Chunks that are looked at: the first and the last that landed, those that were recorded last, and some between.
fn sample(table: &ChunkTable, latest: &VecDeque<ChunkIndex>) -> std::io::Result<BTreeSet<ChunkIndex>> {
    let mut places: BTreeSet<ChunkIndex> = latest.iter().copied().collect();
    let step = (table.landed() / RESUME_PROBES).max(1);
    let mut last = None;
    let mut seen = 0;
    for entry in table.entries() {
        let (index, _, entry) = entry?;
        if entry.landed.is_some() {
            if seen % step == 0 {
                places.insert(index);
            }
            seen += 1;
            last = Some(index);
        }
    }
    places.extend(last);
    Ok(places)
}

/// Takes back the chunks that a range touches: they are moved again.
pub(crate) fn take_back(table: &SharedTable, ranges: &[ByteRange]) -> Result<u64, CopyError> {
    let mut taken = 0;
    for range in ranges {
        table.with(|table| {
            let size = table.geometry().chunk_size_bytes();
            for index in (range.offset / size..range.end().div_ceil(size)).map(ChunkIndex) {
                if table.get(index)?.landed.is_some() {
                    table.clear(index)?;
                    taken += 1;
                }
            }
            Ok(())
        })?;
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use protocol::digest::Sha256Digest;
    use protocol::manifest::{ChunkContent, ChunkRecord, ChunkState};
    use protocol::units::ChunkGeometry;

    use super::*;

    fn table(folder: &tempfile::TempDir, count: u64) -> ChunkTable {
        let geometry = ChunkGeometry::new(count * 512, 512).unwrap();
        let mut table = ChunkTable::new(folder.path(), geometry).unwrap();
        for (index, range) in geometry.chunks() {
            let content = ChunkContent::Data(Sha256Digest::of(b"x"));
            let record = ChunkRecord {
                range,
                content,
                state: ChunkState::Sent,
                attempts: 1,
                unreadable: Vec::new(),
                from_image: Vec::new(),
            };
            table.set_landed(index, &record, false).unwrap();
        }
        table
    }

    #[test]
    fn a_target_is_believed_only_where_nothing_wrote_to_it() {
        let (one, other) = ("1".to_owned(), "2".to_owned());
        assert_eq!(look(Some(&one), Some(&one), true), Look::NotNeeded);
        for is_file in [true, false] {
            let expected = if is_file { Look::Whole } else { Look::Sampled };
            for (left, now) in [(Some(&one), Some(&other)), (None, Some(&one)), (Some(&one), None), (None, None)] {
                assert_eq!(look(left, now, is_file), expected);
            }
        }
    }

    #[test]
    fn first_last_and_latest_are_always_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for count in [1, 2, 16, 31, 32, 33, 1000] {
            let latest = VecDeque::from([ChunkIndex(count / 2), ChunkIndex(count / 3)]);
            let places = sample(&table(&folder, count), &latest).unwrap();
            for index in [0, count - 1, count / 2, count / 3] {
                assert!(places.contains(&ChunkIndex(index)), "{index} of {count}");
            }
            assert!(places.len() as u64 <= 2 * RESUME_PROBES + 4);
        }
    }

    #[test]
    fn chunks_that_a_range_touches_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let table = SharedTable::new(table(&folder, 10));
        assert_eq!(take_back(&table, &[ByteRange::new(511, 2), ByteRange::new(4096, 512)]).unwrap(), 3);
        assert_eq!(table.with(|table| Ok(table.landed())).unwrap(), 7);
    }
}
