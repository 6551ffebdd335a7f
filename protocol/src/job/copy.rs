//! The copy of one drive, as the job remembers it, and what follows from how it ended.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::decide::CopyEnd;
use crate::outcome::Outcome;
use crate::result::TransferResult;

/// A blob of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobName {
    /// Its container.
    pub container: String,
    /// Its name in there.
    pub name: String,
}

/// A copy that failed, and waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How the run ended before it.
    pub outcome: Outcome,
    /// One sentence.
    pub message: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// When it is tried again by itself; absent where it waits for a person.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<OffsetDateTime>,
}

/// Where the logs of a copy are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAddresses {
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbose: Option<String>,
    /// The manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

impl LogAddresses {
    /// Those that there are.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        [&self.error, &self.verbose, &self.manifest].into_iter().flatten()
    }
}

/// How the next run of a copy differs from the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOptions {
    /// Forget what was done before.
    #[serde(default)]
    pub restart: bool,
    /// Replace a blob that exists.
    #[serde(default)]
    pub overwrite: bool,
    /// Get everything that can be read of a drive that fails.
    #[serde(default)]
    pub rescue: bool,
}

/// The copy of one drive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// The bay of its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bay: Option<String>,
    /// The other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobName>,
    /// Size of what is to be moved, in bytes: of an import's drive, of an export's blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// How often it was begun.
    #[serde(default)]
    pub runs: u32,
    /// It was begun and it is not noted what it moved: it runs, or the service was cut off.
    #[serde(default)]
    pub is_open: bool,
    /// When it was begun first.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<OffsetDateTime>,
    /// When its last run ended.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<OffsetDateTime>,
    /// When its last run was begun.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub run_started_at: Option<OffsetDateTime>,
    /// It was paused: it is not begun, and what runs drains.
    #[serde(default)]
    pub is_paused: bool,
    /// How its next run differs.
    #[serde(default, rename = "wish")]
    pub retry: RetryOptions,
    /// A drive was found not to hold what had landed on it: what it holds is unknown.
    #[serde(default)]
    pub is_in_doubt: bool,
    /// It failed, and waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// How its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TransferResult>,
    /// Its logs.
    #[serde(default)]
    pub logs: LogAddresses,
    /// The logs of its earlier runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_logs: Vec<LogAddresses>,
}

/// What follows from the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCopy {
    /// The drive is done.
    End(CopyEnd),
    /// It failed, and waits.
    Hold,
    /// It was paused, or the service stopped: it goes on when it may.
    GoOn,
}

/// What follows from how a run ended, and whether its job was cancelled.
///
/// | outcome | job cancelled | else |
/// |---|---|---|
/// | complete | done | done |
/// | complete with unreadable | done, with errors | done, with errors |
/// | cancelled | done, cancelled | goes on when it may |
/// | any failure | done, cancelled | waits |
pub fn after_copy(outcome: Outcome, cancel_requested: bool) -> AfterCopy {
    match outcome {
        Outcome::Complete => AfterCopy::End(CopyEnd::Complete),
        Outcome::CompleteWithUnreadable => AfterCopy::End(CopyEnd::WithErrors),
        _ if cancel_requested => AfterCopy::End(CopyEnd::Cancelled),
        Outcome::Cancelled => AfterCopy::GoOn,
        Outcome::Failed | Outcome::Refused | Outcome::Mismatch | Outcome::DriveFailed | Outcome::StoreFailed => AfterCopy::Hold,
    }
}

/// A store that failed is tried again after this, doubled with every run.
const STORE_RETRY: Duration = Duration::minutes(1);

/// The longest pause between two tries.
const STORE_RETRY_MAX: Duration = Duration::hours(1);

/// When a run that failed is tried again by itself: only where the store was the reason, since that may pass.
pub fn retry_at(outcome: Outcome, runs: u32, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let pause = STORE_RETRY * 2_i32.pow(runs.saturating_sub(1).min(16));
    (outcome == Outcome::StoreFailed).then(|| now.checked_add(pause.min(STORE_RETRY_MAX))).flatten()
}

impl CopyRecord {
    /// Bytes that the target holds, as far as the last run told.
    pub fn bytes_landed(&self) -> Option<u64> {
        let result = self.result.as_ref()?;
        Some(result.bytes_sent + result.bytes_reused + result.bytes_zero)
    }

    /// How far the last run came, in percent; a hundred only where it is complete.
    pub fn percent(&self) -> Option<i64> {
        let result = self.result.as_ref()?;
        Some(percent(self.bytes_landed()?, result.bytes_total, result.outcome.is_complete()))
    }

    /// The drive's `copyStatus`: a word of the published ones, then what staff and customers want to know. Customers
    /// read it: there is nothing of the station in it.
    pub fn status(&self, is_running: bool, is_over: bool) -> String {
        if is_running {
            return "InProgress".to_owned();
        }
        if let Some(hold) = &self.hold {
            return format!("Failed: {}", hold.outcome.sentence());
        }
        if self.is_paused && !is_over {
            return "Paused".to_owned();
        }
        let Some(result) = &self.result else { return "NotStarted".to_owned() };
        match (result.outcome, &result.receipt) {
            (Outcome::Complete, _) => "Completed".to_owned(),
            (Outcome::CompleteWithUnreadable, _) => {
                format!("CompletedWithErrors: {} bytes could not be read", result.bytes_unreadable)
            }
            (Outcome::Cancelled, _) if !is_over => "Interrupted".to_owned(),
            (_, Some(receipt)) if receipt.reason.is_cancel() => format!(
                "Cancelled: {} bytes landed before the request, {} after it, {} unknown, {} never sent",
                receipt.landed_before_request.bytes,
                receipt.landed_after_request.bytes,
                receipt.outcome_unknown.bytes,
                receipt.never_sent.bytes
            ),
            (outcome, _) => format!("Failed: {}", outcome.sentence()),
        }
    }
}

/// `done` of `total` in whole percent; a hundred only where everything is done.
pub fn percent(done: u64, total: u64, is_complete: bool) -> i64 {
    match (is_complete, total) {
        (true, _) => 100,
        (false, 0) => 0,
        (false, total) => i64::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(99).min(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_end_of_a_copy() {
        let all = [
            Outcome::Complete,
            Outcome::Failed,
            Outcome::Refused,
            Outcome::CompleteWithUnreadable,
            Outcome::Mismatch,
            Outcome::DriveFailed,
            Outcome::StoreFailed,
            Outcome::Cancelled,
        ];
        for outcome in all {
            assert!(matches!(after_copy(outcome, true), AfterCopy::End(_)), "nothing of a cancelled job waits: {outcome:?}");
            let is_done = matches!(after_copy(outcome, false), AfterCopy::End(_));
            assert_eq!(is_done, outcome.is_complete(), "{outcome:?}");
        }
        assert_eq!(after_copy(Outcome::Cancelled, false), AfterCopy::GoOn);
        assert_eq!(after_copy(Outcome::DriveFailed, false), AfterCopy::Hold);
    }

    #[test]
    fn only_a_store_is_tried_again_without_a_person() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(retry_at(Outcome::DriveFailed, 1, now), None);
        assert_eq!(retry_at(Outcome::StoreFailed, 1, now), Some(now + Duration::minutes(1)));
        assert_eq!(retry_at(Outcome::StoreFailed, 3, now), Some(now + Duration::minutes(4)));
        assert_eq!(retry_at(Outcome::StoreFailed, 4_000_000, now), Some(now + Duration::hours(1)));
    }

    #[test]
    fn a_hundred_percent_is_everything() {
        assert_eq!((percent(0, 0, false), percent(999, 1000, false), percent(5, 5, false)), (0, 99, 99));
        assert_eq!((percent(0, 0, true), percent(5, 5, true), percent(u64::MAX, u64::MAX, false)), (100, 100, 99));
    }
}
