//! The surroundings of a job service in memory: two bays without drives, an account whose documents are forgotten.

use std::sync::Arc;

use async_trait::async_trait;
use protocol::arm::Export;
use protocol::job::{BlobName, LogAddresses};
use protocol::progress::{Phase, Progress, UnreadableSoFar};
use protocol::result::TransferResult;
use protocol::station::DockedDrive;
use protocol::station::{BayContent, CopyOrder, LogOrder};
use protocol::stop::StopReason;
use service::scheduler::worker::{Document, DocumentFound, RunningCopy, SelectedBlob, WorkError, Worker};
use tokio::sync::oneshot;

pub struct EmptyStation;

fn bay(name: &str, drive: Option<DockedDrive>) -> BayContent {
    BayContent {
        name: name.to_owned(),
        is_watched: false,
        drive,
        attachment: "1".to_owned(),
        docked_at: None,
        docked_here: None,
        sequence: 1,
        station: None,
        hall: None,
        state_id: None,
        unknown: None,
    }
}

#[async_trait]
impl Worker for EmptyStation {
    fn bays(&self) -> Vec<BayContent> {
        let drive = DockedDrive {
            path: "/dev/sda".to_owned(),
            drive_id: Some("ID-1".to_owned()),
            bridge_serial: None,
            weak_identity: Vec::new(),
            model: None,
            size_bytes: 1 << 30,
        };
        vec![bay("bay-1", Some(drive)), bay("bay-2", None)]
    }

    async fn docks_changed(&self) {
        std::future::pending().await
    }

    async fn dock(&self, _bay: &str, _path: &str, _drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        Err(WorkError::Refused("there is no such drive".to_owned()))
    }

    async fn undock(&self, _bay: &str) -> Result<(), WorkError> {
        Err(WorkError::Refused("it is empty".to_owned()))
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
        Ok(DocumentFound::Nothing)
    }

    async fn put_document(&self, account: &str, blob: &BlobName, _: &DocumentFound, _: Vec<u8>) -> Result<String, WorkError> {
        Ok(format!("{account}/{}/{}", blob.container, blob.name))
    }

    async fn remove_document(&self, _account: &str, _place: &BlobName) -> Result<(), WorkError> {
        Ok(())
    }

    async fn discard_unfinished(&self, _account: &str, _place: &BlobName, _transfer_id: &str) -> Result<(), WorkError> {
        Ok(())
    }

    async fn remove_journal(&self, _account: &str, _blob: &BlobName, _job_uid: &str) -> Result<(), WorkError> {
        Ok(())
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

    async fn forget(&self, _job_uid: &str, _drive_id: Option<&str>) -> Result<(), WorkError> {
        Ok(())
    }
}

struct NoCopy;

impl RunningCopy for NoCopy {
    fn progress(&self) -> Progress {
        Progress::of_nothing(Phase::Done)
    }

    fn unreadable_so_far(&self) -> UnreadableSoFar {
        UnreadableSoFar::default()
    }

    fn stop(&self, _reason: StopReason) {}
}
