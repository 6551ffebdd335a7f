//! A rate that may be changed while bytes are moved at it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::units::ByteRate;

/// What stands for no limit.
const UNLIMITED: u64 = 0;

/// Most bytes a second, or no limit. Clones are the same rate.
#[derive(Clone, Default)]
pub struct LiveRate(Arc<AtomicU64>);

impl LiveRate {
    /// This rate at first; no limit where `None`.
    pub fn new(rate: Option<ByteRate>) -> Self {
        let live = LiveRate::default();
        live.set(rate);
        live
    }

    /// Another rate from now on, for what waits already too.
    pub fn set(&self, rate: Option<ByteRate>) {
        let bytes_per_second = rate.map_or(UNLIMITED, |rate| rate.bytes_per_second.max(1));
        self.0.store(bytes_per_second, Ordering::Relaxed);
    }

    /// The rate now.
    pub fn get(&self) -> Option<ByteRate> {
        let bytes_per_second = self.0.load(Ordering::Relaxed);
        (bytes_per_second != UNLIMITED).then_some(ByteRate { bytes_per_second })
    }
}

impl fmt::Debug for LiveRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.get())
    }
}
