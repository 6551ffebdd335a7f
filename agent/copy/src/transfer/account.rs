//! What an interrupted transfer did and did not do, from its journal alone: the drive is not touched, and need
//! not be there.

use std::path::Path;

use protocol::limits::MEMORY_DEFAULT_BYTES;
use protocol::outcome::Outcome;
use protocol::result::TransferResult;
use protocol::units::{ByteSize, ChunkIndex};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::limits::BODILESS_CHUNKS_MAX;
use crate::record::journal::{Journal, Recovered};
use crate::record::table::ChunkTable;
use crate::transfer::begin::count_recorded;
use crate::transfer::result;

/// Accounts for the one transfer whose journal is below `options.state_dir`; `None` where there is none.
///
/// What was recorded landed. Where the transfer was cut off, what was in the pipeline then may have landed without a
/// record: it is unknown. The rest was never sent.
///
/// # Errors
/// When the journal cannot be read.
pub fn account(
    options: &TransferOptions,
    was_cut_off: bool,
    handle: &TransferHandle,
) -> Result<Option<TransferResult>, CopyError> {
    let Some(mut journal) = Journal::only_one(&options.state_dir)? else { return Ok(None) };
    let Some(Recovered { header, table, .. }) = journal.recover()? else { return Ok(None) };
    let ByteSize(memory) = options.memory.unwrap_or(ByteSize(MEMORY_DEFAULT_BYTES));
    if was_cut_off {
        // Chunks with bodies hold a buffer each; those without may be as many as the channels take.
        let in_pipeline = (memory / header.chunk_size_bytes).max(1) + CHANNELS * BODILESS_CHUNKS_MAX as u64;
        table.with(|table| mark_unknown(table, in_pipeline))?;
    }
    handle.counters.set_total(header.total_bytes);
    table.with(|table| count_recorded(table, handle))?;
    let mut result = result::result(Outcome::Cancelled, &header, header.drive.clone(), &table, handle)?;
    result.receipt = Some(result::receipt(&table, handle, options)?);
    result.manifest = Some(shown(journal.path()));
    Ok(Some(result))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Channels between the stages of a transfer.
const CHANNELS: u64 = 3;

/// Chunks are read in drive order: those that are missing before the last one that landed may be on their way, and as
/// many behind it as the pipeline holds.
fn mark_unknown(table: &mut ChunkTable, in_pipeline: u64) -> std::io::Result<()> {
    let count = table.geometry().chunk_count();
    let mut last = None;
    for entry in table.entries() {
        let (index, _, entry) = entry?;
        if entry.landed.is_some() {
            last = Some(index.0);
        }
    }
    let end = last.map_or(in_pipeline, |last| last + 1 + in_pipeline).min(count);
    for index in (0..end).map(ChunkIndex) {
        if table.get(index)?.landed.is_none() {
            table.set_unknown(index)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::digest::Sha256Digest;
    use protocol::manifest::{ChunkContent, ChunkRecord, ChunkState};
    use protocol::receipt::ByteClass;
    use protocol::units::ChunkGeometry;

    use super::*;

    #[test]
    fn what_was_in_buffers_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let geometry = ChunkGeometry::new(10 * 512, 512).unwrap();
        let mut table = ChunkTable::new(folder.path(), geometry).unwrap();
        for index in [0, 1, 3] {
            let record = ChunkRecord {
                range: geometry.range(ChunkIndex(index)).unwrap(),
                content: ChunkContent::Data(Sha256Digest::of(b"x")),
                state: ChunkState::Sent,
                attempts: 1,
                unreadable: Vec::new(),
                from_image: Vec::new(),
            };
            table.set_landed(ChunkIndex(index), &record, false).unwrap();
        }
        mark_unknown(&mut table, 3).unwrap();
        let classes: Vec<ByteClass> = table.entries().map(|entry| entry.unwrap().2.class).collect();
        let (landed, unknown, never) = (ByteClass::LandedBeforeRequest, ByteClass::OutcomeUnknown, ByteClass::NeverSent);
        assert_eq!(classes, [landed, landed, unknown, landed, unknown, unknown, unknown, never, never, never]);
    }
}
