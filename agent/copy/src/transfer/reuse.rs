//! What an earlier run moved, and this one need not: is it still there? One rule for imports and exports.
//!
//! | what is known of the target | what is done | evidence |
//! |---|---|---|
//! | its state is the one that the last run noted when it ended | nothing | as for any chunk |
//! | another state, or none was noted, and it is a file here | every chunk that landed is read and compared | as for any chunk |
//! | the same of a drive that was at another host since | the same | the same |
//! | its state cannot be told | the first, the last, the ones recorded last, and some between are read and compared | sampled |

use std::collections::{BTreeSet, VecDeque};

use protocol::manifest::ChunkContent;
use protocol::units::{ByteRange, ChunkIndex};

use crate::error::CopyError;
use crate::limits::RESUME_PROBES;
use crate::record::journal::Recovered;
use crate::record::table::{ChunkTable, SharedTable};
use crate::transfer::context::Context;
use crate::verify::{Scope, Side};

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

/// What an earlier run left in the journal about its target.
#[derive(Default)]
pub(crate) struct Left {
    /// What named the state of the target when that run stopped.
    pub(crate) state: Option<String>,
    /// The chunks that were recorded last.
    pub(crate) latest: VecDeque<ChunkIndex>,
}

impl Left {
    pub(crate) fn of(recovered: Option<&Recovered>) -> Self {
        let left = |recovered: &Recovered| Left { state: recovered.left.clone(), latest: recovered.latest.clone() };
        recovered.map(left).unwrap_or_default()
    }

    /// How a resumed target is looked at: `now` is what names its state now. `is_looked_at_whole` says that reading it
    /// whole is cheap enough to be done, or needed.
    pub(crate) fn look(&self, now: Option<&String>, is_looked_at_whole: bool) -> Look {
        match (&self.state, now) {
            (Some(left), Some(now)) if left == now => Look::NotNeeded,
            _ if is_looked_at_whole => Look::Whole,
            _ => Look::Sampled,
        }
    }

    /// The ranges of the target that do not hold what was recorded. Where a sample finds one, everything is looked at.
    pub(crate) async fn lost(&self, context: &Context, target: Side, look: Look) -> Result<Vec<ByteRange>, CopyError> {
        match look {
            Look::NotNeeded => Ok(Vec::new()),
            Look::Whole => differing(context, target, Scope::Landed).await,
            Look::Sampled => {
                let places = context.table.with(|table| sample(table, &self.latest))?;
                match differing(context, target.clone(), Scope::Only(&places)).await? {
                    found if found.is_empty() => Ok(found),
                    _ => differing(context, target, Scope::Landed).await,
                }
            }
        }
    }
}

async fn differing(context: &Context, target: Side, scope: Scope<'_>) -> Result<Vec<ByteRange>, CopyError> {
    let compared = context.compare(target, scope, false).await?;
    if context.handle.stop.is_stopping() {
        return Err(CopyError::Cancelled);
    }
    Ok(compared.differences.into_iter().map(|difference| difference.range).collect())
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

/// Whether data landed, not only zeros: these are on many drives, and do not tell one from another.
pub(crate) fn holds_data(table: &ChunkTable) -> std::io::Result<bool> {
    for entry in table.entries() {
        let (_, _, entry) = entry?;
        if matches!(entry.landed, Some((ChunkContent::Data(_), _, _))) {
            return Ok(true);
        }
    }
    Ok(false)
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
    use protocol::manifest::{ChunkRecord, ChunkState};
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
        let look = |state: Option<&String>, now, is_file| {
            let left = Left { state: state.cloned(), ..Left::default() };
            left.look(now, is_file)
        };
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
    fn zeros_do_not_tell_one_drive_from_another() {
        let folder = tempfile::tempdir().unwrap();
        let data = table(&folder, 3);
        let mut zeros = ChunkTable::new(folder.path(), data.geometry()).unwrap();
        assert!(!holds_data(&zeros).unwrap(), "nothing landed");
        let mut record = data.record(ChunkIndex(1)).unwrap().unwrap();
        record.content = ChunkContent::Zero;
        zeros.set_landed(ChunkIndex(1), &record, false).unwrap();
        assert!(!holds_data(&zeros).unwrap());
        assert!(holds_data(&data).unwrap());
    }

    #[test]
    fn chunks_that_a_range_touches_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let table = SharedTable::new(table(&folder, 10));
        assert_eq!(take_back(&table, &[ByteRange::new(511, 2), ByteRange::new(4096, 512)]).unwrap(), 3);
        assert_eq!(table.with(|table| Ok(table.landed())).unwrap(), 7);
    }
}
