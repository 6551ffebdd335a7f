//! The copy of one drive, as the job remembers it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::outcome::Outcome;
use crate::result::{Direction, TransferResult};

/// A blob of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobName {
    /// Its container.
    pub container: String,
    /// Its name in there.
    pub name: String,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// What is on the drive of an export may go.
    #[serde(default)]
    pub erase: bool,
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
    /// How the next run has to differ so that it does not fail for the same reason.
    #[serde(default)]
    pub fix: RetryOptions,
}

/// When a drive was docked. Clocks are set, differ from host to host, and services take over from each other: a docking is known
/// again by the time that its own host told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DockedTime {
    /// By the clock of its host: the same as long as it is not taken out.
    pub told: OffsetDateTime,
    /// By the clock of the service.
    pub here: OffsetDateTime,
}

impl DockedTime {
    /// Whether a drive that was docked then, where that is known, was there when something was noted of it at `noted_at`, with
    /// the time that its host told then. Earlier versions noted no such time.
    pub fn was_there(docked: Option<Self>, noted: Option<OffsetDateTime>, noted_at: OffsetDateTime) -> bool {
        match (docked, noted) {
            (None, _) => true,
            (Some(docked), Some(noted)) => docked.told == noted,
            (Some(docked), None) => docked.here <= noted_at,
        }
    }
}

/// The docking of a drive that may be written: it was found empty, or an operator said that what is on it may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSeen {
    /// What stands for the docking; it tells nothing by itself.
    pub mark: String,
    /// When it was looked at: a drive that was docked later is another one.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// When it was docked, as its host told it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub docked_at: Option<OffsetDateTime>,
}

impl TargetSeen {
    /// Whether it is about the docking with this mark, of a drive that was docked then.
    pub fn is_of(&self, mark: &str, docked: Option<DockedTime>) -> bool {
        self.mark == mark && DockedTime::was_there(docked, self.docked_at, self.at)
    }
}

/// A drive that was copied as another one by mistake, and what is left of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// The serial number that the wrong drive was known by.
    pub serial: String,
    /// Which way it was copied.
    pub direction: Direction,
    /// The bay that it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bay: Option<String>,
    /// The other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobName>,
    /// Of an import: what it left is a blob that is whole, and stays until it is replaced.
    pub has_blob: bool,
    /// The transfer that left something else of that blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<String>,
}

impl Mistake {
    /// What of it is left, where that has to be told. Customers read it: the wrong drive is not named.
    pub fn sentence(&self) -> Option<String> {
        match (self.direction, &self.blob) {
            (Direction::Import, Some(BlobName { container, name })) if self.has_blob => Some(format!(
                "the blob `{container}/{name}` holds what was on another drive, which was copied as this one by mistake, until it is replaced"
            )),
            (Direction::Import, _) => None,
            (Direction::Export, _) => Some(
                "another drive was written as this one by mistake, and holds what was exported until it is erased".to_owned(),
            ),
        }
    }

    /// Whether a drive of this serial number was written.
    pub fn has_written(&self, serial: &str) -> bool {
        self.direction == Direction::Export && self.serial.eq_ignore_ascii_case(serial)
    }
}

/// Where a copy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CopyState {
    /// It is begun as soon as its drive is docked, and its job may be copied.
    #[default]
    Waiting,
    /// A run was begun and its end is not noted: it runs, or the service was cut off.
    Open,
    /// An operator paused it: it is not begun, and what runs drains.
    Paused,
    /// It failed, and waits.
    Held(Hold),
    /// Nothing more of it is copied.
    Ended,
}

impl CopyState {
    /// The name of the state, for messages.
    pub const fn name(&self) -> &'static str {
        match self {
            CopyState::Waiting => "waiting",
            CopyState::Open => "open",
            CopyState::Paused => "paused",
            CopyState::Held(_) => "held",
            CopyState::Ended => "ended",
        }
    }
}

/// The copy of one drive. Its state moves by [`decide_copy`](super::decide_copy) alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredRecord", into = "StoredRecord")]
pub struct CopyRecord {
    /// Where it stands.
    pub state: CopyState,
    /// A run was begun and it is not noted what it moved: it runs, or the service was cut off.
    pub is_unaccounted: bool,
    /// An operator ended it before it was complete. It can be taken back until the drive is shipped back.
    pub is_abandoned: bool,
    /// The bay of its last run.
    pub bay: Option<String>,
    /// The other side.
    pub blob: Option<BlobName>,
    /// Bytes that are to be copied, as far as that was known when it was begun.
    pub size_bytes: Option<u64>,
    /// How often it was begun.
    pub runs: u32,
    /// When it was begun first.
    pub started_at: Option<OffsetDateTime>,
    /// When its last run ended.
    pub ended_at: Option<OffsetDateTime>,
    /// When its last run was begun.
    pub run_started_at: Option<OffsetDateTime>,
    /// How its next run differs. What may be replaced, and how a failing drive is read, holds for the runs after that too,
    /// where the copy goes on by itself or was paused.
    pub retry: RetryOptions,
    /// Of an export: the docking whose drive was found empty, or may be erased.
    pub target: Option<TargetSeen>,
    /// A drive was found not to hold what had landed on it: what it holds is unknown.
    pub is_in_doubt: bool,
    /// It was cancelled before a run of it told what it moved.
    pub is_cancelled: bool,
    /// Its journal was to be kept in the account, for other hosts: it may be there until it is removed.
    pub has_kept_journal: bool,
    /// Drives that were copied as this one by mistake.
    pub mistakes: Vec<Mistake>,
    /// How its last run ended.
    pub result: Option<TransferResult>,
    /// Its logs.
    pub logs: LogAddresses,
    /// The logs of its earlier runs.
    pub earlier_logs: Vec<LogAddresses>,
}

/// The record as it is stored and served. Its names are older than [`CopyState`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct StoredRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bay: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<BlobName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(default)]
    runs: u32,
    #[serde(default)]
    is_open: bool,
    #[serde(default)]
    is_ended: bool,
    #[serde(default)]
    is_abandoned: bool,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    ended_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    run_started_at: Option<OffsetDateTime>,
    #[serde(default)]
    is_paused: bool,
    #[serde(default, rename = "wish")]
    retry: RetryOptions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<TargetSeen>,
    #[serde(default)]
    is_in_doubt: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_cancelled: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_kept_journal: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Mistake>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<TransferResult>,
    #[serde(default)]
    logs: LogAddresses,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier_logs: Vec<LogAddresses>,
}

impl From<StoredRecord> for CopyRecord {
    fn from(stored: StoredRecord) -> Self {
        let state = match stored.hold {
            Some(hold) => CopyState::Held(hold),
            None if stored.is_paused => CopyState::Paused,
            None if stored.is_open => CopyState::Open,
            None if stored.is_ended => CopyState::Ended,
            None => CopyState::Waiting,
        };
        CopyRecord {
            state,
            is_unaccounted: stored.is_open,
            is_abandoned: stored.is_abandoned,
            bay: stored.bay,
            blob: stored.blob,
            size_bytes: stored.size_bytes,
            runs: stored.runs,
            started_at: stored.started_at,
            ended_at: stored.ended_at,
            run_started_at: stored.run_started_at,
            retry: stored.retry,
            target: stored.target,
            is_in_doubt: stored.is_in_doubt,
            is_cancelled: stored.is_cancelled,
            has_kept_journal: stored.has_kept_journal,
            mistakes: stored.mistakes,
            result: stored.result,
            logs: stored.logs,
            earlier_logs: stored.earlier_logs,
        }
    }
}

impl From<CopyRecord> for StoredRecord {
    fn from(record: CopyRecord) -> Self {
        StoredRecord {
            is_open: record.is_unaccounted,
            is_ended: record.state == CopyState::Ended,
            is_abandoned: record.is_abandoned,
            is_paused: record.state == CopyState::Paused,
            bay: record.bay,
            blob: record.blob,
            size_bytes: record.size_bytes,
            runs: record.runs,
            started_at: record.started_at,
            ended_at: record.ended_at,
            run_started_at: record.run_started_at,
            retry: record.retry,
            target: record.target,
            is_in_doubt: record.is_in_doubt,
            is_cancelled: record.is_cancelled,
            has_kept_journal: record.has_kept_journal,
            mistakes: record.mistakes,
            hold: match record.state {
                CopyState::Held(hold) => Some(hold),
                _ => None,
            },
            result: record.result,
            logs: record.logs,
            earlier_logs: record.earlier_logs,
        }
    }
}

impl CopyRecord {
    /// Why it waits, where it failed.
    pub fn hold(&self) -> Option<&Hold> {
        match &self.state {
            CopyState::Held(hold) => Some(hold),
            _ => None,
        }
    }

    /// Whether a run of it was begun: something of it may have been moved.
    pub fn was_begun(&self) -> bool {
        self.runs > 0
    }

    /// Keeps the addresses of its logs as those of an earlier run: what is there goes with the job.
    pub fn put_logs_by(&mut self) {
        let logs = std::mem::take(&mut self.logs);
        if logs.all().next().is_some() {
            self.earlier_logs.push(logs);
        }
    }

    /// The copy of another blob onto the drive, after that of this one. What is left of this one is kept in mind.
    pub fn for_blob(mut self, blob: BlobName, size_bytes: Option<u64>, target: TargetSeen) -> Self {
        self.put_logs_by();
        CopyRecord {
            blob: Some(blob),
            size_bytes,
            target: Some(target),
            has_kept_journal: self.has_kept_journal,
            mistakes: self.mistakes,
            earlier_logs: self.earlier_logs,
            ..CopyRecord::default()
        }
    }

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
        let is_over = is_over || self.state == CopyState::Ended;
        if is_running {
            return "InProgress".to_owned();
        }
        if let CopyState::Held(hold) = &self.state {
            return format!("Failed: {}", hold.outcome.sentence());
        }
        if self.state == CopyState::Paused && !is_over {
            return "Paused".to_owned();
        }
        let Some(result) = &self.result else {
            if self.is_cancelled {
                return self.status_without_result().to_owned();
            }
            return if self.is_abandoned { "Failed: it was not copied" } else { "NotStarted" }.to_owned();
        };
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

impl CopyRecord {
    /// What is known of a copy that was cancelled, and of which there is no receipt.
    fn status_without_result(&self) -> &'static str {
        match (self.runs, self.blob.is_some()) {
            (0, true) => "Cancelled: nothing was copied, and the size of the drive is not known",
            (0, false) => "Cancelled: nothing was copied",
            _ => "Cancelled: it is not known what was copied",
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
    fn a_hundred_percent_is_everything() {
        assert_eq!((percent(0, 0, false), percent(999, 1000, false), percent(5, 5, false)), (0, 99, 99));
        assert_eq!((percent(0, 0, true), percent(5, 5, true), percent(u64::MAX, u64::MAX, false)), (100, 100, 99));
    }

    #[test]
    fn every_state_is_stored() {
        let hold = Hold {
            outcome: Outcome::DriveFailed,
            message: "it failed".to_owned(),
            since: OffsetDateTime::UNIX_EPOCH,
            retry_at: None,
            fix: RetryOptions { rescue: true, ..RetryOptions::default() },
        };
        for state in [CopyState::Waiting, CopyState::Open, CopyState::Paused, CopyState::Held(hold), CopyState::Ended] {
            let is_unaccounted = state == CopyState::Open;
            let record = CopyRecord { state, is_unaccounted, ..CopyRecord::default() };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<CopyRecord>(&text).unwrap(), record, "{text}");
        }
    }

    #[test]
    fn a_record_of_an_earlier_version_is_understood() {
        let state = |text: &str| serde_json::from_str::<CopyRecord>(text).unwrap().state;
        assert_eq!(state("{}"), CopyState::Waiting);
        assert_eq!(state(r#"{"is_open": true}"#), CopyState::Open);
        assert_eq!(state(r#"{"is_open": true, "is_paused": true}"#), CopyState::Paused);
        let held = state(r#"{"hold": {"outcome": "drive-failed", "message": "m", "since": "2026-01-01T00:00:00Z"}}"#);
        assert!(matches!(held, CopyState::Held(hold) if hold.fix == RetryOptions::default()));
    }
}
