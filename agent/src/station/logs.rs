//! Copy logs, written beside a copy's journal and put into the store.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use protocol::copy_log::{LogHead, LoggedChunk, write_error_log, write_verbose_log};
use protocol::job::{BlobName, LogAddresses};
use protocol::manifest::{ChunkContent, ManifestReader};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use service::scheduler::worker::{LogOrder, WorkError};

use super::host::{StationWorker, blocking};

/// The manifest of a complete copy, beside its journal.
pub(super) const MANIFEST_FILE: &str = "manifest.jsonl";

fn failed(error: io::Error) -> WorkError {
    WorkError::Failed(format!("the copy log cannot be written: {error}"))
}

/// Writes the logs of a copy: the error log where there was an error, the others where they are wanted.
pub(super) async fn put_logs(
    worker: &StationWorker,
    order: &LogOrder,
    result: &TransferResult,
) -> Result<LogAddresses, WorkError> {
    let folder = worker.state_dir(&order.copy.job_uid, &order.copy.drive_id);
    let manifest = folder.join(MANIFEST_FILE);
    let place = |kind: &str| BlobName { container: order.container.clone(), name: format!("{}_{kind}", order.prefix) };
    let put = |kind: &'static str, file: File| async move { worker.put_file(&order.copy.account, &place(kind), file).await };
    let (error, verbose) = {
        let (order, result, manifest) = (order.clone(), result.clone(), manifest.clone());
        // A large drive has millions of chunks.
        blocking(move || write_logs(&folder, &manifest, &order, &result).map_err(failed)).await?
    };
    let mut logs = LogAddresses::default();
    if let Some(file) = error {
        logs.error = Some(put("error.xml", file).await?);
    }
    if let Some(file) = verbose {
        logs.verbose = Some(put("verbose.xml", file).await?);
    }
    if order.manifest
        && let Ok(file) = File::open(manifest)
    {
        logs.manifest = Some(put("manifest.jsonl", file).await?);
    }
    Ok(logs)
}

/// The error log where there was an error, and the verbose log where it is wanted.
fn write_logs(
    folder: &Path,
    manifest: &Path,
    order: &LogOrder,
    result: &TransferResult,
) -> io::Result<(Option<File>, Option<File>)> {
    std::fs::create_dir_all(folder)?;
    let blob_path = format!("{}/{}", order.copy.blob.container, order.copy.blob.name);
    let head =
        LogHead { drive_id: &order.copy.drive_id, blob_path: &blob_path, is_import: order.copy.direction == Direction::Import };
    let (mut error, mut verbose) = (None, None);
    if result.outcome != Outcome::Complete {
        let file = tempfile::tempfile_in(folder)?;
        write_error_log(BufWriter::new(&file), &head, result)?;
        error = Some(file);
    }
    if order.verbose {
        let file = tempfile::tempfile_in(folder)?;
        write_verbose_log(BufWriter::new(&file), &head, result, chunks_of(manifest)?)?;
        verbose = Some(file);
    }
    Ok((error, verbose))
}

/// The chunks of a manifest, none where there is none.
fn chunks_of(manifest: &Path) -> io::Result<impl Iterator<Item = io::Result<LoggedChunk>>> {
    let mut reader = match std::fs::File::open(manifest) {
        Ok(file) => Some(ManifestReader::new(BufReader::new(file)).map_err(io::Error::other)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(std::iter::from_fn(move || {
        let record = reader.as_mut()?.next_chunk().transpose()?;
        Some(record.map_err(io::Error::other).map(|record| match record.content {
            ChunkContent::Data(digest) => (record.range, Some(digest)),
            ChunkContent::Zero => (record.range, None),
        }))
    }))
}
