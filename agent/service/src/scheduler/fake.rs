//! A worker without drives and stores, for the tests of this crate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use protocol::arm::Export;
use protocol::job::{BlobName, LogAddresses};
use protocol::progress::{Progress, UnreadableSoFar};
use protocol::result::TransferResult;
use protocol::station::DockedDrive;
use protocol::stop::StopReason;
use tokio::sync::{Notify, oneshot};

use super::worker::{Document, DocumentFound, RunningCopy, SelectedBlob, WorkError, Worker};
use protocol::station::{BayContent, CopyOrder, JournalOrder, LogOrder};

/// Bays that hold what a test docks, and documents in memory. Copies are not known here.
#[derive(Default)]
pub(crate) struct FakeWorker {
    pub(crate) bays: Mutex<Vec<BayContent>>,
    pub(crate) documents: Mutex<HashMap<String, Vec<u8>>>,
    /// How many documents are still to panic when they are put.
    pub(crate) panics_left: AtomicUsize,
    /// No document can be removed.
    pub(crate) refuses_removal: AtomicBool,
    /// The same of what unfinished transfers left.
    pub(crate) refuses_discard: AtomicBool,
    /// The jobs of which nothing is kept any more.
    pub(crate) forgotten: Mutex<Vec<String>>,
    /// Documents that are being put, and how many that were at most.
    pub(crate) at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
    changed: Notify,
}

#[async_trait]
impl Worker for FakeWorker {
    fn bays(&self) -> Vec<BayContent> {
        self.bays.lock().unwrap().clone()
    }

    async fn docks_changed(&self) {
        self.changed.notified().await;
    }

    async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        let mut bays = self.bays.lock().unwrap();
        let Some(found) = bays.iter_mut().find(|one| one.name == bay) else {
            return Err(WorkError::Refused(format!("there is no bay `{bay}`")));
        };
        let drive = DockedDrive {
            path: path.to_owned(),
            drive_id: drive_id.map(str::to_owned),
            bridge_serial: None,
            weak_identity: Vec::new(),
            model: None,
            size_bytes: 1 << 20,
        };
        found.drive = Some(drive.clone());
        self.changed.notify_one();
        Ok(drive)
    }

    async fn undock(&self, bay: &str) -> Result<(), WorkError> {
        let mut bays = self.bays.lock().unwrap();
        let found = bays.iter_mut().find(|one| one.name == bay && one.drive.is_some());
        found.ok_or_else(|| WorkError::Refused(format!("`{bay}` is empty")))?.drive = None;
        Ok(())
    }

    async fn is_blank(&self, _bay: &str) -> Result<bool, WorkError> {
        Ok(true)
    }

    async fn require_writable(&self, _bay: &str) -> Result<(), WorkError> {
        Ok(())
    }

    fn start(&self, _order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        drop(ended);
        Arc::new(NoCopy)
    }

    async fn select(&self, _account: &str, _export: &Export) -> Result<Vec<SelectedBlob>, WorkError> {
        let blob = BlobName { container: "vms".to_owned(), name: "a.img".to_owned() };
        Ok(vec![SelectedBlob { blob, size_bytes: Some(1 << 20) }])
    }

    async fn look_at_document(&self, _account: &str, _place: &BlobName) -> Result<DocumentFound, WorkError> {
        Ok(DocumentFound::Unseen)
    }

    async fn put_document(
        &self,
        account: &str,
        blob: &BlobName,
        _found: &DocumentFound,
        bytes: Vec<u8>,
    ) -> Result<String, WorkError> {
        let left = self.panics_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "the worker panics, as it was asked to");
        self.most_at_once.fetch_max(self.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let address = format!("{account}/{}/{}", blob.container, blob.name);
        self.documents.lock().unwrap().insert(address.clone(), bytes);
        Ok(address)
    }

    async fn remove_document(&self, account: &str, place: &BlobName) -> Result<(), WorkError> {
        if self.refuses_removal.load(Ordering::SeqCst) {
            return Err(WorkError::Failed("the account is locked".to_owned()));
        }
        self.documents.lock().unwrap().remove(&format!("{account}/{}/{}", place.container, place.name));
        Ok(())
    }

    async fn discard_unfinished(&self, account: &str, place: &BlobName, transfer_id: &str) -> Result<(), WorkError> {
        if self.refuses_discard.load(Ordering::SeqCst) {
            return Err(WorkError::Failed("the account does not answer".to_owned()));
        }
        let name = format!("{}.{transfer_id}", place.name);
        self.remove_document(account, &BlobName { name, ..place.clone() }).await
    }

    /// A journal here is the name of its transfer.
    async fn journal_transfer(&self, account: &str, journal: &JournalOrder, job_uid: &str) -> Result<Option<String>, WorkError> {
        let key = format!("{account}/{}/{}.{job_uid}.journal", journal.place.container, journal.place.name);
        let found = self.documents.lock().unwrap().get(&key).cloned();
        Ok(found.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    async fn remove_journal(&self, account: &str, blob: &BlobName, job_uid: &str) -> Result<(), WorkError> {
        let name = format!("{}.{job_uid}.journal", blob.name);
        self.remove_document(account, &BlobName { name, ..blob.clone() }).await
    }

    async fn open_document(&self, _account: &str, _place: &BlobName) -> Result<Option<Document>, WorkError> {
        Ok(None)
    }

    fn place_of(&self, account: &str, address: &str) -> Option<BlobName> {
        let (container, name) = address.strip_prefix(account)?.strip_prefix('/')?.split_once('/')?;
        Some(BlobName { container: container.to_owned(), name: name.to_owned() })
    }

    async fn put_logs(&self, _order: &LogOrder, _result: &TransferResult) -> Result<LogAddresses, WorkError> {
        Ok(LogAddresses::default())
    }

    async fn forget(&self, job_uid: &str, _drive_id: Option<&str>) -> Result<(), WorkError> {
        self.forgotten.lock().unwrap().push(job_uid.to_owned());
        Ok(())
    }
}

struct NoCopy;

impl RunningCopy for NoCopy {
    fn progress(&self) -> Progress {
        Progress::of_nothing(protocol::progress::Phase::Done)
    }

    fn unreadable_so_far(&self) -> UnreadableSoFar {
        UnreadableSoFar::default()
    }

    fn stop(&self, _reason: StopReason) {}
}
