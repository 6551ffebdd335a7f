//! What is to be copied, and in which chunks. Everything here is decided before anything moves.

use blob::ChunkLimits;
use protocol::limits::{CHUNK_SIZE_DEFAULT_BYTES, MEMORY_DEFAULT_BYTES, MIB};
use protocol::manifest::ChunkContent;
use protocol::units::{ByteSize, ChunkGeometry, ChunkIndex, sizes_apart};

use crate::chunk::Place;
use crate::error::CopyError;
use crate::flow::machine_memory::machine_memory_bytes;
use crate::limits::{BATCH_DIVISOR, BUFFERS_MAX};
use crate::record::table::SharedTable;

/// How many chunks in buffers there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryPlan {
    pub(crate) buffers: usize,
    pub(crate) buffer_bytes: usize,
    /// Bytes that landed and are not recorded yet, when a batch is written at the latest.
    pub(crate) batch_bytes: u64,
}

/// The chunk size for a drive: what was asked for, or the default, raised where the store's block
/// limit needs it.
pub(crate) fn chunk_size(
    asked: Option<ByteSize>,
    total_bytes: u64,
    sector_size_bytes: u64,
    limits: &ChunkLimits,
) -> Result<ChunkGeometry, CopyError> {
    let ByteSize(requested) = asked.unwrap_or(ByteSize(CHUNK_SIZE_DEFAULT_BYTES));
    let step = sector_size_bytes.max(limits.chunk_bytes_multiple);
    // What was asked for is checked as it stands, before it is raised.
    ChunkGeometry::for_drive(0, requested, step)?;
    let requested = requested.max(limits.chunk_bytes_min.next_multiple_of(step));
    let needed = total_bytes.div_ceil(limits.chunks_max).next_multiple_of(step.max(MIB));
    let size = if requested.saturating_mul(limits.chunks_max) >= total_bytes { requested } else { needed };
    if size > limits.chunk_bytes_max || total_bytes > limits.blob_bytes_max {
        let most = limits.blob_bytes_max.min(limits.chunk_bytes_max.saturating_mul(limits.chunks_max));
        let (drive, store) = sizes_apart(total_bytes, most);
        return Err(CopyError::Refused(format!("the drive has {drive}, and a blob of this kind takes at most {store}")));
    }
    Ok(ChunkGeometry::for_drive(total_bytes, size, step)?)
}

/// The least memory with which a transfer of `total_bytes` is not slowed down: a few of its chunks, in bytes.
pub fn least_memory_bytes(asked: Option<ByteSize>, total_bytes: u64, limits: &ChunkLimits) -> u64 {
    let ByteSize(requested) = asked.unwrap_or(ByteSize(CHUNK_SIZE_DEFAULT_BYTES));
    let requested = requested.max(limits.chunk_bytes_min);
    CHUNKS_LEAST * requested.max(total_bytes.div_ceil(limits.chunks_max).next_multiple_of(MIB))
}

/// Chunks in buffers that keep every stage busy.
const CHUNKS_LEAST: u64 = 4;

/// The buffers for a transfer: as many as the budget pays for and the drive needs.
pub(crate) fn memory_plan(asked: Option<ByteSize>, geometry: ChunkGeometry) -> Result<MemoryPlan, CopyError> {
    let chunk = geometry.chunk_size_bytes();
    let machine = machine_memory_bytes().unwrap_or(u64::MAX);
    if let Some(ByteSize(budget)) = asked.filter(|asked| asked.0 > machine) {
        let (budget, machine) = sizes_apart(budget, machine);
        return Err(CopyError::Usage(format!(
            "a memory budget of {budget} is more than the {machine} that this machine has: lower `--memory`"
        )));
    }
    // The default grows with chunks that had to be raised; a budget that was asked for is kept.
    let default = MEMORY_DEFAULT_BYTES.max(CHUNKS_LEAST * chunk).min(machine);
    let ByteSize(budget) = asked.unwrap_or(ByteSize(default));
    // Buffers are aligned, so a small chunk costs a whole unit.
    let buffer_bytes = chunk.next_multiple_of(drive::aligned::ALIGNMENT_BYTES as u64);
    let buffers = (budget / buffer_bytes).min(BUFFERS_MAX);
    if buffers == 0 {
        let (budget, chunk) = sizes_apart(budget, chunk);
        return Err(CopyError::Usage(format!(
            "a memory budget of {budget} is too small for one chunk of {chunk}: raise `--memory`, or choose a smaller `--chunk-size`"
        )));
    }
    // A reader that asks for the next chunk has a buffer for it: with the spare one the last of them learns that there is
    // none, while the others wait for their record. It is never touched.
    let buffers = buffers.min(geometry.chunk_count() + 1);
    Ok(MemoryPlan {
        buffers: buffers as usize,
        buffer_bytes: buffer_bytes as usize,
        batch_bytes: buffers * chunk / BATCH_DIVISOR,
    })
}

/// One planned chunk, with what it is known to hold: what an earlier run recorded of it, or what a manifest says.
pub(crate) type Planned = (Place, Option<ChunkContent>);

/// The chunks that are still to be read, in drive order.
pub(crate) struct ReadPlan {
    geometry: ChunkGeometry,
    table: SharedTable,
    next: u64,
    /// Also read what was recorded, to compare it.
    with_recorded: bool,
}

impl ReadPlan {
    pub(crate) fn new(geometry: ChunkGeometry, table: SharedTable, with_recorded: bool) -> Self {
        ReadPlan { geometry, table, next: 0, with_recorded }
    }

    /// The next chunk; `None` when there is none left.
    pub(crate) fn next(&mut self) -> Result<Option<Planned>, CopyError> {
        while let Some(range) = self.geometry.range(ChunkIndex(self.next)) {
            let index = ChunkIndex(self.next);
            self.next += 1;
            let recorded = self.table.get(index)?.landed.map(|(content, ..)| content);
            if recorded.is_none() || self.with_recorded {
                return Ok(Some((Place { index, range }, recorded)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::limits::GIB;

    const BLOCKS: ChunkLimits = ChunkLimits {
        chunks_max: 50_000,
        chunk_bytes_min: 1,
        chunk_bytes_max: 4000 * MIB,
        chunk_bytes_multiple: 1,
        blob_bytes_max: 50_000 * 4000 * MIB,
    };

    fn size(asked: Option<u64>, total_bytes: u64) -> Result<u64, CopyError> {
        chunk_size(asked.map(ByteSize), total_bytes, 512, &BLOCKS).map(ChunkGeometry::chunk_size_bytes)
    }

    #[test]
    fn chunks_are_raised_only_where_the_block_limit_needs_it() {
        assert_eq!(size(None, GIB).unwrap(), 8 * MIB);
        assert_eq!(size(None, 50_000 * 8 * MIB).unwrap(), 8 * MIB);
        assert_eq!(size(None, 50_000 * 8 * MIB + 1).unwrap(), 9 * MIB);
        assert_eq!(size(Some(MIB), 22_000_000_000_000).unwrap(), 420 * MIB);
        assert_eq!(size(Some(512), 512 * 50_000).unwrap(), 512);
        let parts = ChunkLimits { chunk_bytes_min: 5 * MIB, ..BLOCKS };
        let size = |asked, sector| chunk_size(Some(ByteSize(asked)), GIB, sector, &parts).map(ChunkGeometry::chunk_size_bytes);
        assert_eq!((size(MIB, 512).unwrap(), size(6 * MIB, 512).unwrap(), size(MIB, 4096).unwrap()), (5 * MIB, 6 * MIB, 5 * MIB));
    }

    #[test]
    fn impossible_sizes_are_mistakes_of_the_command_line() {
        assert!(matches!(size(Some(1000), GIB), Err(CopyError::Usage(text)) if text.contains("sector size of 512")));
        assert!(matches!(size(Some(256), GIB), Err(CopyError::Usage(_))));
        assert!(matches!(size(None, 1 << 60), Err(CopyError::Refused(_))));
    }

    #[test]
    fn memory_is_kept_when_asked_for_and_grows_when_not() {
        let geometry = |chunk| ChunkGeometry::new(1 << 44, chunk).unwrap();
        let plan = memory_plan(Some(ByteSize(64 * MIB)), geometry(8 * MIB)).unwrap();
        assert_eq!((plan.buffers, plan.batch_bytes), (8, 16 * MIB));
        let error = memory_plan(Some(ByteSize(1 << 60)), geometry(8 * MIB)).unwrap_err();
        assert!(matches!(error, CopyError::Usage(text) if text.contains("than the") && text.contains("this machine has")));
        assert!(matches!(memory_plan(Some(ByteSize(8 * MIB - 1)), geometry(8 * MIB)), Err(CopyError::Usage(_))));
        assert_eq!(memory_plan(Some(ByteSize(8 * MIB)), geometry(8 * MIB)).unwrap().buffers, 1);
        assert_eq!(memory_plan(None, geometry(512 * MIB)).unwrap().buffers, 4);
        assert_eq!(memory_plan(None, ChunkGeometry::new(100, 512).unwrap()).unwrap().buffers, 2);
    }
}
