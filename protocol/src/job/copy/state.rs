//! The one function that moves the copy of a drive.

use time::{Duration, OffsetDateTime};

use super::record::{BlobName, CopyRecord, CopyState, Hold, RetryOptions};
use crate::job::end::CopyEnd;
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
    EndWithoutRun,
    /// Its drive is unsuitable: its blob is free for another drive.
    Release,
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
        CopyEvent::EndWithoutRun => {
            next.end_without_run(now);
            CopyStep::End(CopyEnd::Cancelled)
        }
        CopyEvent::Release => {
            next.blob = None;
            next.end(now);
            CopyStep::Nothing
        }
    };
    Ok((next, step))
}

/// A store that failed is tried again after this, doubled with every run.
const STORE_RETRY: Duration = Duration::minutes(1);

/// The longest pause between two tries.
const STORE_RETRY_MAX: Duration = Duration::hours(1);

/// When a run that failed is tried again by itself: only where the store was the reason, since that may pass.
fn retry_at(outcome: Outcome, runs: u32, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let pause = STORE_RETRY * 2_i32.pow(runs.saturating_sub(1).min(16));
    (outcome == Outcome::StoreFailed).then(|| now.checked_add(pause.min(STORE_RETRY_MAX))).flatten()
}

/// The options with which a run does not fail for the same reason: the message of a failed transfer names them, as the
/// command line has them.
fn fix_of(result: &TransferResult) -> RetryOptions {
    let message = result.error.as_deref().unwrap_or_default();
    let names = |option: &str| message.contains(option);
    RetryOptions { restart: names("--restart"), overwrite: names("--overwrite"), rescue: names("--on-unreadable rescue") }
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
fn after_run(outcome: Outcome, cancel_requested: bool) -> AfterRun {
    match outcome {
        Outcome::Complete => AfterRun::Ended(CopyEnd::Complete),
        Outcome::CompleteWithUnreadable => AfterRun::Ended(CopyEnd::WithErrors),
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
        let retry = std::mem::take(&mut self.retry);
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
        let after = after_run(result.outcome, cancel_requested);
        let (outcome, message, fix) = (result.outcome, result.error.clone(), fix_of(&result));
        self.ended_at = Some(now);
        self.bay = Some(bay);
        // An export looks at what had landed before it resumes: where that is not there any more, the drive's content is unknown.
        self.is_in_doubt |= result.direction == Direction::Export && outcome == Outcome::Refused && self.runs > 1;
        // A run that was not even begun says nothing of what an earlier one moved: that stays open.
        if result.receipt.is_some() || outcome.is_complete() || is_account_only {
            let receipt = result.receipt.clone();
            let receipt = if self.is_in_doubt { receipt.map(Receipt::doubted) } else { receipt };
            self.result = Some(TransferResult { receipt, ..result });
            self.is_unaccounted = false;
        } else if self.result.is_none() {
            self.result = Some(result);
        }
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
                let message = message.unwrap_or_else(|| outcome.sentence().to_owned());
                let retry_at = retry_at(outcome, self.runs, now);
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

    fn begun_again_when_docked(&self) -> CopyState {
        if self.is_unaccounted { CopyState::Open } else { CopyState::Waiting }
    }

    fn allow(&mut self, options: RetryOptions) {
        // The blob of a copy with unreadable places is replaced. Where none was made, a blob of that name is not ours.
        let lacks_something = self.state == CopyState::Ended
            && self.result.as_ref().is_some_and(|result| result.outcome == Outcome::CompleteWithUnreadable);
        self.retry = RetryOptions {
            restart: options.restart || lacks_something,
            overwrite: options.overwrite || lacks_something,
            rescue: options.rescue,
        };
        self.is_abandoned = false;
        self.state = self.begun_again_when_docked();
    }

    fn end(&mut self, now: OffsetDateTime) {
        self.state = CopyState::Ended;
        self.is_unaccounted = false;
        self.retry = RetryOptions::default();
        self.ended_at = Some(now);
    }

    /// The receipt of the last run is the receipt of the copy, told for a cancel.
    fn end_without_run(&mut self, now: OffsetDateTime) {
        self.end(now);
        let is_in_doubt = self.is_in_doubt;
        if let Some(result) = self.result.as_mut().filter(|result| !result.outcome.is_complete()) {
            result.outcome = Outcome::Cancelled;
            let receipt = result.receipt.take().map(|receipt| receipt.told_for(StopReason::JobCancelled, now));
            result.receipt = if is_in_doubt { receipt.map(Receipt::doubted) } else { receipt };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_OUTCOMES: [Outcome; 8] = [
        Outcome::Complete,
        Outcome::Failed,
        Outcome::Refused,
        Outcome::CompleteWithUnreadable,
        Outcome::Mismatch,
        Outcome::DriveFailed,
        Outcome::StoreFailed,
        Outcome::Cancelled,
    ];

    fn now() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }

    fn begin() -> CopyEvent {
        let blob = BlobName { container: "c".to_owned(), name: "n".to_owned() };
        CopyEvent::Begin { bay: "1".to_owned(), blob, size_bytes: Some(9) }
    }

    fn ended(outcome: Outcome, cancel_requested: bool) -> CopyEvent {
        let receipt = (!outcome.is_complete()).then(|| Receipt::new(StopReason::Failed, now(), now(), String::new()));
        let result = TransferResult { receipt, ..TransferResult::not_begun(outcome, Direction::Import, "c/n") };
        let end = RunEnd { bay: "1".to_owned(), result, is_account_only: false, cancel_requested };
        CopyEvent::RunEnded(Box::new(end))
    }

    fn held() -> CopyState {
        let hold =
            Hold { outcome: Outcome::Failed, message: String::new(), since: now(), retry_at: None, fix: RetryOptions::default() };
        CopyState::Held(hold)
    }

    /// Every pair of state and event: the name of the state that follows, or `-` where it is refused.
    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        let states = [CopyState::Waiting, CopyState::Open, CopyState::Paused, held(), CopyState::Ended];
        let table = [
            (begin(), ["open", "open", "-", "open", "-"]),
            (ended(Outcome::Complete, false), ["ended"; 5]),
            (ended(Outcome::CompleteWithUnreadable, false), ["ended"; 5]),
            (ended(Outcome::Failed, true), ["ended"; 5]),
            (ended(Outcome::Cancelled, true), ["ended"; 5]),
            (ended(Outcome::Cancelled, false), ["waiting", "waiting", "paused", "waiting", "ended"]),
            (ended(Outcome::Refused, false), ["held", "held", "held", "held", "ended"]),
            (CopyEvent::Pause, ["paused", "paused", "paused", "paused", "-"]),
            (CopyEvent::Allow(RetryOptions::default()), ["waiting", "open", "waiting", "waiting", "waiting"]),
            (CopyEvent::Abandon, ["ended", "ended", "ended", "ended", "-"]),
            (CopyEvent::EndWithoutRun, ["ended"; 5]),
            (CopyEvent::Release, ["ended"; 5]),
        ];
        for (event, expected) in table {
            for (state, expected) in states.iter().zip(expected) {
                let record =
                    CopyRecord { state: state.clone(), is_unaccounted: *state == CopyState::Open, ..CopyRecord::default() };
                let decided = decide_copy(&record, event.clone(), now());
                let found = decided.as_ref().map_or("-", |(record, _)| record.state.name());
                assert_eq!(found, expected, "{} {event:?}", state.name());
            }
        }
    }

    #[test]
    fn nothing_of_a_cancelled_job_waits() {
        for outcome in ALL_OUTCOMES {
            let (record, step) = decide_copy(&CopyRecord::default(), ended(outcome, true), now()).unwrap();
            assert!(record.state == CopyState::Ended && matches!(step, CopyStep::End(_)), "{outcome:?}");
            let (record, _) = decide_copy(&CopyRecord::default(), ended(outcome, false), now()).unwrap();
            assert_eq!(record.state == CopyState::Ended, outcome.is_complete(), "{outcome:?}");
        }
    }

    #[test]
    fn a_run_that_was_cut_off_is_told_to_the_next() {
        let (open, step) = decide_copy(&CopyRecord::default(), begin(), now()).unwrap();
        assert_eq!(step, CopyStep::Begin { was_cut_off: false, retry: RetryOptions::default() });
        let (_, step) = decide_copy(&open, begin(), now()).unwrap();
        assert!(matches!(step, CopyStep::Begin { was_cut_off: true, .. }));
        // A run that could not even be begun says nothing of what the one before moved.
        let CopyEvent::RunEnded(mut end) = ended(Outcome::Refused, false) else { unreachable!() };
        end.result.receipt = None;
        let (held, _) = decide_copy(&open, CopyEvent::RunEnded(end), now()).unwrap();
        assert!(held.is_unaccounted);
        let (allowed, _) = decide_copy(&held, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
        assert_eq!(allowed.state, CopyState::Open);
    }

    #[test]
    fn a_held_copy_knows_what_fixes_it() {
        let message = "the drive `/dev/sdb` cannot read 0+4096; `--on-unreadable rescue` copies all that can be read";
        let CopyEvent::RunEnded(mut end) = ended(Outcome::DriveFailed, false) else { unreachable!() };
        end.result.error = Some(message.to_owned());
        let (held, _) = decide_copy(&CopyRecord::default(), CopyEvent::RunEnded(end), now()).unwrap();
        assert_eq!(held.hold().unwrap().fix, RetryOptions { rescue: true, ..RetryOptions::default() });
    }

    #[test]
    fn only_a_store_is_tried_again_without_a_person() {
        assert_eq!(retry_at(Outcome::DriveFailed, 1, now()), None);
        assert_eq!(retry_at(Outcome::StoreFailed, 1, now()), Some(now() + Duration::minutes(1)));
        assert_eq!(retry_at(Outcome::StoreFailed, 3, now()), Some(now() + Duration::minutes(4)));
        assert_eq!(retry_at(Outcome::StoreFailed, 4_000_000, now()), Some(now() + Duration::hours(1)));
    }

    #[test]
    fn a_copy_with_unreadable_places_replaces_its_own_blob() {
        let (done, _) = decide_copy(&CopyRecord::default(), ended(Outcome::CompleteWithUnreadable, false), now()).unwrap();
        let (again, _) = decide_copy(&done, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
        assert!(again.retry.restart && again.retry.overwrite && !again.retry.rescue);
        let (abandoned, _) = decide_copy(&CopyRecord::default(), CopyEvent::Abandon, now()).unwrap();
        let (again, _) = decide_copy(&abandoned, CopyEvent::Allow(RetryOptions::default()), now()).unwrap();
        assert_eq!((again.retry, again.is_abandoned), (RetryOptions::default(), false));
    }
}
