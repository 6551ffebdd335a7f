//! One side against the manifest, and what differs in one list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::progress::Phase;
use protocol::result::Difference;
use tokio::sync::Semaphore;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::flow::pool::BufferPool;
use crate::flow::rate::RateLimit;
use crate::hashing::ZeroDigests;
use crate::hashing::whole::{self, Wanted};
use crate::plan::MemoryPlan;
use crate::verify::comparer::{Compared, Comparer, WholeSide};
use crate::verify::hashes::Hashes;
use crate::verify::side::{Expected, Side};

/// Compares a side with what the table says.
pub(crate) async fn compare(
    side: Side,
    expected: Expected<'_>,
    options: &TransferOptions,
    attempts: &Attempts,
    handle: &TransferHandle,
    memory: MemoryPlan,
) -> Result<Compared, CopyError> {
    let total = expected.table.with(|table| Ok(table.geometry().total_bytes()))?;
    handle.counters.begin_part(Phase::Verifying, total);
    compare_up_to(side, u64::MAX, expected, options, attempts, handle, memory).await
}

/// The same for a side that ends at `size`: what lies behind is missing.
pub(super) async fn compare_up_to(
    side: Side,
    size: u64,
    expected: Expected<'_>,
    options: &TransferOptions,
    attempts: &Attempts,
    handle: &TransferHandle,
    memory: MemoryPlan,
) -> Result<Compared, CopyError> {
    let geometry = expected.table.with(|table| Ok(table.geometry()))?;
    let is_broken = Arc::new(AtomicBool::new(false));
    let is_abandoned = {
        let is_broken = is_broken.clone();
        move || is_broken.load(Ordering::Relaxed)
    };
    let (pieces, whole_end) = whole::spawn(Wanted { sha256: expected.wants_stream, stated: None }, geometry, is_abandoned)?;
    let comparer = Arc::new(Comparer {
        reads: Arc::new(Semaphore::new(side.concurrency(options))),
        hashes: Hashes::start(handle.counters.clone(), options.shared_budget.clone())?,
        zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
        whole: pieces.map(|pieces| WholeSide { pieces, is_broken }),
        pool: BufferPool::new(memory.buffers, memory.buffer_bytes),
        rate: RateLimit::new(options.rate.clone(), options.shared_budget.clone()),
        attempts: attempts.clone(),
        options: options.clone(),
        handle: handle.clone(),
        side,
        size,
        fill: expected.fill,
    });
    let mut found = comparer.clone().run(geometry, expected).await?;
    drop(comparer);
    found.stream_sha256 = whole::result(whole_end, &handle.stop).await.sha256;
    found.differences.sort_by_key(|difference| difference.range);
    found.unreadable.sort_unstable();
    let mut merged: Vec<Difference> = Vec::new();
    for difference in std::mem::take(&mut found.differences) {
        match merged.last_mut() {
            Some(last) if last.range.end() == difference.range.offset && last.reason == difference.reason => {
                last.range.length += difference.range.length;
            }
            _ => merged.push(difference),
        }
    }
    Ok(Compared { differences: merged, ..found })
}
