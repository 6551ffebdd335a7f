//! The receipts of a job, from what its record holds of each copy.

use protocol::arm::{CopyResult, CustomerReceipt, DriveReceipt, ReceiptsDocument};
use protocol::job::{CopyRecord, Mistake};
use protocol::limits::RANGES_KEPT_MAX;
use protocol::receipt::Receipt;

use crate::store::StoredJob;

/// How the last copy of a drive ended.
fn result_of(record: &CopyRecord) -> Option<CopyResult> {
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
        receipt: result.receipt.map(receipt_of),
    })
}

/// Says that lists are cut, and where all ranges are.
fn note_of_cut_lists(record: &CopyRecord) -> String {
    let place = match &record.logs.error {
        Some(address) => format!("the error log `{address}` has all of them"),
        None => "the error log of the copy, which is written when the drive is done, has all of them".to_owned(),
    };
    format!("lists of ranges with a `ranges_total` beside them have the first {RANGES_KEPT_MAX} ranges alone: {place}")
}

/// A receipt without the command that continues and without the store's paths.
fn receipt_of(receipt: Receipt) -> CustomerReceipt {
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

/// The receipts of a job as it stands.
pub(crate) fn receipts(job: &StoredJob, is_running: impl Fn(&str) -> bool) -> ReceiptsDocument {
    let drive = |drive: &protocol::job::JobDrive| {
        let record = job.copies.get(&drive.id);
        let is_over = !drive.state.is_here();
        DriveReceipt {
            drive_id: drive.id.clone(),
            state: drive.state,
            copy_status: record.cloned().unwrap_or_default().status(is_running(&drive.id), is_over),
            notes: record.map(|record| record.mistakes.iter().filter_map(Mistake::sentence).collect()).unwrap_or_default(),
            result: record.and_then(result_of),
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
    use protocol::outcome::Outcome;
    use protocol::result::{Direction, TransferResult};
    use protocol::units::ByteRange;

    use super::*;

    #[test]
    fn lists_that_are_cut_say_how_long_they_were_and_where_all_of_it_is() {
        let unreadable: Vec<ByteRange> = (0..5000).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let result = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "");
        let result = TransferResult { bytes_unreadable: 5000 * 512, unreadable, ..result }.with_lists_cut(RANGES_KEPT_MAX);
        let record = CopyRecord { result: Some(result), ..CopyRecord::default() };
        let shown = serde_json::to_value(result_of(&record)).unwrap();
        assert_eq!((&shown["bytes_unreadable"], &shown["unreadable_ranges_total"]), (&2_560_000.into(), &5000.into()));
        assert_eq!(shown["unreadable"].as_array().unwrap().len(), RANGES_KEPT_MAX);
        assert!(shown["note"].as_str().unwrap().contains("error log"), "{}", shown["note"]);
    }
}
