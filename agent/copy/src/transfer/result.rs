//! The end of a transfer: its result, and its receipt where it did not complete.

use protocol::identity::DriveIdentity;
use protocol::manifest::Header;
use protocol::outcome::Outcome;
use protocol::receipt::{ByteClass, Receipt};
use protocol::result::{Evidence, TransferResult};
use protocol::stop::StopReason;
use protocol::units::{ByteRange, RangeList};
use time::OffsetDateTime;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::record::table::SharedTable;

/// The receipt: each byte in exactly one class.
pub(crate) fn receipt(table: &SharedTable, handle: &TransferHandle, options: &TransferOptions) -> Result<Receipt, CopyError> {
    let now = OffsetDateTime::now_utc();
    let request = handle.stop.request();
    let reason = request.map_or(StopReason::Failed, |request| request.reason);
    let requested_at = request.map_or(now, |request| request.requested_at);
    let mut receipt = Receipt::new(reason, requested_at, now, options.resume_command.clone());
    table.with(|table| {
        for entry in table.entries() {
            let (index, range, entry) = entry?;
            let mut next = range.offset;
            for bad in table.unreadable_of(index) {
                receipt.add(entry.class, ByteRange::new(next, bad.offset - next));
                receipt.add(ByteClass::NeverSent, *bad);
                next = bad.end();
            }
            receipt.add(entry.class, ByteRange::new(next, range.end() - next));
        }
        Ok(())
    })?;
    Ok(receipt)
}

/// The result with everything that is known at the end of any transfer; the outcome's own fields are
/// added by the caller.
pub(crate) fn result(
    outcome: Outcome,
    header: &Header,
    drive: DriveIdentity,
    table: &SharedTable,
    handle: &TransferHandle,
) -> Result<TransferResult, CopyError> {
    let (unreadable, from_image): (RangeList, RangeList) =
        table.with(|table| Ok((table.unreadable().collect(), table.image_ranges())))?;
    let [bytes_sent, bytes_reused, bytes_zero, bytes_unreadable] = handle.counters.classes();
    Ok(TransferResult {
        outcome,
        direction: header.direction,
        // The samples are for the journal; they are not read here.
        drive: Some(DriveIdentity { content_sample: None, ..drive }),
        blob: header.blob.clone(),
        transfer_id: Some(header.transfer_id.clone()),
        bytes_total: header.total_bytes,
        bytes_sent,
        bytes_reused,
        bytes_zero,
        bytes_unreadable,
        bytes_cleared: 0,
        failed_reads: 0,
        bytes_from_image: from_image.total_bytes(),
        from_image: from_image.as_slice().to_vec(),
        from_image_ranges_total: None,
        source_changed: false,
        chunk_size: header.chunk_size_bytes,
        chunks: header.total_bytes.div_ceil(header.chunk_size_bytes),
        root_sha256: None,
        stream_sha256: None,
        evidence: Evidence::Read,
        checked_against_manifest: None,
        manifest: None,
        elapsed_seconds: handle.counters.elapsed_seconds(),
        stages: handle.counters.stages(),
        limited_by: handle.counters.limited_by(),
        link_bytes_per_second: handle.counters.link_bytes_per_second(),
        retries: handle.counters.retries(),
        unreadable: unreadable.as_slice().to_vec(),
        unreadable_ranges_total: None,
        error: None,
        receipt: None,
    })
}
