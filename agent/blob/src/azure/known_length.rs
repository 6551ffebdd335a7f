//! How long a blob was at the last look.

use std::sync::{Mutex, PoisonError};

/// How long the version of the blob is that was last looked at.
#[derive(Debug, Default)]
pub(super) struct KnownLength(Mutex<Option<(String, u64)>>);

impl KnownLength {
    pub(super) fn note(&self, version: &str, length_bytes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((version.to_owned(), length_bytes));
    }

    pub(super) fn of(&self, version: &str) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(known, _)| known == version).map(|(_, length)| *length)
    }
}
