//! What a transfer knows of its drive, as a map that ddrescue understands.

use super::map::{ReadMap, ReadStatus};
use super::plan::RescuePhase;
use crate::result::TransferResult;

/// The map of a drive after a transfer: `+` is what landed, `-` what could not be read, `?` the rest.
pub fn map_of_result(result: &TransferResult) -> (ReadMap, RescuePhase) {
    let mut map = ReadMap::new(result.bytes_total, ReadStatus::Finished);
    let not_landed = result.receipt.iter().flat_map(|receipt| [&receipt.never_sent, &receipt.outcome_unknown]);
    for range in not_landed.flat_map(|class| class.ranges.as_slice()) {
        map.set(*range, ReadStatus::NonTried);
    }
    for range in &result.unreadable {
        map.set(*range, ReadStatus::Bad);
    }
    let is_finished = map.bytes(ReadStatus::NonTried) == 0;
    (map, if is_finished { RescuePhase::Finished } else { RescuePhase::Copying(1) })
}
