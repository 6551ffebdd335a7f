//! An import from its first check to its result, and a dry run of it.

use std::sync::Arc;

use blob::Blob;
use drive::Drive;
use protocol::result::{Direction, TransferPlan, TransferResult};

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::import::examine::Examined;
use crate::import::prepared::Prepared;
use crate::transfer::begin;
use crate::transfer::unopened::Known;

/// Copies a drive into a blob.
///
/// # Errors
/// When nothing could be begun. A transfer that was begun always has a result, with its receipt where
/// it is not complete.
pub async fn import(
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferResult, CopyError> {
    let (known, target) = (Known::default(), blob.clone());
    let preparing = async { Prepared::begin(Examined::new(drive, blob, options.clone(), handle.clone(), &known).await?).await };
    match begin::prepared(preparing, &handle).await {
        Ok(prepared) => prepared.copy().await?.finish().await,
        Err(error) => known.result_of(error, &*target, &options, &handle).await,
    }
}

/// Checks everything that an import would check before its first byte, and says what it would do. Nothing is changed.
///
/// # Errors
/// What would make the import end before its first byte.
pub async fn plan_import(
    drive: Arc<dyn Drive>,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<TransferPlan, CopyError> {
    let examine = |options, handle| async move {
        let examined = Examined::new(drive, blob, options, handle, &Known::default()).await?;
        Ok(examined.plan())
    };
    begin::dry_run(Direction::Import, options, handle, examine).await
}
