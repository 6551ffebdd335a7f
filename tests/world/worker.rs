//! The data plane that the service sees: bays, copies and stores of the simulated datacenter.

use std::sync::Arc;

use async_trait::async_trait;
use protocol::arm::Export;
use protocol::job::{BlobName, LogAddresses};
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::TransferResult;
use protocol::station::DockedDrive;
use protocol::station::{BayContent, CopyOrder, JournalOrder, LogOrder};
use protocol::stop::StopReason;
use service::scheduler::worker::{Document, DocumentFound, RunningCopy, SelectedBlob, WorkError, Worker};
use tokio::sync::oneshot;

use crate::blobs::address;
use crate::plane::SimulatedWorker;
use crate::site::CHUNK_BYTES;

/// The worker of one life of the service.
pub struct WorkerOfLife(pub Arc<SimulatedWorker>);

#[async_trait]
impl Worker for WorkerOfLife {
    fn bays(&self) -> Vec<BayContent> {
        self.0.clock.kill_point();
        let site = self.0.site();
        (0..site.bays.len()).filter(|bay| site.bays[*bay].host == 0).map(|bay| site.content_of(bay)).collect()
    }

    async fn docks_changed(&self) {
        std::future::pending().await
    }

    async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        self.0.clock.kill_point();
        self.0.dock(bay, path, drive_id)
    }

    async fn undock(&self, bay: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.undock(bay)
    }

    async fn is_blank(&self, bay: &str) -> Result<bool, WorkError> {
        self.0.clock.kill_point();
        self.0.is_blank(bay)
    }

    async fn require_writable(&self, bay: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.require_writable(bay)
    }

    fn start(&self, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        self.0.clock.kill_point();
        let number = self.0.start(0, order, ended);
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

    async fn account_without_host(&self, order: &CopyOrder) -> Result<Option<TransferResult>, WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        let now = self.0.clock.now();
        let mut site = self.0.site();
        let told = site.account_without_host(order, now);
        site.tally(if told.is_some() {
            "a journal in an account told for a lost host"
        } else {
            "no journal told for a lost host"
        });
        Ok(told)
    }

    async fn journal_transfer(&self, account: &str, journal: &JournalOrder, job_uid: &str) -> Result<Option<String>, WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        let kept = self.0.site().blobs.kept.get(&(address(account, &journal.place), job_uid.to_owned())).cloned();
        Ok(kept.map(|journal| journal.transfer))
    }

    async fn remove_journal(&self, account: &str, blob: &BlobName, job_uid: &str) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.require_store()?;
        self.0.site().blobs.kept.remove(&(address(account, blob), job_uid.to_owned()));
        Ok(())
    }

    async fn put_logs(&self, order: &LogOrder, result: &TransferResult) -> Result<LogAddresses, WorkError> {
        self.0.clock.kill_point();
        self.0.wait_for_store().await;
        let addresses = self.0.put_logs(order, result)?;
        self.0.clock.kill_point();
        Ok(addresses)
    }

    async fn forget(&self, job_uid: &str, drive_id: Option<&str>) -> Result<(), WorkError> {
        self.0.clock.kill_point();
        self.0.forget(0, job_uid, drive_id);
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
