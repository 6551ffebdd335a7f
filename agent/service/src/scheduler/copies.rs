//! The beginning and the end of a copy.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use protocol::job::{AfterCopy, CopyEnd, CopyRecord, DriveState, Event, Hold, Refusal, RetryOptions, after_copy, retry_at};
use protocol::outcome::Outcome;
use protocol::receipt::Receipt;
use protocol::result::{Direction, TransferResult};
use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::handle::{CopyKey, Running, SERVICE, Scheduler};
use super::worker::{BayContent, CopyOrder};
use crate::store::{Change, StoreError, StoredJob};

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
        let change = Change { actor: SERVICE, action: "began to copy a drive", version: None, now };
        let (mut was_cut_off, mut retry) = (false, RetryOptions::default());
        let noted = self.inner.store.change(&job.key, &change, |job| {
            if job.machine.cancel_requested {
                return Err(Refusal::Cancelled.into());
            }
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            if record.is_paused {
                return Err(StoreError::NotNow("it is paused".to_owned()));
            }
            (was_cut_off, retry) = open_run(record, &order, now);
            Ok(match job.machine.drive(drive_id).map(|drive| drive.state) {
                // It was interrupted, and is resumed.
                Some(DriveState::Transferring) => Vec::new(),
                _ => vec![Event::CopyStarted(drive_id.to_owned())],
            })
        });
        match noted.await {
            Ok(job) => self.start(&job, CopyOrder { sequence: bay.sequence, was_cut_off, retry, ..order }),
            // Lost the race: the job changed meanwhile.
            Err(StoreError::Refused(_) | StoreError::NotFound(_) | StoreError::NotNow(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Starts a copy, and waits for its end beside the rounds.
    pub(super) fn start(&self, job: &StoredJob, order: CopyOrder) {
        let key = CopyKey::new(&order.job_uid, &order.drive_id);
        let (ended, end) = oneshot::channel();
        let blob = format!("{}/{}", order.blob.container, order.blob.name);
        tracing::info!(job = %order.job_uid, bay = %order.bay, "a copy begins");
        let started = Instant::now();
        {
            let mut running = self.running();
            let copy = self.inner.worker.start(order.clone(), ended);
            let (bay, direction) = (order.bay.clone(), order.direction);
            running.insert(key.clone(), Running { bay, copy, job: job.key.path(), blob, direction, rates: VecDeque::new() });
        }
        let scheduler = self.clone();
        self.inner.copies.spawn(async move {
            let result = end.await.ok();
            scheduler.end_copy(&order, result, started).await;
            scheduler.running().remove(&key);
            scheduler.wake();
        });
    }

    /// Writes down how a copy ended; tried until it is written, since nothing else knows it.
    async fn end_copy(&self, order: &CopyOrder, result: Option<TransferResult>, started: Instant) {
        let Some(result) = result else {
            tracing::error!(job = %order.job_uid, bay = %order.bay, "a copy ended without a result");
            return;
        };
        count(order, &result, started);
        tracing::info!(
            job = %order.job_uid, bay = %order.bay, outcome = result.outcome.name(), bytes_sent = result.bytes_sent,
            error = result.error.as_deref().unwrap_or_default(), "a copy ended"
        );
        while let Err(error) = self.write_end(order, &result).await {
            tracing::error!(job = %order.job_uid, error = %error, "the end of a copy could not be written down; trying again");
            tokio::time::sleep(NOTE_INTERVAL).await;
        }
    }

    async fn write_end(&self, order: &CopyOrder, result: &TransferResult) -> Result<(), StoreError> {
        let Some(job) = self.inner.store.by_uid(&order.job_uid).await? else { return Ok(()) };
        let now = self.now();
        let action = format!("a copy ended: {}", result.outcome.name());
        let change = Change { actor: SERVICE, action: &action, version: None, now };
        let drive_id = &order.drive_id;
        let noted = self.inner.store.change(&job.key, &change, |job| {
            let after = after_copy(result.outcome, job.machine.cancel_requested);
            close_run(job.copies.entry(drive_id.clone()).or_default(), order, result, after, now);
            Ok(match after {
                AfterCopy::End(end) => vec![Event::CopyEnded(drive_id.clone(), end)],
                AfterCopy::Hold | AfterCopy::GoOn => Vec::new(),
            })
        });
        match noted.await {
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
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
        let record = job.copies.get(drive_id).filter(|record| record.is_open);
        let bay = record.and_then(|record| record.bay.clone());
        match bay.and_then(|bay| self.order(job, drive_id, &bay)) {
            Some(order) => self.start(job, CopyOrder { account_only: true, was_cut_off: true, ..order }),
            None => self.end_without_copy(job, drive_id).await?,
        }
        Ok(())
    }

    /// Ends the copy of a drive that does not run: the receipt of its last run is its receipt.
    async fn end_without_copy(&self, job: &StoredJob, drive_id: &str) -> Result<(), StoreError> {
        let now = self.now();
        let change = Change { actor: SERVICE, action: "ended a copy that did not run", version: None, now };
        let ended = self.inner.store.change(&job.key, &change, |job| {
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            record.hold = None;
            record.is_open = false;
            record.ended_at = Some(now);
            if let Some(result) = record.result.as_mut().filter(|result| !result.outcome.is_complete()) {
                result.outcome = Outcome::Cancelled;
                let receipt = result.receipt.take().map(|receipt| receipt.told_for(StopReason::JobCancelled, now));
                result.receipt = if record.is_in_doubt { receipt.map(Receipt::doubted) } else { receipt };
            }
            Ok(vec![Event::CopyEnded(drive_id.to_owned(), CopyEnd::Cancelled)])
        });
        match ended.await {
            Ok(_) | Err(StoreError::NotFound(_) | StoreError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Writes into the record of a copy that a run begins. Returns whether the run before was cut off, and the options of
/// this one.
fn open_run(record: &mut CopyRecord, order: &CopyOrder, now: OffsetDateTime) -> (bool, RetryOptions) {
    let was_cut_off = std::mem::replace(&mut record.is_open, true);
    let retry = std::mem::take(&mut record.retry);
    record.is_in_doubt &= !retry.restart;
    record.bay = Some(order.bay.clone());
    record.blob = Some(order.blob.clone());
    record.runs += 1;
    record.started_at.get_or_insert(now);
    record.run_started_at = Some(now);
    record.hold = None;
    (was_cut_off, retry)
}

/// Writes into the record of a copy how a run ended.
fn close_run(record: &mut CopyRecord, order: &CopyOrder, result: &TransferResult, after: AfterCopy, now: OffsetDateTime) {
    record.ended_at = Some(now);
    record.bay = Some(order.bay.clone());
    record.hold = (after == AfterCopy::Hold).then(|| Hold {
        outcome: result.outcome,
        message: result.error.clone().unwrap_or_else(|| result.outcome.sentence().to_owned()),
        since: now,
        retry_at: retry_at(result.outcome, record.runs, now),
    });
    // An export looks at what had landed before it resumes: where that is not there any more, the drive's content is unknown.
    record.is_in_doubt |= order.direction == Direction::Export && result.outcome == Outcome::Refused && record.runs > 1;
    // A run that was not even begun says nothing of what an earlier one moved: that stays open.
    if result.receipt.is_some() || result.outcome.is_complete() || order.account_only {
        let receipt = result.receipt.clone();
        let receipt = if record.is_in_doubt { receipt.map(Receipt::doubted) } else { receipt };
        record.result = Some(TransferResult { receipt, ..result.clone() });
        record.is_open = false;
    } else if record.result.is_none() {
        record.result = Some(result.clone());
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
