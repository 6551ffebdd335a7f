//! The data plane, as the control plane sees it: bays with drives in them, copies that run, places for documents.
//! Its implementation knows drives and stores; this crate does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use futures::stream::BoxStream;
use protocol::arm::Export;
use protocol::job::{BlobName, LogAddresses};
use protocol::progress::{Progress, UnreadableSoFar};
use protocol::receipt::Receipt;
use protocol::result::TransferResult;
use protocol::station::{BayContent, CopyOrder, DockedDrive, JournalOrder, LogOrder};
use protocol::station_rate::{RateAuthority, RateCap, RateOrder, StationRate};
use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// Why the data plane did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// The request cannot be carried out: one sentence for the caller.
    #[error("{0}")]
    Refused(String),
    /// It may be possible later.
    #[error("{0}")]
    Failed(String),
}

/// Longest that a request waits for a drive or a store.
const WORK_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for the data plane, but not for ever.
pub(crate) async fn with_timeout<T>(work: impl Future<Output = Result<T, WorkError>>) -> Result<T, WorkError> {
    let done = tokio::time::timeout(WORK_TIMEOUT, work).await;
    done.unwrap_or_else(|_| Err(WorkError::Failed("there was no answer in time: try again".to_owned())))
}

/// What is known of a run whose journal is gone with its host: all of it may have landed.
pub fn unknown_result(order: &CopyOrder) -> TransferResult {
    let now = OffsetDateTime::now_utc();
    let receipt = Receipt::of_unknown(order.size_bytes.unwrap_or_default(), StopReason::JobCancelled, now);
    let blob = format!("{}/{}", order.blob.container, order.blob.name);
    TransferResult::cancelled_before_its_first_byte(order.direction, &blob, order.size_bytes.unwrap_or_default(), receipt)
}

/// A blob that may be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedBlob {
    /// Its name.
    pub blob: BlobName,
    /// Size in bytes; `None` where the job names it and it is not there.
    pub size_bytes: Option<u64>,
}

/// What was found under the name of a document that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentFound {
    /// Nothing.
    Nothing,
    /// This version of it.
    Version(String),
    /// It may be written there, and not looked.
    Unseen,
}

/// A blob that is being read.
pub struct Document {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its pieces, in order.
    pub pieces: BoxStream<'static, Result<Bytes, WorkError>>,
}

/// A copy under way.
pub trait RunningCopy: Send + Sync {
    /// How far it is.
    fn progress(&self) -> Progress;

    /// What could not be read so far.
    fn unreadable_so_far(&self) -> UnreadableSoFar;

    /// Asks it to stop.
    fn stop(&self, reason: StopReason);
}

/// The data plane.
#[async_trait]
pub trait Worker: Send + Sync {
    /// What is in each bay now, in their order.
    fn bays(&self) -> Vec<BayContent>;

    /// Returns when a drive was docked or undocked.
    async fn docks_changed(&self);

    /// Docks a drive by hand, under the name that jobs have for it; its serial number where `None`.
    async fn dock(&self, bay: &str, path: &str, drive_id: Option<&str>) -> Result<DockedDrive, WorkError>;

    /// Takes a drive out of a bay by hand.
    async fn undock(&self, bay: &str) -> Result<(), WorkError>;

    /// Where the accounts are, by their names in lower case, without secrets.
    fn places(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// What was granted before this service began is waited for: hosts may be told what they may run.
    ///
    /// # Errors
    /// When the database fails.
    async fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The stations that do not call, each with one sentence about it.
    fn away(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// How long a copy may go on at another host that is not heard of.
    fn lease(&self) -> Duration {
        Duration::ZERO
    }

    /// What all copies may move together, and who says so.
    fn rate(&self) -> StationRate {
        StationRate::new((RateCap(None), RateAuthority::Configuration))
    }

    /// Takes an operator's order about that, which outranks the configuration until the process ends.
    fn set_rate(&self, _order: RateOrder) {}

    /// Whether a drive is blank: no partition table or file system, and zeros wherever it is read.
    async fn is_blank(&self, bay: &str) -> Result<bool, WorkError>;

    /// Whether the drive in a bay may be written; an error says why not.
    async fn require_writable(&self, bay: &str) -> Result<(), WorkError>;

    /// Begins or resumes a copy. Its result goes to `ended` when nothing of it moves any more.
    fn start(&self, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy>;

    /// The blobs that an export asks for, in their order.
    async fn select(&self, account: &str, export: &Export) -> Result<Vec<SelectedBlob>, WorkError>;

    /// Looks what has the name of a document.
    async fn look_at_document(&self, account: &str, place: &BlobName) -> Result<DocumentFound, WorkError>;

    /// Writes a document in place of what was found there, and of nothing that was put there since; returns its address.
    async fn put_document(
        &self,
        account: &str,
        place: &BlobName,
        found: &DocumentFound,
        bytes: Vec<u8>,
    ) -> Result<String, WorkError>;

    /// Removes a document; nothing where it is not there.
    async fn remove_document(&self, account: &str, place: &BlobName) -> Result<(), WorkError>;

    /// Removes what an unfinished transfer left of a blob; nothing where there is nothing. The blob itself stays.
    async fn discard_unfinished(&self, account: &str, place: &BlobName, transfer_id: &str) -> Result<(), WorkError>;

    /// What is known of a run whose host does not tell, from the journal in the account of its job; `None` where that has none.
    async fn account_without_host(&self, _order: &CopyOrder) -> Result<Option<TransferResult>, WorkError> {
        Ok(None)
    }

    /// The transfer that a journal is of which is kept for other hosts; `None` where there is none, or it does
    /// not say.
    async fn journal_transfer(
        &self,
        _account: &str,
        _journal: &JournalOrder,
        _job_uid: &str,
    ) -> Result<Option<String>, WorkError> {
        Ok(None)
    }

    /// Removes the journal that is kept at a place for other hosts; nothing where there is none.
    async fn remove_journal(&self, account: &str, place: &BlobName, job_uid: &str) -> Result<(), WorkError>;

    /// Begins to read a blob; `None` where it is not there.
    async fn open_document(&self, account: &str, place: &BlobName) -> Result<Option<Document>, WorkError>;

    /// The blob that an address names which customers were given; `None` where it is none of this account.
    fn place_of(&self, account: &str, address: &str) -> Option<BlobName>;

    /// Writes the logs of a copy that has ended, and returns their addresses.
    async fn put_logs(&self, order: &LogOrder, result: &TransferResult) -> Result<LogAddresses, WorkError>;

    /// Forgets what was kept to resume the copy of a drive, or all copies of a job.
    async fn forget(&self, job_uid: &str, drive_id: Option<&str>) -> Result<(), WorkError>;
}
