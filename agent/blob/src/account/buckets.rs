//! What accounts of buckets have in common, whichever store they are of.

use super::contract::{BlobItem, ListBounds};
use crate::error::{BlobError, BlobErrorKind};
use crate::http::listing::{Listed, Page};

/// Refuses what can be no bucket, or no name of a job's blob.
pub(super) fn require_names(container: &str, name: &str) -> Result<(), BlobError> {
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    let is_bucket = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
    match is_part(container) && container.bytes().all(is_bucket) && name.split('/').all(is_part) {
        true => Ok(()),
        false => {
            let message = "a bucket is one name, and a blob's name has no empty part, no `.` and no `..`";
            Err(BlobError::new(BlobErrorKind::InvalidName, "name", format!("{container}/{name}"), message))
        }
    }
}

/// Names of buckets that begin with `prefix`, ascending.
pub(super) fn named(mut names: Vec<String>, prefix: &str, address: String) -> Result<Vec<String>, BlobError> {
    ListBounds::new(address).add_page(names.iter().map(String::as_str), None)?;
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    Ok(names)
}

/// The blobs of a list, page by page.
pub(super) struct BlobList {
    container: String,
    bounds: ListBounds,
    pub(super) items: Vec<BlobItem>,
    /// Where the list continues.
    pub(super) from: Option<String>,
}

impl BlobList {
    pub(super) fn new(container: &str, address: String) -> Self {
        BlobList { container: container.to_owned(), bounds: ListBounds::new(address), items: Vec::new(), from: None }
    }

    /// Adds a page, but for the pieces of unfinished transfers; tells whether there are more. A bucket that is not there has none.
    pub(super) fn add(
        &mut self,
        page: Result<Page<Listed, String>, BlobError>,
        is_piece: impl Fn(&str) -> bool,
    ) -> Result<bool, BlobError> {
        let page = match page {
            Err(error) if error.kind == BlobErrorKind::ContainerNotFound => {
                self.items.clear();
                return Ok(false);
            }
            page => page?,
        };
        self.bounds.add_page(page.items.iter().map(|item| &*item.key), page.next.as_deref())?;
        // What an unfinished transfer keeps is not a blob yet, and a name that ends so stands for a folder.
        let listed = page.items.into_iter().filter(|item| !is_piece(&item.key) && !item.key.ends_with('/'));
        self.items.extend(listed.map(|item| BlobItem {
            container: self.container.clone(),
            name: item.key,
            size_bytes: item.size_bytes,
        }));
        self.from = page.next;
        Ok(self.from.is_some())
    }
}

/// What was to be made is there; or it may be, and only its making is not ours to do.
pub(super) fn made(result: Result<(), BlobError>) -> Result<(), BlobError> {
    match result {
        Err(error) if matches!(error.kind, BlobErrorKind::NotPermitted | BlobErrorKind::AlreadyExists) => Ok(()),
        other => other,
    }
}

/// Whether anything was removed: of a bucket that is not there nothing is left.
pub(super) fn was_removed(result: Result<bool, BlobError>) -> Result<bool, BlobError> {
    match result {
        Err(error) if error.kind == BlobErrorKind::ContainerNotFound => Ok(false),
        other => other,
    }
}
