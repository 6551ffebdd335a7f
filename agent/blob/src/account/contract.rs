//! What every account promises, and how long a list may be.

use std::sync::Arc;

use async_trait::async_trait;

use crate::contract::Blob;
use crate::error::{BlobError, BlobErrorKind};

/// A blob of a container, as a list has it.
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

/// Most bytes of all names of one list: a hundred thousand of the usual length, and a tenth of that of the greatest.
const LISTED_BYTES_MAX: usize = 64 << 20;

/// Ends a list that is too long, or that begins again and again, while it is read.
#[derive(Clone)]
pub(super) struct ListBounds {
    address: String,
    pages: usize,
    names: usize,
    bytes: usize,
    /// Where the page before said that the next one begins.
    marker: Option<String>,
}

impl ListBounds {
    pub(super) fn new(address: String) -> Self {
        ListBounds { address, pages: 0, names: 0, bytes: 0, marker: None }
    }

    /// Counts the names of a page, and looks where the next one begins.
    pub(super) fn add_page<'name>(
        &mut self,
        names: impl Iterator<Item = &'name str>,
        marker: Option<&str>,
    ) -> Result<(), BlobError> {
        self.pages += 1;
        for name in names {
            self.names += 1;
            self.bytes += name.len();
        }
        let failed = |message: String| Err(BlobError::new(BlobErrorKind::Other, "list", self.address.clone(), message));
        if self.names > LISTED_MAX || self.bytes > LISTED_BYTES_MAX {
            return failed(format!("there are more than {LISTED_MAX} names, or very long ones: choose a longer prefix"));
        }
        let marker = marker.filter(|marker| !marker.is_empty());
        if marker.is_some() && (self.pages >= LIST_PAGES_MAX || marker == self.marker.as_deref()) {
            return failed("the store's pages have no end: look whether its address is right".to_owned());
        }
        self.marker = marker.map(str::to_owned);
        Ok(())
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

    /// The same account, whose imports put what is not a blob yet into this place.
    ///
    /// # Errors
    /// [`BlobErrorKind::Refused`] where that cannot be: no such place, or one of another store.
    fn with_staging(&self, _place: &str) -> Result<Arc<dyn Account>, BlobError> {
        let message =
            "`staging` is for accounts of s3:// and gs://, whose pieces are objects until they are put together: leave it out";
        Err(BlobError::new(BlobErrorKind::Refused, "reach", self.address(), message))
    }

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
        let bounds = || ListBounds::new("https://acme.example".to_owned());
        let marker = |page: usize| page.to_string();
        let mut honest = bounds();
        for page in 0..100 {
            honest.add_page(std::iter::repeat_n("name", 1000), Some(&marker(page))).unwrap();
        }
        honest.clone().add_page(std::iter::empty(), Some("")).unwrap();
        let error = honest.add_page(["one more"].into_iter(), None).unwrap_err().to_string();
        assert!(error.contains("more than 100000 names"), "{error}");
        let long = "x".repeat(LISTED_BYTES_MAX / 2);
        let mut bytes = bounds();
        bytes.add_page([&*long].into_iter(), Some("1")).unwrap();
        assert!(bytes.add_page([&*long, "x"].into_iter(), None).is_err());
        let mut repeated = bounds();
        repeated.add_page(std::iter::empty(), Some("1")).unwrap();
        assert!(repeated.add_page(std::iter::empty(), Some("1")).is_err(), "the same place again");
        let mut endless = bounds();
        let ended = (0..).find_map(|page| endless.add_page(std::iter::empty(), Some(&marker(page))).err());
        assert!(ended.unwrap().to_string().contains("no end") && endless.pages == LIST_PAGES_MAX);
    }
}
