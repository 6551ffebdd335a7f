//! The memory that all copies of this host have together.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Less memory than this makes a copy slow; then fewer copies run at once.
const MEMORY_SHARE_MEBIBYTES_MIN: u32 = 32;

/// More than this makes no copy faster, and a cancel longer: what is in buffers is still written.
const MEMORY_SHARE_MEBIBYTES_MAX: u32 = 128;

/// The memory of all copies together, handed out in MiB. First come, first served.
#[derive(Clone)]
pub(crate) struct MemoryBudget {
    pub(crate) free_mebibytes: Arc<Semaphore>,
    pub(crate) total_mebibytes: u32,
    /// What a copy gets that needs no more.
    pub(crate) share_mebibytes: u32,
}

impl MemoryBudget {
    /// A budget for so many bays.
    pub(crate) fn new(total_bytes: u64, bays: usize) -> Self {
        let total = u32::try_from(total_bytes >> 20).unwrap_or(u32::MAX).max(1);
        let share = total / u32::try_from(bays.max(1)).unwrap_or(u32::MAX);
        let share = share.clamp(MEMORY_SHARE_MEBIBYTES_MIN, MEMORY_SHARE_MEBIBYTES_MAX).min(total);
        MemoryBudget { free_mebibytes: Arc::new(Semaphore::new(total as usize)), total_mebibytes: total, share_mebibytes: share }
    }
}
