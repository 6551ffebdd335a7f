//! A transfer that ends before its first byte: what an earlier run moved is still part of its receipt. Its target was not
//! asked, so whether it still holds that is unknown.

use std::sync::{Arc, Mutex, PoisonError};

use blob::Blob;
use drive::DriveError;
use protocol::manifest::Header;
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::record::journal::Journal;
use crate::record::table::SharedTable;
use crate::transfer::result;

/// What is known of a transfer while it is being prepared.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<Mutex<Option<(Header, SharedTable)>>>);

impl Known {
    pub(crate) fn set(&self, header: Header, table: SharedTable) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((header, table));
    }

    /// Nothing is known of an earlier run yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The result of a transfer whose preparation ended with `error`.
    ///
    /// # Errors
    /// The error itself, where nothing has moved and nothing was cancelled: there is nothing to account for.
    pub(crate) fn result_of(
        &self,
        error: CopyError,
        options: &TransferOptions,
        handle: &TransferHandle,
    ) -> Result<TransferResult, CopyError> {
        let is_unopened = matches!(error, CopyError::Drive(DriveError::NotOpened { .. }));
        let error = if is_unopened && handle.stop.is_stopping() { CopyError::Cancelled } else { error };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some((header, table)), Some(outcome)) = (known, error.outcome()) else { return Err(error) };
        let is_cancelled = outcome == Outcome::Cancelled;
        if !is_cancelled && table.with(|table| Ok(table.landed()))? == 0 {
            return Err(error);
        }
        let mut result = result::result(outcome, &header, header.drive.clone(), &table, handle)?;
        result.error = (!is_cancelled).then(|| error.to_string());
        result.receipt = Some(result::receipt(&table, handle, options)?.doubted());
        Ok(result)
    }
}

/// The result of an import that was cancelled while its drive was opened: of what an earlier run moved.
///
/// # Errors
/// [`CopyError::Cancelled`] where there was no earlier run.
pub fn cancelled_unopened(
    blob: &dyn Blob,
    options: &TransferOptions,
    handle: &TransferHandle,
) -> Result<TransferResult, CopyError> {
    let known = Known::default();
    if let Some(recovered) = Journal::open(&options.state_dir, Direction::Import, &blob.address())?.recover()? {
        known.set(*recovered.header, recovered.table);
    }
    known.result_of(CopyError::Cancelled, options, handle)
}
