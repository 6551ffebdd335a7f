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

use super::accounts::{ReachedAccount, may_not_be_read};
use super::host::StationWorker;
use super::journal_segments::{may_be_behind, says_all_of};
use super::kept_journal::KeptJournal;
use super::ordered::{blob_of, failed, options};

/// How long a copy that stops waits for the journal in the account.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to read that of a large drive, where nobody waits for a copy to stop.
const WHOLE_JOURNAL_TIMEOUT: Duration = Duration::from_secs(600);

/// One copy, and what is needed to tell what it moved.
pub(super) struct Accounting {
    order: CopyOrder,
    options: TransferOptions,
    reached: Option<ReachedAccount>,
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
        }
    }

    /// Reads what the copy did from the journal of this host, or from the one in the account where that says more.
    pub(super) async fn account(self, handle: &TransferHandle) -> TransferResult {
        self.of_journals(handle).await.unwrap_or_else(|error| failed(&self.order, &error))
    }

    async fn of_journals(&self, handle: &TransferHandle) -> Result<TransferResult, CopyError> {
        let kept = self.kept_lines().await;
        let own = copy::only_journal(&self.options.state_dir)?;
        let newer = match (&own, kept.as_ref().ok().and_then(Option::as_deref)) {
            (Some(journal), Some(lines)) if self.says_all_of(journal, lines)? => None,
            // The drive was at another host since, or only there.
            (_, lines) => lines,
        };
        let found = match (newer, &own) {
            (Some(lines), _) => self.of_lines(lines, handle).await?,
            (None, Some(journal)) => self.of_own(journal, handle).await?,
            (None, None) => None,
        };
        if let Some(result) = found {
            return Ok(result);
        }
        // Another host may have moved something of which nothing is known here.
        let is_unknown = own.is_none() && self.order.journal.is_some() && (self.order.was_cut_off || kept.is_err());
        Ok(if is_unknown { unknown_result(&self.order) } else { self.of_nothing(handle) })
    }

    /// From the journal of this host. One that came from another host may be behind what that one moved.
    async fn of_own(&self, journal: &Path, handle: &TransferHandle) -> Result<Option<TransferResult>, CopyError> {
        let was_cut_off = self.order.was_cut_off;
        let is_older = may_be_behind(journal, was_cut_off);
        let result = self.read(self.options.clone(), was_cut_off, handle).await?;
        Ok(result.map(|result| if is_older { of_older_record(result) } else { result }))
    }

    /// The same for a service that waits for nobody: from the journal in the account alone; `None` where there is none, or it may
    /// not be read.
    ///
    /// # Errors
    /// When the journal cannot be read now.
    pub(super) async fn without_its_host(self) -> Result<Option<TransferResult>, WorkError> {
        let failed = |error: &dyn std::fmt::Display| WorkError::Failed(error.to_string());
        let Some(kept) = self.kept() else { return Ok(None) };
        let lines = match kept.read().await {
            Err(error) if may_not_be_read(&error) => None,
            lines => lines.map_err(|error| failed(&error))?,
        };
        let Some(lines) = lines else { return Ok(None) };
        let handle = TransferHandle::new(Stop::new(), |_| {});
        handle.stop.request_stop(StopReason::JobCancelled);
        self.of_lines(&lines, &handle).await.map_err(|error| failed(&error))
    }

    fn kept(&self) -> Option<KeptJournal> {
        let (journal, reached) = self.order.journal.as_ref().zip(self.reached.as_ref())?;
        KeptJournal::new(reached, journal, &self.order.job_uid, self.options.request_timeout)
    }

    /// What the journal in the account says; an error where that is not known.
    async fn kept_lines(&self) -> Result<Option<String>, ()> {
        let Some(kept) = self.kept() else { return Ok(None) };
        let limit = if self.order.account_only { WHOLE_JOURNAL_TIMEOUT } else { JOURNAL_TIMEOUT };
        let error = match tokio::time::timeout(limit, kept.read()).await {
            Ok(Ok(lines)) => return Ok(lines),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        kept.warn("cannot be read: what another host moved is not known", &error);
        Err(())
    }

    fn says_all_of(&self, journal: &Path, lines: &str) -> Result<bool, CopyError> {
        let says = tokio::task::block_in_place(|| says_all_of(journal, lines));
        says.map_err(|source| CopyError::State { operation: "read", path: journal.to_owned(), source })
    }

    /// From the lines of another host, which may be behind.
    async fn of_lines(&self, lines: &str, handle: &TransferHandle) -> Result<Option<TransferResult>, CopyError> {
        // It goes with what is kept of the job, where this process is killed meanwhile.
        let folder = tokio::task::block_in_place(|| unpack(&self.options.state_dir, lines))
            .map_err(|source| CopyError::State { operation: "write to", path: self.options.state_dir.clone(), source })?;
        let options = TransferOptions { state_dir: folder.path().to_owned(), ..self.options.clone() };
        let result = self.read(options, false, handle).await?;
        Ok(result.map(|result| TransferResult { manifest: None, ..of_older_record(result) }))
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

/// What the record does not know of may have landed since.
pub(super) fn of_older_record(result: TransferResult) -> TransferResult {
    TransferResult { receipt: result.receipt.map(Receipt::of_older_record), ..result }
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
