//! What every use case has: the store, the scheduler, and the places that jobs may name.

use super::places::{Location, ReachableAccount};
use crate::scheduler::Scheduler;
use crate::store::{Actor, Change, Role, Store};

/// The use cases of jobs. Each changes the store and then wakes the scheduler.
pub struct Jobs {
    pub(super) store: Store,
    pub(super) scheduler: Scheduler,
    pub(crate) locations: Vec<Location>,
    pub(super) accounts: Vec<ReachableAccount>,
    pub(super) rate_changes: tokio::sync::Mutex<()>,
}

impl Jobs {
    /// Use cases over a store and its scheduler, for jobs of these locations and storage accounts.
    pub fn new(store: Store, scheduler: Scheduler, locations: Vec<Location>, accounts: Vec<ReachableAccount>) -> Self {
        Jobs { store, scheduler, locations, accounts, rate_changes: tokio::sync::Mutex::default() }
    }

    /// A change by `actor`; the audit log gets `action`.
    pub(super) fn change<'change>(&self, actor: &'change Actor, action: &'change str) -> Change<'change> {
        Change::new(&actor.name, action, self.scheduler.now())
    }

    /// The names of the accounts that jobs of this actor may use.
    pub(crate) fn accounts_of(&self, actor: &Actor) -> Vec<String> {
        let is_theirs = |account: &&ReachableAccount| match &actor.role {
            Role::Operator => true,
            Role::Station => false,
            Role::Customer(own) => own.iter().any(|subscription| account.may_be_used(&account.name, subscription)),
        };
        self.accounts.iter().filter(is_theirs).map(|account| account.name.clone()).collect()
    }

    /// The location of this name; `West US` and `westus` are the same.
    pub(crate) fn location(&self, name: &str) -> Option<&Location> {
        self.locations.iter().find(|location| location.is_called(name))
    }
}
