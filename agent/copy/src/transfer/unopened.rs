//! A transfer that ends before its first byte: what an earlier run moved is still part of its receipt, and so is what that left
//! behind. The target was not asked for each chunk, so whether it still holds them is unknown.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use blob::Blob;
use drive::DriveError;
use protocol::manifest::Header;
use protocol::outcome::Outcome;
use protocol::receipt::{Receipt, Residue};
use protocol::result::{Direction, TransferResult};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::limits::{ABORT_GRACE, INQUIRY_TIMEOUT};
use crate::record::journal::Journal;
use crate::record::table::SharedTable;
use crate::transfer::result;
use crate::transfer::staging::elsewhere;
use crate::transfer::unfinished::unfinished;

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
    pub(crate) async fn result_of(
        &self,
        error: CopyError,
        blob: &dyn Blob,
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
        let is_this = |other: &Header| other.transfer_id == header.transfer_id;
        let residue = left_behind(&options.state_dir, is_this, Some(blob), handle).await;
        result.receipt = Some(Receipt { residue, ..result::receipt(&table, handle, options)?.doubted() });
        Ok(result)
    }
}

/// What an earlier run left at its target, which is `blob` for an import; `None` where nothing is left, or the store does not say
/// so in time.
pub async fn left_behind(
    state_dir: &Path,
    is_it: impl Fn(&Header) -> bool,
    blob: Option<&dyn Blob>,
    handle: &TransferHandle,
) -> Option<Residue> {
    let folder = state_dir.to_owned();
    // Journals of large drives have millions of lines.
    let known = tokio::task::spawn_blocking(move || unfinished(&folder)).await.ok()?.ok()?.transfers;
    let earlier = known.into_iter().find(|transfer| is_it(&transfer.header))?;
    match earlier.header.direction {
        Direction::Export => earlier.left_on_drive(),
        Direction::Import => {
            let blob = blob?;
            let staged = elsewhere(blob, &earlier.header).ok()?;
            let blob = staged.as_deref().unwrap_or(blob);
            let grace = if handle.stop.is_aborting() { ABORT_GRACE } else { INQUIRY_TIMEOUT };
            tokio::time::timeout(grace, blob.left_by(earlier.left())).await.ok()?.ok()?
        }
    }
}

/// The result of an import that was cancelled while its drive was opened: of what an earlier run moved.
///
/// # Errors
/// [`CopyError::Cancelled`] where there was no earlier run.
pub async fn cancelled_unopened(
    blob: &dyn Blob,
    options: &TransferOptions,
    handle: &TransferHandle,
) -> Result<TransferResult, CopyError> {
    let known = Known::default();
    if let Some(recovered) = Journal::open(&options.state_dir, Direction::Import, &blob.address())?.recover()? {
        known.set(*recovered.header, recovered.table);
    }
    known.result_of(CopyError::Cancelled, blob, options, handle).await
}
