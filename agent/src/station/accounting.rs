//! What a copy moved that is not continued now: from the journal of this host, or from the one in the account of its job.

use std::path::Path;
use std::time::Duration;

use copy::{CopyError, Stage, Stop, TransferHandle, TransferOptions};
use file::private::make_folder;
use protocol::receipt::Receipt;
use protocol::result::TransferResult;
use protocol::station::CopyOrder;
use protocol::stop::StopReason;
use protocol::units::ByteSize;
use service::scheduler::worker::{WorkError, unknown_result};

use super::accounts::ReachedAccount;
use super::host::StationWorker;
use super::kept_journal::KeptJournal;
use super::ordered::{blob_of, failed, options};

/// How long a cancel waits for the journal in the account.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(10);

/// One copy, and what is needed to tell what it moved.
pub(super) struct Accounting {
    order: CopyOrder,
    options: TransferOptions,
    reached: Option<ReachedAccount>,
    /// An earlier run may have been at another host, which told nothing.
    may_succeed_others: bool,
}

impl Accounting {
    /// That of the copy that an order is about.
    pub(super) fn of(worker: &StationWorker, order: &CopyOrder) -> Self {
        // No copy holds more than all of it.
        let memory = Some(ByteSize(u64::from(worker.memory.total_mebibytes) << 20));
        Accounting {
            order: order.clone(),
            options: TransferOptions { memory, ..options(worker, order) },
            reached: worker.account(&order.account).ok().cloned(),
            may_succeed_others: worker.may_succeed_others,
        }
    }

    /// Reads what the copy did from the journal of this host, and where it has none, from the one in the account.
    pub(super) async fn account(self, handle: &TransferHandle) -> TransferResult {
        match self.read(self.options.clone(), self.order.was_cut_off, handle).await {
            Ok(Some(result)) => return result,
            Ok(None) => {}
            Err(error) => return failed(&self.order, &error),
        }
        let found = tokio::time::timeout(JOURNAL_TIMEOUT, self.of_other_host(handle)).await;
        match found.unwrap_or_else(|_| Err(WorkError::Failed("no answer in time".to_owned()))) {
            Ok(Some(result)) => result,
            Ok(None) if self.may_succeed_others && self.order.was_cut_off => unknown_result(&self.order),
            Ok(None) => self.of_nothing(handle),
            Err(error) => {
                tracing::warn!(job = %self.order.job_uid, %error, "the journal in the account cannot be read: the receipt says less");
                unknown_result(&self.order)
            }
        }
    }

    /// The same for a service that waits for nobody: from the journal in the account alone.
    ///
    /// # Errors
    /// When the journal cannot be read now.
    pub(super) async fn without_its_host(self) -> Result<Option<TransferResult>, WorkError> {
        let handle = TransferHandle::new(Stop::new(), |_| {});
        handle.stop.request_stop(StopReason::JobCancelled);
        self.of_other_host(&handle).await
    }

    /// From the journal in the account; `None` where that has none. It may be behind: what it does not know of may have landed.
    async fn of_other_host(&self, handle: &TransferHandle) -> Result<Option<TransferResult>, WorkError> {
        let kept = self.order.journal.as_ref().zip(self.reached.as_ref());
        let timeout = self.options.request_timeout;
        let kept = kept.and_then(|(journal, reached)| KeptJournal::new(reached, journal, &self.order.job_uid, timeout));
        let Some(kept) = kept else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| WorkError::Failed(error.to_string());
        let Some(lines) = kept.read().await.map_err(|error| failed(&error))? else { return Ok(None) };
        // It goes with what is kept of the job, where this process is killed meanwhile.
        let folder = tokio::task::block_in_place(|| unpack(&self.options.state_dir, &lines)).map_err(|error| failed(&error))?;
        let options = TransferOptions { state_dir: folder.path().to_owned(), ..self.options.clone() };
        let result = self.read(options, false, handle).await.map_err(|error| failed(&error))?;
        let behind = |result: TransferResult| TransferResult {
            receipt: result.receipt.map(Receipt::of_older_record),
            manifest: None,
            ..result
        };
        Ok(result.map(behind))
    }

    /// Reads a journal, and asks the store what is left of the copy.
    async fn read(
        &self,
        options: TransferOptions,
        was_cut_off: bool,
        handle: &TransferHandle,
    ) -> Result<Option<TransferResult>, CopyError> {
        let (state_dir, own) = (options.state_dir.clone(), handle.clone());
        let accounted = tokio::task::spawn_blocking(move || copy::account(&options, was_cut_off, &own)).await;
        let accounted = accounted.unwrap_or_else(|error| Err(CopyError::of_task(Stage::Account, error)))?;
        let Some(mut result) = accounted else { return Ok(None) };
        if let Some(receipt) = result.receipt.as_mut().filter(|receipt| receipt.residue.is_none()) {
            let blob = self.reached.as_ref().and_then(|reached| {
                let place = &self.order.blob;
                reached.account.blob(&place.container, &place.name).ok()
            });
            receipt.residue = copy::left_behind(&state_dir, |_| true, blob.as_deref(), handle).await;
        }
        Ok(Some(result))
    }

    /// The result of a copy that was stopped before it moved anything: its receipt is over the whole drive.
    fn of_nothing(&self, handle: &TransferHandle) -> TransferResult {
        let order = &self.order;
        let Some((size_bytes, request)) = order.size_bytes.zip(handle.stop.request()) else {
            return failed(order, &CopyError::Cancelled);
        };
        let resume = self.options.resume_command.clone();
        let receipt = Receipt::of_nothing(size_bytes, request.reason, request.requested_at, resume);
        TransferResult::cancelled_before_its_first_byte(order.direction, &blob_of(order), size_bytes, receipt)
    }
}

/// Makes lines the only journal of a folder of its own.
fn unpack(state_dir: &Path, lines: &str) -> std::io::Result<tempfile::TempDir> {
    make_folder(state_dir)?;
    let folder = tempfile::tempdir_in(state_dir)?;
    let journal = copy::journal_of_import(folder.path(), "");
    if let Some(journals) = journal.parent() {
        make_folder(journals)?;
    }
    std::fs::write(journal, lines)?;
    Ok(folder)
}
