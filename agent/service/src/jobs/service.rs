//! What every use case has: the store, the scheduler, and the places that jobs may name.

use super::places::{Location, ReachableAccount};
use crate::scheduler::Scheduler;
use crate::store::{Actor, Change, Store};

/// The use cases of jobs. Each changes the store and then wakes the scheduler.
pub struct Jobs {
    pub(super) store: Store,
    pub(super) scheduler: Scheduler,
    pub(crate) locations: Vec<Location>,
    pub(crate) accounts: Vec<ReachableAccount>,
}

impl Jobs {
    /// Use cases over a store and its scheduler, for jobs of these locations and storage accounts.
    pub fn new(store: Store, scheduler: Scheduler, locations: Vec<Location>, accounts: Vec<ReachableAccount>) -> Self {
        Jobs { store, scheduler, locations, accounts }
    }

    /// A change by `actor`; the audit log gets `action`.
    pub(super) fn change<'change>(&self, actor: &'change Actor, action: &'change str, version: Option<i64>) -> Change<'change> {
        Change { actor: &actor.name, action, version, now: self.scheduler.now() }
    }

    /// The location of this name; `West US` and `westus` are the same.
    pub(crate) fn location(&self, name: &str) -> Option<&Location> {
        self.locations.iter().find(|location| location.is_called(name))
    }
}
