//! Blob accounts that this host can reach, and what customers call them.

use std::sync::Arc;

use blob::Account;
use protocol::job::BlobName;

/// An account that can be reached.
#[derive(Clone)]
pub(crate) struct ReachedAccount {
    pub(crate) account: Arc<dyn Account>,
    /// What customers call it.
    pub(crate) public: String,
}

impl ReachedAccount {
    /// A blob's address as a customer may see it.
    pub(crate) fn public_address(&self, blob: &BlobName) -> String {
        format!("{}/{}/{}", self.public, blob.container, blob.name)
    }
}
