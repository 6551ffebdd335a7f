//! Whether a report can be true: what a station tells is shown, added up, and kept.

use super::call::{CopyReport, StationReport};
use super::order::BayContent;
use crate::progress::Progress;
use crate::result::TransferResult;
use crate::text::{is_displayed, is_word};

/// Bays that one station may have.
const BAYS_MAX: usize = 256;

/// Copies and answers that one report may tell: those of every bay, and some that were not taken yet.
const ENTRIES_MAX: usize = 4 * BAYS_MAX;

/// Longest text of a station, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// More bytes than any drive has: sums of some thousand such numbers can still be written.
const DRIVE_BYTES_MAX: u64 = 1 << 50;

/// Why a report cannot be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportProblem {
    /// Too many bays, copies or answers.
    #[error("it has more bays, copies or answers than a station can have")]
    TooMuch,
    /// The name of a bay is none, or two bays have it.
    #[error("a bay has a name that no bay can have, or that another one has")]
    BayName,
    /// A text is too long, or has letters that are not shown.
    #[error("a text is too long, or has letters that are not shown")]
    Text,
    /// A number is larger than any drive, or is none.
    #[error("a number is larger than any drive")]
    Number,
}

impl StationReport {
    /// Requires that the report can be true.
    ///
    /// # Errors
    /// Says what cannot.
    pub fn check(&self) -> Result<(), ReportProblem> {
        if self.bays.len() > BAYS_MAX || self.copies.len() > ENTRIES_MAX || self.done.len() > ENTRIES_MAX {
            return Err(ReportProblem::TooMuch);
        }
        let mut names: Vec<&str> = self.bays.iter().map(|bay| bay.name.as_str()).collect();
        names.sort_unstable();
        let has_twins = names.windows(2).any(|pair| pair[0] == pair[1]);
        let is_name = |name: &&str| !name.trim().is_empty() && !name.contains('/') && name.len() <= 128;
        if has_twins || !names.iter().all(is_name) {
            return Err(ReportProblem::BayName);
        }
        let texts = [Some(&self.version), Some(&self.state_id), self.hall.as_ref()].into_iter().flatten();
        let texts = texts.chain(self.bays.iter().flat_map(texts_of)).chain(self.accounts.keys()).chain(self.accounts.values());
        if !texts.into_iter().all(|text| is_short(text)) {
            return Err(ReportProblem::Text);
        }
        let drives = self.bays.iter().filter_map(|bay| bay.drive.as_ref());
        if drives.into_iter().any(|drive| drive.size_bytes > DRIVE_BYTES_MAX) {
            return Err(ReportProblem::Number);
        }
        self.copies.values().try_for_each(check_copy)
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && text.chars().all(is_displayed)
}

fn texts_of(bay: &BayContent) -> Vec<&String> {
    let mut texts = vec![&bay.name, &bay.attachment];
    if let Some(drive) = &bay.drive {
        texts.push(&drive.path);
        texts.extend([&drive.drive_id, &drive.bridge_serial, &drive.model].into_iter().flatten());
    }
    texts
}

fn check_copy(copy: &CopyReport) -> Result<(), ReportProblem> {
    match copy {
        CopyReport::Running { progress, .. } => check_progress(progress),
        CopyReport::Ended { result } => check_result(result),
    }
}

fn check_progress(progress: &Progress) -> Result<(), ReportProblem> {
    let Progress {
        bytes_total,
        bytes_done,
        bytes_sent,
        bytes_reused,
        bytes_zero,
        bytes_unreadable,
        bytes_in_flight,
        retries,
        elapsed_seconds,
        bytes_per_second,
        ..
    } = progress;
    require_numbers(&[*bytes_total, *bytes_done, *bytes_sent, *bytes_reused, *bytes_zero])?;
    require_numbers(&[*bytes_unreadable, *bytes_in_flight, *retries])?;
    let is_finite = elapsed_seconds.is_finite() && bytes_per_second.is_finite();
    if is_finite { Ok(()) } else { Err(ReportProblem::Number) }
}

fn check_result(result: &TransferResult) -> Result<(), ReportProblem> {
    let TransferResult { bytes_total, bytes_sent, bytes_reused, bytes_zero, bytes_unreadable, bytes_cleared, .. } = result;
    require_numbers(&[*bytes_total, *bytes_sent, *bytes_reused, *bytes_zero, *bytes_unreadable, *bytes_cleared])?;
    require_numbers(&[result.chunk_size, result.chunks, result.failed_reads, result.bytes_from_image, result.retries])?;
    let classes = result.receipt.iter().flat_map(|receipt| receipt.classes());
    classes.into_iter().try_for_each(|class| require_numbers(&[class.bytes]))?;
    // What a transfer leaves is named after it.
    let is_named = result.transfer_id.as_deref().is_none_or(is_word);
    let texts = [Some(&result.blob), result.manifest.as_ref(), result.error.as_ref()];
    let is_long = texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX);
    if is_named && !is_long { Ok(()) } else { Err(ReportProblem::Text) }
}

fn require_numbers(numbers: &[u64]) -> Result<(), ReportProblem> {
    match numbers.iter().all(|number| *number <= DRIVE_BYTES_MAX) {
        true => Ok(()),
        false => Err(ReportProblem::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report(change: impl FnOnce(&mut Value)) -> StationReport {
        let progress = json!({ "phase": "copying", "bytes_total": 10, "bytes_done": 5, "bytes_sent": 5, "bytes_reused": 0,
            "bytes_zero": 0, "bytes_unreadable": 0, "retries": 0, "limited_by": "read", "elapsed_seconds": 1.0,
            "bytes_per_second": 5.0 });
        let drive = json!({ "path": "/dev/sda", "size_bytes": 10 });
        let bay = json!({ "name": "bay-1", "isWatched": true, "drive": drive, "attachment": "1", "sequence": 1 });
        let mut value = json!({ "callVersion": 1, "version": "1", "stateId": "a", "process": 1, "bays": [bay], "accounts": {},
            "rate": { "setBy": "configuration" }, "copies": { "g": { "state": "running", "progress": progress,
            "unreadable": { "bad": [], "doubtful": [] } } }, "service": "", "call": 1, "seen": 0, "waitSeconds": 0 });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_report_that_can_be_true_is_taken() {
        assert_eq!(report(|_| ()).check(), Ok(()));
    }

    #[test]
    fn what_no_station_can_have_is_refused() {
        let bays = |count: usize| json!(vec![json!({ "name": "b", "isWatched": true, "attachment": "", "sequence": 1 }); count]);
        let refused = |change: &dyn Fn(&mut Value)| report(change).check().unwrap_err();
        assert_eq!(refused(&|value| value["bays"] = bays(257)), ReportProblem::TooMuch);
        assert_eq!(refused(&|value| value["bays"] = bays(2)), ReportProblem::BayName);
        for name in ["", "a/b"] {
            assert_eq!(refused(&|value| value["bays"][0]["name"] = name.into()), ReportProblem::BayName);
        }
        assert_eq!(refused(&|value| value["bays"][0]["name"] = "a\nb".into()), ReportProblem::Text);
        assert_eq!(refused(&|value| value["hall"] = "x".repeat(5000).into()), ReportProblem::Text);
        assert_eq!(refused(&|value| value["bays"][0]["drive"]["size_bytes"] = u64::MAX.into()), ReportProblem::Number);
        assert_eq!(refused(&|value| value["copies"]["g"]["progress"]["bytes_sent"] = u64::MAX.into()), ReportProblem::Number);
    }

    #[test]
    fn an_end_that_cannot_be_is_refused() {
        let result = TransferResult::not_begun(crate::outcome::Outcome::Complete, crate::result::Direction::Import, "c/n");
        let check = |result: TransferResult| check_copy(&CopyReport::Ended { result: Box::new(result) });
        assert_eq!(check(result.clone()), Ok(()));
        assert_eq!(check(TransferResult { bytes_sent: u64::MAX, ..result.clone() }), Err(ReportProblem::Number));
        assert_eq!(check(TransferResult { transfer_id: Some("../x".to_owned()), ..result }), Err(ReportProblem::Text));
    }
}
