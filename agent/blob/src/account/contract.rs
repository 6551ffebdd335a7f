//! What every account promises, and how long a list may be.

use std::sync::Arc;

use async_trait::async_trait;

use crate::contract::Blob;
use crate::error::{BlobError, BlobErrorKind};

/// A blob of a container, as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobItem {
    /// Its container.
    pub container: String,
    /// Its name in there.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// Most names that one list may have: what asks for more is a mistake, or a store that never ends.
const LISTED_MAX: usize = 100_000;

/// Most pages of one list: a store may answer page after page with nothing in it.
const LIST_PAGES_MAX: usize = 10_000;

/// Ends a list that is too long, while it is read.
pub(super) struct ListBounds {
    address: String,
    pages: usize,
}

impl ListBounds {
    pub(super) fn new(address: String) -> Self {
        ListBounds { address, pages: 0 }
    }

    /// Counts a page, after which the list has `listed` names.
    pub(super) fn check(&mut self, listed: usize) -> Result<(), BlobError> {
        self.pages += 1;
        if listed <= LISTED_MAX && self.pages <= LIST_PAGES_MAX {
            return Ok(());
        }
        let message = format!("there are more than {} names, or no end of pages: choose a longer prefix", LISTED_MAX);
        Err(BlobError::new(BlobErrorKind::Other, "list", self.address.clone(), message))
    }
}

/// The containers of one account. One call is one attempt, as everywhere in this crate.
#[async_trait]
pub trait Account: Send + Sync {
    /// Where the account is, without secrets.
    fn address(&self) -> String;

    /// A blob, which need not exist.
    ///
    /// # Errors
    /// When a name cannot be one.
    fn blob(&self, container: &str, name: &str) -> Result<Arc<dyn Blob>, BlobError>;

    /// Makes the container, and in a directory the folder for a blob of that name, where they are missing.
    ///
    /// # Errors
    /// When that is not allowed, or the store failed.
    async fn make_place(&self, container: &str, name: &str) -> Result<(), BlobError>;

    /// Removes a blob, and in a directory the folders that are empty after it. False where there is none.
    ///
    /// # Errors
    /// When that is not allowed, or the store failed.
    async fn remove(&self, container: &str, name: &str) -> Result<bool, BlobError>;

    /// Removes what the unfinished upload of a transfer left beside a blob, in a directory with the folders that are empty
    /// after it. False where there is nothing; blocks that were never committed have no name of their own, and the store
    /// removes them by itself.
    ///
    /// # Errors
    /// When that is not allowed, another process has it, or the store failed.
    async fn discard_unfinished(&self, container: &str, name: &str, transfer_id: &str) -> Result<bool, BlobError>;

    /// Names of the containers that begin with `prefix`, ascending.
    ///
    /// # Errors
    /// When the store failed.
    async fn containers(&self, prefix: &str) -> Result<Vec<String>, BlobError>;

    /// Blobs of a container whose names begin with `prefix`, ascending; none where there is no such container.
    ///
    /// # Errors
    /// When the store failed.
    async fn blobs(&self, container: &str, prefix: &str) -> Result<Vec<BlobItem>, BlobError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends() {
        let mut bounds = ListBounds::new("here".to_owned());
        assert!(bounds.check(LISTED_MAX).is_ok());
        assert!(bounds.check(LISTED_MAX + 1).unwrap_err().to_string().contains("choose a longer prefix"));
        let mut empty = ListBounds::new("here".to_owned());
        assert_eq!((0..).take_while(|_| empty.check(0).is_ok()).count(), LIST_PAGES_MAX);
    }
}
