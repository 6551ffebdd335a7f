//! Places that a job names: datacenters, and storage accounts.

use protocol::arm::Address;

/// A datacenter that drives are sent to.
#[derive(Debug, Clone)]
pub struct Location {
    /// Its name, such as `West US`.
    pub name: String,
    /// Where drives are sent to.
    pub address: Address,
    /// Carriers that it takes parcels from.
    pub carriers: Vec<String>,
}

impl Location {
    /// Whether this is its name: `West US` and `westus` are the same.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
        plain(&self.name) == plain(name)
    }
}

/// A storage account that this station can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachableAccount {
    /// Its name: the last segment of `storageAccountId`.
    pub name: String,
    /// The subscriptions whose jobs may use it; all, where it is empty.
    pub subscriptions: Vec<String>,
}

impl ReachableAccount {
    /// Whether it is the account `name`, and jobs of `subscription` may use it.
    pub(super) fn may_be_used(&self, name: &str, subscription: &str) -> bool {
        let is_open =
            self.subscriptions.is_empty() || self.subscriptions.iter().any(|own| own.eq_ignore_ascii_case(subscription));
        self.name.eq_ignore_ascii_case(name) && is_open
    }
}
