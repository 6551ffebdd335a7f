//! The manifest that the logs of a copy are written from: that of this host, or, where the copy was made elsewhere, the one beside the
//! blob.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::path::Path;

use futures::StreamExt;
use protocol::job::BlobName;
use protocol::manifest::{MANIFEST_SUFFIX, ManifestReader};
use protocol::result::{Direction, TransferResult};
use protocol::station::LogOrder;
use service::scheduler::worker::{Document, WorkError, Worker};

use super::host::StationWorker;

/// The manifest of a complete copy, beside its journal.
pub(super) const MANIFEST_FILE: &str = "manifest.jsonl";

pub(super) fn failed(error: io::Error) -> WorkError {
    WorkError::Failed(format!("the copy log cannot be written: {error}"))
}

/// The manifest of a copy; `None` where it has none, or no log needs it.
///
/// # Errors
/// Where it has one that cannot be read: a log must not say that nothing was copied.
pub(super) async fn of_copy(
    worker: &StationWorker,
    order: &LogOrder,
    result: &TransferResult,
    folder: &Path,
) -> Result<Option<File>, WorkError> {
    match File::open(folder.join(MANIFEST_FILE)) {
        Ok(file) => return Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if !result.outcome.is_complete() || !(order.verbose || order.manifest) {
        return Ok(None);
    }
    let missing = || WorkError::Refused("the manifest of the copy is not at this host, nor beside its blob".to_owned());
    if order.copy.direction == Direction::Export {
        // What is beside the blob there is the manifest of who made it.
        return Err(missing());
    }
    let BlobName { container, name } = order.copy.blob.clone();
    let place = BlobName { container, name: format!("{name}{MANIFEST_SUFFIX}") };
    let document = worker.open_document(&order.copy.account, &place).await?.ok_or_else(missing)?;
    file::private::make_folder(folder).map_err(failed)?;
    let mut file = kept(document, folder).await?;
    let manifest = ManifestReader::new(BufReader::new(&file)).map_err(|error| WorkError::Refused(error.to_string()))?;
    let is_own = Some(&manifest.header().transfer_id) == result.transfer_id.as_ref();
    drop(manifest);
    file.rewind().map_err(failed)?;
    // Another copy may have replaced the blob since.
    if is_own { Ok(Some(file)) } else { Err(missing()) }
}

async fn kept(document: Document, folder: &Path) -> Result<File, WorkError> {
    let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
    let mut pieces = document.pieces;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        tokio::task::block_in_place(|| file.write_all(&piece)).map_err(failed)?;
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}
