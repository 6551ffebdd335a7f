//! What the control plane asks for, done with drives and stores.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Account, Replaces};
use copy::{StationBudget, TransferOptions};
use drive::{Pace, open_source};
use futures::{StreamExt, TryStreamExt};
use protocol::arm::Export;
use protocol::digest::Sha256Digest;
use protocol::job::{BlobName, LogAddresses};
use protocol::result::TransferResult;
use protocol::station::DockedDrive;
use protocol::units::ByteRange;
use service::scheduler::worker::{BayContent, CopyOrder, Document, LogOrder, RunningCopy, SelectedBlob, WorkError, Worker};
use tokio::sync::{Semaphore, oneshot};

use super::docks::Docks;
use super::{copying, logs, select};

/// The data plane of a station.
pub(crate) struct StationWorker {
    pub(crate) docks: Arc<Docks>,
    pub(crate) accounts: HashMap<String, ReachedAccount>,
    /// How every drive is copied; journals and budgets are added for each.
    pub(crate) options: TransferOptions,
    pub(crate) budget: Arc<StationBudget>,
    pub(crate) memory: MemoryBudget,
    /// Below it everything that is kept to go on with copies: a folder a job, in it one a drive.
    pub(crate) transfers: PathBuf,
    pub(crate) pace: Pace,
}

/// An account that can be reached.
#[derive(Clone)]
pub(crate) struct ReachedAccount {
    pub(crate) account: Arc<dyn Account>,
    /// What customers call it.
    pub(crate) public: String,
}

impl ReachedAccount {
    /// A blob's address as a customer may see it.
    pub(crate) fn public_address(&self, blob: &BlobName) -> String {
        format!("{}/{}/{}", self.public, blob.container, blob.name)
    }
}

/// The memory of all copies together, handed out in MiB. Who comes first is served first.
#[derive(Clone)]
pub(crate) struct MemoryBudget {
    pub(crate) free_mebibytes: Arc<Semaphore>,
    pub(crate) total_mebibytes: u32,
    /// What a copy gets that needs no more.
    pub(crate) share_mebibytes: u32,
}

impl MemoryBudget {
    /// A budget for so many bays.
    pub(crate) fn new(total_bytes: u64, bays: usize) -> Self {
        let total = u32::try_from(total_bytes >> 20).unwrap_or(u32::MAX).max(1);
        let share = total / u32::try_from(bays.max(1)).unwrap_or(u32::MAX);
        let share = share.clamp(MEMORY_SHARE_MEBIBYTES_MIN, MEMORY_SHARE_MEBIBYTES_MAX).min(total);
        MemoryBudget { free_mebibytes: Arc::new(Semaphore::new(total as usize)), total_mebibytes: total, share_mebibytes: share }
    }
}

/// A file is expected to be put at least at this rate, in bytes a second.
const SLOWEST_BODY_BYTES_PER_SECOND: u64 = 256 << 10;

/// Less memory than this makes a copy slow; then fewer copies run at once.
const MEMORY_SHARE_MEBIBYTES_MIN: u32 = 32;

/// More than this makes no copy faster, and a cancel longer: what is in buffers is still written.
const MEMORY_SHARE_MEBIBYTES_MAX: u32 = 128;

impl StationWorker {
    pub(crate) fn account(&self, name: &str) -> Result<&ReachedAccount, WorkError> {
        let found = self.accounts.get(&name.to_lowercase());
        found.ok_or_else(|| WorkError::Refused(format!("this station cannot reach the account `{name}`")))
    }

    /// Where the journal of a drive's copy is kept.
    pub(crate) fn state_dir(&self, job_uid: &str, drive_id: &str) -> PathBuf {
        self.transfers.join(job_uid).join(drive_id)
    }

    /// Puts a file to a place that is made where it is missing; gives the address for customers.
    pub(crate) async fn put_file(&self, account: &str, place: &BlobName, file: File) -> Result<String, WorkError> {
        let failed = |error: blob::BlobError| match error.is_passing() {
            true => WorkError::Failed(error.to_string()),
            // A full disk or a denied right may be mended too: only a bad name never will.
            false if error.kind == blob::BlobErrorKind::Other => WorkError::Refused(error.to_string()),
            false => WorkError::Failed(error.to_string()),
        };
        let reached = self.account(account)?;
        let blob = reached.account.blob(&place.container, &place.name).map_err(failed)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        // One name for every try: what an interrupted one left is written again.
        let id = Sha256Digest::of(format!("{}/{}", place.container, place.name).as_bytes()).to_string();
        let limit = self.options.request_timeout + Duration::from_secs(length / SLOWEST_BODY_BYTES_PER_SECOND);
        let put = async {
            reached.account.make_place(&place.container, &place.name).await?;
            blob.put_file(Arc::new(file), &id, &Replaces::Anything).await
        };
        let put = tokio::time::timeout(limit, put).await;
        put.map_err(|_| WorkError::Failed(format!("no answer for `{}`", blob.address())))?.map_err(failed)?;
        Ok(reached.public_address(place))
    }
}

#[async_trait]
impl Worker for StationWorker {
    fn bays(&self) -> Vec<BayContent> {
        self.docks.content()
    }

    async fn docks_changed(&self) {
        self.docks.changed().await;
    }

    async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        let (docks, bay, path, id) = (self.docks.clone(), bay.to_owned(), PathBuf::from(path), drive_id.map(str::to_owned));
        blocking(move || docks.dock(&bay, &path, id.as_deref())).await
    }

    async fn undock(&self, bay: &str) -> Result<(), WorkError> {
        self.docks.undock(bay)
    }

    async fn is_blank(&self, bay: &str) -> Result<bool, WorkError> {
        let found = self.docks.drive(bay, self.docks.sequence(bay));
        let (path, _) = found.ok_or_else(|| WorkError::Refused(format!("the bay `{bay}` is empty")))?;
        let looked = tokio::time::timeout(self.options.read_timeout, blocking(move || is_blank(&path))).await;
        looked.map_err(|_| WorkError::Failed(format!("the drive in `{bay}` does not answer")))?
    }

    fn start(&self, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        copying::start(self, order, ended)
    }

    async fn select(&self, account: &str, export: &Export) -> Result<Vec<SelectedBlob>, WorkError> {
        select::select(&self.account(account)?.account, export).await
    }

    async fn put_document(&self, account: &str, place: &BlobName, bytes: Vec<u8>) -> Result<String, WorkError> {
        let failed = |error: std::io::Error| WorkError::Failed(error.to_string());
        let mut file = tempfile::tempfile_in(&self.transfers).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        self.put_file(account, place, file).await
    }

    async fn open_document(&self, account: &str, place: &BlobName) -> Result<Option<Document>, WorkError> {
        let failed = |error: blob::BlobError| WorkError::Failed(error.to_string());
        let blob = self.account(account)?.account.blob(&place.container, &place.name).map_err(failed)?;
        let begin = async {
            let Some(facts) = blob.head().await? else { return Ok(None) };
            let body = blob.read(ByteRange::new(0, facts.size_bytes), &facts.version, false).await?;
            Ok(Some((facts.size_bytes, body.pieces)))
        };
        let begun = tokio::time::timeout(self.options.request_timeout, begin).await;
        let begun = begun.map_err(|_| WorkError::Failed(format!("no answer for `{}`", blob.address())))?.map_err(failed)?;
        Ok(begun.map(|(size_bytes, pieces)| Document { size_bytes, pieces: pieces.map_err(failed).boxed() }))
    }

    fn place_of(&self, account: &str, address: &str) -> Option<BlobName> {
        let public = &self.account(account).ok()?.public;
        let (container, name) = address.strip_prefix(public.as_str())?.strip_prefix('/')?.split_once('/')?;
        Some(BlobName { container: container.to_owned(), name: name.to_owned() })
    }

    async fn put_logs(&self, order: &LogOrder, result: &TransferResult) -> Result<LogAddresses, WorkError> {
        logs::put_logs(self, order, result).await
    }

    async fn forget(&self, job_uid: &str, drive_id: Option<&str>) -> Result<(), WorkError> {
        let folder = match drive_id {
            Some(drive_id) => self.state_dir(job_uid, drive_id),
            None => self.transfers.join(job_uid),
        };
        let remove = move || match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(WorkError::Failed(error.to_string())),
            _ => Ok(()),
        };
        blocking(remove).await
    }
}

/// Runs work that blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkError> + Send + 'static,
) -> Result<T, WorkError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(WorkError::Failed(error.to_string())))
}

/// The pieces in which a drive is looked at.
const BLANK_LOOK_BYTES: u64 = 1 << 20;

/// Drives up to this size are looked at whole, and as much of the data of a sparse image.
const BLANK_WHOLE_BYTES_MAX: u64 = 2 << 30;

/// Places of a larger one that are looked at, evenly spread: ten seconds of a disk's time.
const BLANK_PLACES: u64 = 1000;

/// What is read at each of them.
const BLANK_PLACE_BYTES: u64 = 4096;

/// Whether nothing is on a drive: no partition table, no file system, and zeros wherever it is looked. A small drive is
/// read whole; of a larger one both ends, where every known format has its marks, and samples.
fn is_blank(path: &Path) -> Result<bool, WorkError> {
    let layout = drive::discovery::attached_at(path).and_then(|drive| drive.layout);
    let has_layout = layout
        .is_some_and(|layout| layout.partition_table.is_some() || layout.content.is_some() || !layout.partitions.is_empty());
    if has_layout {
        return Ok(false);
    }
    let failed = |error: drive::DriveError| WorkError::Failed(error.to_string());
    let drive = open_source(path, Pace::Unlimited).map_err(failed)?;
    let (size, sector) = (drive.size_bytes(), drive.sector_size_bytes());
    let mut buffer = drive::AlignedBuffer::new(BLANK_LOOK_BYTES as usize).map_err(failed)?;
    let mut is_zero_at = |offset: u64, length: u64| {
        let piece = &mut buffer[..(length.min(size - offset)) as usize];
        drive.read_at(piece, offset).map(|()| drive::zero::is_zero(piece)).map_err(failed)
    };
    // Holes of a sparse image are not read: what is left may be little.
    let (mut offset, mut left) = (0, BLANK_WHOLE_BYTES_MAX);
    while left > 0 {
        let Some(data) = drive.next_data(offset).map_err(failed)? else { return Ok(true) };
        let begin = data.offset / sector * sector;
        let length = BLANK_LOOK_BYTES.min(data.end() - begin).next_multiple_of(sector);
        if !is_zero_at(begin, length)? {
            return Ok(false);
        }
        offset = (begin + length).min(size);
        left = left.saturating_sub(length);
    }
    let end = size.saturating_sub(BLANK_LOOK_BYTES) / sector * sector;
    if !is_zero_at(end, BLANK_LOOK_BYTES)? {
        return Ok(false);
    }
    for place in 1..BLANK_PLACES {
        let begin = u64::try_from(u128::from(size) * u128::from(place) / u128::from(BLANK_PLACES)).unwrap_or(0);
        if !is_zero_at(begin / BLANK_PLACE_BYTES * BLANK_PLACE_BYTES, BLANK_PLACE_BYTES)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_drive_is_blank_where_nothing_is_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.img");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(600 << 20).unwrap();
        assert!(is_blank(&path).unwrap());
        file.write_all_at(b"ten bytes!", 5_000_000).unwrap();
        assert!(!is_blank(&path).unwrap(), "a few bytes in the middle are somebody's data");
        file.set_len(0).unwrap();
        file.set_len(12345).unwrap();
        assert!(is_blank(&path).unwrap(), "an odd size");
        file.write_all_at(b"x", 12344).unwrap();
        assert!(!is_blank(&path).unwrap());
    }
}
