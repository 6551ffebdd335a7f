//! The data plane that the service sees: bays, copies and stores of the simulated datacenter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use protocol::arm::Export;
use protocol::digest::Sha256Digest;
use protocol::job::{BlobName, LogAddresses};
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::TransferResult;
use protocol::station::DockedDrive;
use protocol::station::{BayContent, CopyOrder, LogOrder};
use protocol::stop::StopReason;
use service::scheduler::worker::{Document, DocumentFound, RunningCopy, SelectedBlob, WorkError, Worker};
use tokio::sync::oneshot;

use crate::blobs::address;
use crate::clock::Clock;
use crate::copying::Copy;
use crate::site::{CHUNK_BYTES, Place, Site, drive_at};

/// The datacenter and its clock, as the service and the world share them.
pub struct SimulatedWorker {
    pub site: Mutex<Site>,
    pub clock: Clock,
}

impl SimulatedWorker {
    pub fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies that run, and calls that wait for a slow store.
    pub fn work_under_way(&self) -> (usize, usize) {
        let site = self.site();
        (site.copies.len(), site.waiting_calls)
    }

    /// Refuses while the stores fail.
    fn require_store(&self) -> Result<(), WorkError> {
        match self.site().blobs.fails_until > self.clock.elapsed() {
            true => Err(WorkError::Failed("the store does not answer".to_owned())),
            false => Ok(()),
        }
    }

    /// Waits for a slow store.
    async fn wait_for_store(&self) {
        let takes = self.site().blobs.document_takes;
        if takes > Duration::ZERO {
            self.site().waiting_calls += 1;
            tokio::time::sleep(takes).await;
            self.site().waiting_calls -= 1;
        }
    }

    fn document_found(&self, account: &str, place: &BlobName) -> DocumentFound {
        let version = |bytes: &Vec<u8>| DocumentFound::Version(Sha256Digest::of(bytes).to_string());
        self.site().blobs.documents.get(&address(account, place)).map_or(DocumentFound::Nothing, version)
    }

    fn put(&self, account: &str, blob: &BlobName, bytes: Vec<u8>) -> Result<String, WorkError> {
        self.require_store()?;
        self.site().blobs.documents.insert(address(account, blob), bytes);
        Ok(format!("https://{account}/{}/{}", blob.container, blob.name))
    }
}

fn refused<T>(message: &str) -> Result<T, WorkError> {
    Err(WorkError::Refused(message.to_owned()))
}

/// The worker of one life of the service.
pub struct WorkerOfLife(pub Arc<SimulatedWorker>);

#[async_trait]
impl Worker for WorkerOfLife {
    fn bays(&self) -> Vec<BayContent> {
        self.0.clock.kill_point();
        let site = self.0.site();
        (0..site.bays.len()).map(|bay| site.content_of(bay)).collect()
    }

    async fn docks_changed(&self) {
        std::future::pending().await
    }

    async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        self.0.clock.kill_point();
        let mut site = self.0.site();
        let (Some(bay), Some(drive)) = (site.bay_named(bay), drive_at(path)) else { return refused("there is no such place") };
        if site.bays[bay].is_watched {
            return refused("the bay is watched");
        }
        if site.bays[bay].drive.is_some() {
            return refused("the bay is not empty");
        }
        if !matches!(site.drives[drive].place, Place::Desk) {
            return refused("the drive is not here, or in another bay");
        }
        site.dock(bay, drive, drive_id, self.0.clock.now());
        Ok(site.docked_drive(bay, drive))
    }

    async fn undock(&self, bay: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        let mut site = self.0.site();
        let Some(bay) = site.bay_named(bay) else { return refused("there is no such bay") };
        if site.bays[bay].is_watched || site.bays[bay].drive.is_none() {
            return refused("the bay is watched or empty");
        }
        site.take_out(bay);
        Ok(())
    }

    async fn is_blank(&self, bay: &str) -> Result<bool, WorkError> {
        self.0.clock.kill_point();
        let site = self.0.site();
        let drive = site.bay_named(bay).and_then(|bay| site.bays[bay].drive);
        drive.map_or_else(|| refused("the bay is empty"), |drive| Ok(site.drives[drive].is_blank()))
    }

    async fn require_writable(&self, bay: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        let site = self.0.site();
        match site.bay_named(bay).and_then(|bay| site.bays[bay].drive) {
            None => refused("the bay is empty"),
            Some(drive) if site.drives[drive].is_read_only => refused("the drive cannot be written"),
            Some(_) => Ok(()),
        }
    }

    fn start(&self, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        self.0.clock.kill_point();
        let mut site = self.0.site();
        let drive = site.docked(&order.bay, order.sequence);
        let is_same = |copy: &Copy| (&copy.order.job_uid, &copy.order.drive_id) == (&order.job_uid, &order.drive_id);
        if site.copies.iter().any(is_same) {
            site.violations.push(format!("the drive {} of a job is copied twice at once", order.drive_id));
        }
        let is_same_drive = |copy: &Copy| copy.drive().is_some() && copy.drive() == drive;
        if !order.account_only && site.copies.iter().any(is_same_drive) {
            site.violations.push(format!("the physical drive {drive:?} is copied twice at once"));
        }
        let number = site.random.number();
        // Some have to wait for memory, or for a drive that spins up.
        let waits = !order.account_only && site.random.percent(30);
        let begins = Duration::from_secs(if waits { 600 } else { 1 });
        let step = Duration::from_secs(60 * (1 + site.random.below(60)));
        let copy = Copy::new(number, order, self.0.clock.elapsed() + begins, step, ended);
        site.copies.push(copy);
        Arc::new(Handle { worker: self.0.clone(), number })
    }

    async fn select(&self, account: &str, export: &Export) -> Result<Vec<SelectedBlob>, WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        let site = self.0.site();
        let paths = export.blob_list.clone().unwrap_or_default().blob_path;
        let selected = paths.iter().filter_map(|path| {
            let (container, name) = path.trim_start_matches('/').split_once('/')?;
            let blob = BlobName { container: container.to_owned(), name: name.to_owned() };
            let found = site.blobs.blobs.get(&address(account, &blob));
            Some(SelectedBlob { blob, size_bytes: found.map(|blob| blob.pieces.len() as u64 * CHUNK_BYTES) })
        });
        Ok(selected.collect())
    }

    async fn look_at_document(&self, account: &str, place: &BlobName) -> Result<DocumentFound, WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        Ok(self.0.document_found(account, place))
    }

    async fn put_document(
        &self,
        account: &str,
        blob: &BlobName,
        found: &DocumentFound,
        bytes: Vec<u8>,
    ) -> Result<String, WorkError> {
        self.0.clock.kill_point();
        self.0.wait_for_store().await;
        if self.0.document_found(account, blob) != *found {
            return Err(WorkError::Failed("it was replaced meanwhile".to_owned()));
        }
        let address = self.0.put(account, blob, bytes)?;
        // It may be killed when the store has it, and nothing knows that.
        self.0.clock.kill_point();
        Ok(address)
    }

    async fn open_document(&self, _account: &str, _place: &BlobName) -> Result<Option<Document>, WorkError> {
        Ok(None)
    }

    fn place_of(&self, account: &str, address: &str) -> Option<BlobName> {
        let (container, name) = address.strip_prefix(&format!("https://{account}/"))?.split_once('/')?;
        Some(BlobName { container: container.to_owned(), name: name.to_owned() })
    }

    async fn remove_document(&self, account: &str, place: &BlobName) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        self.0.site().blobs.documents.remove(&address(account, place));
        Ok(())
    }

    async fn discard_unfinished(&self, account: &str, place: &BlobName, transfer_id: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        self.0.site().blobs.discard(&address(account, place), transfer_id);
        Ok(())
    }

    async fn remove_journal(&self, _account: &str, _blob: &BlobName, _job_uid: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()
    }

    async fn put_logs(&self, order: &LogOrder, result: &TransferResult) -> Result<LogAddresses, WorkError> {
        self.0.clock.kill_point();
        self.0.wait_for_store().await;
        let blob = BlobName { container: order.container.clone(), name: format!("{}_error.xml", order.prefix) };
        let bytes = serde_json::to_vec(result).map_err(|error| WorkError::Failed(error.to_string()))?;
        let error = self.0.put(&order.copy.account, &blob, bytes)?;
        self.0.clock.kill_point();
        Ok(LogAddresses { error: Some(error), ..LogAddresses::default() })
    }

    async fn forget(&self, job_uid: &str, drive_id: Option<&str>) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        let mut site = self.0.site();
        site.blobs.forget(|uid, drive| uid == job_uid && drive_id.is_none_or(|one| one == drive));
        Ok(())
    }
}

struct Handle {
    worker: Arc<SimulatedWorker>,
    number: u64,
}

impl RunningCopy for Handle {
    fn progress(&self) -> Progress {
        let site = self.worker.site();
        let copy = site.copies.iter().find(|copy| copy.number == self.number);
        let landed = copy.map_or(0, |copy| copy.chunks().iter().filter(|chunk| chunk.has_landed()).count());
        let is_stopping = copy.is_some_and(|copy| copy.stop.is_some());
        let bytes_done = landed as u64 * CHUNK_BYTES;
        let phase = if is_stopping { Phase::Draining } else { Phase::Copying };
        Progress {
            bytes_total: copy.map_or(0, |copy| copy.chunks().len() as u64 * CHUNK_BYTES),
            bytes_done,
            bytes_sent: bytes_done,
            ..Progress::of_nothing(phase)
        }
    }

    fn unreadable_so_far(&self) -> UnreadableSoFar {
        UnreadableSoFar::default()
    }

    fn stop(&self, reason: StopReason) {
        let now = self.worker.clock.now();
        let mut site = self.worker.site();
        if let Some(copy) = site.copies.iter_mut().find(|copy| copy.number == self.number) {
            copy.ask_to_stop(reason, now);
        }
    }
}
