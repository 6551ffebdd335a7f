//! Copy logs, written beside a copy's journal and put into the store.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::Path;

use blob::Replaces;
use protocol::arm::{ERROR_LOG, MANIFEST_LOG, VERBOSE_LOG, log_name};
use protocol::copy_log::{LogHead, LoggedChunk, write_error_log, write_verbose_log};
use protocol::job::{BlobName, LogAddresses};
use protocol::limits::RANGES_KEPT_MAX;
use protocol::manifest::{ChunkContent, ManifestReader};
use protocol::outcome::Outcome;
use protocol::receipt::Receipt;
use protocol::result::{Direction, TransferResult};
use protocol::station::LogOrder;
use service::scheduler::worker::WorkError;

use super::host::{StationWorker, blocking};
use super::log_manifest::{self, failed};

/// The result of a copy whose lists are longer than the service keeps, beside its journal.
const RESULT_FILE: &str = "result.json";

/// Writes the logs of a copy: the error log where there was an error, the others where they are wanted.
pub(super) async fn put_logs(
    worker: &StationWorker,
    order: &LogOrder,
    result: &TransferResult,
) -> Result<LogAddresses, WorkError> {
    let folder = worker.state_dir(&order.copy.job_uid, &order.copy.drive_id);
    let manifest = log_manifest::of_copy(worker, order, result, &folder).await?;
    let prefix = &BlobName { container: order.container.clone(), name: order.prefix.clone() };
    let put = |kind: &'static str, file: File| async move {
        worker.put_file(&order.copy.account, &log_name(prefix, kind), file, &Replaces::Anything).await
    };
    let (error, verbose) = {
        let (order, result) = (order.clone(), result.clone());
        let manifest = manifest.as_ref().map(File::try_clone).transpose().map_err(failed)?;
        // A large drive has millions of chunks.
        let write = move || write_logs(&folder, manifest, &order, &whole_of(&folder, result)?).map_err(failed);
        blocking(write).await?
    };
    let mut logs = LogAddresses::default();
    if let Some(file) = error {
        logs.error = Some(put(ERROR_LOG, file).await?);
    }
    if let Some(file) = verbose {
        logs.verbose = Some(put(VERBOSE_LOG, file).await?);
    }
    if let Some(mut file) = manifest.filter(|_| order.manifest) {
        file.rewind().map_err(failed)?;
        logs.manifest = Some(put(MANIFEST_LOG, file).await?);
    }
    Ok(logs)
}

/// Keeps a result beside its journal where its lists are longer than the service keeps: the logs are written from it.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn keep_whole(folder: &Path, result: &TransferResult) -> io::Result<()> {
    let lists = result.receipt.iter().flat_map(|receipt| receipt.classes()).map(|class| class.ranges.as_slice());
    if !lists.chain([result.unreadable.as_slice(), &result.from_image]).any(|list| list.len() > RANGES_KEPT_MAX) {
        return Ok(());
    }
    file::private::make_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut output = BufWriter::new(&mut file);
    serde_json::to_writer(&mut output, result)?;
    output.flush()?;
    drop(output);
    file.as_file().sync_all()?;
    file.persist(folder.join(RESULT_FILE)).map(|_| ()).map_err(|error| error.error)
}

/// The result of which the service knows `known`, with whole lists.
fn whole_of(folder: &Path, known: TransferResult) -> Result<TransferResult, WorkError> {
    if !known.has_cut_lists() {
        return Ok(known);
    }
    let file = match File::open(folder.join(RESULT_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = "the whole list of its ranges is not at this station: the log would be cut like the receipt";
            return Err(WorkError::Refused(message.to_owned()));
        }
        file => file.map_err(failed)?,
    };
    let mut whole: TransferResult =
        serde_json::from_reader(BufReader::new(file)).map_err(|error| failed(io::Error::other(error)))?;
    // What was learned since the run ended: it counts as cancelled, and what landed may be in doubt.
    whole.outcome = known.outcome;
    if known.receipt.as_ref().is_some_and(|receipt| receipt.landed_bytes() == 0) {
        whole.receipt = whole.receipt.map(Receipt::doubted);
    }
    let bytes = |result: &TransferResult| result.receipt.as_ref().map(|receipt| receipt.classes().map(|class| class.bytes));
    if whole.transfer_id != known.transfer_id || bytes(&whole) != bytes(&known) {
        let message = "the list of its ranges at this station is of another run: the log would not say what the receipt says";
        return Err(WorkError::Refused(message.to_owned()));
    }
    Ok(whole)
}

/// The error log where there was an error, and the verbose log where it is wanted.
fn write_logs(
    folder: &Path,
    manifest: Option<File>,
    order: &LogOrder,
    result: &TransferResult,
) -> io::Result<(Option<File>, Option<File>)> {
    file::private::make_folder(folder)?;
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
fn chunks_of(manifest: Option<File>) -> io::Result<impl Iterator<Item = io::Result<LoggedChunk>>> {
    let mut reader = match manifest {
        Some(mut file) => {
            file.rewind()?;
            Some(ManifestReader::new(BufReader::new(file)).map_err(io::Error::other)?)
        }
        None => None,
    };
    Ok(std::iter::from_fn(move || {
        let record = reader.as_mut()?.next_chunk().transpose()?;
        Some(record.map_err(io::Error::other).map(|record| match record.content {
            ChunkContent::Data(digest) => (record.range, Some(digest)),
            ChunkContent::Zero => (record.range, None),
        }))
    }))
}

#[cfg(test)]
mod tests {
    use protocol::job::RetryOptions;
    use protocol::station::CopyOrder;
    use protocol::units::ByteRange;

    use super::*;

    const PLACES: u64 = 5000;

    fn order() -> LogOrder {
        let blob = BlobName { container: "imports".to_owned(), name: "a.img".to_owned() };
        let copy = CopyOrder {
            grant: None,
            state_id: None,
            journal: None,
            bay: "bay-1".to_owned(),
            direction: Direction::Import,
            job_uid: "job".to_owned(),
            drive_id: "A".to_owned(),
            account: "acme".to_owned(),
            blob,
            size_bytes: None,
            sequence: 0,
            account_only: false,
            was_cut_off: false,
            retry: RetryOptions::default(),
            may_erase: false,
        };
        LogOrder { copy, container: "logs".to_owned(), prefix: "x".to_owned(), verbose: false, manifest: false }
    }

    #[test]
    fn the_error_log_has_every_place_however_many_the_service_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let unreadable: Vec<ByteRange> = (0..PLACES).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let result = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "");
        let whole = TransferResult { bytes_total: 8 << 20, bytes_unreadable: PLACES * 512, unreadable, ..result };
        let known = whole.clone().with_lists_cut(RANGES_KEPT_MAX);
        assert_eq!(known.unreadable.len(), RANGES_KEPT_MAX);
        assert!(matches!(whole_of(folder.path(), known.clone()), Err(WorkError::Refused(_))), "a log is never cut unsaid");
        keep_whole(folder.path(), &whole).unwrap();
        assert_eq!(whole_of(folder.path(), known.clone()).unwrap(), whole);
        let (error, _) = write_logs(folder.path(), None, &order(), &whole_of(folder.path(), known).unwrap()).unwrap();
        let mut text = String::new();
        let mut file = error.unwrap();
        io::Seek::rewind(&mut file).unwrap();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text.matches("Status=\"IOFailed\"").count() as u64, PLACES);
    }

    #[test]
    fn the_list_of_another_run_is_not_taken_for_that_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let unreadable: Vec<ByteRange> = (0..PLACES).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let result = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "");
        let whole = TransferResult { transfer_id: Some("1".to_owned()), unreadable, ..result };
        keep_whole(folder.path(), &whole).unwrap();
        let known = whole.clone().with_lists_cut(RANGES_KEPT_MAX);
        assert!(whole_of(folder.path(), known.clone()).is_ok());
        let of_other = TransferResult { transfer_id: Some("2".to_owned()), ..known };
        assert!(matches!(whole_of(folder.path(), of_other), Err(WorkError::Refused(_))));
    }

    #[test]
    fn a_short_result_needs_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let result = TransferResult::not_begun(Outcome::Complete, Direction::Import, "");
        keep_whole(folder.path(), &result).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(whole_of(folder.path(), result.clone()).unwrap(), result);
    }
}
