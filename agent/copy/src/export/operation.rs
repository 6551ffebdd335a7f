//! An export from its first check to its result, and a dry run of it.

use std::path::Path;
use std::sync::Arc;

use blob::Blob;
use drive::{Drive, DriveError};
use protocol::result::{Direction, TransferPlan, TransferResult};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::export::examine::Examined;
use crate::export::prepared::Prepared;
use crate::export::target::Target;
use crate::record::journal::Journal;
use crate::transfer::begin;
use crate::transfer::unopened::Known;

/// Writes a blob onto the drive at `path`, which `open_drive` opens.
///
/// # Errors
/// When nothing could be begun. A transfer that was begun always has a result, with its receipt where
/// it is not complete.
pub async fn export(
    path: &Path,
    open_drive: impl FnOnce(Target) -> Result<Arc<dyn Drive>, DriveError>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferResult, CopyError> {
    let (known, source) = (Known::default(), blob.clone());
    let address = blob.address();
    let preparing =
        async { Prepared::begin(Examined::new(open_drive, blob, options.clone(), handle.clone(), &known).await?).await };
    match begin::prepared(preparing, &handle).await {
        Ok(prepared) => prepared.copy().await?.finish().await,
        Err(error) => {
            if known.is_empty() && error.outcome().is_some() && !options.restart {
                // It ended before the drive was open, by which an export is known.
                let found = Journal::of_export(&options.state_dir, path, &address);
                if let Some((_, recovered)) =
                    found.or_else(|busy| if handle.stop.is_stopping() { Err(busy) } else { Ok(None) })?
                {
                    known.set(*recovered.header, recovered.table);
                }
            }
            known.result_of(error, &*source, &options, &handle).await
        }
    }
}

/// Checks everything that an export would check before its first byte, and says what it would do. Nothing is changed.
///
/// # Errors
/// What would make the export end before its first byte.
pub async fn plan_export(
    open_drive: impl FnOnce(Target) -> Result<Arc<dyn Drive>, DriveError>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferPlan, CopyError> {
    let examine = |options, handle| async move {
        let examined = Examined::new(open_drive, blob, options, handle, &Known::default()).await?;
        Ok(examined.plan())
    };
    begin::dry_run(Direction::Export, options, handle, examine).await
}
