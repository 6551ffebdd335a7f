//! The beginning and the end of a copy.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::job::{CopyEnd, CopyEvent, CopyStep, DriveState, Event, Refusal, RetryOptions, RunEnd};
use protocol::result::{Direction, TransferResult};
use protocol::station::station_and_bay;
use protocol::stop::StopReason;
use tokio::sync::oneshot;

use super::find::claim_of;
use super::handle::{CopyKey, Running, SERVICE, Scheduler};
use crate::names::random_name;
use crate::store::{Change, GrantStep, StoreError, StoredJob};
use protocol::station::{BayContent, CopyOrder};

/// Pause before the end of a copy is written down again, where that failed.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Writes down that a copy begins, and begins it: in this order, so that one that was begun is always known.
    pub(super) async fn begin_copy(&self, job: &StoredJob, drive_id: &str, bay: &BayContent) -> Result<(), StoreError> {
        let Some(order) = self.order(job, drive_id, &bay.name) else {
            tracing::warn!(job = %job.uid, bay = %bay.name, "the drive has no blob to be copied to or from");
            return Ok(());
        };
        let now = self.now();
        let change = Change::new(SERVICE, "began to copy a drive", now);
        let claim = claim_of(bay, drive_id);
        let change = Change { claim: Some(claim), ..change };
        // The size of a blob is known since the drive was checked in for it.
        let docked_bytes = bay.drive.as_ref().filter(|_| order.direction == Direction::Import).map(|drive| drive.size_bytes);
        let grant = (bay.station.is_some() || self.inner.store.has_successors()).then(random_name);
        let journal = self.journal_order(job, &order, grant.is_some()).await?;
        let order = CopyOrder {
            journal,
            // What another service may have to wait for is in the database.
            grant,
            state_id: bay.state_id.clone(),
            size_bytes: docked_bytes.or(order.size_bytes),
            sequence: bay.sequence,
            ..order
        };
        // As the last attempt of the change has it.
        let granted = Mutex::new(order.clone());
        let begin = CopyEvent::Begin { bay: order.bay.clone(), blob: order.blob.clone(), size_bytes: order.size_bytes };
        let noted = self.inner.store.change(&job.key, &change, |job| {
            if job.machine.cancel_requested {
                return Err(Refusal::Cancelled.into());
            }
            let step = job.step_copy(drive_id, begin, now)?;
            let may_erase = claim.may_be_written(&job.uid, job.copies.get(drive_id));
            let (was_cut_off, retry) = match step {
                CopyStep::Begin { was_cut_off, retry } => (was_cut_off, retry),
                _ => (false, RetryOptions::default()),
            };
            let order = CopyOrder { was_cut_off, retry, may_erase, ..order };
            if let Some(record) = job.copies.get_mut(drive_id) {
                record.has_kept_journal |= order.journal.is_some();
            }
            job.grant_step = order.grant.is_some().then(|| GrantStep::Begin(Box::new(order.clone())));
            *granted.lock().unwrap_or_else(PoisonError::into_inner) = order;
            Ok(match job.machine.drive(drive_id).map(|drive| drive.state) {
                // It was interrupted, and is resumed.
                Some(DriveState::Transferring) => Vec::new(),
                _ => vec![Event::CopyStarted(drive_id.to_owned())],
            })
        });
        match noted.await {
            Ok(job) => self.start(&job, granted.into_inner().unwrap_or_else(PoisonError::into_inner)),
            // A copy of the drive is granted, of which this service does not know: the database went away while that was written.
            Err(StoreError::NotNow(_)) => self.take_over_grants().await?,
            // Lost the race: the job changed meanwhile.
            Err(StoreError::Refused(_) | StoreError::NotFound(_) | StoreError::BayTaken { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Starts a copy, and waits for its end beside the rounds. Rounds and effects ask for it: where one of the drive runs
    /// already, nothing is started.
    pub(super) fn start(&self, job: &StoredJob, order: CopyOrder) {
        let key = CopyKey::new(&order.job_uid, &order.drive_id);
        let (ended, end) = oneshot::channel();
        let blob = format!("{}/{}", order.blob.container, order.blob.name);
        let started = Instant::now();
        {
            let mut running = self.running();
            if running.contains_key(&key) {
                return;
            }
            tracing::info!(job = %order.job_uid, bay = %order.bay, "a copy begins");
            let copy = self.inner.worker.start(order.clone(), ended);
            let entry = Running {
                bay: order.bay.clone(),
                copy,
                is_account_only: order.account_only,
                job: job.key.path(),
                blob,
                direction: order.direction,
                rates: VecDeque::new(),
            };
            running.insert(key.clone(), entry);
        }
        let scheduler = self.clone();
        let is_remote = station_and_bay(&order.bay).is_some();
        self.inner.copies.spawn(async move {
            let result = tokio::select! {
                result = end => result.ok(),
                // It goes on at its station, and the service that comes next waits for its end.
                () = scheduler.inner.stopping.cancelled(), if is_remote => return,
            };
            scheduler.end_copy(&order, result, started).await;
            scheduler.running().remove(&key);
            scheduler.wake();
        });
    }

    /// Writes down how a copy ended; tried until it is written, since nothing else knows it.
    async fn end_copy(&self, order: &CopyOrder, result: Option<TransferResult>, started: Instant) {
        let Some(result) = result else {
            return self.end_cut_off(order).await;
        };
        count(order, &result, started);
        tracing::info!(
            job = %order.job_uid, bay = %order.bay, outcome = result.outcome.name(), bytes_sent = result.bytes_sent,
            error = result.error.as_deref().unwrap_or_default(), "a copy ended"
        );
        while let Err(error) = self.write_end(order, &result).await {
            if matches!(error, StoreError::TakenOver) {
                tracing::warn!(job = %order.job_uid, "the end of a copy is for the service that decides now: it learns it from the journal");
                return;
            }
            tracing::error!(job = %order.job_uid, error = %error, "the end of a copy could not be written down; trying again");
            tokio::time::sleep(NOTE_INTERVAL).await;
        }
    }

    async fn write_end(&self, order: &CopyOrder, result: &TransferResult) -> Result<(), StoreError> {
        let Some(job) = self.inner.store.by_uid(&order.job_uid).await? else { return Ok(()) };
        let now = self.now();
        let action = format!("a copy ended: {}", result.outcome.name());
        let change = Change::new(SERVICE, &action, now);
        let drive_id = &order.drive_id;
        let noted = self.inner.store.change(&job.key, &change, |job| {
            job.grant_step = order.grant.clone().map(GrantStep::End);
            let end = RunEnd {
                bay: order.bay.clone(),
                result: result.clone(),
                is_account_only: order.account_only,
                cancel_requested: job.machine.cancel_requested,
            };
            Ok(match job.step_copy(drive_id, CopyEvent::RunEnded(Box::new(end)), now)? {
                CopyStep::End(end) => vec![Event::CopyEnded(drive_id.clone(), end)],
                CopyStep::Begin { .. } | CopyStep::Nothing => Vec::new(),
            })
        });
        match noted.await {
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(StoreError::Fenced) => {
                tracing::warn!(job = %order.job_uid, bay = %order.bay, "the end of a copy came after its grant was taken back");
                Ok(())
            }
            Err(StoreError::Refused(refusal)) => {
                tracing::warn!(job = %order.job_uid, %refusal, "the end of a copy came to a job that does not copy");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Stops the copy of a drive of a cancelled job; where none runs, accounts for what an interrupted run left.
    pub(super) async fn stop_copy(&self, job: &StoredJob, drive_id: &str) -> Result<(), StoreError> {
        if job.machine.drive(drive_id).is_none_or(|drive| drive.state != DriveState::Transferring) {
            return Ok(());
        }
        if self.stop_running(&job.uid, drive_id, StopReason::JobCancelled) {
            return Ok(());
        }
        // Where the service was cut off, only the journal knows what was copied.
        match self.account_only(job, drive_id).await? {
            true => Ok(()),
            false => self.end_without_copy(job, drive_id).await,
        }
    }

    /// Accounts for what an interrupted run of a copy moved, where that is not noted; false where there is nothing to
    /// account for.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn account_only(&self, job: &StoredJob, drive_id: &str) -> Result<bool, StoreError> {
        let record = job.copies.get(drive_id).filter(|record| record.is_unaccounted);
        let Some(order) = record.and_then(|record| self.order(job, drive_id, record.bay.as_deref()?)) else { return Ok(false) };
        let was_granted = station_and_bay(&order.bay).is_some() || self.inner.store.has_successors();
        let journal = self.journal_order(job, &order, was_granted).await?;
        self.start(job, CopyOrder { journal, account_only: true, was_cut_off: true, ..order });
        Ok(true)
    }

    /// Ends the copy of a drive that does not run: the receipt of its last run is its receipt.
    async fn end_without_copy(&self, job: &StoredJob, drive_id: &str) -> Result<(), StoreError> {
        let now = self.now();
        let change = Change::new(SERVICE, "ended a copy that did not run", now);
        let direction = job.machine.kind.direction();
        let ended = self.inner.store.change(&job.key, &change, |job| {
            job.step_copy(drive_id, CopyEvent::EndWithoutRun { direction }, now)?;
            Ok(vec![Event::CopyEnded(drive_id.to_owned(), CopyEnd::Cancelled)])
        });
        match ended.await {
            Ok(_) | Err(StoreError::NotFound(_) | StoreError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Counts a copy that ended.
fn count(order: &CopyOrder, result: &TransferResult, started: Instant) {
    let direction = match order.direction {
        Direction::Import => "import",
        Direction::Export => "export",
    };
    metrics::counter!("drive_agent_copies_total", "direction" => direction, "outcome" => result.outcome.name()).increment(1);
    metrics::counter!("drive_agent_bytes_total", "direction" => direction).increment(result.bytes_sent);
    metrics::histogram!("drive_agent_copy_seconds", "direction" => direction).record(started.elapsed().as_secs_f64());
    if let Some(receipt) = &result.receipt {
        let drain = receipt.drained_at - receipt.requested_at;
        metrics::histogram!("drive_agent_drain_seconds").record(drain.as_seconds_f64());
    }
}
