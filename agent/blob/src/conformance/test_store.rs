//! A store that is tried.

use std::sync::Arc;

use crate::account::Account;
use crate::contract::Blob;

/// A store that is tried. Nothing is in it at the beginning.
pub trait TestStore: Sync {
    /// The blob of this name.
    fn blob(&self, name: &str) -> Arc<dyn Blob>;

    /// Size of the chunks that it is tried with.
    fn chunk_bytes(&self) -> usize {
        let least = usize::try_from(self.blob("any").limits().chunk_bytes_min).unwrap_or(usize::MAX);
        least.max(64 << 10)
    }

    /// A blob of a container that is not there, where the store has containers.
    fn in_missing_container(&self) -> Option<Arc<dyn Blob>>;

    /// The account of the store and the container of its blobs, where it has them.
    fn account(&self) -> Option<(Arc<dyn Account>, String)>;
}
