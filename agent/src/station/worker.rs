//! What the control plane asks for, done with drives and stores.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use blob::Replaces;
use drive::blank::is_blank;
use file::crash;
use futures::{StreamExt, TryStreamExt};
use protocol::arm::Export;
use protocol::job::{BlobName, LogAddresses};
use protocol::result::TransferResult;
use protocol::station::DockedDrive;
use protocol::station::{BayContent, CopyOrder, JournalOrder, LogOrder};
use protocol::station_rate::{RateOrder, StationRate};
use protocol::units::ByteRange;
use service::scheduler::worker::{Document, DocumentFound, RunningCopy, SelectedBlob, WorkError, Worker};
use tokio::sync::oneshot;

use super::accounting::Accounting;
use super::accounts::{head_of, may_not_be_read};
use super::host::{StationWorker, blocking};
use super::kept_journal::{self, KeptJournal};
use super::{copying, logs, select};

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

    fn places(&self) -> BTreeMap<String, String> {
        StationWorker::places(self)
    }

    fn rate(&self) -> StationRate {
        self.rates.now()
    }

    fn set_rate(&self, order: RateOrder) {
        self.rates.order(order);
    }

    async fn is_blank(&self, bay: &str) -> Result<bool, WorkError> {
        let found = self.docks.drive(bay, self.docks.sequence(bay));
        let (path, _) = found.ok_or_else(|| WorkError::Refused(format!("the bay `{bay}` is empty")))?;
        let looked = tokio::time::timeout(
            self.options.read_timeout,
            blocking(move || is_blank(&path).map_err(|error| WorkError::Failed(error.to_string()))),
        )
        .await;
        looked.map_err(|_| WorkError::Failed(format!("the drive in `{bay}` does not answer")))?
    }

    async fn require_writable(&self, bay: &str) -> Result<(), WorkError> {
        let found = self.docks.drive(bay, self.docks.sequence(bay));
        let (path, _) = found.ok_or_else(|| WorkError::Refused(format!("the bay `{bay}` is empty")))?;
        let bay = bay.to_owned();
        blocking(move || match drive::discovery::is_read_only(&path) {
            Ok(false) => Ok(()),
            Ok(true) => Err(WorkError::Refused(format!(
                "the drive in `{bay}` cannot be written: take off its write protection, or take another drive"
            ))),
            Err(error) => Err(WorkError::Failed(format!("the drive in `{bay}` cannot be looked at: {error}"))),
        })
        .await
    }

    fn start(&self, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
        copying::start(self, order, ended)
    }

    async fn select(&self, account: &str, export: &Export) -> Result<Vec<SelectedBlob>, WorkError> {
        select::select(&self.account(account)?.account, export).await
    }

    async fn look_at_document(&self, account: &str, place: &BlobName) -> Result<DocumentFound, WorkError> {
        let failed = |error: blob::BlobError| WorkError::Failed(error.to_string());
        let blob = self.account(account)?.account.blob(&place.container, &place.name).map_err(failed)?;
        match head_of(&*blob).await {
            Ok(Some(facts)) => Ok(DocumentFound::Version(facts.version)),
            Ok(None) => Ok(DocumentFound::Nothing),
            Err(error) if may_not_be_read(&error) => Ok(DocumentFound::Unseen),
            Err(error) => Err(failed(error)),
        }
    }

    async fn put_document(
        &self,
        account: &str,
        place: &BlobName,
        found: &DocumentFound,
        bytes: Vec<u8>,
    ) -> Result<String, WorkError> {
        let failed = |error: std::io::Error| WorkError::Failed(error.to_string());
        let mut file = tempfile::tempfile_in(&self.transfers).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        let replaces = match found {
            DocumentFound::Nothing => Replaces::Nothing,
            DocumentFound::Version(version) => Replaces::Version(version.clone()),
            DocumentFound::Unseen => Replaces::Anything,
        };
        crash::point("document-made");
        self.put_file(account, place, file, &replaces).await
    }

    async fn remove_document(&self, account: &str, place: &BlobName) -> Result<(), WorkError> {
        let removed = self.account(account)?.account.remove(&place.container, &place.name).await;
        removed.map(|_| ()).map_err(|error| WorkError::Failed(error.to_string()))
    }

    async fn discard_unfinished(&self, account: &str, place: &BlobName, transfer_id: &str) -> Result<(), WorkError> {
        let account = &self.account(account)?.account;
        let discarded = account.discard_unfinished(&place.container, &place.name, transfer_id).await;
        discarded.map(|_| ()).map_err(|error| WorkError::Failed(error.to_string()))
    }

    async fn account_without_host(&self, order: &CopyOrder) -> Result<Option<TransferResult>, WorkError> {
        Accounting::of(self, order).without_its_host().await
    }

    async fn journal_transfer(&self, account: &str, journal: &JournalOrder, job_uid: &str) -> Result<Option<String>, WorkError> {
        let timeout = self.options.request_timeout;
        let Some(kept) = KeptJournal::new(self.account(account)?, journal, job_uid, timeout) else { return Ok(None) };
        kept.transfer_id().await.map_err(|error| WorkError::Failed(error.to_string()))
    }

    async fn remove_journal(&self, account: &str, blob: &BlobName, job_uid: &str) -> Result<(), WorkError> {
        let removed = kept_journal::remove(self.account(account)?, blob, job_uid).await;
        removed.map_err(|error| WorkError::Failed(error.to_string()))
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
        // A copy that runs needs its journal, and so does who asks what it moved.
        if self.turns.are_taken_in(&folder) {
            return Err(WorkError::Failed("a copy of the drive runs still: stop it first".to_owned()));
        }
        let remove = move || match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(WorkError::Failed(error.to_string())),
            _ => Ok(()),
        };
        blocking(remove).await
    }
}
