//! A call into a drive that ends in time, whatever the drive does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drive::{Drive, DriveError};
use protocol::units::ByteRange;

use crate::call::handle::TransferHandle;
use crate::error::{CopyError, Stage};
use crate::flow::threads::Running;

/// Runs blocking work on a drive; a drive that hangs is an error after `timeout`, and its thread
/// is left behind. A stop ends the wait too.
pub(crate) async fn with_drive<T: Send + 'static>(
    drive: &Arc<dyn Drive>,
    timeout: Duration,
    handle: &TransferHandle,
    work: impl FnOnce(&dyn Drive) -> Result<T, DriveError> + Send + 'static,
) -> Result<T, CopyError> {
    let path = PathBuf::from(&drive.identity().path);
    let size = drive.size_bytes();
    let owned = drive.clone();
    let call = Running::start(Stage::DriveCall, move || Ok(work(&*owned)?))?;
    let seconds = timeout.as_secs();
    let timed_out = DriveError::TimedOut { path, range: ByteRange::new(0, size), seconds };
    tokio::select! {
        biased;
        result = call.ended() => result,
        () = handle.stop.aborting() => Err(CopyError::Cancelled),
        () = tokio::time::sleep(timeout.max(Duration::from_secs(1))) => Err(timed_out.into()),
    }
}
