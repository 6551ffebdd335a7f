//! Single rounds instead of [`Scheduler::run`], for a test that decides itself what happens next and at what time.
//!
//! The wall clock is the injected [`Clock`](super::Clock); pauses and back-offs are measured by tokio's clock, which a test
//! pauses and advances.

use std::sync::PoisonError;

use protocol::station::station_and_bay;

use super::handle::{Running, Scheduler};

/// What runs beside the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkBeside {
    /// Copies in the service's own bays whose end is not written down yet.
    pub own_copies: usize,
    /// Effects that are being carried out just now.
    pub effects: usize,
}

impl Scheduler {
    /// What [`Scheduler::run`] does before its first round.
    pub async fn simulate_begin(&self) {
        self.take_over().await;
    }

    /// One round, as [`Scheduler::run`] begins them.
    pub async fn simulate_round(&self) {
        self.round().await;
    }

    /// What runs beside the rounds.
    pub fn work_beside(&self) -> WorkBeside {
        let effects = self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner).under_way();
        let is_own = |running: &&Running| station_and_bay(&running.bay).is_none();
        WorkBeside { own_copies: self.running().values().filter(is_own).count(), effects }
    }
}
