//! The beginning and the end of a copy.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use protocol::job::{AfterCopy, CopyEnd, CopyRecord, DriveState, Event, Hold, Refusal, RetryOptions, after_copy, retry_at};
use protocol::limits::RANGES_KEPT_MAX;
use protocol::outcome::Outcome;
use protocol::receipt::Receipt;
use protocol::result::{Direction, TransferResult};
use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::handle::{CopyKey, Running, SERVICE, Scheduler};
use super::order::direction_of;
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
        // An export's blob was looked up when its drive was checked in.
        let docked_bytes = bay.drive.as_ref().filter(|_| order.direction == Direction::Import).map(|drive| drive.size_bytes);
        let order = CopyOrder { size_bytes: docked_bytes.or(order.size_bytes), ..order };
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
        tokio::spawn(async move {
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
        let direction = direction_of(job.machine.kind);
        let ended = self.inner.store.change(&job.key, &change, |job| {
            let record = job.copies.entry(drive_id.to_owned()).or_default();
            record.hold = None;
            record.is_open = false;
            record.ended_at = Some(now);
            tell_as_cancelled(record, direction, now);
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
    record.size_bytes = order.size_bytes;
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
    let moved_nothing = result.receipt.as_ref().is_some_and(Receipt::is_of_nothing);
    if moved_nothing && record.result.as_ref().is_some_and(|earlier| earlier.outcome.is_complete()) {
        // The blob of an earlier run stands as it was.
        record.is_open = false;
        return;
    }
    // A run that was not even begun says nothing of what an earlier one moved: that stays open.
    if result.receipt.is_some() || result.outcome.is_complete() || order.account_only {
        let receipt = result.receipt.clone();
        let receipt = if record.is_in_doubt { receipt.map(Receipt::doubted) } else { receipt };
        // The station keeps the whole lists for the logs.
        record.result = Some(TransferResult { receipt, ..result.clone() }.with_lists_cut(RANGES_KEPT_MAX));
        record.is_open = false;
    } else if record.result.is_none() {
        record.result = Some(result.clone().with_lists_cut(RANGES_KEPT_MAX));
    }
}

/// Tells what the last run moved as of a cancel that came when nothing ran; where no run moved anything, that.
fn tell_as_cancelled(record: &mut CopyRecord, direction: Direction, now: OffsetDateTime) {
    let reason = StopReason::JobCancelled;
    match &mut record.result {
        Some(result) if result.outcome.is_complete() => {}
        Some(TransferResult { outcome, receipt: Some(receipt), .. }) => {
            let told = receipt.clone().told_for(reason, now);
            *receipt = if record.is_in_doubt { told.doubted() } else { told };
            *outcome = Outcome::Cancelled;
        }
        result => {
            let known = record.size_bytes.zip(record.blob.as_ref()).filter(|_| !record.is_in_doubt);
            let Some((size_bytes, blob)) = known else { return };
            let receipt = Receipt::of_nothing(size_bytes, reason, now, String::new());
            let blob = format!("{}/{}", blob.container, blob.name);
            *result = Some(TransferResult::cancelled_before_its_first_byte(direction, blob, size_bytes, receipt));
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

#[cfg(test)]
mod tests {
    use protocol::job::{BlobName, Job, JobKind};
    use protocol::receipt::ByteClass;
    use protocol::units::ByteRange;

    use super::super::receipts::receipts;
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn record() -> CopyRecord {
        let blob = BlobName { container: "imports".to_owned(), name: "a.img".to_owned() };
        CopyRecord { blob: Some(blob), size_bytes: Some(1000), runs: 1, is_open: true, ..CopyRecord::default() }
    }

    fn order() -> CopyOrder {
        CopyOrder {
            bay: "bay-1".to_owned(),
            direction: Direction::Import,
            job_uid: String::new(),
            drive_id: String::new(),
            account: String::new(),
            blob: BlobName { container: "imports".to_owned(), name: "a.img".to_owned() },
            size_bytes: Some(1000),
            sequence: 0,
            account_only: false,
            was_cut_off: false,
            retry: RetryOptions::default(),
        }
    }

    fn of_nothing(outcome: Outcome) -> TransferResult {
        let receipt = Receipt::of_nothing(1000, StopReason::JobCancelled, NOW, String::new());
        let result = TransferResult::cancelled_before_its_first_byte(Direction::Import, String::new(), 1000, receipt);
        TransferResult { outcome, ..result }
    }

    #[test]
    fn a_copy_that_is_cancelled_without_a_run_accounts_for_every_byte() {
        let mut never_ran = record();
        let mut was_refused = CopyRecord {
            result: Some(TransferResult::not_begun(Outcome::Refused, Direction::Import, String::new())),
            ..record()
        };
        for record in [&mut never_ran, &mut was_refused] {
            tell_as_cancelled(record, Direction::Import, NOW);
            let result = record.result.as_ref().unwrap();
            assert_eq!((result.outcome, result.bytes_total), (Outcome::Cancelled, 1000));
            assert_eq!(result.receipt.as_ref().unwrap().never_sent.bytes, 1000);
            assert!(record.status(false, true).starts_with("Cancelled: 0 bytes landed"), "{}", record.status(false, true));
        }
    }

    #[test]
    fn what_an_earlier_run_completed_stays_told() {
        let complete = TransferResult { receipt: None, ..of_nothing(Outcome::CompleteWithUnreadable) };
        let mut record = CopyRecord { result: Some(complete.clone()), ..record() };
        tell_as_cancelled(&mut record, Direction::Import, NOW);
        assert_eq!(record.result.as_ref(), Some(&complete));
        close_run(&mut record, &order(), &of_nothing(Outcome::Cancelled), AfterCopy::End(CopyEnd::Cancelled), NOW);
        assert_eq!((record.result.as_ref(), record.is_open), (Some(&complete), false));
    }

    #[test]
    fn a_record_keeps_the_first_of_very_many_ranges_and_counts_all() {
        const PLACES: u64 = 100_000;
        let unreadable: Vec<ByteRange> = (0..PLACES).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let mut receipt = Receipt::new(StopReason::DriveFailed, NOW, NOW, String::new());
        for range in &unreadable {
            receipt.add(ByteClass::NeverSent, *range);
            receipt.add(ByteClass::LandedBeforeRequest, ByteRange::new(range.end(), 512));
        }
        let result = TransferResult {
            bytes_unreadable: PLACES * 512,
            unreadable,
            receipt: Some(receipt),
            ..TransferResult::not_begun(Outcome::DriveFailed, Direction::Import, String::new())
        };
        let mut record = record();
        close_run(&mut record, &order(), &result, AfterCopy::Hold, NOW);
        assert!(serde_json::to_string(&record).unwrap().len() < 200_000);
        let mut job = StoredJob::for_test("job-1", Job::new(JobKind::Import, ["A".to_owned()], NOW));
        job.copies.insert("A".to_owned(), record.clone());
        let answer = serde_json::to_value(receipts(&job, |_| false)).unwrap();
        let told = &answer["drives"][0]["result"];
        assert_eq!((&told["bytes_unreadable"], &told["unreadable_ranges_total"]), (&(PLACES * 512).into(), &PLACES.into()));
        assert_eq!(told["receipt"]["never_sent"]["bytes"], PLACES * 512);
        assert_eq!(told["receipt"]["landed_before_request"]["ranges_total"], PLACES);
        assert!(told["note"].as_str().unwrap().contains("error log"), "{}", told["note"]);
        // Bytes stay exact when it is cancelled later.
        tell_as_cancelled(&mut record, Direction::Import, NOW);
        assert_eq!(record.result.unwrap().receipt.unwrap().landed_before_request.bytes, PLACES * 512);
    }
}
