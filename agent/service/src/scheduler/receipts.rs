//! The receipts of a job: what moved of each drive, as its customer is told.

use protocol::digest::Sha256Digest;
use protocol::job::{CopyRecord, DriveState, JobState, Mistake};
use protocol::limits::RANGES_KEPT_MAX;
use protocol::outcome::Outcome;
use protocol::receipt::{ClassRanges, Receipt};
use protocol::result::{Direction, Evidence};
use protocol::stop::StopReason;
use protocol::units::ByteRange;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::store::StoredJob;

/// What moved of every drive of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReceiptsDocument {
    /// The path of the job.
    pub(crate) job: String,
    /// Where it stands.
    pub(crate) state: JobState,
    /// Whether it was cancelled.
    pub(crate) cancel_requested: bool,
    /// Its drives.
    pub(crate) drives: Vec<DriveReceipt>,
}

/// What moved of a drive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DriveReceipt {
    /// The drive.
    pub(crate) drive_id: String,
    /// Where it stands.
    pub(crate) state: DriveState,
    /// How its copy stands, in one sentence.
    pub(crate) copy_status: String,
    /// What is left of another drive that was copied as this one by mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// How its last copy ended; absent where nothing was copied, and nothing is known of what would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<CopyResult>,
}

/// How a copy ended, as a customer is told: without what names the station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CopyResult {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Which way.
    pub(crate) direction: Direction,
    /// The blob, as `CONTAINER/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<String>,
    /// Size of what was to be moved, in bytes.
    pub(crate) bytes_total: u64,
    /// Bytes of chunks whose bodies went over in the last run.
    pub(crate) bytes_sent: u64,
    /// Bytes of chunks that the target held already.
    pub(crate) bytes_reused: u64,
    /// Bytes of zero chunks that were never sent.
    pub(crate) bytes_zero: u64,
    /// Bytes that could not be read.
    pub(crate) bytes_unreadable: u64,
    /// Size of every chunk but the last, in bytes.
    pub(crate) chunk_size: u64,
    /// How many chunks.
    pub(crate) chunks: u64,
    /// SHA-256 over the chunk digests; absent unless complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_sha256: Option<Sha256Digest>,
    /// The weakest grade over all chunks.
    pub(crate) evidence: Evidence,
    /// Ranges that could not be read.
    pub(crate) unreadable: Vec<ByteRange>,
    /// How many such ranges there are, where the list is cut; absent where it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unreadable_ranges_total: Option<u64>,
    /// Where all ranges are, where a list has the first of them alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// What was and was not done, by byte range; absent where everything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<CustomerReceipt>,
}

/// The receipt of a copy, without the command that continues and without the store's paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CustomerReceipt {
    /// When the stop was asked for, or the fault was seen.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) requested_at: OffsetDateTime,
    /// When the last chunk in flight was accounted for.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) drained_at: OffsetDateTime,
    /// The gravest reason.
    pub(crate) reason: StopReason,
    /// Held by the target when the stop was asked for.
    pub(crate) landed_before_request: ClassRanges,
    /// Landed while draining.
    pub(crate) landed_after_request: ClassRanges,
    /// Sent, and it is unknown whether it landed.
    pub(crate) outcome_unknown: ClassRanges,
    /// Never sent, or unreadable.
    pub(crate) never_sent: ClassRanges,
    /// Bytes that are left at the store without being a blob.
    pub(crate) residue_bytes: u64,
    /// How long they stay there; absent where they stay for good, or where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) residue_lives_days: Option<u32>,
}

impl CopyResult {
    fn new(record: &CopyRecord) -> Option<Self> {
        let result = record.result.clone()?;
        Some(CopyResult {
            outcome: result.outcome,
            direction: result.direction,
            blob: record.blob.as_ref().map(|blob| format!("{}/{}", blob.container, blob.name)),
            bytes_total: result.bytes_total,
            bytes_sent: result.bytes_sent,
            bytes_reused: result.bytes_reused,
            bytes_zero: result.bytes_zero,
            bytes_unreadable: result.bytes_unreadable,
            chunk_size: result.chunk_size,
            chunks: result.chunks,
            root_sha256: result.root_sha256,
            evidence: result.evidence,
            note: result.has_cut_lists().then(|| note_of_cut_lists(record)),
            unreadable: result.unreadable,
            unreadable_ranges_total: result.unreadable_ranges_total,
            receipt: result.receipt.map(CustomerReceipt::from),
        })
    }
}

/// Says that lists are cut, and where all ranges are.
fn note_of_cut_lists(record: &CopyRecord) -> String {
    let place = match &record.logs.error {
        Some(address) => format!("the error log `{address}` has all of them"),
        None => "the error log of the copy, which is written when the drive is done, has all of them".to_owned(),
    };
    format!("lists of ranges with a `ranges_total` beside them have the first {RANGES_KEPT_MAX} ranges alone: {place}")
}

impl From<Receipt> for CustomerReceipt {
    fn from(receipt: Receipt) -> Self {
        CustomerReceipt {
            requested_at: receipt.requested_at,
            drained_at: receipt.drained_at,
            reason: receipt.reason,
            landed_before_request: receipt.landed_before_request,
            landed_after_request: receipt.landed_after_request,
            outcome_unknown: receipt.outcome_unknown,
            never_sent: receipt.never_sent,
            residue_bytes: receipt.residue.as_ref().map_or(0, |residue| residue.bytes),
            residue_lives_days: receipt.residue.and_then(|residue| residue.lives_days),
        }
    }
}

/// The receipts of a job as it stands.
pub(crate) fn receipts(job: &StoredJob, is_running: impl Fn(&str) -> bool) -> ReceiptsDocument {
    let drive = |drive: &protocol::job::JobDrive| {
        let record = job.copies.get(&drive.id);
        let is_over = !matches!(drive.state, DriveState::Received | DriveState::Transferring);
        DriveReceipt {
            drive_id: drive.id.clone(),
            state: drive.state,
            copy_status: record.cloned().unwrap_or_default().status(is_running(&drive.id), is_over),
            notes: record.map(|record| record.mistakes.iter().filter_map(Mistake::sentence).collect()).unwrap_or_default(),
            result: record.and_then(CopyResult::new),
        }
    };
    ReceiptsDocument {
        job: job.key.path(),
        state: job.machine.state,
        cancel_requested: job.machine.cancel_requested,
        drives: job.machine.drives.iter().map(drive).collect(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::result::TransferResult;

    use super::*;

    #[test]
    fn lists_that_are_cut_say_how_long_they_were_and_where_all_of_it_is() {
        let unreadable: Vec<ByteRange> = (0..5000).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let result = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "");
        let result = TransferResult { bytes_unreadable: 5000 * 512, unreadable, ..result }.with_lists_cut(RANGES_KEPT_MAX);
        let record = CopyRecord { result: Some(result), ..CopyRecord::default() };
        let told = serde_json::to_value(CopyResult::new(&record)).unwrap();
        assert_eq!((&told["bytes_unreadable"], &told["unreadable_ranges_total"]), (&2_560_000.into(), &5000.into()));
        assert_eq!(told["unreadable"].as_array().unwrap().len(), RANGES_KEPT_MAX);
        assert!(told["note"].as_str().unwrap().contains("error log"), "{}", told["note"]);
    }
}
