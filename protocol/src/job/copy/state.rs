//! The one function that moves the copy of a drive.

use time::{Duration, OffsetDateTime};

use super::record::{BlobName, CopyRecord, CopyState, Hold, Mistake, RetryOptions};
use crate::job::end::CopyEnd;
use crate::job::state::{DriveState, Job, JobDrive};
use crate::limits::RANGES_KEPT_MAX;
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::result::{Direction, TransferResult};
use crate::stop::StopReason;

/// What can happen to a copy.
#[derive(Debug, Clone, PartialEq)]
pub enum CopyEvent {
    /// A run begins.
    Begin {
        /// The bay of the drive.
        bay: String,
        /// The other side.
        blob: BlobName,
        /// Bytes that are to be copied, where that is known.
        size_bytes: Option<u64>,
    },
    /// A run ended.
    RunEnded(Box<RunEnd>),
    /// An operator pauses it.
    Pause,
    /// An operator lets it be copied, or copied again.
    Allow(RetryOptions),
    /// An operator ends it before it is complete.
    Abandon,
    /// Its job was cancelled, and no run of it is under way that could end.
    EndWithoutRun {
        /// Which way it would have copied.
        direction: Direction,
    },
    /// Its drive is unsuitable: its blob is free for another drive.
    Release,
    /// Its drive is here: what is known of what will be copied.
    CheckedIn {
        /// The other side of an import.
        blob: Option<BlobName>,
        /// The size of the drive, where it is in a bay.
        size_bytes: Option<u64>,
    },
    /// The drive that was checked in was another one.
    UndoCheckIn {
        /// The serial number that the wrong drive was known by.
        serial: String,
        /// Which way it was copied.
        direction: Direction,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// The bay of the drive.
    pub bay: String,
    /// How it ended.
    pub result: TransferResult,
    /// It moved nothing by itself, and told what earlier runs did.
    pub is_account_only: bool,
    /// Whether the job is cancelled.
    pub cancel_requested: bool,
}

/// What follows from a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStep {
    /// Nothing.
    Nothing,
    /// The run begins.
    Begin {
        /// The end of the run before was never noted.
        was_cut_off: bool,
        /// How this run differs.
        retry: RetryOptions,
    },
    /// The drive is done.
    End(CopyEnd),
}

/// Why a copy cannot be moved so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyRefusal {
    /// An operator paused it.
    #[error("the copy is paused: resume it first")]
    Paused,
    /// It is over.
    #[error("the copy is over: `jobs retry` copies the drive again")]
    Ended,
}

/// Moves a copy: the record as it is then, and what follows.
///
/// | event | Waiting | Open | Paused | Held | Ended |
/// |---|---|---|---|---|---|
/// | begin | Open | Open | refused | Open | refused |
/// | run ended, complete | Ended | Ended | Ended | Ended | Ended |
/// | run ended, job cancelled | Ended | Ended | Ended | Ended | Ended |
/// | run ended, stopped | Waiting | Waiting | Paused | Waiting | Ended |
/// | run ended, failed | Held | Held | Held | Held | Ended |
/// | pause | Paused | Paused | Paused | Paused | refused |
/// | allow | Waiting | Open | Waiting | Waiting | Waiting |
/// | abandon | Ended | Ended | Ended | Ended | refused |
/// | end without run | Ended | Ended | Ended | Ended | Ended |
/// | release | Ended | Ended | Ended | Ended | Ended |
/// | checked in | Waiting | Open | Paused | Held | Ended |
/// | undo check-in | Waiting | Waiting | Waiting | Waiting | Waiting |
///
/// Where it is not noted what a run moved, Open stands in the place of Waiting.
///
/// # Errors
/// A [`CopyRefusal`], with the record unchanged.
pub fn decide_copy(record: &CopyRecord, event: CopyEvent, now: OffsetDateTime) -> Result<(CopyRecord, CopyStep), CopyRefusal> {
    let mut next = record.clone();
    let step = match event {
        CopyEvent::Begin { bay, blob, size_bytes } => next.begin(bay, blob, size_bytes, now)?,
        CopyEvent::RunEnded(end) => next.run_ended(*end, now),
        CopyEvent::Pause => {
            next.require_unended()?;
            next.state = CopyState::Paused;
            CopyStep::Nothing
        }
        CopyEvent::Allow(options) => {
            next.allow(options);
            CopyStep::Nothing
        }
        CopyEvent::Abandon => {
            next.require_unended()?;
            next.is_abandoned = true;
            // What an interrupted run moved is still to be noted.
            let is_unaccounted = next.is_unaccounted;
            next.end(now);
            next.is_unaccounted = is_unaccounted;
            CopyStep::End(CopyEnd::Failed)
        }
        CopyEvent::EndWithoutRun { direction } => {
            next.end_without_run(direction, now);
            CopyStep::End(CopyEnd::Cancelled)
        }
        CopyEvent::Release => {
            next.blob = None;
            next.end(now);
            CopyStep::Nothing
        }
        CopyEvent::CheckedIn { blob, size_bytes } => {
            // What a run was begun with stays as it is.
            if next.runs == 0 {
                next.blob = next.blob.take().or(blob);
                next.size_bytes = size_bytes.or(next.size_bytes);
            }
            CopyStep::Nothing
        }
        CopyEvent::UndoCheckIn { serial, direction } => {
            next.undo_check_in(serial, direction);
            CopyStep::Nothing
        }
    };
    Ok((next, step))
}

/// Whether a drive of a cancelled job is told to have copied nothing: no run of it was begun whose end would tell.
pub fn is_ended_by_cancel(job: &Job, drive: &JobDrive, record: Option<&CopyRecord>) -> bool {
    let is_over = record.is_some_and(|record| record.state == CopyState::Ended || record.is_unaccounted);
    job.cancel_requested && drive.state == DriveState::Received && !is_over
}

/// Most mistakes that are kept of one copy: each is an act of an operator.
const MISTAKES_MAX: usize = 32;

/// A store that failed is tried again after this, doubled with every run.
const STORE_RETRY: Duration = Duration::minutes(1);

/// The longest pause between two tries.
const STORE_RETRY_MAX: Duration = Duration::hours(1);

/// When a run that failed is tried again by itself: only where the store was the reason, since that may pass.
fn retry_at(outcome: Outcome, runs: u32, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let pause = STORE_RETRY * 2_i32.pow(runs.saturating_sub(1).min(16));
    (outcome == Outcome::StoreFailed).then(|| now.checked_add(pause.min(STORE_RETRY_MAX))).flatten()
}

/// The options with which a run does not fail for the same reason: the message of a failed transfer names them between
/// backquotes, as the command line has them. What else is quoted there are names, which others chose.
fn fix_of(result: &TransferResult) -> RetryOptions {
    let message = result.error.as_deref().unwrap_or_default();
    let names = |option: &str| {
        message.split('`').skip(1).step_by(2).any(|quoted| {
            let is_options = quoted.starts_with("--") && quoted.split(' ').all(|word| word.starts_with("--") || word == "rescue");
            is_options && quoted.contains(option)
        })
    };
    RetryOptions {
        restart: names("--restart"),
        overwrite: names("--overwrite"),
        rescue: names("--on-unreadable rescue"),
        erase: names("--erase"),
    }
}

/// What a failed transfer says to a person at its command line, and what the same means to staff, who have no such command:
/// what helps is offered beside the message.
const WORDS_FOR_STAFF: [(&str, &str); 6] = [
    ("; `--on-unreadable rescue` copies all that can be read", ": what can be read can be rescued"),
    (", at any port, and repeat the command", ", at any port, and its copy continues"),
    (
        "may not be opened: run as root, or as a member of the group that owns it",
        "may not be opened by the user of the service: let that user be a member of the group that owns it",
    ),
    ("repeat the command with `--overwrite`", "let it be replaced"),
    ("repeat the command to resume", "try again"),
    ("repeat the command", "try again"),
];

/// The message of a failed transfer for staff.
fn for_staff(message: &str) -> String {
    WORDS_FOR_STAFF.iter().fold(message.to_owned(), |message, (said, meant)| message.replace(said, meant))
}

/// What follows from how a run ended.
enum AfterRun {
    Ended(CopyEnd),
    Held,
    Interrupted,
}

/// | outcome | job cancelled | else |
/// |---|---|---|
/// | complete | done | done |
/// | complete with unreadable | done, with errors | done, with errors |
/// | cancelled | done, cancelled | interrupted: resumed when it may be |
/// | any failure | done, cancelled | held |
///
/// Nothing of a cancelled job is done before it is told what it moved.
fn after_run(outcome: Outcome, cancel_requested: bool, is_accounted: bool) -> AfterRun {
    match outcome {
        Outcome::Complete => AfterRun::Ended(CopyEnd::Complete),
        Outcome::CompleteWithUnreadable => AfterRun::Ended(CopyEnd::WithErrors),
        // What was moved is not told yet: stopping the copy goes on until it is.
        _ if cancel_requested && !is_accounted => AfterRun::Interrupted,
        _ if cancel_requested => AfterRun::Ended(CopyEnd::Cancelled),
        Outcome::Cancelled => AfterRun::Interrupted,
        Outcome::Failed | Outcome::Refused | Outcome::Mismatch | Outcome::DriveFailed | Outcome::StoreFailed => AfterRun::Held,
    }
}

impl CopyRecord {
    fn require_unended(&self) -> Result<(), CopyRefusal> {
        if self.state == CopyState::Ended { Err(CopyRefusal::Ended) } else { Ok(()) }
    }

    fn begin(
        &mut self,
        bay: String,
        blob: BlobName,
        size_bytes: Option<u64>,
        now: OffsetDateTime,
    ) -> Result<CopyStep, CopyRefusal> {
        self.require_unended()?;
        if self.state == CopyState::Paused {
            return Err(CopyRefusal::Paused);
        }
        let was_cut_off = std::mem::replace(&mut self.is_unaccounted, true);
        let retry = self.retry;
        // What was done before is forgotten once.
        self.retry.restart = false;
        self.is_in_doubt &= !retry.restart;
        self.bay = Some(bay);
        self.blob = Some(blob);
        self.size_bytes = size_bytes.or(self.size_bytes);
        self.runs += 1;
        self.started_at.get_or_insert(now);
        self.run_started_at = Some(now);
        self.state = CopyState::Open;
        Ok(CopyStep::Begin { was_cut_off, retry })
    }

    fn run_ended(&mut self, end: RunEnd, now: OffsetDateTime) -> CopyStep {
        let RunEnd { bay, result, is_account_only, cancel_requested } = end;
        let after = after_run(result.outcome, cancel_requested, result.receipt.is_some() || is_account_only);
        let (outcome, message, fix) = (result.outcome, result.error.clone(), fix_of(&result));
        self.ended_at = Some(now);
        self.bay = Some(bay);
        // An export looks at what had landed before it resumes: where that is not there any more, the drive's content is unknown.
        self.is_in_doubt |= result.direction == Direction::Export && outcome == Outcome::Refused && self.runs > 1;
        self.note_result(result, is_account_only);
        if self.state == CopyState::Ended {
            // It was ended meanwhile: what the run moved is noted, and nothing follows.
            return CopyStep::Nothing;
        }
        match after {
            AfterRun::Ended(how) => {
                self.end(now);
                CopyStep::End(how)
            }
            AfterRun::Held => {
                let message = message.map_or_else(|| outcome.sentence().to_owned(), |message| for_staff(&message));
                let retry_at = retry_at(outcome, self.runs, now);
                // What the run needed to come so far, the next one needs too.
                let fix = RetryOptions {
                    overwrite: fix.overwrite || self.retry.overwrite,
                    rescue: fix.rescue || self.retry.rescue,
                    ..fix
                };
                self.state = CopyState::Held(Hold { outcome, message, since: now, retry_at, fix });
                CopyStep::Nothing
            }
            AfterRun::Interrupted => {
                if self.state != CopyState::Paused {
                    self.state = self.begun_again_when_docked();
                }
                CopyStep::Nothing
            }
        }
    }

    /// Keeps how a run ended, with bounded lists: the station keeps whole ones for the logs.
    fn note_result(&mut self, result: TransferResult, is_account_only: bool) {
        let moved_nothing = result.receipt.as_ref().is_some_and(Receipt::is_of_nothing);
        let is_complete = self.result.as_ref().is_some_and(|earlier| earlier.outcome.is_complete());
        if moved_nothing && is_complete {
            // The blob of an earlier run stands as it was.
            self.is_unaccounted = false;
            return;
        }
        if result.outcome.is_complete() {
            // The blob of the wrong drive was replaced.
            self.mistakes.iter_mut().for_each(|mistake| mistake.has_blob = false);
        }
        let mut result = result.with_lists_cut(RANGES_KEPT_MAX);
        if is_account_only && result.receipt.is_none() && !result.outcome.is_complete() {
            // What it moved will not be learned: no earlier receipt is of it.
            let at = self.ended_at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
            result.receipt = self.size_bytes.map(|size_bytes| Receipt::of_unknown(size_bytes, StopReason::JobCancelled, at));
        }
        // A run that was not even begun says nothing of what an earlier one moved: that stays open.
        if result.receipt.is_some() || result.outcome.is_complete() || is_account_only {
            let receipt = result.receipt.clone();
            let receipt = if self.is_in_doubt { receipt.map(Receipt::doubted) } else { receipt };
            self.result = Some(TransferResult { receipt, ..result });
            self.is_unaccounted = false;
        } else if self.result.is_none() {
            self.result = Some(result);
        }
    }

    fn begun_again_when_docked(&self) -> CopyState {
        if self.is_unaccounted { CopyState::Open } else { CopyState::Waiting }
    }

    fn allow(&mut self, options: RetryOptions) {
        // The blob of a copy with unreadable places is replaced. Where none was made, a blob of that name is not ours.
        let lacks_something = self.state == CopyState::Ended
            && self.result.as_ref().is_some_and(|result| result.outcome == Outcome::CompleteWithUnreadable);
        let kept = if self.state == CopyState::Paused { self.retry } else { RetryOptions::default() };
        self.retry = RetryOptions {
            // What a wrong drive left is forgotten by the first run of the right one, however it is asked for.
            restart: options.restart || lacks_something || self.retry.restart && self.runs == 0,
            overwrite: options.overwrite || kept.overwrite || lacks_something,
            rescue: options.rescue || kept.rescue,
            // It is about the docking that was looked at: `target` says which.
            erase: false,
        };
        self.is_abandoned = false;
        self.state = self.begun_again_when_docked();
    }

    /// The copy as if nothing of it had been begun. What the wrong drive left is kept in mind; the next run forgets what is
    /// known of it, and replaces no blob by itself.
    fn undo_check_in(&mut self, serial: String, direction: Direction) {
        let mut before = std::mem::take(self);
        before.put_logs_by();
        let was_begun = before.was_begun();
        let mut mistakes = before.mistakes;
        if was_begun {
            let result = before.result.as_ref();
            let has_blob = direction == Direction::Import && result.is_some_and(|result| result.outcome.is_complete());
            let transfer_id = result.filter(|_| !has_blob).and_then(|result| result.transfer_id.clone());
            mistakes.push(Mistake { serial, direction, bay: before.bay, blob: before.blob.clone(), has_blob, transfer_id });
            mistakes.drain(..mistakes.len().saturating_sub(MISTAKES_MAX));
        }
        *self = CopyRecord {
            blob: before.blob,
            // The size of a blob stays; that of the wrong drive tells nothing.
            size_bytes: before.size_bytes.filter(|_| direction == Direction::Export),
            retry: RetryOptions { restart: was_begun, ..RetryOptions::default() },
            mistakes,
            earlier_logs: before.earlier_logs,
            ..CopyRecord::default()
        };
    }

    fn end(&mut self, now: OffsetDateTime) {
        self.state = CopyState::Ended;
        self.is_unaccounted = false;
        self.retry = RetryOptions::default();
        self.ended_at = Some(now);
    }

    /// The receipt of the last run is the receipt of the copy, told for a cancel; where no run moved anything, it tells that.
    fn end_without_run(&mut self, direction: Direction, now: OffsetDateTime) {
        self.end(now);
        self.is_cancelled = true;
        let reason = StopReason::JobCancelled;
        match &mut self.result {
            Some(result) if result.outcome.is_complete() => {}
            Some(TransferResult { outcome, receipt: Some(receipt), .. }) => {
                let told = receipt.clone().told_for(reason, now);
                *receipt = if self.is_in_doubt { told.doubted() } else { told };
                *outcome = Outcome::Cancelled;
            }
            result => {
                let known = self.size_bytes.zip(self.blob.as_ref()).filter(|_| !self.is_in_doubt);
                let Some((size_bytes, blob)) = known else { return };
                let receipt = Receipt::of_nothing(size_bytes, reason, now, String::new());
                let blob = format!("{}/{}", blob.container, blob.name);
                *result = Some(TransferResult::cancelled_before_its_first_byte(direction, &blob, size_bytes, receipt));
            }
        }
    }
}

#[cfg(test)]
mod tests;
